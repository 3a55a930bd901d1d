"""An evaluation, and the comparison of two, as tables for the terminal; narrow ones show fewer columns."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from personable.evaluation.comparison import ComparedMetric
from personable.evaluation.metric import Metric
from personable.evaluation.page.compared import compared_digits, finding
from personable.evaluation.page.figures import (
    ARROWS,
    NOTHING,
    capitalised,
    figure,
    interval,
    signed,
    signed_interval,
    unit_beside_name,
)
from personable.evaluation.page.score_rows import ScoreRow, ScoreRows, is_human, score_rows, short_name

_KEY = "↑ higher is better, ↓ lower is better, ≈ best near the human replies"
_GIVEN_UP_FIRST = ("random", "fact", "echo", "constant")
"""Columns that go where there is no room for all, in this order; the human replies and the intervals go last."""

_ENDLESS = 10_000
"""Columns; to ask a table what it would take."""
_TIGHT_NAME = 24
"""Columns for the names of metrics where there is little room; longer ones take a second line."""


def score_table(record: Mapping[str, Any]) -> RenderableType:
    """What `personable evaluate` prints: scores beside the trivial systems', and what was not measured and why.

    record: the content of evaluation.json. All columns need a width of about 100; of 80 some go, never the value.
    """
    return _Scores(score_rows(record))


def comparison_table(compared: Sequence[ComparedMetric], first: str = "A", second: str = "B") -> RenderableType:
    """Both scores of each metric, their difference with its interval, and whether it is real.

    first, second: the names of the two systems, said above the table, whose columns are A and B.
    """
    return _Comparison(tuple(compared), first, second)


@dataclass(frozen=True, slots=True)
class _Scores:
    rows: ScoreRows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = self.rows
        if rows.all:
            table, shown, with_interval = self._table_that_fits(console, options)
            yield table
            marked = any(row.beaten_by(name) for row in rows.all for name in shown)
            marks = "; † better than this engine's whole interval" if marked else ""
            yield Text(f"{_KEY}{marks}.", style="dim")
            gone = [short_name(name) for name in rows.baselines if name not in shown]
            gone += [] if with_interval else ["95 % intervals"]
            if gone:
                yield Text(f"No room for: {_plain(', '.join(gone))}; evaluation.json has all.", style="dim")
        for reason, metrics in rows.not_measured.items():
            names = ", ".join(metric.name for metric in metrics)
            yield Text(f"Not measured: {_plain(names)}: {_plain(reason)}")

    def _table_that_fits(self, console: Console, options: ConsoleOptions) -> tuple[Table, tuple[str, ...], bool]:
        """(The table, the trivial systems it shows, whether it shows intervals)."""
        dearest_last = sorted(self.rows.baselines, key=_how_dear)
        choices = [(dearest_last[gone:], True) for gone in range(len(dearest_last) + 1)] + [([], False)]
        for kept, with_interval in choices:
            shown = tuple(name for name in self.rows.baselines if name in kept)
            for gap, name_width in ((2, None), (1, None), (1, _TIGHT_NAME)):
                table = self._table(shown, with_interval=with_interval, gap=gap, name_width=name_width)
                if console.measure(table, options=options.update(max_width=_ENDLESS)).maximum <= options.max_width:
                    return table, shown, with_interval
        return table, shown, with_interval

    def _table(self, baselines: Sequence[str], *, with_interval: bool, gap: int, name_width: int | None) -> Table:
        table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="dim")
        table.add_column("", overflow="fold", max_width=name_width)
        table.add_column("value", justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        if with_interval:
            table.add_column("95 % interval", justify="right", no_wrap=True)
        for name in baselines:
            table.add_column(Text(_heading(name)), justify="right", no_wrap=True, style="dim")
        for title, group in self.rows.groups.items():
            table.add_row(Text(title, style="bold"))
            for row in group:
                table.add_row(*_cells(row, baselines, with_interval=with_interval, indent="" if name_width else "  "))
        return table


def _cells(row: ScoreRow, baselines: Sequence[str], *, with_interval: bool, indent: str) -> list[Text]:
    cells = [
        _name(row.metric, indent=indent),
        Text(figure(row.score.value, row.digits), style="bold"),
        Text(row.arrow),
    ]
    if with_interval:
        cells.append(Text(interval(row.score.interval, row.digits) or NOTHING))
    for name in baselines:
        score, beats = row.baselines.get(name), row.beaten_by(name)
        written = figure(score.value, row.digits) if score else NOTHING
        cells.append(Text(f"{written}†" if beats else f"{written} ", style="yellow" if beats else ""))
    return cells


@dataclass(frozen=True, slots=True)
class _Comparison:
    compared: tuple[ComparedMetric, ...]
    first: str
    second: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.compared:
            yield Text("No metric was measured for both.")
            return
        yield Text(f"A: {_plain(self.first)}\nB: {_plain(self.second)}")
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        table.add_column("", overflow="fold")
        for heading in ("", "A", "B", "B − A", "95 % interval"):
            table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
        table.add_column("")
        for each in self.compared:
            table.add_row(*_compared_cells(each))
        yield table
        yield Text(f"{_KEY}. A difference is real where its interval leaves out 0.", style="dim")


def _compared_cells(each: ComparedMetric) -> list[Text]:
    digits = compared_digits(each)
    difference = each.difference
    return [
        _name(each.metric),
        Text(ARROWS[each.metric.better]),
        Text(figure(each.first.value, digits), style="bold" if each.better == "first" else ""),
        Text(figure(each.second.value, digits), style="bold" if each.better == "second" else ""),
        Text(signed(difference.value, digits)),
        Text(signed_interval(difference.interval, digits) or NOTHING),
        Text(finding(each), style="bold" if difference.real else "dim"),
    ]


def _name(metric: Metric, *, indent: str = "") -> Text:
    unit = unit_beside_name(metric)
    name = Text(f"{indent}{_plain(capitalised(metric.name))}")
    return name.append(f" {_plain(unit)}", style="dim") if unit else name


def _heading(baseline: str) -> str:
    """A short name on lines of its own, aligned with numbers that leave room for a mark."""
    return "\n".join(f"{word} " for word in _plain(short_name(baseline)).split()[:3])


def _how_dear(baseline: str) -> int:
    """The lower, the sooner a column goes."""
    if is_human(baseline):
        return len(_GIVEN_UP_FIRST) + 1
    short = short_name(baseline)
    return next((place for place, word in enumerate(_GIVEN_UP_FIRST) if word in short), len(_GIVEN_UP_FIRST))


def _plain(text: str) -> str:
    """One line without control characters: names come from files and must not steer the terminal."""
    return "".join(" " if unicodedata.category(letter) in ("Cc", "Zl", "Zp") else letter for letter in text)
