"""Trivial systems: what scores are worth that a system gets without understanding anything."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from personable.evaluation.exchanges import Exchange

# Mean ParlAI F1 22.53 on the 131,266 ConvAI2 training replies. Found by benchmarks/constant_string.py: words were
# added, dropped and swapped until no single change made it better. F1 knows no word order, so neither does the string.
CONSTANT = "i you to do my is i that are like and"


class Trivial(StrEnum):
    """The trivial systems, and the human replies beside them."""

    HUMAN = "human"
    CONSTANT = "constant"
    ECHO = "echo"
    FACT = "fact"
    RANDOM = "random"


@dataclass(frozen=True, slots=True)
class TrivialSystem:
    """A way of replying that takes no model."""

    kind: Trivial
    name: str
    description: str
    """What it replies, for the reader of a table."""
    replies: list[str]
    """One for each exchange."""


def trivial_systems(
    exchanges: Sequence[Exchange], *, training_replies: Sequence[str] | None = None, seed: int = 0
) -> list[TrivialSystem]:
    """The human replies and the trivial systems on these exchanges.

    training_replies: what "random training reply" draws from. Without any, replies of other dialogues of the data are
    drawn instead; with a single dialogue there are none, and that system is left out.
    """
    systems = [
        TrivialSystem(
            Trivial.HUMAN,
            "human reply",
            "The data's own reply, as a yardstick for length, diversity and habits. F1 and BLEU compare it with "
            "itself: they are 100 by construction, not a goal.",
            [exchange.reference for exchange in exchanges],
        ),
        TrivialSystem(
            Trivial.CONSTANT,
            "constant string",
            f"The same words each time: {CONSTANT!r}, common words put together for a high F1 on ConvAI2's training "
            "replies.",
            [CONSTANT] * len(exchanges),
        ),
        TrivialSystem(
            Trivial.ECHO,
            "echo of the partner",
            "The partner's last turn, said back; empty where the persona opens the dialogue.",
            [exchange.said for exchange in exchanges],
        ),
        TrivialSystem(
            Trivial.FACT,
            "copy of a persona fact",
            "The first fact of the persona; empty where it has none.",
            [next(iter(exchange.history.persona.facts), "") for exchange in exchanges],
        ),
    ]
    if training_replies:
        description = f"A reply drawn at random from {len(training_replies):,} training replies (seed {seed})."
        drawn = _drawn(training_replies, len(exchanges), seed)
        systems.append(TrivialSystem(Trivial.RANDOM, "random training reply", description, drawn))
    elif len({exchange.dialogue for exchange in exchanges}) > 1:
        description = (
            f"A human reply drawn at random from the other dialogues of this data (seed {seed}; on scripted questions, "
            "from all of them), as no training replies were given."
        )
        name = "random reply of other dialogues"
        systems.append(TrivialSystem(Trivial.RANDOM, name, description, _of_others(exchanges, seed)))
    return systems


def _drawn(replies: Sequence[str], count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [replies[_below(len(replies), draw)] for _ in range(count)]


def _of_others(exchanges: Sequence[Exchange], seed: int) -> list[str]:
    """For each exchange a reference of another dialogue, each of them equally likely."""
    draw = random.Random(seed)
    ordered = sorted(exchanges, key=lambda exchange: exchange.dialogue)
    first: dict[int, int] = {}
    size: dict[int, int] = {}
    for place, exchange in enumerate(ordered):
        first.setdefault(exchange.dialogue, place)
        size[exchange.dialogue] = size.get(exchange.dialogue, 0) + 1
    replies = []
    for exchange in exchanges:
        own = exchange.dialogue
        place = _below(len(ordered) - size[own], draw)
        replies.append(ordered[place if place < first[own] else place + size[own]].reference)
    return replies


def _below(count: int, draw: random.Random) -> int:
    """A place from 0 to count - 1. Of random's methods only random() is promised to stay equal across Pythons."""
    return int(draw.random() * count)
