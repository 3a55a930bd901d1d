"""Any content of evaluation.json as something that can be read: tables where it is regular, lists where it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from personable.evaluation.page.figures import NOTHING, capitalised, duration, size

LONG_TEXT = 48
"""Characters; more do not fit into the cell of a table."""
WIDE_TABLE = 6
"""Columns."""
SHOWN = 5
"""Items of a list in sight; the others are folded away."""


@dataclass(frozen=True, slots=True)
class Text:
    """One value."""

    kind: ClassVar[str] = "text"
    text: str
    number: bool = False


@dataclass(frozen=True, slots=True)
class Pairs:
    """Names with what they stand for."""

    kind: ClassVar[str] = "pairs"
    pairs: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table."""

    kind: ClassVar[str] = "grid"
    headings: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]


@dataclass(frozen=True, slots=True)
class Items:
    """A list, its beginning in sight."""

    kind: ClassVar[str] = "items"
    shown: tuple[Node, ...]
    folded: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Talk:
    """Turns of a dialogue: (speaker, text)."""

    kind: ClassVar[str] = "talk"
    turns: tuple[tuple[str, str], ...]


Node = Text | Pairs | Grid | Items | Talk


def outline(value: Any, key: str = "") -> Node:
    """How to show a value read from JSON; its key tells the unit, as in `peak_bytes` and `wait_seconds`."""
    if isinstance(value, Mapping):
        table = _grid_of_mappings(value)
        return table or Pairs(tuple((label(name), outline(each, name)) for name, each in value.items()))
    if isinstance(value, str) or not isinstance(value, Sequence):
        return _text(value, key)
    if value and all(isinstance(each, Mapping) and set(each) == {"speaker", "text"} for each in value):
        return Talk(tuple((str(each["speaker"]), str(each["text"])) for each in value))
    if table := _grid_of_rows(value):
        return table
    if value and all(_is_short(each) and not isinstance(each, str) for each in value):
        return Text(", ".join(_text(each, key).text for each in value))
    nodes = tuple(outline(each, key) for each in value)
    return Items(nodes[:SHOWN], nodes[SHOWN:]) if nodes else Text("none")


_LABELS = {
    **{"hits_1": "Hits@1", "hits_5": "Hits@5", "mrr": "MRR"},
    **{"hits_1_sum": "Hits@1, by sum", "hits_5_sum": "Hits@5, by sum", "mrr_sum": "MRR, by sum"},
    "most_orders_of_one": "Orders of facts tried",
    "unigram_perplexity": "Perplexity of token frequencies alone",
    "nli": "NLI",
}


def label(key: str) -> str:
    """A key as a heading: `examples_by_kind` -> `Examples by kind`, `mrr_sum` -> `MRR, by sum`."""
    if key in _LABELS:
        return _LABELS[key]
    return capitalised(key.removesuffix("_bytes").removesuffix("_seconds").replace("_", " ").strip())


def _text(value: Any, key: str) -> Text:
    if value is None or value == "":
        return Text(NOTHING)
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, int | float):
        return Text(_number(value, key), number=True)
    return Text(str(value))


def _number(value: float, key: str) -> str:
    if key.endswith("bytes"):
        return size(value)
    if key.endswith("seconds"):
        return duration(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10_000 or "seed" in key else f"{value:,}"
    return f"{value:.4g}".replace("-", "−")


def _grid_of_rows(value: Sequence[Any]) -> Grid | None:
    """A table for a list of like records with short values."""
    if len(value) < 2 or not all(isinstance(each, Mapping) and each for each in value):
        return None
    keys = list(dict.fromkeys(key for each in value for key in each))
    if len(keys) > WIDE_TABLE or not all(_is_short(cell) for each in value for cell in each.values()):
        return None
    rows = tuple(tuple(_text(each.get(key), key) for key in keys) for each in value)
    return Grid(tuple(label(key) for key in keys), rows)


def _grid_of_mappings(value: Mapping[str, Any]) -> Grid | None:
    """A table for records by name that have the same keys, such as counts by kind."""
    records = list(value.values())
    if not all(isinstance(each, Mapping) for each in records) or len({frozenset(each) for each in records}) != 1:
        return None
    named = [{"": name} | dict(each) for name, each in value.items()]
    grid = _grid_of_rows(named)
    return Grid(("", *grid.headings[1:]), grid.rows) if grid else None


def _is_short(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= LONG_TEXT
    return value is None or isinstance(value, bool | int | float)
