"""What a number means, and how it is computed from sums that each dialogue contributes.

    Metric     the definition: name, formula, tokenisation, range, direction, source
    Tally      what was counted: a row of sums for each dialogue, and how their total becomes the value
    Measured   a Metric with its Tally
    Score      a Measured boiled down to a value with its confidence interval, as evaluation.json holds it

Dialogues, not replies, are the rows: replies of one dialogue depend on one another, so they are resampled together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Sums = NDArray[np.float64]


class Better(StrEnum):
    """Which way a metric improves."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"
    """Read beside the human replies: too much and too little are both bad."""


@dataclass(frozen=True, slots=True)
class Metric:
    """The definition of a number."""

    key: str
    """Its name in evaluation.json, such as `f1`."""
    name: str
    """Its name in tables, such as `ParlAI F1`."""
    definition: str
    """One or two sentences with the formula."""
    better: Better
    source: str
    """Paper or code that defines it."""
    tokenisation: str = ""
    """What counts as a token; empty where nothing is cut into tokens."""
    lowest: float = 0.0
    highest: float | None = None
    """None where there is no upper bound."""
    unit: str = ""
    """`%`, `tokens`, `bits/byte`; empty for a bare number."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a metric is computed from."""

    sums: Sums
    """Shape (rows, quantities): what each dialogue, or persona, adds to every quantity, such as (F1 total, replies)."""
    combine: Callable[[Sums], Sums]
    """Shape (..., quantities) -> (...): the value for a total of rows; nan where nothing was counted."""
    rows: str = "dialogues"
    """What a row stands for; `personas` where each is asked by itself."""
    jackknife: Sums | None = None
    """Shape (dialogues,): the value without each dialogue, for a metric that is no function of sums (Distinct-n:
    drawing a dialogue twice would lower it). With it the interval is the jackknife's, and `sums` is one row: the
    whole."""

    @property
    def value(self) -> float:
        """The value over all dialogues."""
        return float(self.combine(self.sums.sum(axis=0)))


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric that was counted."""

    metric: Metric
    tally: Tally
    count: int
    """How many things it is over."""
    counted: str
    """What these things are, in the plural: `replies`, `tokens`, `facts`."""


@dataclass(frozen=True, slots=True)
class Score:
    """The value of a metric, as evaluation.json holds it."""

    value: float
    interval: tuple[float, float] | None
    """The 95 % confidence interval; None where there are fewer than ten rows, all rows are alike, or a
    resample has no finite value."""
    interval_method: str
    """Such as `bootstrap over dialogues` or `jackknife over dialogues`; empty without an interval."""
    count: int
    counted: str


@dataclass(frozen=True, slots=True)
class NotMeasured:
    """A metric that has no value, and why; never a silent zero."""

    metric: Metric
    reason: str


@dataclass(frozen=True, slots=True)
class Group:
    """What one part of an evaluation found."""

    measured: tuple[Measured, ...] = ()
    not_measured: tuple[NotMeasured, ...] = ()
    details: dict[str, object] = field(default_factory=dict)
    """Anything else a reader should know, ready for JSON: checkpoint names, counts by kind, examples."""


def ratio(scale: float = 1.0) -> Callable[[Sums], Sums]:
    """A `combine` for two quantities: scale times the first over the second; nan where the second is 0."""

    def divided(total: Sums) -> Sums:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(total[..., 1] > 0, scale * total[..., 0] / total[..., 1], np.nan)

    return divided
