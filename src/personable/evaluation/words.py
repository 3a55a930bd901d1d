"""What counts as a word, in the two ways that text metrics cut text; and the overlap of two texts."""

from __future__ import annotations

import re
import string
from collections import Counter

SPACED = (
    "lower-cased, then cut at white space, nothing else (`text.lower().split()`): punctuation is a word where spaces "
    "set it apart, as in ConvAI2's own text, and part of a word where they do not, which gives other values"
)
PARLAI = (
    "ParlAI's normalize_answer: lower-cased, each ASCII punctuation mark replaced by a space, then the words a, an and "
    "the left out, then cut at white space"
)

_PUNCTUATION_TO_SPACES = str.maketrans(dict.fromkeys(string.punctuation, " "))
# \b rather than a list of words: beside a curly quote or a dash, which are no ASCII punctuation, ParlAI drops them too.
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")


def spaced_words(text: str) -> list[str]:
    """The words between white space, lower-cased; punctuation that stands alone is a word."""
    return text.lower().split()


def parlai_words(text: str) -> list[str]:
    """The words that ParlAI compares: lower-cased, without punctuation and articles; may be none.

    Punctuation becomes a space (`don't` is two words); SQuAD's normalisation deletes it (`dont`): other scores.
    """
    return _ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION_TO_SPACES)).split()


def ngrams(words: list[str], n: int) -> list[tuple[str, ...]]:
    """Every run of n words, in order; none where there are fewer than n words."""
    return list(zip(*(words[start:] for start in range(n)), strict=False))


def word_overlap_f1(reply: str, reference: str) -> float:
    """ParlAI's F1 of two texts, 0 to 1, equal both ways round; 0 where no word is shared, so also for two empty texts.

    2 * shared / (words of the reply + words of the reference): the harmonic mean of precision and recall, where a word
    is shared as often as it occurs in both.
    """
    replied, expected = parlai_words(reply), parlai_words(reference)
    shared = (Counter(replied) & Counter(expected)).total()
    return 2 * shared / (len(replied) + len(expected)) if shared else 0.0
