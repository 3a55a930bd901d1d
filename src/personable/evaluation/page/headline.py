"""The few numbers that matter first, in plain words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from personable.evaluation.metric import Better
from personable.evaluation.page.figures import figure, interval, with_unit
from personable.evaluation.page.score_rows import ScoreRow, ScoreRows, is_human

MOST = 6
_FIRST = (
    (r"perplexity", "As unsure of the next token of a human reply as if it chose among {value} equally likely ones."),
    (r"hits", "How often it ranks the human reply above all other candidates."),
    (r"f1", "How far the words of a reply and of the human reply are the same."),
    (r"recall", "Questions about its facts that it answers rightly."),
    (r"contradict", "Replies that go against a fact of the persona."),
    (r"swap|identity", "Scripted talks in which it mixes itself up with its partner."),
    (r"distinct_2", "How many word pairs of the replies are different ones: their variety."),
    (r"copy", "Replies that paste words of the persona."),
    (r"question", "Replies that ask something."),
)
"""What stands first, by pattern of the metric's key, with what it says to somebody who has not met it."""


@dataclass(frozen=True, slots=True)
class Highlight:
    """One number, said plainly."""

    name: str
    value: str
    """With its unit."""
    interval: str
    meaning: str
    verdict: str
    """How it stands against the trivial systems or the human replies; empty where there are none."""
    warning: bool
    """Whether a trivial system does as well."""


def highlights(rows: ScoreRows) -> list[Highlight]:
    """At most six."""
    found: dict[str, Highlight] = {}
    for pattern, meaning in _FIRST:
        row = next((row for row in rows.all if re.search(pattern, row.metric.key)), None)
        if row and len(found) < MOST:
            found.setdefault(row.metric.key, _highlight(row, rows, meaning))
    for row in rows.all:
        if len(found) < MOST // 2:  # nothing well known was measured
            found.setdefault(row.metric.key, _highlight(row, rows, row.metric.definition.split(". ")[0]))
    return list(found.values())


def _highlight(row: ScoreRow, rows: ScoreRows, meaning: str) -> Highlight:
    verdict, warning = _verdict(row, rows.control_of(row))
    value = figure(row.score.value, row.digits)
    return Highlight(
        name=row.metric.name,
        value=with_unit(value, row.metric.unit if row.metric.unit == "%" else ""),
        interval=interval(row.score.interval, row.digits),
        meaning=meaning.format(value=value) if "{value}" in meaning else meaning,
        verdict=verdict,
        warning=warning,
    )


def _verdict(row: ScoreRow, control: ScoreRow | None) -> tuple[str, bool]:
    """(How it stands, whether that is a warning)."""
    human = f"Human replies: {_said(row, row.human.value)}." if row.human else ""
    if control:
        return f"With its persona out of sight: {_said(row, control.score.value)}.", False
    rivals = {name: score.value for name, score in row.baselines.items() if not is_human(name)}
    if not row.can_be_beaten or not rivals:
        return human, False
    best = max if row.metric.better is Better.HIGHER else min
    name = best(rivals, key=lambda each: rivals[each])
    said = f"{name}, {_said(row, rivals[name])}"
    if row.beaten_by(name):
        return f"A trivial system does better: {said}.", True
    bounds = row.score.interval
    if bounds and bounds[0] <= rivals[name] <= bounds[1]:
        return f"No clear lead over a trivial system: {said}.", True
    return f"Best trivial system: {said}.{' ' + human if human else ''}", False


def _said(row: ScoreRow, value: float) -> str:
    return with_unit(figure(value, row.digits), row.metric.unit if row.metric.unit == "%" else "")
