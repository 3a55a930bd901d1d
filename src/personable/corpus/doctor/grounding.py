"""Findings about personas: none at all, none of it heard in the replies, heard from the wrong side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from personable.corpus.doctor.finding import Case, Finding, Kind, excerpt, number_of
from personable.dialogue import Dialogue, Speaker

_WORD = re.compile(r"[^\W\d_]{3,}")
_APOSTROPHE = re.compile(r" ?['’] ?")
# What facts and replies share without speaking of the same: function words, and the verbs and nouns of any small talk.
_STOP_WORDS_LISTED = """
about after again all also always and another any anything are arent because been before being but came can
cannot cant come could did didnt does doesnt doing done dont each else enjoy even ever every everything few
for from get gets getting going gone good got great had has hate have havent having her here hers him his how
into isnt its ive just know like likes liked little lot lots love loves loved made make makes making many
maybe mine more most much myself name named need never new not nothing now off often old once one only other
our out over own people pretty really same say see she should some someone something sometimes soon still such
take takes than that thats the their them then there these they thing things think this those time times too
two under until use used using usually very want wants wanted was wasnt way well went were what when where
which while who whom why will with without wont work works would year years yes yet you your yours three four
five favorite favourite big day days currently
"""
_STOP_WORDS = frozenset(_STOP_WORDS_LISTED.split())
_ENDINGS = ("ing", "ed", "es", "s", "er", "y", "e")
_LEAST_TELLING_DIALOGUES = 20
_SWAPPED_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Heard:
    """How many content words of a persona's facts each side of a dialogue says."""

    of: int
    """Different content words in the facts."""
    from_persona: int
    from_partner: int

    @classmethod
    def in_dialogue(cls, dialogue: Dialogue) -> Heard:
        told = content_words(dialogue.persona.facts)
        return cls(
            len(told), len(told & _said(dialogue, Speaker.PERSONA)), len(told & _said(dialogue, Speaker.PARTNER))
        )


def find_about_personas(cases: Sequence[Case]) -> Iterator[Finding]:
    """Dialogues without a persona or without a trace of it; swapped speakers, as one finding about the corpus."""
    with_persona = [case for case in cases if case.placed.dialogue.persona.facts]
    heard = [Heard.in_dialogue(case.placed.dialogue) for case in with_persona]
    yield from _find_without_persona(cases, some_have_one=bool(with_persona))
    for case, each in zip(with_persona, heard, strict=True):
        if each.of and case.placed.dialogue.replies and not each.from_persona:
            yield case.finding(Kind.UNGROUNDED, excerpt(case.placed.dialogue.persona.text))
    yield from _find_swapped_speakers(with_persona, heard)


def _find_without_persona(cases: Sequence[Case], *, some_have_one: bool) -> Iterator[Finding]:
    """One finding for each, or a single one where no dialogue has a persona: then it is not meant to have any."""
    if some_have_one:
        for case in cases:
            if not case.placed.dialogue.persona.facts:
                yield case.finding(Kind.NO_PERSONA, excerpt(case.placed.dialogue.turns[0].text))
    elif cases:
        yield cases[0].finding(Kind.NO_PERSONA, f"none of {number_of(len(cases), 'dialogue')} has one")


def _find_swapped_speakers(cases: Sequence[Case], heard: Sequence[Heard]) -> Iterator[Finding]:
    own = sum(each.from_persona > each.from_partner for each in heard)
    partners = [case for case, each in zip(cases, heard, strict=True) if each.from_partner > each.from_persona]
    telling = own + len(partners)
    if telling >= _LEAST_TELLING_DIALOGUES and len(partners) >= _SWAPPED_SHARE * telling:
        yield partners[0].finding(
            Kind.SPEAKERS_SWAPPED,
            f"in {len(partners)} of {number_of(telling, 'dialogue')} "
            "the partner says more of the facts than the persona",
        )


def _said(dialogue: Dialogue, speaker: Speaker) -> set[str]:
    return content_words(turn.text for turn in dialogue.turns if turn.speaker is speaker)


def content_words(texts: Iterable[str]) -> set[str]:
    """The stems of words that say something, such as {"vegetarian", "cat"} of "I'm a vegetarian. I have two cats."."""
    joined = _APOSTROPHE.sub("", " ".join(texts).casefold())
    return {_stem(word) for word in set(_WORD.findall(joined)) - _STOP_WORDS}


# Twice the words of the largest corpus at hand.
@lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    """A word without its ending, so that cooks, cooking and cooked are one; crude, and the same for every text."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word
