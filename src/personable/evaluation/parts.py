"""The parts of an evaluation, one after the other, and what they find."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

from personable.dialogue import Dialogue, Persona
from personable.evaluation import likelihood, ranking, texts
from personable.evaluation.baselines import Trivial, TrivialSystem, trivial_systems
from personable.evaluation.bootstrap import CONFIDENCE, RESAMPLES, score
from personable.evaluation.engine import Engine, OnProgress
from personable.evaluation.exchanges import Exchange
from personable.evaluation.fidelity import facts, nli, order, roles
from personable.evaluation.local import LocalEngine
from personable.evaluation.metric import Group, Measured, Metric, NotMeasured
from personable.evaluation.report import Baseline, Report
from personable.evaluation.samples import pick_samples
from personable.evaluation.settings import OnStage, Part, Settings, Subject
from personable.evaluation.url import SENT
from personable.provenance import hardware, peak_memory_bytes, versions


def unique_personas(dialogues: Sequence[Dialogue]) -> list[Persona]:
    """The personas that reply, each once, in order."""
    return list(dict.fromkeys(dialogue.persona for dialogue in dialogues if dialogue.persona.facts))


class Work:
    """An evaluation under way: what is measured and what has been found so far."""

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
        known = {system.kind: system for system in self.trivial()}
        for system in trivial_systems(asked, training_replies=pool, seed=self.settings.seed):
            if asked and system.kind in known and system.kind is not Trivial.HUMAN:
                named = known[system.kind]
                self.add_baseline(named.name, named.description, [measure(system.replies)])

    def without_log_probabilities(self, name: str, metrics: Sequence[Metric]) -> None:
        """Notes what an engine that only talks cannot be asked."""
        reason = "not available: needs log-probabilities, which this engine does not give"
        self.add(name, Group(not_measured=tuple(NotMeasured(metric, reason) for metric in metrics)))

    def report(self, started: str) -> Report:
        """Everything as evaluation.json holds it."""
        settings, replies = self.settings, self._replies
        return Report(
            created=started,
            engine=self.engine.about,
            data={**self.subject.about, "dialogues": len(self.subject.dialogues), "replies": len(self.exchanges)},
            decoding=self._decoding(),
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

    def _decoding(self) -> dict[str, object]:
        sampling = self.settings.sampling
        found: dict[str, object] = {"method": "greedy" if sampling.greedy else "sampling", **asdict(sampling)}
        if isinstance(self.engine, LocalEngine):
            return found
        return {key: value for key, value in found.items() if key in ("method", *SENT)} | {"rest": "the server's own"}


def _measure_perplexity(work: Work) -> None:
    if not isinstance(work.engine, LocalEngine):
        return work.without_log_probabilities("perplexity", likelihood.METRICS)
    with work.stage("perplexity") as progress:
        work.add("perplexity", likelihood.perplexities(work.engine, work.subject.dialogues, progress))


def _measure_ranking(work: Work) -> None:
    if not isinstance(work.engine, LocalEngine):
        return work.without_log_probabilities("ranking", ranking.METRICS)
    with work.stage("ranking") as progress:
        seed = work.settings.seed
        work.add("ranking", ranking.ranking(work.engine, work.exchanges, seed=seed, on_progress=progress))
        for system in work.trivial():
            by_overlap = ranking.ranking_by_overlap(work.exchanges, system.replies, seed=seed)
            work.add_baseline(system.name, system.description, by_overlap)


def _measure_generation(work: Work) -> None:
    replies = work.replies()
    with work.stage("generation"):
        work.add("generation", texts.text_metrics(work.exchanges, replies))
        for system in work.trivial():
            found = texts.text_metrics(work.exchanges, system.replies)
            work.add_baseline(system.name, system.description, found.measured)


def _measure_facts(work: Work) -> None:
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


def _measure_roles(work: Work) -> None:
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


def _measure_nli(work: Work) -> None:
    replies = work.replies() if work.classifier else [""] * len(work.exchanges)
    with work.stage("nli") as progress:
        work.add("nli", nli.consistency(work.classifier, work.exchanges, replies, progress))
        for system in work.trivial() if work.classifier else ():
            found = nli.consistency(work.classifier, work.exchanges, system.replies, progress)
            work.add_baseline(system.name, system.description, found.measured)


def _measure_order(work: Work) -> None:
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


PARTS: dict[Part, Callable[[Work], None]] = {
    Part.PERPLEXITY: _measure_perplexity,
    Part.RANKING: _measure_ranking,
    Part.GENERATION: _measure_generation,
    Part.FACTS: _measure_facts,
    Part.ROLES: _measure_roles,
    Part.NLI: _measure_nli,
    Part.ORDER: _measure_order,
}
"""How each part is measured, in the order of the report."""
