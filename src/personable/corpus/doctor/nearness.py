"""Which dialogues are nearly the same text, found without comparing every pair.

Each dialogue is a set of shingles (runs of four words). A sketch keeps the smallest hashes of the set, so that similar
sets have sketches in common (MinHash; Broder 1997). Dialogues that meet in a sketch are compared in full. Each is
paired with at most two others for each hash of its sketch, so the time grows with the number of words.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from personable.dialogue import Dialogue

_SHINGLE_WORDS = 4
_SKETCH_HASHES = 24
_LEAST_SHARED_HASHES = 4  # of 24, in two sketches that are worth a full comparison
_LEAST_ALIKE = 0.6  # Of 157 shingles in a dialogue of 160 words, ten words changed in ten places leave this much.
_LEAST_SHINGLES = 8  # In fewer, a stock phrase ("nice to meet you too") makes up most of a dialogue.

_APOSTROPHE = re.compile(r" ?['’] ?")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Nearness:
    """Two dialogues that are nearly the same, as numbers in the sequence looked at; `one` is the later."""

    one: int
    other: int
    alike: float
    """Shingles in both out of those in either, 0 to 1 (Jaccard)."""


def nearly_same(dialogues: Sequence[Dialogue]) -> Iterator[Nearness]:
    """For each dialogue the nearest of the earlier ones it meets, where they are alike by 0.6 or more."""
    met: dict[int, tuple[int, int]] = {}
    """For each hash the first dialogue with it in its sketch, and the last so far."""
    for number, each in enumerate(dialogues):
        mine = shingles(each)
        sketch = heapq.nsmallest(_SKETCH_HASHES, mine)
        if len(mine) < _LEAST_SHINGLES:
            continue
        shared: Counter[int] = Counter()
        for key in sketch:
            first, last = met.get(key, (number, number))
            shared.update({first, last} - {number})
            met[key] = (first, number)
        candidates = [
            other for other, hashes in shared.items() if hashes >= min(_LEAST_SHARED_HASHES, len(sketch) // 2)
        ]
        compared = ((_alike(mine, shingles(dialogues[other])), other) for other in candidates)
        alike, other = max(compared, default=(0.0, -1))
        if alike >= _LEAST_ALIKE:
            yield Nearness(number, other, alike)


def shingles(dialogue: Dialogue) -> set[int]:
    """A number for each run of four words; case, punctuation and apostrophes do not count, nor does who speaks."""
    text = _APOSTROPHE.sub("", " ".join(turn.text for turn in dialogue.turns).casefold())
    words = [_number_of(word) for word in _WORD.findall(text)]
    return set(map(hash, zip(*(words[start:] for start in range(_SHINGLE_WORDS)), strict=False)))


@lru_cache(maxsize=1 << 17)
def _number_of(word: str) -> int:
    # Python's hash of a text differs from process to process, and with it which dialogues meet in a sketch; its hash
    # of a tuple of numbers does not.
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _alike(one: set[int], other: set[int]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared) if shared else 0.0
