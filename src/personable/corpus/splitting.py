"""Dialogues cut in two, so that what is learnt from one part tells nothing about the other."""

from __future__ import annotations

import hashlib
import random
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from personable.corpus.conversations import conversation_key, letters_of
from personable.dialogue import Dialogue, Persona
from personable.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Split:
    """Two parts that share no conversation and no persona that replies."""

    train: tuple[Dialogue, ...]
    validation: tuple[Dialogue, ...]
    left_out: tuple[Dialogue, ...] = ()
    """Dialogues that would have tied the parts together; empty wherever the corpus falls apart by itself."""


@dataclass(frozen=True, slots=True)
class Ties:
    """What a dialogue may share with others, each as a number of 64 bits; 0 where it has no such thing."""

    text: int
    """Its first utterances."""
    conversation: int
    """The key of its conversation, where the data gives one."""
    persona: int
    """The facts of the persona that replies."""
    partner: int
    """The facts of the partner's persona."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where the dialogues of a split stand, counted from 0, in their order; int64."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    left_out: NDArray[np.int64]


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
    places = split_places(
        map(ties_of, given),
        lambda: (persona_key(each.persona) for each in given),
        validation_share=validation_share,
        seed=seed,
    )
    parts = (places.train, places.validation, places.left_out)
    return Split(*(tuple(given[place] for place in part.tolist()) for part in parts))


def split_places(
    ties: Iterable[Ties] | NDArray[np.uint64],
    persona_keys: Callable[[], Iterable[str]],
    *,
    validation_share: float,
    seed: int,
) -> Places:
    """Where the parts stand that `split_dialogues` makes, for corpora too large to hold.

    ties: of each dialogue, or those as an array (dialogues, 4).   persona_keys: gives `persona_key` of the persona that
    replies, dialogue for dialogue; called only where groups are too large. Two of ten million keys become the same
    number with a chance of 1 in 400,000, and their dialogues then hang together.
    """
    import numpy as np  # here, so that reading needs only the standard library

    if not 0 < validation_share < 1:
        raise DataError(f"expected a validation share between 0 and 1, found {validation_share}")
    if not isinstance(ties, np.ndarray):
        rows = [(each.text, each.conversation, each.persona, each.partner) for each in ties]
        ties = np.array(rows, dtype=np.uint64).reshape(-1, 4)
    wanted = max(1, round(validation_share * len(ties)))
    in_validation = _whole_groups(_groups(ties), wanted, seed)
    left_out = np.zeros_like(in_validation)
    if 2 * in_validation.sum() < wanted:
        in_validation, left_out = _through_personas(ties, _some_personas(Counter(persona_keys()), wanted, seed))
    in_train = ~(in_validation | left_out)
    if not in_train.any() or not in_validation.any():
        raise DataError(
            f"expected dialogues that can be cut in two, found {len(ties)} that share one persona or conversation. "
            "Next: add dialogues with other personas"
        )
    return Places(*(np.flatnonzero(part) for part in (in_train, in_validation, left_out)))


def ties_of(dialogue: Dialogue) -> Ties:
    """What ties a dialogue to others."""
    return Ties(
        text=_number("text " + conversation_key(turn.text for turn in dialogue.turns)),
        conversation=_number("conversation " + dialogue.conversation) if dialogue.conversation else 0,
        persona=_number(persona_key(dialogue.persona)),
        partner=_number(persona_key(dialogue.partner_persona)),
    )


def persona_key(persona: Persona) -> str:
    """A key that personas with the same facts share, in any order, case and punctuation; empty without facts."""
    return "persona " + "\n".join(sorted(map(letters_of, persona.facts))) if persona.facts else ""


def _number(key: str) -> int:
    if not key:
        return 0
    digest = hashlib.blake2b(key.encode("utf-8", errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) or 1


def _whole_groups(group_of: NDArray[np.int64], wanted: int, seed: int) -> NDArray[np.bool_]:
    """Which dialogues are in random groups, up to the number wanted; a group that would pass it is not taken."""
    import numpy as np

    sizes = np.bincount(group_of).tolist()
    shuffled = list(range(len(sizes)))
    random.Random(seed).shuffle(shuffled)
    chosen, count = np.zeros(len(sizes), dtype=bool), 0
    for group in shuffled:
        if count + sizes[group] <= wanted:
            chosen[group] = True
            count += sizes[group]
    return chosen[group_of]


def _groups(ties: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The group of each dialogue: equal for those that hang together, directly or through others.

    Groups are numbered in the order of their first dialogues.
    """
    import numpy as np

    numbers, keys = np.unique(ties, return_inverse=True)
    keys = keys.reshape(ties.shape)
    leader = array("q", range(len(numbers)))

    def find(key: int) -> int:
        while leader[key] != key:
            leader[key] = leader[leader[key]]
            key = leader[key]
        return key

    for first, *others in _rows(keys):
        for other in others:
            if numbers[other]:
                leader[find(other)] = find(first)
    leaders = np.fromiter((find(first) for first, *_ in _rows(keys)), dtype=np.int64, count=len(keys))
    _, first_places, group_of = np.unique(leaders, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first_places))[group_of]


def _rows(keys: NDArray[np.int64]) -> Iterator[list[int]]:
    """The rows as lists, a few thousand at a time: all of them at once are hundreds of bytes for each dialogue."""
    for start in range(0, len(keys), 4096):
        yield from keys[start : start + 4096].tolist()


def _through_personas(ties: NDArray[np.uint64], chosen: set[str]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which dialogues have a chosen persona, and which others are tied to those."""
    import numpy as np

    text, conversation, own, partner = ties.T
    personas = np.array([_number(key) for key in chosen], dtype=np.uint64)
    in_validation = np.isin(own, personas)
    told = conversation[in_validation]
    told = np.concatenate([text[in_validation], told[told != 0]])
    tied = np.isin(text, told) | np.isin(conversation, told) | np.isin(partner, personas)
    return in_validation, tied & ~in_validation


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
