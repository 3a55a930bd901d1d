"""Metrics of free-running replies that only read text: each takes exchanges and a reply to each of them.

Nothing here needs a model, so the same functions score a system, the human replies and the trivial baselines. Replies
may be empty, and there may be none; a metric of nothing is nan.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain

import numpy as np
from sacrebleu.metrics.bleu import BLEU

from personable.evaluation.exchanges import Exchange
from personable.evaluation.metric import Better, Group, Measured, Metric, NotMeasured, Sums, Tally, ratio
from personable.evaluation.words import PARLAI, SPACED, ngrams, parlai_words, spaced_words, word_overlap_f1

_PERCENT = 100.0
_COPIED_WORDS = 5
_REPEATED_WORDS = 3

# force: no warning that ConvAI2's text, whose punctuation is spaced off, looks tokenised. The reference is there
# because a signature states their number; every score is given its own.
_BLEU = BLEU(force=True, references=[[""]])


def text_metrics(exchanges: Sequence[Exchange], replies: Sequence[str]) -> Group:
    """Every metric of this module, in a fixed order.

    replies: one for each exchange, in the same order. Raises ValueError when their numbers differ.
    """
    if len(replies) != len(exchanges):
        raise ValueError(f"expected a reply to each of {len(exchanges)} exchanges, found {len(replies)}")
    functions = (
        *(f1, bleu4, distinct_1, distinct_2, mean_words, question_rate, repetition_within, repetition_across),
        *(persona_copy, empty_replies),
    )
    measured = [function(exchanges, replies) for function in functions]
    if exchanges and not any(exchange.history.persona.facts for exchange in exchanges):
        missing = NotMeasured(PERSONA_COPY, "no dialogue has a persona")
        return Group(tuple(each for each in measured if each.metric is not PERSONA_COPY), (missing,))
    return Group(tuple(measured))


F1 = Metric(
    key="f1",
    name="ParlAI F1",
    definition=(
        "Mean over replies of 2 * shared words / (words of the reply + words of the human reply), a word being shared "
        "as often as it occurs in both; 0 where none is shared. A constant string of common words scores above 20 on "
        "ConvAI2: read it beside the baselines."
    ),
    better=Better.HIGHER,
    source="ParlAI parlai/core/metrics.py, F1Metric; the ConvAI2 contest, Dinan et al. 2019",
    tokenisation=PARLAI,
    highest=100.0,
    unit="%",
)


def f1(exchanges: Sequence[Exchange], replies: Sequence[str]) -> Measured:
    """ParlAI's F1 of replies and references."""
    pairs = zip(replies, exchanges, strict=True)
    return _mean(F1, exchanges, (_PERCENT * word_overlap_f1(reply, exchange.reference) for reply, exchange in pairs))


BLEU4 = Metric(
    key="bleu4",
    name="BLEU-4",
    definition=(
        "Corpus BLEU: brevity penalty times the geometric mean of the precisions of 1- to 4-grams, their counts summed "
        f"over all replies, one reference each. sacrebleu's signature: {_BLEU.get_signature()}"
    ),
    better=Better.HIGHER,
    source="Papineni et al. 2002; sacrebleu, Post 2018",
    tokenisation="sacrebleu's 13a, case kept",
    highest=100.0,
    unit="%",
)


def bleu4(exchanges: Sequence[Exchange], replies: Sequence[str]) -> Measured:
    """sacrebleu's corpus BLEU of replies and references."""
    by_dialogue: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for exchange, reply in zip(exchanges, replies, strict=True):
        by_dialogue[exchange.dialogue].append((reply, exchange.reference))
    sums = np.array([_bleu_counts(by_dialogue[place]) for place in sorted(by_dialogue)], dtype=np.float64)
    return Measured(BLEU4, Tally(sums.reshape(-1, 10), _bleu_of_counts), len(replies), "replies")


DISTINCT_1 = Metric(
    key="distinct_1",
    name="Distinct-1",
    definition=(
        "Different words / words, both counted over all replies together. It falls as replies are added, for any "
        "system: compare only on the same number of replies, and beside the human replies."
    ),
    better=Better.HIGHER,
    source="Li et al. 2016, A Diversity-Promoting Objective Function for Neural Conversation Models",
    tokenisation=SPACED,
    highest=100.0,
    unit="%",
)


def distinct_1(exchanges: Sequence[Exchange], replies: Sequence[str]) -> Measured:
    """Different words among all words."""
    return _distinct(DISTINCT_1, 1, exchanges, replies)


DISTINCT_2 = Metric(
    key="distinct_2",
    name="Distinct-2",
    definition=(
        "Different pairs of neighbouring words / such pairs, both counted over all replies together, no pair reaching "
        "across replies. It falls as replies are added, for any system: compare only on the same number of replies, "
        "and beside the human replies."
    ),
    better=Better.HIGHER,
    source=DISTINCT_1.source,
    tokenisation=SPACED,
    highest=100.0,
    unit="%",
)


def distinct_2(exchanges: Sequence[Exchange], replies: Sequence[str]) -> Measured:
    """Different word pairs among all word pairs."""
    return _distinct(DISTINCT_2, 2, exchanges, replies)


MEAN_WORDS = Metric(
    key="mean_words",
    name="words per reply",
    definition="Mean number of words of a reply.",
    better=Better.NEITHER,
    source="a plain count",
    tokenisation=SPACED,
    unit="words",
)


def mean_words(exchanges: Sequence[Exchange], replies: Sequence[str]) -> Measured:
    """Mean length of a reply in words."""
    return _mean(MEAN_WORDS, exchanges, (len(spaced_words(reply)) for reply in replies))


QUESTION_RATE = Metric(
    key="question_rate",
    name="replies with a question",
    definition="Share of replies with a question mark in them.",
    better=Better.NEITHER,
    source="See et al. 2019, What makes a good conversation? (question-asking), counted by the mark",
    highest=100.0,
    unit="%",
)


def question_rate(exchanges: Sequence[Exchange], replies: Sequence[str]) -> Measured:
    """How many replies ask something."""
    return _mean(QUESTION_RATE, exchanges, (_PERCENT * ("?" in reply) for reply in replies))


REPETITION_WITHIN = Metric(
    key="repetition_within",
    name="repetition within a reply",
    definition=(
        "Share of 3-grams that occurred before in the same reply, over the 3-grams of all replies: seq-rep-3, with the "
        "counts of all replies summed, as most replies have few 3-grams."
    ),
    better=Better.LOWER,
    source="Welleck et al. 2020, Neural Text Generation with Unlikelihood Training (seq-rep-n)",
    tokenisation=SPACED,
    highest=100.0,
    unit="%",
)


def repetition_within(exchanges: Sequence[Exchange], replies: Sequence[str]) -> Measured:
    """How much replies go round in circles."""
    grams = [ngrams(spaced_words(reply), _REPEATED_WORDS) for reply in replies]
    counts = [(len(each) - len(set(each)), len(each)) for each in grams]
    return Measured(
        REPETITION_WITHIN, Tally(_by_dialogue(exchanges, counts), ratio(_PERCENT)), sum(map(len, grams)), "3-grams"
    )


REPETITION_ACROSS = Metric(
    key="repetition_across",
    name="repeated replies",
    definition=(
        "Share of replies that the system gave word for word before in the same dialogue. The history it answers holds "
        "the human replies, not its own."
    ),
    better=Better.LOWER,
    source="Personable",
    tokenisation=PARLAI,
    highest=100.0,
    unit="%",
)


def repetition_across(exchanges: Sequence[Exchange], replies: Sequence[str]) -> Measured:
    """How many replies were given before in their dialogue."""
    given: set[tuple[int, str]] = set()
    again: list[float] = []
    for exchange, reply in zip(exchanges, replies, strict=True):
        said = (exchange.dialogue, " ".join(parlai_words(reply)))
        again.append(_PERCENT * (said in given))
        given.add(said)
    return _mean(REPETITION_ACROSS, exchanges, again)


PERSONA_COPY = Metric(
    key="persona_copy",
    name="persona copied",
    definition=(
        f"Share of replies that hold {_COPIED_WORDS} words in a row of a fact of their persona, over replies with a "
        "persona. Pasting facts pleases every measure of consistency with the persona; people seldom do it."
    ),
    better=Better.LOWER,
    source="ConvAI2's live phase, which turned such replies down (DeepPavlov/convai 2018)",
    tokenisation=PARLAI,
    highest=100.0,
    unit="%",
)


def persona_copy(exchanges: Sequence[Exchange], replies: Sequence[str]) -> Measured:
    """How many replies paste from the persona."""
    counts = []
    for exchange, reply in zip(exchanges, replies, strict=True):
        facts = exchange.history.persona.facts
        copied = not _runs_of_facts(facts).isdisjoint(ngrams(parlai_words(reply), _COPIED_WORDS))
        counts.append((copied, bool(facts)))
    with_persona = sum(has_persona for _, has_persona in counts)
    return Measured(
        PERSONA_COPY, Tally(_by_dialogue(exchanges, counts), ratio(_PERCENT)), with_persona, "replies with a persona"
    )


EMPTY_REPLIES = Metric(
    key="empty_replies",
    name="empty replies",
    definition="Share of replies with nothing but white space in them.",
    better=Better.LOWER,
    source="a plain count",
    highest=100.0,
    unit="%",
)


def empty_replies(exchanges: Sequence[Exchange], replies: Sequence[str]) -> Measured:
    """How many replies say nothing."""
    return _mean(EMPTY_REPLIES, exchanges, (_PERCENT * (not reply.strip()) for reply in replies))


def _mean(metric: Metric, exchanges: Sequence[Exchange], values: Iterable[float]) -> Measured:
    """The mean of one value for each reply."""
    counts = [(value, 1.0) for value in values]
    return Measured(metric, Tally(_by_dialogue(exchanges, counts), ratio()), len(counts), "replies")


def _by_dialogue(exchanges: Sequence[Exchange], counts: Sequence[tuple[float, float]]) -> Sums:
    """Shape (dialogues with an exchange, 2): the counts of each dialogue's replies, summed."""
    places, row_of = np.unique([exchange.dialogue for exchange in exchanges], return_inverse=True)
    sums = np.zeros((len(places), 2))
    np.add.at(sums, row_of, np.array(counts, dtype=np.float64).reshape(len(exchanges), 2))
    return sums


def _distinct(metric: Metric, n: int, exchanges: Sequence[Exchange], replies: Sequence[str]) -> Measured:
    """Different n-grams among all, with the value that is left when each dialogue is taken away."""
    by_dialogue: dict[int, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for exchange, reply in zip(exchanges, replies, strict=True):
        by_dialogue[exchange.dialogue].update(ngrams(spaced_words(reply), n))
    found = [by_dialogue[place] for place in sorted(by_dialogue)]
    dialogues_with = Counter(chain.from_iterable(found))
    # Without a dialogue go all its n-grams, but only those kinds of them that no other dialogue has.
    whole = np.array([len(dialogues_with), sum(each.total() for each in found)], dtype=np.float64)
    lost = [(sum(dialogues_with[gram] == 1 for gram in each), each.total()) for each in found]
    divided = ratio(_PERCENT)
    without = divided(whole - np.array(lost, dtype=np.float64).reshape(-1, 2))
    return Measured(
        metric, Tally(whole[None], divided, jackknife=without), int(whole[1]), "words" if n == 1 else f"{n}-grams"
    )


def _bleu_counts(pairs: Sequence[tuple[str, str]]) -> list[float]:
    """Words of the replies and of the references, then how many 1- to 4-grams are matched, then how many there are."""
    found = _BLEU.corpus_score([reply for reply, _ in pairs], [[reference for _, reference in pairs]])
    return [found.sys_len, found.ref_len, *found.counts, *found.totals]


def _bleu_of_counts(total: Sums) -> Sums:
    """sacrebleu's BLEU.compute_bleu with its smoothing `exp`, for any number of totals at once."""
    replied, expected, matched, possible = total[..., 0], total[..., 1], total[..., 2:6], total[..., 6:10]
    # The first order without a match counts as half a match, the next as a quarter, ...
    smoothed = np.where(matched > 0, matched, 0.5 ** np.cumsum(matched == 0, axis=-1))
    precisions = smoothed / np.maximum(possible, 1)
    brevity = np.exp(np.minimum(0, 1 - expected / np.maximum(replied, 1)))
    value = _PERCENT * brevity * np.exp(np.log(precisions).mean(axis=-1))
    has_value = matched.any(axis=-1) & (possible > 0).all(axis=-1)
    return np.where(replied + expected > 0, np.where(has_value, value, 0.0), np.nan)


@lru_cache(maxsize=1024)
def _runs_of_facts(facts: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    """What counts as copied: every run of words of each fact."""
    return frozenset(chain.from_iterable(ngrams(parlai_words(fact), _COPIED_WORDS) for fact in facts))
