"""Two evaluations on the same dialogues, side by side."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from personable.errors import DataError
from personable.evaluation.bootstrap import Difference, difference
from personable.evaluation.likelihood import PERPLEXITY
from personable.evaluation.metric import Better, Metric, Score
from personable.evaluation.report import Report, finite

if TYPE_CHECKING:
    from personable.evaluation.run import Evaluation


@dataclass(frozen=True, slots=True)
class ComparedMetric:
    """A metric that both systems have."""

    metric: Metric
    first: Score
    second: Score
    difference: Difference
    """Second minus first."""

    @property
    def better(self) -> str:
        """`first` or `second` where the difference is real and the metric has a direction, else empty."""
        if not self.difference.real or self.metric.better is Better.NEITHER:
            return ""
        rises = self.difference.value > 0
        return "second" if rises == (self.metric.better is Better.HIGHER) else "first"

    def record(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "metric": self.metric.key,
            "first": finite(self.first.value),
            "second": finite(self.second.value),
            "difference": finite(asdict(self.difference)),
            "real": self.difference.real,
            "better": self.better,
        }


def compare(first: Evaluation, second: Evaluation) -> list[ComparedMetric]:
    """Every metric that both have, with the paired bootstrap of their difference.

    Left out is what different personas were asked, as with another seed; and perplexity per token where the two cut
    the replies into different tokens: bits per byte compare.
    Raises DataError unless both were measured on the same dialogues.
    """
    a, b = first.report, second.report
    if a.data.get("fingerprint") != b.data.get("fingerprint"):
        raise DataError("expected two evaluations of the same dialogues, found two of different ones.")
    return [
        ComparedMetric(
            metric, a.scores[key], b.scores[key], difference(first.measured[key], second.measured[key], seed=a.seed)
        )
        for key, metric in a.metrics.items()
        if key in first.measured
        and key in second.measured
        and (key != PERPLEXITY.key or same_tokens(a, b))
        and _same_rows(first, second, key)
    ]


def _same_rows(first: Evaluation, second: Evaluation, key: str) -> bool:
    """Whether row by row the same was asked of both; other seeds and numbers ask other personas."""
    a, b = first.measured[key].tally, second.measured[key].tally
    seeded = a.rows == "personas" and first.report.seed != second.report.seed
    return len(a.sums) == len(b.sums) and not seeded


def same_tokens(a: Report, b: Report) -> bool:
    """Whether both cut the scored replies into tokens of one vocabulary, as far as counts tell."""
    counts = {report.scores[PERPLEXITY.key].count for report in (a, b) if PERPLEXITY.key in report.scores}
    return len(counts) <= 1 and a.engine.get("vocabulary") == b.engine.get("vocabulary")
