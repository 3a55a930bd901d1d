"""Run and dialogues -> numbers that can be trusted."""

from personable.evaluation.comparison import ComparedMetric, compare
from personable.evaluation.fidelity.nli import NliClassifier
from personable.evaluation.local import LocalEngine
from personable.evaluation.report import Report
from personable.evaluation.run import Evaluation, evaluate, write_evaluation
from personable.evaluation.settings import Part, Settings, Subject
from personable.evaluation.url import UrlEngine

__all__ = [
    "ComparedMetric",
    "Evaluation",
    "LocalEngine",
    "NliClassifier",
    "Part",
    "Report",
    "Settings",
    "Subject",
    "UrlEngine",
    "compare",
    "evaluate",
    "write_evaluation",
]
