"""What the difference of two systems tells, in words."""

from __future__ import annotations

from collections.abc import Sequence

from personable.evaluation.comparison import ComparedMetric
from personable.evaluation.page.figures import digits_of


def compared_digits(compared: ComparedMetric) -> int:
    """Digits after the point for both scores and their difference."""
    return digits_of(compared.metric, max(compared.first.value, compared.second.value, key=abs))


def finding(compared: ComparedMetric) -> str:
    """What the difference tells: `B is better`, `they differ` where there is no better, or `no real difference`."""
    if compared.difference.interval is None:
        return "unknown: no interval"
    if not compared.difference.real:
        return "no real difference"
    return {"first": "A is better", "second": "B is better", "": "they differ"}[compared.better]


def summary(first: str, second: str, compared: Sequence[ComparedMetric]) -> str:
    """One sentence on how many metrics tell them apart."""
    better = [each.better for each in compared]
    return (
        f"Of {len(compared)} metrics, {second} is better on {better.count('second')} and {first} on "
        f"{better.count('first')}; on the others no real difference was found, or there is no better or worse."
    )
