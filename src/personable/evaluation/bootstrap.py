"""How sure a number is: percentile bootstrap over dialogues, and a paired one for two systems on the same dialogues."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from personable.evaluation.metric import Measured, Score, Tally

RESAMPLES = 1000
FEWEST_ROWS = 10
"""Of fewer dialogues a bootstrap knows too little to say how sure a number is."""
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a second system lies from a first one, on the same dialogues."""

    value: float
    """Second minus first."""
    interval: tuple[float, float] | None
    """95 %; None where it cannot be had: fewer than two dialogues, or no value on one of the sides."""

    @property
    def real(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


def score(measured: Measured, *, seed: int = 0) -> Score:
    """The value with its 95 % confidence interval."""
    tally = measured.tally
    method, interval = "", None
    if tally.jackknife is not None and len(tally.jackknife) >= FEWEST_ROWS:
        method, interval = f"jackknife over {tally.rows}", _jackknife_interval(tally)
    elif tally.jackknife is None and len(tally.sums) >= FEWEST_ROWS:
        method = f"bootstrap over {tally.rows}"
        interval = _percentiles(tally.combine(_weights(len(tally.sums), seed) @ tally.sums))
    if interval and interval[0] == interval[1]:
        interval = None  # all rows alike, as where a fault never occurred: that is no proof that it never will
    return Score(tally.value, interval, method if interval else "", measured.count, measured.counted)


def difference(first: Measured, second: Measured, *, seed: int = 0) -> Difference:
    """Second minus first, paired: each resample takes, or each jackknife step leaves out, the same dialogue of both.

    Raises ValueError when the two were measured on different numbers of dialogues.
    """
    a, b = first.tally, second.tally
    if _dialogues(a) != _dialogues(b):
        raise ValueError(f"{first.metric.key}: measured on {_dialogues(a)} dialogues and on {_dialogues(b)}")
    value = b.value - a.value
    if a.jackknife is not None and b.jackknife is not None:
        return Difference(value, _jackknife_difference(a, b))
    if len(a.sums) < 2:
        return Difference(value, None)
    weights = _weights(len(a.sums), seed)
    return Difference(value, _percentiles(b.combine(weights @ b.sums) - a.combine(weights @ a.sums)))


def _dialogues(tally: Tally) -> int:
    return len(tally.sums if tally.jackknife is None else tally.jackknife)


@lru_cache(maxsize=1)
def _weights(dialogues: int, seed: int) -> NDArray[np.float64]:
    """Shape (RESAMPLES, dialogues): how often each dialogue is drawn in each resample."""
    draw = np.random.default_rng(seed)
    weights = draw.multinomial(dialogues, np.full(dialogues, 1 / dialogues), size=RESAMPLES).astype(np.float64)
    weights.flags.writeable = False  # every metric of an evaluation gets this one array
    return weights


def _percentiles(values: NDArray[np.float64]) -> tuple[float, float] | None:
    if not np.isfinite(values).all():  # leaving some out would make the interval look surer than it is
        return None
    tail = (1 - CONFIDENCE) / 2 * 100
    low, high = np.percentile(values, (tail, 100 - tail))
    return float(low), float(high)


_Z = 1.959963984540054
"""The standard normal's 97.5 % point."""


def _jackknife_interval(tally: Tally) -> tuple[float, float] | None:
    assert tally.jackknife is not None
    return _around(tally.value, tally.jackknife)


def _jackknife_difference(a: Tally, b: Tally) -> tuple[float, float] | None:
    assert a.jackknife is not None
    assert b.jackknife is not None
    if len(a.jackknife) < 2:
        return None
    return _around(b.value - a.value, b.jackknife - a.jackknife)


def _around(value: float, without: NDArray[np.float64]) -> tuple[float, float] | None:
    """value ± 1.96 standard errors; the delete-one jackknife's, Efron and Stein 1981 (it errs on the wide side)."""
    count = len(without)
    error = math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))
    return (value - _Z * error, value + _Z * error) if math.isfinite(error) else None
