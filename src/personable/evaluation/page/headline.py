"""The few numbers that matter first, in plain words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from personable.evaluation.metric import Better
from personable.evaluation.page.blind import CHANCE, PERSONA_OVERLAP, TOKEN_FREQUENCY
from personable.evaluation.page.figures import capitalised, figure, interval, with_unit
from personable.evaluation.page.score_rows import ScoreRow, ScoreRows, is_human, short_name

MOST = 6
_FIRST = (
    (r"^perplexity$", "As unsure of the next token of a human reply as if it chose among {value} equally likely ones."),
    (r"^hits_1$", "How often it ranks the human reply above all other candidates."),
    (r"f1", "How far the words of a reply and of the human reply are the same."),
    (r"recall", "Questions about its facts that it answers rightly."),
    (r"contradict", "Replies that go against a fact of the persona."),
    (r"swap|identity", "Scripted talks in which it mixes itself up with its partner."),
    (r"distinct_2", "How many word pairs of the replies are different ones: their variety."),
    (r"copy", "Replies that paste words of the persona."),
    (r"question", "Replies that ask something."),
    (r"c_score_percent", "Replies that state a fact of the persona and go against none."),
    (r"order_spread", "How much its predictions change when the facts of the persona come in another order."),
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
    """Whether what takes no understanding does better, or as well."""


def highlights(rows: ScoreRows) -> list[Highlight]:
    """At most six, and only what can be said without a formula."""
    found: dict[str, Highlight] = {}
    for pattern, meaning in _FIRST:
        row = next((row for row in rows.all if re.search(pattern, row.metric.key)), None)
        if row and len(found) < MOST:
            found.setdefault(row.metric.key, _highlight(row, rows, meaning))
    return list(found.values())


def _highlight(row: ScoreRow, rows: ScoreRows, meaning: str) -> Highlight:
    verdict, warning = _verdict(row, rows.control_of(row), rows.blind.get(row.metric.key, {}))
    value = figure(row.score.value, row.digits)
    return Highlight(
        name=row.metric.name,
        value=with_unit(value, row.metric.unit if row.metric.unit == "%" else ""),
        interval=interval(row.score.interval, row.digits),
        meaning=meaning.format(value=value) if "{value}" in meaning else meaning,
        verdict=verdict,
        warning=warning,
    )


def _verdict(row: ScoreRow, control: ScoreRow | None, blind: Mapping[str, float]) -> tuple[str, bool]:
    """(How it stands, whether that is a warning)."""
    human = f"Human replies: {_said(row, row.human.value)}." if row.human else ""
    if control:
        return f"With its persona out of sight: {_said(row, control.score.value)}.", False
    rivals = {name: score.value for name, score in row.baselines.items() if not is_human(name)}
    if not row.can_be_beaten:
        return " ".join(said for said in (_tie_without_faults(row, rivals), human) if said), False
    if TOKEN_FREQUENCY in blind:
        return _beside_token_frequency(row, blind[TOKEN_FREQUENCY])
    if CHANCE in blind and not row.leads(blind[CHANCE]):
        value, higher = row.score.value - blind[CHANCE], row.metric.better is Better.HIGHER
        how = "No clear lead over" if (value > 0 if higher else value < 0) else "No better than"
        return f"{how} chance ({_said(row, blind[CHANCE])}).", True
    if PERSONA_OVERLAP in blind:
        rivals[PERSONA_OVERLAP] = blind[PERSONA_OVERLAP]
    if not rivals:
        return human, False
    best = max if row.metric.better is Better.HIGHER else min
    name = best(rivals, key=lambda each: rivals[each])
    said = f"{name}, {_said(row, rivals[name])}"
    if row.is_worse_than(rivals[name]):
        return f"A trivial system does better: {said}.", True
    if not row.leads(rivals[name]):
        return f"No clear lead over a trivial system: {said}.", True
    return f"Best trivial system: {said}.{' ' + human if human else ''}", False


def _beside_token_frequency(row: ScoreRow, value: float) -> tuple[str, bool]:
    written = figure(value, 0 if value >= 100 else row.digits)
    knowing = f"knowing only how often each token occurs ({written})"
    if row.leads(value):
        return f"{capitalised(knowing.replace(' (', ': ').removesuffix(')'))}.", False
    return f"{'Worse than' if row.score.value > value else 'No clear lead over'} {knowing}.", True


def _tie_without_faults(row: ScoreRow, rivals: Mapping[str, float]) -> str:
    """Where it is faults that are counted and there are none: which trivial system makes none either."""
    best = figure(row.metric.lowest, row.digits)
    if row.metric.better is not Better.LOWER or figure(row.score.value, row.digits) != best:
        return ""
    tied = [short_name(name) for name, value in rivals.items() if figure(value, row.digits) == best]
    constant = next((name for name in tied if name.startswith("constant")), None)
    if constant:
        return f"A {constant} scores the same."
    return f"A trivial system scores the same: {tied[0]}." if tied else ""


def _said(row: ScoreRow, value: float) -> str:
    return with_unit(figure(value, row.digits), row.metric.unit if row.metric.unit == "%" else "")
