"""Does a persona know its own facts? Asked in several wordings, each in a fresh dialogue, with and without persona."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np

from personable.dialogue import Dialogue, Persona, Speaker
from personable.evaluation.engine import Engine, OnProgress, no_progress
from personable.evaluation.fidelity.content_words import affirmed_stems, says, stems
from personable.evaluation.fidelity.fact_questions import Probe, Question, is_covered, probes_of
from personable.evaluation.metric import Better, Group, Measured, Metric, NotMeasured, Tally, ratio
from personable.reply import Sampling

WORDINGS = 3
"""Ways in which each fact is asked about; where a pattern knows more, the first ones."""
_EXAMPLES = 5


def fact_recall(
    engine: Engine,
    personas: Sequence[Persona],
    sampling: Sampling,
    *,
    seed: int,
    limit: int = 200,
    on_progress: OnProgress = no_progress,
) -> Group:
    """How many questions about its facts a persona answers with the fact, and how many it answers without having one.

    limit: at most so many questions; the facts to ask about are a seeded sample. Rows are the personas asked.
    Details: how many facts there are, have a question and were asked about; results by kind; examples.
    """
    unique = list(dict.fromkeys(personas))
    questions = fact_questions(unique, seed=seed, limit=limit)
    coverage: dict[str, object] = {
        "personas": len(unique),
        "facts": sum(len(persona.facts) for persona in unique),
        "facts_with_a_question": sum(is_covered(fact) for persona in unique for fact in persona.facts),
        "facts_asked_about": len({(question.persona, question.fact) for question in questions}),
        "questions": len(questions),
    }
    if not questions:
        reason = "no question could be made from the facts of these personas (patterns are English, first person)"
        return Group(not_measured=tuple(NotMeasured(metric, reason) for metric in METRICS), details=coverage)
    total = 2 * len(questions)
    replies = engine.replies(
        [history_of(question) for question in questions], sampling, lambda done, _: on_progress(done, total)
    )
    guesses = engine.replies(
        [history_of(question, persona=Persona()) for question in questions],
        sampling,
        lambda done, _: on_progress(len(questions) + done, total),
    )
    right = score_answers(questions, replies)
    return Group(
        measured=(
            measured_recall(questions, replies),
            _every_wording(questions, right),
            measured_recall(questions, guesses, FACT_RECALL_WITHOUT_PERSONA),
        ),
        details={
            **coverage,
            "by_kind": _by_kind(questions, right),
            "right": _examples(questions, replies, right, wanted=True),
            "wrong": _examples(questions, replies, right, wanted=False),
        },
    )


def fact_questions(personas: Sequence[Persona], *, seed: int, limit: int = 200) -> list[Question]:
    """The very questions that `fact_recall` asks: for scoring trivial baselines on them."""
    probes = [probe for persona in dict.fromkeys(personas) for probe in probes_of(persona)]
    asked = sampled(probes, limit, seed=seed)
    return [question for probe in asked for question in probe.questions[:WORDINGS]][:limit]


def history_of(question: Question, *, persona: Persona | None = None) -> Dialogue:
    """The fresh dialogue in which a question is asked: of its own persona, or of another."""
    return Dialogue(question.persona if persona is None else persona).then(Speaker.PARTNER, question.text)


def score_answers(questions: Sequence[Question], replies: Sequence[str]) -> list[bool]:
    """For each question whether its reply gives the value of the fact.

    A reply does when it says more than half of the content words of one part of the value (`tea and pie` has two), or
    half of them with the head noun, not behind a negation within the clause. Case, inflection and spelling of numbers
    do not matter, and the words of the question do not count, so an echo is never right.
    """
    return [_is_right(question, reply) for question, reply in zip(questions, replies, strict=True)]


def measured_recall(questions: Sequence[Question], replies: Sequence[str], metric: Metric | None = None) -> Measured:
    """Fact recall of any replies to the questions, a baseline's for example; rows are the personas asked, in order."""
    rows = {persona: row for row, persona in enumerate(dict.fromkeys(question.persona for question in questions))}
    sums = np.zeros((len(rows), 2))
    for question, right in zip(questions, score_answers(questions, replies), strict=True):
        sums[rows[question.persona]] += (right, 1)
    return Measured(metric or FACT_RECALL, Tally(sums, ratio(100), rows="personas"), len(questions), "questions")


def sampled(probes: Sequence[Probe], limit: int, *, seed: int) -> list[Probe]:
    """Facts, drawn without order, that take about `limit` questions when each is asked in WORDINGS ways."""
    count = min(len(probes), -(-limit // WORDINGS))
    places = sorted(random.Random(seed).sample(range(len(probes)), count))
    return [probes[place] for place in places]


def _is_right(question: Question, reply: str) -> bool:
    said = frozenset(stems(reply)) if question.may_deny else affirmed_stems(reply)
    return any(says(said, answer) for answer in question.answers)


def _every_wording(questions: Sequence[Question], right: Sequence[bool]) -> Measured:
    personas = {persona: row for row, persona in enumerate(dict.fromkeys(question.persona for question in questions))}
    each: dict[tuple[Persona, str], bool] = {}
    for question, good in zip(questions, right, strict=True):
        key = question.persona, question.fact
        each[key] = each.get(key, True) and good
    sums = np.zeros((len(personas), 2))
    for (persona, _), good in each.items():
        sums[personas[persona]] += (good, 1)
    return Measured(FACT_RECALL_EVERY_WORDING, Tally(sums, ratio(100), rows="personas"), len(each), "facts")


def _by_kind(questions: Sequence[Question], right: Sequence[bool]) -> dict[str, dict[str, object]]:
    asked = Counter(question.kind for question in questions)
    good = Counter(question.kind for question, answered in zip(questions, right, strict=True) if answered)
    return {
        kind: {"questions": count, "right": good[kind], "percent": round(100 * good[kind] / count, 1)}
        for kind, count in asked.most_common()
    }


def _examples(
    questions: Sequence[Question], replies: Sequence[str], right: Sequence[bool], *, wanted: bool
) -> list[dict[str, str]]:
    found = [
        {"fact": question.fact, "question": question.text, "reply": reply}
        for question, reply, good in zip(questions, replies, right, strict=True)
        if good is wanted
    ]
    return found[:: max(1, len(found) // _EXAMPLES)][:_EXAMPLES]


_SOURCE = (
    "Personable: questions by patterns (fact_patterns.py); the idea of probing a persona with questions is as old as "
    "the "
    "consistency examples of Li et al. 2016 and Welleck et al. 2019"
)
FACT_RECALL = Metric(
    "fact_recall",
    "Fact recall",
    "Share of questions about facts of the persona that the reply answers with the fact's value; each question opens a "
    "fresh dialogue. Reciting the whole persona answers everything: read it beside the copy rate.",
    Better.HIGHER,
    _SOURCE,
    tokenisation="words without inflection, numbers as digits, function words and the question's own words left out",
    highest=100.0,
    unit="%",
)
FACT_RECALL_EVERY_WORDING = Metric(
    "fact_recall_every_wording",
    "Facts recalled however asked",
    f"Share of facts whose value is given in reply to each of up to {WORDINGS} wordings of the question.",
    Better.HIGHER,
    _SOURCE,
    tokenisation=FACT_RECALL.tokenisation,
    highest=100.0,
    unit="%",
)
FACT_RECALL_WITHOUT_PERSONA = Metric(
    "fact_recall_without_persona",
    "Fact recall without the persona",
    "The control: the same questions with an empty persona, so what guessing gives.",
    Better.NEITHER,
    _SOURCE,
    tokenisation=FACT_RECALL.tokenisation,
    highest=100.0,
    unit="%",
)
METRICS = (FACT_RECALL, FACT_RECALL_EVERY_WORDING, FACT_RECALL_WITHOUT_PERSONA)
