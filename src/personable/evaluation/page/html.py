"""evaluation.html: an evaluation as one page that needs nothing else, made from the content of evaluation.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from personable.evaluation.comparison import ComparedMetric
from personable.evaluation.metric import Metric
from personable.evaluation.page import figures
from personable.evaluation.page.compared import compared_digits, finding, summary
from personable.evaluation.page.headline import highlights
from personable.evaluation.page.outline import Node, label, outline
from personable.evaluation.page.plots import baseline_panels, chance_panels
from personable.evaluation.page.score_rows import definitions, score_rows, short_name
from personable.files import write_whole

PAGE = "evaluation.html"
COMPARISON = "comparison.html"
TURNS_SHOWN = 4
"""Of a sample's history; earlier turns are folded away."""
SAMPLES_SHOWN = 4
"""Of each kind; the others are folded away."""


def write_page(
    record: Mapping[str, Any],
    folder: Path,
    comparison: Sequence[ComparedMetric] | None = None,
    *,
    compared_with: str = "",
) -> Path:
    """Writes evaluation.html into a folder, whole or not at all, and returns where.

    record: the content of evaluation.json. comparison: how this evaluation (the first) and another (the second, named
    by compared_with) differ.
    """
    rows, name = score_rows(record), name_of(record)
    page: dict[str, Any] = {
        "name": name,
        "subject": subject_lines(record),
        "highlights": highlights(rows),
        "rows": rows,
        "baselines": {each: record["baselines"][each].get("description", "") for each in rows.baselines},
        "interval_methods": sorted({row.score.interval_method for row in rows.all if row.score.interval_method}),
        "resamples": record.get("resamples"),
        "notes": reading_notes(record) if rows.all else [],
        "compared": comparison,
        "compared_names": (name, compared_with or "the other"),
        "baseline_panels": baseline_panels(rows),
        "chance_panels": chance_panels(rows),
        "samples": _samples(record.get("samples", ())),
        "samples_shown": SAMPLES_SHOWN,
        "details": {label(part): outline(_unwrapped(part, found)) for part, found in record.get("details", {}).items()},
        "definitions": definitions(record),
        "settings": _settings(record),
    }
    page["contents"] = _contents(page)
    return write_whole(folder / PAGE, _environment().get_template("page.html.jinja").render(page))


def write_comparison(
    first: Mapping[str, Any], second: Mapping[str, Any], compared: Sequence[ComparedMetric], folder: Path
) -> Path:
    """Writes comparison.html into a folder, whole or not at all, and returns where.

    first, second: the contents of both evaluation.json. compared: every metric that both have.
    """
    names = name_of(first), name_of(second)
    template = _environment().get_template("comparison.html.jinja")
    text = template.render(
        names=names, subject=subject_lines(first)[:1], summary=summary(*names, compared), compared=compared
    )
    return write_whole(folder / COMPARISON, text)


def name_of(record: Mapping[str, Any]) -> str:
    """What to call the engine that was evaluated."""
    return str(record.get("engine", {}).get("name") or "an engine without a name")


def subject_lines(record: Mapping[str, Any]) -> list[str]:
    """What was evaluated on, and how: one line on the data, one on decoding, seed and date."""
    data, decoding = record.get("data", {}), record.get("decoding", {})
    counts = [f"{data[what]:,} {what}" for what in ("replies", "dialogues") if isinstance(data.get(what), int)]
    name, split = data.get("name", "data without a name"), data.get("split")
    where = f"{' in '.join(counts)} of {name}"
    if split and split != name and not str(name).endswith(f":{split}"):
        where += f", split {split}"
    where += _sample_of(data)
    if isinstance(data.get("detokenised"), bool):
        where += ", detokenised text" if data["detokenised"] else ", text as it stands in the file"
    how = str(decoding.get("method", "")) or "unknown"
    if decoding.get("temperature"):
        how += f" at temperature {decoding['temperature']:g}"
    said = [f"{how} decoding", f"seed {record.get('seed')}", figures.moment(str(record.get("created", "")))]
    return [where.removeprefix(" of "), ", ".join(said)]


def _sample_of(data: Mapping[str, Any]) -> str:
    """`, a sample of 100 of 500 dialogues`; empty where all of them were taken."""
    taken, there = data.get("dialogues"), data.get("dialogues_in_file")
    if not data.get("limit"):
        return ""
    if not isinstance(taken, int) or not isinstance(there, int):
        return ", a sample"
    return f", a sample of {taken:,} of {there:,} dialogues" if taken < there else ""


def reading_notes(record: Mapping[str, Any]) -> list[str]:
    """What to know before the scores are read beside those of others, as far as these scores call for it."""
    scores, notes = record.get("scores", {}), []
    if record.get("decoding", {}).get("method") == "greedy":
        greedy = "Greedy decoding takes the likeliest token each time"
        if record.get("engine", {}).get("kind") == "local":
            greedy += " and ignores the run’s own temperature and repetition penalty (--decoding own measures those)"
        notes.append(f"{greedy}.")
    if "hits_1" in scores:
        notes.append("Hits and MRR are by mean log-probability unless they say “by sum”.")
    if "f1" in scores:
        notes.append(
            "F1 and BLEU are of free-running replies after the true history, as in the ConvAI2 contest, whose word "
            "perplexity is not reproduced here."
        )
    return notes


def range_in_words(metric: Metric) -> str:
    """`0 to 100 %`, `1 and up`, `any number`."""
    low, high = metric.lowest, metric.highest
    unit = f" {metric.unit}" if metric.unit else ""
    if math.isinf(low):
        return f"any number{unit}" if high is None else f"up to {high:g}{unit}"
    return f"{low:g} and up{unit and ',' + unit}" if high is None else f"{low:g} to {high:g}{unit}"


@cache
def _environment() -> Environment:
    """Templates that escape whatever is put into them."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"arrows": figures.ARROWS, "directions": figures.DIRECTIONS}
    environment.filters |= {
        each.__name__: each
        for each in (
            *(figures.figure, figures.signed, figures.interval, figures.signed_interval),
            *(figures.capitalised, figures.unit_beside_name, short_name, range_in_words, compared_digits, finding),
        )
    }
    return environment


def _contents(page: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(id, title) of the sections that the page has."""
    sections = (
        ("scores", "Scores", True),
        ("comparison", "Comparison", page["compared"]),
        ("plots", "Plots", page["baseline_panels"] or page["chance_panels"]),
        ("missing", "Not measured", page["rows"].not_measured),
        ("samples", "Replies", page["samples"]),
        ("details", "Closer looks", page["details"]),
        ("definitions", "Definitions", page["definitions"]),
        ("settings", "How it was measured", True),
    )
    return [(name, title) for name, title, there in sections if there]


def _samples(found: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Samples by kind, their histories cut into what is in sight and what is folded away."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for sample in found:
        turns = list(sample.get("turns", ()))
        cut = max(len(turns) - TURNS_SHOWN, 0)
        if cut == 1:
            cut = 0  # the fold would take the place of the turn
        empty = {"persona": [], "reply": "", "reference": "", "note": ""}
        kinds.setdefault(label(str(sample.get("kind", "") or "samples")), []).append(
            {**empty, **sample, "earlier": turns[:cut], "turns": turns[cut:]}
        )
    return kinds


def _settings(record: Mapping[str, Any]) -> dict[str, Node]:
    """Engine, data, decoding, time and place, each as something to show; what says nothing is left out."""
    seconds = record.get("seconds", {})
    spent: dict[str, Any] = {name: figures.duration(value) for name, value in seconds.items() if value is not None}
    if record.get("peak_memory_bytes") is not None:
        spent["most memory held"] = figures.size(record["peak_memory_bytes"])
    repeat = {key: record.get(key) for key in ("created", "seed", "resamples", "confidence")}
    parts = {
        "Engine": record.get("engine"),
        "Data": record.get("data"),
        "Decoding": record.get("decoding"),
        "Evaluation": repeat,
        "Time and memory": spent,
        "Versions": record.get("versions"),
        "Hardware": record.get("hardware"),
    }
    return {title: outline(found) for title, found in parts.items() if found}


def _unwrapped(part: str, found: Any) -> Any:
    """What a part found, without a second wrapping by its own name."""
    return found[part] if isinstance(found, Mapping) and set(found) == {part} else found
