"""The one reply that scores best when it answers everything: how the constant string of the baselines was found.

    python benchmarks/constant_string.py ../shared/data/convai2/train_self_original_no_cands.txt.xz

Climbs from no word: adds, drops or swaps the word that raises the mean ParlAI F1 over all replies most, until none
does. F1 has no word order, so what is found is a bag of words. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from personable.corpus import read_dialogues
from personable.evaluation.words import parlai_words

_ROUNDING = 1e-12
"""Gains below it are the same bag summed in another order."""


def main() -> None:
    """Parses the command line and prints the words with their score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("--vocabulary", type=int, default=150, help="how many of the commonest words are tried")
    given = parser.parse_args()
    replies = [parlai_words(turn.text) for one in read_dialogues(given.path).dialogues for turn in one.replies]
    common = Counter(word for reply in replies for word in reply).most_common(given.vocabulary)
    words, score = best_bag(replies, [word for word, _ in common])
    print(json.dumps({"string": " ".join(words), "words": len(words), "f1": round(score, 3), "replies": len(replies)}))


def best_bag(replies: list[list[str]], vocabulary: list[str]) -> tuple[list[str], float]:
    """A bag of words that no single change makes better, in the order they were taken, and its mean F1 in %."""
    place_of = {word: place for place, word in enumerate(vocabulary)}
    counts = np.zeros((len(vocabulary), len(replies)), dtype=np.uint8)
    for column, reply in enumerate(replies):
        for word in reply:
            if word in place_of:
                counts[place_of[word], column] += 1
    lengths = np.array([len(reply) for reply in replies])
    bag: list[int] = []
    best = 0.0
    while True:
        smaller = [bag[:place] + bag[place + 1 :] for place in range(len(bag))]
        found = max((_best_addition(counts, lengths, bag), *((_score(counts, lengths, one), one) for one in smaller)))
        # A swap is a search for an addition after each word dropped, so it is tried when nothing cheaper helps.
        if found[0] <= best + _ROUNDING:
            found = max((_best_addition(counts, lengths, one) for one in smaller), default=found)
        if found[0] <= best + _ROUNDING:
            return [vocabulary[place] for place in bag], 100 * best
        best, bag = found


def _best_addition(counts: NDArray[np.uint8], lengths: NDArray[np.int64], bag: list[int]) -> tuple[float, list[int]]:
    """The best mean F1 that one more word gives, and the bag with it."""
    weight = 2 / (len(bag) + 1 + lengths)
    base = float(_shared(counts, bag) @ weight)
    held = Counter(bag)
    gains = [float((counts[place] > held[place]) @ weight) for place in range(len(counts))]
    place = int(np.argmax(gains))
    return (base + gains[place]) / len(lengths), [*bag, place]


def _score(counts: NDArray[np.uint8], lengths: NDArray[np.int64], bag: list[int]) -> float:
    return float((2 * _shared(counts, bag) / np.maximum(1, len(bag) + lengths)).mean())


def _shared(counts: NDArray[np.uint8], bag: list[int]) -> NDArray[np.int64]:
    """How many words of each reply the bag covers."""
    shared = np.zeros(counts.shape[1], dtype=np.int64)
    for place, times in Counter(bag).items():
        shared += np.minimum(counts[place], times)
    return shared


if __name__ == "__main__":
    main()
