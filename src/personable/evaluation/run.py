"""An evaluation from beginning to end: an engine, dialogues, and which parts to measure, to a report."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from personable.dialogue import Dialogue, Persona
from personable.errors import DataError
from personable.evaluation import likelihood, ranking, texts
from personable.evaluation.baselines import HUMAN, TrivialSystem, trivial_systems
from personable.evaluation.bootstrap import CONFIDENCE, RESAMPLES, score
from personable.evaluation.engine import Engine, OnProgress, no_progress
from personable.evaluation.exchanges import Exchange, exchanges_of
from personable.evaluation.fidelity import facts, nli, order, roles
from personable.evaluation.local import LocalEngine
from personable.evaluation.metric import Group, Measured, Metric, NotMeasured
from personable.evaluation.page import write_page
from personable.evaluation.report import Baseline, Report, read_record
from personable.evaluation.samples import pick_samples
from personable.provenance import hardware, peak_memory_bytes, versions
from personable.reply import Sampling

log = logging.getLogger(__name__)

OnStage = Callable[[str], OnProgress]
"""Told the name of each part as it begins; answers whom to tell of its progress."""


class Part(StrEnum):
    """What can be measured, each by itself."""

    PERPLEXITY = "perplexity"
    RANKING = "ranking"
    GENERATION = "generation"
    FACTS = "facts"
    ROLES = "roles"
    NLI = "nli"
    ORDER = "order"


@dataclass(frozen=True, slots=True)
class Subject:
    """The dialogues that a system is measured on."""

    dialogues: tuple[Dialogue, ...]
    about: dict[str, object]
    """Where they are from, ready for JSON: name, format, split, fingerprint, limit, detokenised."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to measure."""

    parts: frozenset[Part] = frozenset(Part)
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0))
    """How replies are decoded; greedy where not said otherwise."""
    seed: int = 0
    """Decides the order of candidates, which questions are asked, and resampling."""
    training_replies: Sequence[str] | None = None
    """What the baseline "random training reply" draws from; None where the training data is not at hand."""
    fact_questions: int = 200
    """At most so many are asked."""
    role_probes: int = 200
    """At most so many are made."""
    order_dialogues: int = 50
    """At most so many are read in several orders."""


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
    classifier: nli.NliClassifier | None = None,
    on_stage: OnStage = lambda name: no_progress,
) -> Evaluation:
    """Measures an engine on dialogues.

    classifier: judges replies against facts; without one the NLI metrics are reported as not measured.
    Raises DataError when the dialogues hold no reply.
    """
    settings = settings or Settings()
    exchanges = exchanges_of(subject.dialogues)
    if not exchanges:
        raise DataError(f"{subject.about.get('name')}: expected replies to measure against, found none.")
    work = _Work(engine, subject, settings, exchanges, classifier, on_stage)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    for part, measure in _PARTS.items():
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


def unique_personas(dialogues: Sequence[Dialogue]) -> list[Persona]:
    """The personas that reply, each once, in order."""
    return list(dict.fromkeys(dialogue.persona for dialogue in dialogues if dialogue.persona.facts))


def sample_dialogues(dialogues: Sequence[Dialogue], limit: int | None, *, seed: int = 0) -> tuple[Dialogue, ...]:
    """A seeded sample of so many dialogues, in their own order; all of them where there are no more."""
    if limit is None or limit >= len(dialogues):
        return tuple(dialogues)
    places = sorted(random.Random(seed).sample(range(len(dialogues)), limit))
    return tuple(dialogues[place] for place in places)


class _Work:
    """What has been found so far."""

    def __init__(
        self,
        engine: Engine,
        subject: Subject,
        settings: Settings,
        exchanges: list[Exchange],
        classifier: nli.NliClassifier | None,
        on_stage: OnStage,
    ) -> None:
        self.engine, self.subject, self.settings = engine, subject, settings
        self.exchanges, self.classifier, self.on_stage = exchanges, classifier, on_stage
        self.measured: list[Measured] = []
        self.not_measured: list[NotMeasured] = []
        self.metrics: dict[str, Metric] = {}
        self.details: dict[str, object] = {}
        self.baselines: dict[str, Baseline] = {}
        self.seconds: dict[str, float] = {}
        self.personas = unique_personas(subject.dialogues)
        self._replies: list[str] | None = None
        self._trivial: list[TrivialSystem] | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[OnProgress]:
        """Times a stage and announces it."""
        began = time.monotonic()
        yield self.on_stage(name)
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - began, 2)

    def replies(self) -> list[str]:
        """The engine's replies to every exchange, generated once."""
        if self._replies is None:
            with self.stage("replies") as progress:
                histories = [exchange.history for exchange in self.exchanges]
                self._replies = self.engine.replies(histories, self.settings.sampling, progress)
        return self._replies

    def trivial(self) -> list[TrivialSystem]:
        """The trivial systems' replies to every exchange."""
        if self._trivial is None:
            self._trivial = trivial_systems(
                self.exchanges, training_replies=self.settings.training_replies, seed=self.settings.seed
            )
        return self._trivial

    def add(self, name: str, group: Group) -> None:
        """Takes in what a part found about the engine."""
        self.measured += group.measured
        self.not_measured += group.not_measured
        metrics = [each.metric for each in group.measured] + [each.metric for each in group.not_measured]
        self.metrics |= {metric.key: metric for metric in metrics}
        if group.details:
            self.details[name] = group.details

    def add_baseline(self, name: str, description: str, measured: Sequence[Measured]) -> None:
        """Takes in what a part found about a trivial system."""
        known = self.baselines.get(name, Baseline(description))
        found = {each.metric.key: score(each, seed=self.settings.seed) for each in measured}
        self.metrics |= {each.metric.key: each.metric for each in measured}
        self.baselines[name] = Baseline(known.description, known.scores | found)

    def add_probed_baselines(self, histories: Sequence[Dialogue], measure: Callable[[Sequence[str]], Measured]) -> None:
        """Takes in how trivial systems do on scripted questions, to which the data has no human replies."""
        asked = [Exchange(place, history, reference="") for place, history in enumerate(histories)]
        pool = self.settings.training_replies or [exchange.reference for exchange in self.exchanges]
        known = {system.name.partition(" ")[0]: system for system in self.trivial()}
        for system in trivial_systems(asked, training_replies=pool, seed=self.settings.seed):
            named = known.get(system.name.partition(" ")[0])
            if asked and named and system.name != HUMAN:
                self.add_baseline(named.name, named.description, [measure(system.replies)])

    def without_log_probabilities(self, name: str, metrics: Sequence[Metric]) -> None:
        """Notes what an engine that only talks cannot be asked."""
        reason = "not available: needs log-probabilities, which this engine does not give"
        self.add(name, Group(not_measured=tuple(NotMeasured(metric, reason) for metric in metrics)))

    def report(self, started: str) -> Report:
        """Everything as evaluation.json holds it."""
        settings, sampling = self.settings, self.settings.sampling
        replies = self._replies
        return Report(
            created=started,
            engine=self.engine.about,
            data={**self.subject.about, "dialogues": len(self.subject.dialogues), "replies": len(self.exchanges)},
            decoding={"method": "greedy" if sampling.greedy else "sampling", **asdict(sampling)},
            seed=settings.seed,
            resamples=RESAMPLES,
            confidence=CONFIDENCE,
            metrics=self.metrics,
            scores={each.metric.key: score(each, seed=settings.seed) for each in self.measured},
            baselines=self.baselines,
            not_measured={each.metric.key: each.reason for each in self.not_measured},
            details=self.details,
            samples=pick_samples(self.exchanges, replies, seed=settings.seed) if replies is not None else (),
            seconds={**self.seconds, "total": round(sum(self.seconds.values()), 2)},
            peak_memory_bytes=peak_memory_bytes(),
            versions=versions(),
            hardware=hardware(),
        )


def _measure_perplexity(work: _Work) -> None:
    if not isinstance(work.engine, LocalEngine):
        return work.without_log_probabilities("perplexity", likelihood.METRICS)
    with work.stage("perplexity") as progress:
        work.add("perplexity", likelihood.perplexities(work.engine, work.subject.dialogues, progress))


def _measure_ranking(work: _Work) -> None:
    if not isinstance(work.engine, LocalEngine):
        return work.without_log_probabilities("ranking", ranking.METRICS)
    with work.stage("ranking") as progress:
        work.add("ranking", ranking.ranking(work.engine, work.exchanges, seed=work.settings.seed, on_progress=progress))


def _measure_generation(work: _Work) -> None:
    replies = work.replies()
    with work.stage("generation"):
        work.add("generation", texts.text_metrics(work.exchanges, replies))
        for system in work.trivial():
            found = texts.text_metrics(work.exchanges, system.replies)
            work.add_baseline(system.name, system.description, found.measured)


def _measure_facts(work: _Work) -> None:
    settings = work.settings
    with work.stage("facts") as progress:
        found = facts.fact_recall(
            work.engine,
            work.personas,
            settings.sampling,
            seed=settings.seed,
            limit=settings.fact_questions,
            on_progress=progress,
        )
        work.add("facts", found)
        questions = facts.fact_questions(work.personas, seed=settings.seed, limit=settings.fact_questions)
        histories = [facts.history_of(question) for question in questions]
        work.add_probed_baselines(histories, lambda replies: facts.measured_recall(questions, replies))


def _measure_roles(work: _Work) -> None:
    settings = work.settings
    with work.stage("roles") as progress:
        found = roles.role_swaps(
            work.engine,
            work.personas,
            settings.sampling,
            seed=settings.seed,
            limit=settings.role_probes,
            on_progress=progress,
        )
        work.add("roles", found)
        probes = roles.role_probes(work.personas, seed=settings.seed, limit=settings.role_probes)
        work.add_probed_baselines(
            [probe.history for probe in probes], lambda replies: roles.measured_swaps(probes, replies)
        )


def _measure_nli(work: _Work) -> None:
    replies = work.replies() if work.classifier else [""] * len(work.exchanges)
    with work.stage("nli") as progress:
        work.add("nli", nli.consistency(work.classifier, work.exchanges, replies, progress))
        for system in work.trivial() if work.classifier else ():
            found = nli.consistency(work.classifier, work.exchanges, system.replies, progress)
            work.add_baseline(system.name, system.description, found.measured)


def _measure_order(work: _Work) -> None:
    if not isinstance(work.engine, LocalEngine):
        return work.without_log_probabilities("order", order.METRICS)
    with work.stage("order") as progress:
        found = order.order_sensitivity(
            work.engine,
            work.subject.dialogues,
            seed=work.settings.seed,
            limit=work.settings.order_dialogues,
            on_progress=progress,
        )
        work.add("order", found)


_PARTS: dict[Part, Callable[[_Work], None]] = {
    Part.PERPLEXITY: _measure_perplexity,
    Part.RANKING: _measure_ranking,
    Part.GENERATION: _measure_generation,
    Part.FACTS: _measure_facts,
    Part.ROLES: _measure_roles,
    Part.NLI: _measure_nli,
    Part.ORDER: _measure_order,
}
