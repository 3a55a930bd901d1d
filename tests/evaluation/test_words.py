"""How text is cut into words, and ParlAI's F1 worked out by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest

from personable.evaluation.words import ngrams, parlai_words, spaced_words, word_overlap_f1

# reply, reference, 2 * shared / (words of the reply + words of the reference) after normalisation
BY_HAND = [
    # equal, disjoint, in between
    ("i love cats", "i love cats", Fraction(2 * 3, 3 + 3)),
    ("i love cats", "you hate rain", Fraction(0)),
    ("i love cats", "i love dogs", Fraction(2 * 2, 3 + 3)),
    ("dogs i love", "i love dogs", Fraction(2 * 3, 3 + 3)),
    ("i like big dogs", "dogs", Fraction(2 * 1, 4 + 1)),
    ("yes", "yes i do like it", Fraction(2 * 1, 1 + 5)),
    # hi how are you today | hello how are you doing today
    ("hi, how are you today?", "hello , how are you doing today ?", Fraction(2 * 4, 5 + 6)),
    # case
    ("I LOVE Cats", "i love cats", Fraction(1)),
    ("CAFÉ", "café", Fraction(1)),
    # punctuation becomes a space
    ("i love cats .", "i love cats !!!", Fraction(1)),
    ("well-known", "well known", Fraction(1)),
    ("$100 (cash)", "100 cash", Fraction(1)),
    ("3.5", "3 5", Fraction(1)),
    ("ice_cream", "ice cream", Fraction(1)),
    ("[really] {yes} <so> a\\b|c~d^e`f", "really yes so b c d e f", Fraction(1)),
    # apostrophes: i m fine | i am fine
    ("i'm fine", "i am fine", Fraction(2 * 2, 3 + 3)),
    ("i ' m fine", "i'm fine", Fraction(1)),
    # do n t know | don t know
    ("do n't know", "don't know", Fraction(2 * 2, 4 + 3)),
    # a curly apostrophe is no ASCII punctuation: it’s late | it s late
    ("it’s late", "it's late", Fraction(2 * 1, 2 + 3)),
    # articles
    ("the cat", "a cat", Fraction(1)),
    ("an apple a day", "apple day", Fraction(1)),
    # i am nurse and mother of two | i am nurse
    ("i am a nurse and the mother of two", "i am a nurse", Fraction(2 * 3, 7 + 3)),
    # only whole words are articles: theater another | theater
    ("theater another", "theater", Fraction(2 * 1, 2 + 1)),
    # u s (the a is an article once its points are gone) | usa
    ("u.s.a.", "usa", Fraction(0)),
    # a dash is no ASCII punctuation, but an article ends there: — b | b, the former one word
    ("a—b", "b", Fraction(0)),
    # repeated words are shared as often as both have them
    ("cat cat cat", "cat", Fraction(2 * 1, 3 + 1)),
    ("cat cat dog", "cat cat cat", Fraction(2 * 2, 3 + 3)),
    ("ha ha", "ha ha ha ha", Fraction(2 * 2, 2 + 4)),
    # white space
    ("  two   spaces\tand\na line ", "two spaces and line", Fraction(1)),
    # nothing to compare
    ("", "", Fraction(0)),
    ("", "hello", Fraction(0)),
    ("hello", "", Fraction(0)),
    ("?!", "...", Fraction(0)),
    ("the", "the", Fraction(0)),
]


@pytest.mark.parametrize(("reply", "reference", "expected"), BY_HAND)
def test_f1_is_what_it_is_by_hand(reply: str, reference: str, expected: Fraction) -> None:
    assert word_overlap_f1(reply, reference) == pytest.approx(float(expected))
    assert word_overlap_f1(reference, reply) == word_overlap_f1(reply, reference)


def test_punctuation_becomes_a_space_and_articles_go() -> None:
    assert parlai_words("The DOG's a good-boy, isn't he?!") == ["dog", "s", "good", "boy", "isn", "t", "he"]


def test_spaced_words_keep_punctuation_and_articles() -> None:
    assert spaced_words("The dog ' s name ?\n Rex.") == ["the", "dog", "'", "s", "name", "?", "rex."]


def test_ngrams_stay_within_the_words() -> None:
    assert ngrams(["a", "b", "c"], 2) == [("a", "b"), ("b", "c")]
    assert ngrams(["a", "b", "c"], 3) == [("a", "b", "c")]
    assert ngrams(["a", "b"], 3) == []
    assert ngrams([], 1) == []
