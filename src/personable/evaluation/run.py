"""An evaluation from beginning to end: an engine, dialogues, and which parts to measure, to a report."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from personable.dialogue import Dialogue
from personable.errors import DataError
from personable.evaluation.engine import Engine, no_progress
from personable.evaluation.exchanges import exchanges_of
from personable.evaluation.fidelity.nli import NliClassifier
from personable.evaluation.metric import Measured
from personable.evaluation.page import write_page
from personable.evaluation.parts import PARTS, Work
from personable.evaluation.report import Report, read_record
from personable.evaluation.settings import OnStage, Settings, Subject


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A report and the tallies it was made from, by which two evaluations can be compared."""

    report: Report
    measured: dict[str, Measured]


def evaluate(
    engine: Engine,
    subject: Subject,
    settings: Settings | None = None,
    *,
    classifier: NliClassifier | None = None,
    on_stage: OnStage = lambda name: no_progress,
) -> Evaluation:
    """Measures an engine on dialogues.

    classifier: judges replies against facts; without one the NLI metrics are reported as not measured.
    Raises DataError when the dialogues hold no reply.
    """
    settings = settings or Settings()
    if settings.sampling.seed is None:
        settings = replace(settings, sampling=settings.sampling.but(seed=settings.seed))
    exchanges = exchanges_of(subject.dialogues)
    if not exchanges:
        raise DataError(f"{subject.about.get('name')}: expected replies to measure against, found none.")
    work = Work(engine, subject, settings, exchanges, classifier, on_stage)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    for part, measure in PARTS.items():
        if part in settings.parts:
            measure(work)
    return Evaluation(work.report(started), {each.metric.key: each for each in work.measured})


def write_evaluation(report: Report, folder: Path) -> Path:
    """Writes evaluation.json and evaluation.html, making the folder if need be; returns it.

    Raises DataError where the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_page(read_record(report.write(folder)), folder)
    except OSError as error:
        raise DataError(
            f"expected to be able to write the evaluation into {folder}, found: {error.strerror}."
        ) from error
    return folder


def sample_dialogues(dialogues: Sequence[Dialogue], limit: int | None, *, seed: int = 0) -> tuple[Dialogue, ...]:
    """A seeded sample of so many dialogues, in their own order; all of them where there are no more."""
    if limit is None or limit >= len(dialogues):
        return tuple(dialogues)
    places = sorted(random.Random(seed).sample(range(len(dialogues)), limit))
    return tuple(dialogues[place] for place in places)
