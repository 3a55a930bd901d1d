"""Replies worth looking at: some drawn at random, and the worst."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from personable.evaluation.exchanges import Exchange
from personable.evaluation.report import Sample
from personable.evaluation.words import ngrams, parlai_words, spaced_words, word_overlap_f1

AT_RANDOM = 6
OF_EACH_FAULT = 3

_Fault = Callable[[Exchange, str], tuple[float, str]]
"""How bad a reply is, 0 for not at all, and a note that says so."""


def pick_samples(exchanges: Sequence[Exchange], replies: Sequence[str], *, seed: int = 0) -> tuple[Sample, ...]:
    """Six replies drawn at random, so that nobody chose them, then up to three of each kind of failure.

    Of replies that differ in case, punctuation and articles at most, a kind of failure shows one. The random ones are
    left as they were drawn: how often they are alike is part of what they show.
    """
    places = list(range(len(exchanges)))
    random.Random(seed).shuffle(places)
    picked = [_sample("drawn at random", exchanges[place], replies[place], "") for place in places[:AT_RANDOM]]
    for kind, fault in _FAULTS.items():
        found = [(*fault(exchanges[place], replies[place]), place) for place in places]
        shown: dict[str, Sample] = {}
        for _, note, place in sorted((each for each in found if each[0] > 0), key=lambda each: -each[0]):
            if len(shown) < OF_EACH_FAULT:
                said = " ".join(parlai_words(replies[place]))
                shown.setdefault(said, _sample(kind, exchanges[place], replies[place], note))
        picked += shown.values()
    return tuple(picked)


def _sample(kind: str, exchange: Exchange, reply: str, note: str) -> Sample:
    history = exchange.history
    return Sample(kind, history.persona, history.turns, reply, exchange.reference, note)


def _nothing_in_common(exchange: Exchange, reply: str) -> tuple[float, str]:
    """Long replies that share no word with what a person said: short ones share none by chance."""
    shared = word_overlap_f1(reply, exchange.reference)
    return (len(parlai_words(reply)) if shared == 0 else 0.0), f"F1 {shared:.1f}"


def _repeats_itself(_: Exchange, reply: str) -> tuple[float, str]:
    runs = ngrams(spaced_words(reply), 3)
    repeats = len(runs) - len(set(runs))
    return float(repeats), f"{repeats} of {len(runs)} runs of three words said before in the same reply"


def _copies_persona(exchange: Exchange, reply: str) -> tuple[float, str]:
    said = ngrams(parlai_words(reply), 5)
    facts = {run for fact in exchange.history.persona.facts for run in ngrams(parlai_words(fact), 5)}
    copied = sum(run in facts for run in said)
    return float(copied), f"{copied} runs of five words stand in the persona"


def _says_nothing(_: Exchange, reply: str) -> tuple[float, str]:
    return float(not reply.strip()), "empty"


_FAULTS: dict[str, _Fault] = {
    "worst by ParlAI F1 (the longest without a word in common)": _nothing_in_common,
    "repeats itself most": _repeats_itself,
    "copies the persona most": _copies_persona,
    "says nothing": _says_nothing,
}
