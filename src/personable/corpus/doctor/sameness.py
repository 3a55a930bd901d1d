"""Which dialogues tell the same conversation: from the same side or the other, whole or from its beginning.

Each dialogue becomes a chain of numbers, one for each of its beginnings, so that finding equal ones is looking up
numbers: the time grows with the number of turns, not with that of pairs of dialogues.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import accumulate, islice

from personable.corpus.conversations import letters_of
from personable.corpus.splitting import persona_key
from personable.dialogue import Dialogue, Speaker

# "Hi!" - "Hi! How are you?" - "Good." - "Me too!" begins many a conversation: what is shorter than this, in turns or in
# letters, may be the same by chance.
_TELLING_TURNS, _TELLING_LETTERS = 4, 60
# Two that share as much tell one conversation even if they part later. Turns as for `conversation_key`; six turns of
# ConvAI2 have 290 letters, six of nothing but greetings under 150.
_PARTING_TURNS, _PARTING_LETTERS = 6, 150


class Relation(Enum):
    """How a dialogue is like another one."""

    SAME = auto()
    """The same turns by the same speakers, and the same persona."""
    OTHER_PERSONA = auto()
    """The same turns by the same speakers, but another persona."""
    OTHER_SIDE = auto()
    """The same turns, or the first of them, with speakers swapped."""
    BEGINNING = auto()
    """All turns of one are the first turns of the other, by the same speakers."""
    BRANCH = auto()
    """The first six turns or more are the same, by the same speakers; then they part."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """Dialogue `one` is like dialogue `other`; both are numbers in the sequences looked at."""

    relation: Relation
    one: int
    other: int
    turns: int
    """How many first turns they share."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A dialogue as numbers: equal texts (letters and digits alone, without case) in equal order give equal ones."""

    beginnings: tuple[int, ...]
    """One for each beginning; who speaks counts only as the first speaker or the other one."""
    letters: tuple[int, ...]
    """How many letters and digits each beginning has."""
    first_speaker: Speaker
    persona: str

    @classmethod
    def of(cls, dialogue: Dialogue) -> Chain:
        first = dialogue.turns[0].speaker
        said = [letters_of(turn.text) for turn in dialogue.turns]
        beginnings, last = [], 0
        for turn, text in zip(dialogue.turns, said, strict=True):
            last = hash((last, text, turn.speaker is first))
            beginnings.append(last)
        return cls(tuple(beginnings), tuple(accumulate(map(len, said))), first, persona_key(dialogue.persona))

    @property
    def turns(self) -> int:
        return len(self.beginnings)


def within(chains: Sequence[Chain]) -> Iterator[Likeness]:
    """Likenesses among the dialogues of one corpus; each dialogue is `one` at most once for each relation.

    `one` is the later of two, but for a beginning, where it is the shorter.
    """
    known = _Known(chains)
    told: set[tuple[Relation, int]] = set()
    for number in range(len(chains)):
        for likeness in known.likenesses_within(number):
            if (likeness.relation, likeness.one) not in told:
                told.add((likeness.relation, likeness.one))
                yield likeness


def across(chains: Sequence[Chain], others: Sequence[Chain]) -> Iterator[Likeness]:
    """For each dialogue of one corpus, as `one`, the nearest likeness to one of another, if there is any."""
    known = _Known(others)
    for number, chain in enumerate(chains):
        likeness = known.nearest(chain, number)
        if likeness is not None:
            yield likeness


_Side = tuple[Speaker, str]
"""Who speaks first, and the persona."""


class _Known:
    """Dialogues, to be found by any of their beginnings."""

    def __init__(self, chains: Sequence[Chain]) -> None:
        self._chains = chains
        self._by_whole: dict[int, dict[_Side, int]] = {}
        """The first of each side, so that a hundred copies do not make ten thousand pairs."""
        self._by_beginning: dict[object, int] = {}
        """The first with each telling beginning; of the others, the first of each persona."""
        for number, chain in enumerate(chains):
            self._by_whole.setdefault(chain.beginnings[-1], {}).setdefault(_side(chain), number)
            for key in _keys(chain):
                if key is not None:
                    self._by_beginning.setdefault(key, number)

    def likenesses_within(self, number: int) -> Iterator[Likeness]:
        """How a dialogue of these is like earlier or shorter ones of these."""
        chain = self._chains[number]
        sides = self._by_whole[chain.beginnings[-1]]
        if sides[_side(chain)] < number:
            yield self._likeness(chain, number, sides[_side(chain)], chain.turns)
        elif _telling(chain, chain.turns):
            for other in islice(sides.values(), 2):
                if other < number:
                    yield self._likeness(chain, number, other, chain.turns)
        for other, shared in self._shorter(chain):
            likeness = self._likeness(chain, number, other, shared)
            swapped = Likeness(likeness.relation, other, number, shared)
            yield swapped if likeness.relation is Relation.BEGINNING or other > number else likeness
        for shared in range(chain.turns - 1, 0, -1):
            if not _one_conversation(chain, shared):
                return
            other = self._by_beginning[chain.beginnings[shared - 1]]
            if other < number:
                if shared < self._chains[other].turns:
                    yield self._likeness(chain, number, other, shared)
                return

    def nearest(self, chain: Chain, number: int) -> Likeness | None:
        """How a dialogue that is not among these is like one of these, in most of its turns."""
        sides = self._by_whole.get(chain.beginnings[-1], {})
        if sides:
            return self._likeness(chain, number, sides.get(_side(chain), next(iter(sides.values()))), chain.turns)
        shorter = next(self._shorter(chain), None)
        if shorter is not None:
            return self._likeness(chain, number, *shorter)
        for shared, key in zip(range(chain.turns, 0, -1), reversed(_keys(chain)), strict=True):
            if key in self._by_beginning and (shared == chain.turns or _one_conversation(chain, shared)):
                return self._likeness(chain, number, self._by_beginning[key], shared)
        return None

    def _shorter(self, chain: Chain) -> Iterator[tuple[int, int]]:
        """(which, how many turns it has) of those that are a beginning of a dialogue, the longest first."""
        for shared in range(chain.turns - 1, 0, -1):
            sides = self._by_whole.get(chain.beginnings[shared - 1], {})
            for (_, persona), other in sides.items():
                if _telling(chain, shared) or persona == chain.persona != "":
                    yield other, shared

    def _likeness(self, chain: Chain, number: int, other: int, shared: int) -> Likeness:
        return Likeness(_relation(chain, self._chains[other], shared), number, other, shared)


def _side(chain: Chain) -> _Side:
    return chain.first_speaker, chain.persona


def _keys(chain: Chain) -> list[object]:
    """What each beginning is looked up by: a short one only together with a persona, without one by nothing (None)."""
    return [
        each if _telling(chain, turns) else (each, chain.persona) if chain.persona else None
        for turns, each in enumerate(chain.beginnings, start=1)
    ]


def _telling(chain: Chain, shared: int) -> bool:
    """Whether two dialogues hardly share so many first turns by chance."""
    return shared >= _TELLING_TURNS and chain.letters[shared - 1] >= _TELLING_LETTERS


def _one_conversation(chain: Chain, shared: int) -> bool:
    """Whether two dialogues that share so many first turns tell one conversation, whatever follows."""
    return shared >= _PARTING_TURNS and chain.letters[shared - 1] >= _PARTING_LETTERS


def _relation(one: Chain, other: Chain, shared: int) -> Relation:
    if one.first_speaker is not other.first_speaker:
        return Relation.OTHER_SIDE
    if shared < one.turns and shared < other.turns:
        return Relation.BRANCH
    if one.turns != other.turns:
        return Relation.BEGINNING
    return Relation.SAME if one.persona == other.persona else Relation.OTHER_PERSONA
