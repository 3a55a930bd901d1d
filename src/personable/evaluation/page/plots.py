"""Scores as dots with their intervals, a panel for each metric; the template draws them as SVG."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

from personable.evaluation.metric import Score
from personable.evaluation.page.figures import figure, interval, unit_beside_name, with_unit
from personable.evaluation.page.score_rows import ScoreRow, ScoreRows, group_of, is_human, short_name

LEFT, RIGHT, WIDTH = 152, 324, 386
"""Where the axis begins and ends, and how wide a panel is; its numbers stand right of the axis."""
ROW, TOP = 24, 8

_BESIDE_BASELINES = ("f1", "bleu", "distinct_2", "copy", "question", "length|words", "contradict", "recall")


@dataclass(frozen=True, slots=True)
class Mark:
    """One system's value."""

    name: str
    kind: str
    """`own`, `human`, `trivial` or `chance`."""
    written: str
    x: float
    y: float
    low: float | None = None
    """The ends of the interval, both or none."""
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """The plot of a metric, in user units of an SVG that is WIDTH wide."""

    key: str
    title: str
    direction: str
    description: str
    """All that the picture shows, in words."""
    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    height: int
    logarithmic: bool
    left: int = LEFT
    right: int = RIGHT
    width: int = WIDTH


def baseline_panels(rows: ScoreRows) -> list[Panel]:
    """The scores of generated text that say most, beside those of the trivial systems and the human replies."""
    found: list[Panel] = []
    for pattern in _BESIDE_BASELINES:
        row = next((row for row in rows.all if re.search(pattern, row.metric.key)), None)
        control = rows.control_of(row) if row else None
        if row and (row.baselines or control):
            controls = [("without persona", "chance", control.score)] if control else []
            found.append(_panel(row, [*_systems(row), *controls]))
    return found


def chance_panels(rows: ScoreRows) -> list[Panel]:
    """Perplexity and ranking beside what blind choice gets, counts of tokens and words shared with the persona."""
    found = []
    for row in rows.all:
        if row.metric.key.endswith("_sum"):
            continue  # the same rankers as beside the mean
        known = rows.blind.get(row.metric.key, {})
        if group_of(row.metric.key) in ("Perplexity", "Ranking") and (known or row.baselines):
            blind = [(name, "chance", Score(value, None, "", 0, "")) for name, value in known.items()]
            found.append(_panel(row, [*_systems(row), *blind], logarithmic="perplexity" in row.metric.key))
    return found


def _systems(row: ScoreRow) -> Iterator[tuple[str, str, Score]]:
    """(name, kind, score) of this engine, the human replies and the trivial systems."""
    yield "this engine", "own", row.score
    for name, score in row.baselines.items():
        if is_human(name) and row.human:
            yield short_name(name), "human", score
    for name, score in row.baselines.items():
        if not is_human(name):
            yield short_name(name), "chance" if "chance" in name else "trivial", score


def _panel(row: ScoreRow, shown: list[tuple[str, str, Score]], *, logarithmic: bool = False) -> Panel:
    ends = [end for _, _, score in shown for end in (score.value, *(score.interval or ()))]
    scale = _logarithmic(max(ends)) if logarithmic else _linear(min(*ends, 0), max(ends))
    marks = tuple(
        Mark(
            name,
            kind,
            with_unit(figure(score.value, row.digits), row.metric.unit if row.metric.unit == "%" else ""),
            scale.place(score.value),
            TOP + ROW * (line + 0.5),
            *((scale.place(score.interval[0]), scale.place(score.interval[1])) if score.interval else (None, None)),
        )
        for line, (name, kind, score) in enumerate(shown)
    )
    unit = unit_beside_name(row.metric) if row.metric.unit != "%" else ""
    return Panel(
        key=row.metric.key,
        title=row.metric.name + (f" ({unit})" if unit else ""),
        direction=row.direction if row.arrow else "",
        description="; ".join(_in_words(name, score, row) for name, _, score in shown) + ".",
        marks=marks,
        ticks=tuple((scale.place(tick), f"{tick:,.10g}") for tick in scale.ticks),
        height=TOP + ROW * len(marks) + 22,
        logarithmic=logarithmic,
    )


def _in_words(name: str, score: Score, row: ScoreRow) -> str:
    written = f"{name}: {with_unit(figure(score.value, row.digits), row.metric.unit)}"
    return f"{written}, interval {interval(score.interval, row.digits)}" if score.interval else written


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = (math.log10(max(each, 1e-300)) for each in (value, low, high))
        share = (value - low) / (high - low)
        return round(LEFT + min(max(share, 0.0), 1.0) * (RIGHT - LEFT), 1)


def _linear(low: float, high: float) -> _Scale:
    if high <= low:
        high = low + 1
    ticks = MaxNLocator(nbins=4, steps=[1, 2, 5, 10]).tick_values(low, high)
    high = max(high, low + (high - low) * 1.02)
    return _Scale(low, high, tuple(float(tick) for tick in ticks if low <= tick <= high))


def _logarithmic(high: float) -> _Scale:
    """From 1, which no perplexity is below."""
    decades = max(1, math.ceil(math.log10(max(high, 1.0)) - 1e-9))
    step = max(1, round(decades / 3))
    return _Scale(1.0, 10.0**decades, tuple(10.0**power for power in range(0, decades + 1, step)), logarithmic=True)
