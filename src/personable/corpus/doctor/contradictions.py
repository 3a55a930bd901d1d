"""Findings about replies that contradict a fact of their persona, as a classifier given from outside sees it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from personable.corpus.doctor.finding import Case, Finding, Kind, excerpt
from personable.dialogue import Speaker

Contradicts = Callable[[list[tuple[str, str]]], list[bool]]
"""For pairs of (fact, reply), whether the reply contradicts the fact."""

_BATCH_PAIRS = 256
# A reply that only asks or agrees says nothing about its speaker, and classifiers are at their worst there.
_OF_ONESELF = re.compile(r"\b(?:i|im|ive|my|mine|me|we|our)\b", re.IGNORECASE)
_LEAST_WORDS = 4


@dataclass(frozen=True, slots=True)
class _Pair:
    case: Case
    turn: int
    fact: str
    reply: str


@dataclass(frozen=True, slots=True)
class Contradictions:
    """What a classifier found."""

    findings: tuple[Finding, ...]
    pairs: int
    """Of fact and reply that there are, where the reply speaks of its speaker."""
    looked_at: int


def find_contradictions(cases: Sequence[Case], contradicts: Contradicts, most_pairs: int) -> Contradictions:
    """Asks the classifier about pairs of fact and reply; of more than `most_pairs`, those of evenly spread dialogues.

    One finding for each reply, with the first fact that it contradicts.
    """
    per_case = [list(_pairs(case)) for case in cases]
    pairs = sum(map(len, per_case))
    chosen = _spread(per_case, most_pairs)
    findings: dict[tuple[int, int], Finding] = {}
    for start in range(0, len(chosen), _BATCH_PAIRS):
        batch = chosen[start : start + _BATCH_PAIRS]
        answers = contradicts([(pair.fact, pair.reply) for pair in batch])
        for pair, contradicted in zip(batch, answers, strict=True):
            if contradicted:
                found = f"{excerpt(pair.reply)} against the fact {excerpt(pair.fact)}"
                finding = pair.case.turn_finding(Kind.CONTRADICTED, pair.turn, found)
                findings.setdefault((pair.case.index, pair.turn), finding)
    return Contradictions(tuple(findings.values()), pairs, len(chosen))


def _pairs(case: Case) -> Iterator[_Pair]:
    dialogue = case.placed.dialogue
    for number, turn in enumerate(dialogue.turns):
        if turn.speaker is Speaker.PERSONA and _speaks_of_itself(turn.text):
            for fact in dialogue.persona.facts:
                yield _Pair(case, number, fact, turn.text)


def _speaks_of_itself(reply: str) -> bool:
    return len(reply.split()) >= _LEAST_WORDS and _OF_ONESELF.search(reply) is not None


def _spread(per_case: Sequence[list[_Pair]], most: int) -> list[_Pair]:
    """All pairs of every n-th dialogue, n as small as keeps within `most`; at least those of the first dialogue."""
    for step in range(1, len(per_case) + 1):
        every_nth = per_case[::step]
        if sum(map(len, every_nth)) <= most:
            return [pair for pairs in every_nth for pair in pairs]
    return per_case[0][:most] if per_case else []
