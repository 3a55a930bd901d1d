"""Which replies the data's own has to beat, and how far one gets by counting words."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from personable.evaluation.exchanges import Exchange

DRAWN = 19
"""Replies drawn beside the true one where the data gives none: 20 in all, as in PersonaChat."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Lineup:
    """Replies to rank."""

    exchange: Exchange
    texts: tuple[str, ...]
    gold: int
    """Which of them is the data's reply; there is no copy of it among the others."""
    given: bool
    """Whether the data gave the others; they were drawn otherwise."""
    copies: int
    """Other candidates that were left out as they say the same as the data's reply."""


def lineups(exchanges: Sequence[Exchange], *, seed: int) -> list[Lineup]:
    """A line-up for each exchange that has another reply to offer, in order.

    Without given candidates the others are 19 different replies of other dialogues. The data's reply stands at a random
    place. What is drawn depends on the seed and on the place of the exchange.
    """
    pool = [(exchange.dialogue, exchange.reference.strip()) for exchange in exchanges]
    found = []
    for place, exchange in enumerate(exchanges):
        draw = random.Random(f"{seed}/{place}")
        gold = exchange.reference.strip()
        given = [text.strip() for text in exchange.candidates]
        others = [text for text in given if text and text != gold]
        if not given:
            others = _drawn(draw, pool, exchange.dialogue, gold)
        if not others:
            continue
        draw.shuffle(others)
        at = draw.randint(0, len(others))
        found.append(
            Lineup(exchange, (*others[:at], gold, *others[at:]), at, bool(given), max(given.count(gold) - 1, 0))
        )
    return found


def _drawn(draw: random.Random, pool: Sequence[tuple[int, str]], dialogue: int, gold: str) -> list[str]:
    """Up to 19 different texts of other dialogues."""
    found: dict[str, None] = {}
    for place in draw.sample(range(len(pool)), min(len(pool), 4 * DRAWN)):
        _add(found, pool[place], dialogue, gold)
    if len(found) < DRAWN:  # much the same is said in this data, or there is little of it
        for place in draw.sample(range(len(pool)), len(pool)):
            _add(found, pool[place], dialogue, gold)
    return list(found)[:DRAWN]


def _add(found: dict[str, None], offered: tuple[int, str], dialogue: int, gold: str) -> None:
    other, text = offered
    if other != dialogue and text not in ("", gold):
        found[text] = None


def overlap(first: str, second: str) -> float:
    """2 |shared words| / (|words of first| + |words of second|), of different words in lower case; Dice 1945."""
    a, b = (set(_WORD.findall(text.lower())) for text in (first, second))
    return 2 * len(a & b) / (len(a) + len(b)) if a or b else 0.0
