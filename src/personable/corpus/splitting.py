"""Dialogues cut in two, so that what is learnt from one part tells nothing about the other."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from personable.corpus.conversations import conversation_key, letters_of
from personable.dialogue import Dialogue, Persona
from personable.errors import DataError


@dataclass(frozen=True)
class Split:
    """Two parts that share no conversation and no persona that replies."""

    train: tuple[Dialogue, ...]
    validation: tuple[Dialogue, ...]
    left_out: tuple[Dialogue, ...] = ()
    """Dialogues that would have tied the parts together; empty wherever the corpus falls apart by itself."""


def split_dialogues(dialogues: Iterable[Dialogue], *, validation_share: float, seed: int) -> Split:
    """About `validation_share` (between 0 and 1) of the dialogues for validation; the same for the same seed.

    Dialogues hang together when they share a conversation (by its key or its first utterances) or a persona (the same
    facts in any order, on either side). Whole groups go to one part, and the dialogues keep their order. Where the
    groups are too large for that, as in Synthetic-Persona-Chat, where nearly all hang together, validation gets a share
    of the personas, and dialogues of other personas that tell a validation conversation or have a validation persona as
    partner are left out. The partner of a validation dialogue may then play a persona of the training part: to leave
    those out as well would leave little to validate with, and a model never reads who the partner plays.

    Raises DataError if either part would be empty.
    """
    given = tuple(dialogues)
    if not 0 < validation_share < 1:
        raise DataError(f"expected a validation share between 0 and 1, found {validation_share}")
    wanted = max(1, round(validation_share * len(given)))
    chosen = _whole_groups(_groups(given), wanted, seed)
    enough = 2 * len(chosen) >= wanted
    split = _by_index(given, chosen) if enough else _through_personas(given, wanted, seed)
    if not split.train or not split.validation:
        raise DataError(
            f"expected dialogues that can be cut in two, found {len(given)} that share one persona or conversation. "
            "Next: add dialogues with other personas"
        )
    return split


def _by_index(dialogues: Sequence[Dialogue], validation: set[int]) -> Split:
    return Split(
        tuple(each for index, each in enumerate(dialogues) if index not in validation),
        tuple(each for index, each in enumerate(dialogues) if index in validation),
    )


def _whole_groups(groups: Sequence[Sequence[int]], wanted: int, seed: int) -> set[int]:
    """Indices of random groups, up to the number wanted; a group that would pass it is not taken."""
    shuffled = list(groups)
    random.Random(seed).shuffle(shuffled)
    chosen: set[int] = set()
    for group in shuffled:
        if len(chosen) + len(group) <= wanted:
            chosen.update(group)
    return chosen


def _groups(dialogues: Sequence[Dialogue]) -> list[list[int]]:
    """Indices of the dialogues that hang together, directly or through others."""
    leader: dict[str, str] = {}

    def find(key: str) -> str:
        leader.setdefault(key, key)
        while leader[key] != key:
            leader[key] = leader[leader[key]]
            key = leader[key]
        return key

    ties = [_ties(each) for each in dialogues]
    for first, *others in ties:
        for other in others:
            leader[find(other)] = find(first)
    groups: dict[str, list[int]] = {}
    for index, (first, *_) in enumerate(ties):
        groups.setdefault(find(first), []).append(index)
    return list(groups.values())


def _ties(dialogue: Dialogue) -> list[str]:
    personas = (persona_key(dialogue.persona), persona_key(dialogue.partner_persona))
    return [*_conversation_ties(dialogue), *(key for key in personas if key)]


def _conversation_ties(dialogue: Dialogue) -> list[str]:
    ties = ["text " + conversation_key(turn.text for turn in dialogue.turns)]
    if dialogue.conversation:
        ties.append("conversation " + dialogue.conversation)
    return ties


def persona_key(persona: Persona) -> str:
    """A key that personas with the same facts share, in any order, case and punctuation; empty without facts."""
    return "persona " + "\n".join(sorted(map(letters_of, persona.facts))) if persona.facts else ""


def _through_personas(dialogues: Sequence[Dialogue], wanted: int, seed: int) -> Split:
    """A share of the personas for validation, without the dialogues that tie them to the others."""
    own = [persona_key(each.persona) for each in dialogues]
    chosen = _some_personas(Counter(own), wanted, seed)
    told = {tie for each, key in zip(dialogues, own, strict=True) if key in chosen for tie in _conversation_ties(each)}
    train, validation, left_out = [], [], []
    for each, key in zip(dialogues, own, strict=True):
        if key in chosen:
            validation.append(each)
        elif persona_key(each.partner_persona) in chosen or not told.isdisjoint(_conversation_ties(each)):
            left_out.append(each)
        else:
            train.append(each)
    return Split(tuple(train), tuple(validation), tuple(left_out))


def _some_personas(dialogues_each: Counter[str], wanted: int, seed: int) -> set[str]:
    personas = sorted(key for key in dialogues_each if key)
    random.Random(seed).shuffle(personas)
    chosen: set[str] = set()
    count = 0
    for persona in personas:
        if count >= wanted:
            break
        chosen.add(persona)
        count += dialogues_each[persona]
    return chosen
