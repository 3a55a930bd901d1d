"""What an evaluation found, row by row and group by group, as the page and the screen show it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from personable.evaluation.metric import Better, Metric, Score
from personable.evaluation.page.blind import blind_scores
from personable.evaluation.page.figures import ARROWS, DIRECTIONS, capitalised, digits_of

_GROUPS = (
    ("Perplexity", r"perplexity|bits|nats|token_accuracy"),
    ("Ranking", r"hits|mrr|reciprocal|rank"),
    ("Fidelity", r"fact|role|swap|contradict|entail|consisten|order|identity|recall|c_score"),
)
_REST = "Generation"
_ORDER = ("Perplexity", "Ranking", _REST, "Fidelity")


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A metric with its score and, beside it, those of the trivial systems."""

    metric: Metric
    score: Score
    baselines: dict[str, Score]
    """By name; only those that have a value."""

    @property
    def digits(self) -> int:
        """Digits after the point, for the whole row."""
        return digits_of(self.metric, self.score.value)

    def beaten_by(self, name: str) -> bool:
        """Whether a trivial system is clearly better, for metrics that tell a good reply from a bad one."""
        if name not in self.baselines or is_human(name) or not self.can_be_beaten:
            return False
        return self.is_worse_than(self.baselines[name].value)

    def is_worse_than(self, value: float) -> bool:
        """Whether this engine's whole interval, or its value where it has none, is on the worse side of a value."""
        low, high = self.bounds
        return value > high if self.metric.better is Better.HIGHER else value < low

    def leads(self, value: float) -> bool:
        """Whether this engine's whole interval, or its value where it has none, is on the better side of a value."""
        low, high = self.bounds
        return value < low if self.metric.better is Better.HIGHER else value > high

    @property
    def bounds(self) -> tuple[float, float]:
        """The interval; the value twice where there is none."""
        return self.score.interval or (self.score.value, self.score.value)

    @property
    def beaten_by_any(self) -> bool:
        """Whether some trivial system is clearly better."""
        return any(self.beaten_by(name) for name in self.baselines)

    @property
    def can_be_beaten(self) -> bool:
        """Not where it is faults that are counted: who always says the same thing makes few, and it is no merit.

        Nor by variety: the echo and a random reply are text of people.
        """
        if "distinct" in self.metric.key:
            return False
        if self.metric.better is Better.LOWER:
            return group_of(self.metric.key) in ("Perplexity", "Ranking")
        return self.metric.better is Better.HIGHER

    @property
    def arrow(self) -> str:
        """Which way is better, as a sign; none for what has neither a direction nor human replies to be near to."""
        return "" if self.metric.better is Better.NEITHER and self.human is None else ARROWS[self.metric.better]

    @property
    def direction(self) -> str:
        """Which way is better, in words."""
        if self.metric.better is Better.NEITHER and self.human is not None:
            return "best near the human replies"
        return DIRECTIONS[self.metric.better]

    @property
    def human(self) -> Score | None:
        """The score of the human replies, unless it is their likeness to themselves."""
        for name, score in self.baselines.items():
            if is_human(name) and not (
                self.metric.better is Better.HIGHER and _is_close(score.value, self.metric.highest)
            ):
                return score
        return None


@dataclass(frozen=True, slots=True)
class ScoreRows:
    """All scores of an evaluation."""

    groups: dict[str, tuple[ScoreRow, ...]]
    """By title; no group is empty."""
    baselines: tuple[str, ...]
    """The trivial systems that have a score anywhere, the human replies last."""
    not_measured: dict[str, tuple[Metric, ...]]
    """Why there is no value -> for which metrics."""
    blind: dict[str, dict[str, float]]
    """A metric's key -> what it takes no model to reach, by name: chance, counts of tokens, shared words."""

    @property
    def all(self) -> tuple[ScoreRow, ...]:
        """Every row, in order."""
        return tuple(row for rows in self.groups.values() for row in rows)

    def control_of(self, row: ScoreRow) -> ScoreRow | None:
        """The same measurement with the persona out of sight, where it was made."""
        return next((each for each in self.all if each.metric.key == f"{row.metric.key}_without_persona"), None)


def score_rows(record: Mapping[str, Any]) -> ScoreRows:
    """The scores in the content of evaluation.json; those without a value are among what was not measured."""
    metrics = {key: _metric(key, found) for key, found in record.get("metrics", {}).items()}
    baselines = {
        name: {key: score for key, found in baseline.get("scores", {}).items() if (score := _score(found))}
        for name, baseline in record.get("baselines", {}).items()
    }
    rows, missing = [], dict(record.get("not_measured", {}))
    for key, found in record.get("scores", {}).items():
        metric = metrics.setdefault(key, _metric(key, {}))
        score = _score(found)
        if score is None:
            missing.setdefault(key, "nothing was counted")
            continue
        beside = {name: scores[key] for name, scores in baselines.items() if key in scores}
        rows.append(ScoreRow(metric, score, beside))
    shown = {name for row in rows for name in row.baselines}
    return ScoreRows(
        groups=_grouped(rows),
        baselines=tuple(sorted((name for name in baselines if name in shown), key=is_human)),
        not_measured={
            reason: tuple(metrics.get(key, _metric(key, {})) for key, why in missing.items() if why == reason)
            for reason in missing.values()
        },
        blind=blind_scores(record),
    )


def definitions(record: Mapping[str, Any]) -> list[Metric]:
    """Every metric that the evaluation defines, in order."""
    return [_metric(key, found) for key, found in record.get("metrics", {}).items()]


def group_of(key: str) -> str:
    """The title under which a metric stands."""
    if "copy" in key:
        return _REST  # of persona facts, but a trait of the text
    return next((title for title, pattern in _GROUPS if re.search(pattern, key)), _REST)


_SHORT_NAMES = (("human", "human"), ("constant", "constant string"), ("echo", "echo"), ("fact", "fact copy"))


def short_name(baseline: str) -> str:
    """A trivial system's name for where there is little room."""
    if baseline.startswith("random"):
        return "random reply"
    return next((short for pattern, short in _SHORT_NAMES if pattern in baseline.casefold()), baseline)


def is_human(name: str) -> bool:
    """Whether a baseline is the human replies."""
    return "human" in name.casefold()


def _grouped(rows: Iterable[ScoreRow]) -> dict[str, tuple[ScoreRow, ...]]:
    groups: dict[str, list[ScoreRow]] = {title: [] for title in _ORDER}
    for row in rows:
        groups[group_of(row.metric.key)].append(row)
    return {title: tuple(found) for title, found in groups.items() if found}


_METRIC_FIELDS = frozenset(each.name for each in fields(Metric)) - {"key", "better"}


def _metric(key: str, found: Mapping[str, Any]) -> Metric:
    """A metric as evaluation.json defines it, with what it leaves out taken from its key."""
    known = {name: value for name, value in found.items() if name in _METRIC_FIELDS}
    if known.get("lowest", 0) is None:
        known["lowest"] = -math.inf  # JSON has no infinity
    name = str(known.get("name") or key.replace("_", " "))
    return Metric(
        key=key,
        better=Better(found.get("better", Better.NEITHER)),
        **{"definition": "", "source": ""} | known | {"name": capitalised(name)},
    )


def _is_close(value: float, bound: float | None) -> bool:
    return bound is not None and math.isclose(value, bound)


def _score(found: Mapping[str, Any]) -> Score | None:
    """A score as evaluation.json holds it; None without a value."""
    if found.get("value") is None:
        return None
    bounds = found.get("interval")
    return Score(
        value=found["value"],
        interval=(bounds[0], bounds[1]) if bounds and None not in bounds else None,
        interval_method=found.get("interval_method", ""),
        count=found.get("count", 0),
        counted=found.get("counted", ""),
    )
