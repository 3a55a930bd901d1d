"""How well a model predicts what the persona says in the data: perplexity, per token, per word, and as bits per byte.

Every reply is scored after the persona and all turns before it. Where these exceed the context, it is scored after as
many of the latest whole turns as fit beside it: the replies of a long dialogue are given as much history as there is
room for, each in a reading of its own once the dialogue has outgrown the context.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from personable.dialogue import Dialogue, Speaker
from personable.encoding import Budget, EncodedDialogue, encode_dialogue
from personable.encoding.batches import IGNORED, Collator, pad_id_of
from personable.encoding.layout import cuts_not_logged
from personable.encoding.likelihood import reply_nats
from personable.encoding.template import as_messages
from personable.errors import EncodingError
from personable.evaluation.engine import OnProgress, no_progress
from personable.evaluation.local import LocalEngine
from personable.evaluation.metric import Better, Group, Measured, Metric, NotMeasured, Sums, Tally, ratio
from personable.reply.bot import check_scores

_BATCH_TOKENS = 2**14
"""Tokens read at once, padding included, however many dialogues that is."""

_SCORED = (
    "over the tokens of the persona's replies in the data and of each reply's end, given persona, all turns before and "
    "the reply so far (teacher forcing)"
)
PERPLEXITY = Metric(
    key="perplexity",
    name="Perplexity",
    definition=f"exp(total nats / tokens), {_SCORED}. Comparable only between models of one vocabulary.",
    better=Better.LOWER,
    source="Jelinek et al. 1977",
    tokenisation="the model's own tokens; the token that ends a reply counts as one",
    lowest=1.0,
)
WORD_PERPLEXITY = Metric(
    key="word_perplexity",
    name="Word perplexity",
    definition=f"exp(total nats / (words + replies)): the nats, {_SCORED}, shared out among words; the end of a reply "
    "counts as a word. Not the ConvAI2 contest's, which asks for probabilities over a fixed list of 19,304 words.",
    better=Better.LOWER,
    source="Jelinek et al. 1977; the share per word as in Mielke 2019, sjmielke.com/comparing-perplexities.htm",
    tokenisation="words are what stands between white space in the data's replies",
    lowest=1.0,
)
BITS_PER_BYTE = Metric(
    key="bits_per_byte",
    name="Bits per byte",
    definition=f"total nats / ln 2 / (bytes + replies): the nats, {_SCORED}, shared out among UTF-8 bytes; the end of "
    "a reply counts as a byte, as a line break would. Comparable between models of different vocabularies.",
    better=Better.LOWER,
    source="Gao et al. 2020, The Pile",
    tokenisation="UTF-8 bytes of the data's replies, without white space around them",
    unit="bits/byte",
)
METRICS = (PERPLEXITY, WORD_PERPLEXITY, BITS_PER_BYTE)


def perplexities(engine: LocalEngine, dialogues: Sequence[Dialogue], on_progress: OnProgress = no_progress) -> Group:
    """Perplexity, word perplexity and bits per byte of all replies in the dialogues.

    Details: `scored_replies`, `left_out_replies` (longer than the context, or without text),
    `replies_after_cut_history`, `dialogues_with_cut_persona`, `scored_tokens`, and `unigram_perplexity`: that of a
    model which knows nothing but how often each token occurs in these very replies, so that a model that has learnt
    anything about dialogue is below it. Raises BadBase where the model's scores are not numbers.
    """
    readings = [
        reading
        for place, dialogue in enumerate(dialogues)
        for reading in _readings(place, dialogue, engine.base.tokenizer, engine.base.context_tokens)
    ]
    details: dict[str, object] = {
        "scored_replies": sum(len(reading.replies) for reading in readings),
        "left_out_replies": sum(len(one.replies) for one in dialogues) - sum(len(one.replies) for one in readings),
        "replies_after_cut_history": sum(len(one.replies) for one in readings if one.encoded.dropped_turns),
        "dialogues_with_cut_persona": len({one.dialogue for one in readings if one.encoded.cut_facts}),
    }
    if not readings:
        return Group(
            not_measured=tuple(NotMeasured(one, "no reply could be scored") for one in METRICS), details=details
        )
    rows = np.zeros((len(dialogues), 4))
    frequencies: Counter[int] = Counter()
    for done, (reading, nats, targets) in enumerate(_scored(engine, readings), start=1):
        rows[reading.dialogue] += (nats, len(targets), reading.words, reading.bytes)
        frequencies.update(targets)
        on_progress(done, len(readings))
    tokens = int(rows[:, 1].sum())
    details |= {"scored_tokens": tokens, "unigram_perplexity": _unigram_perplexity(frequencies)}
    return Group(
        measured=(
            Measured(PERPLEXITY, Tally(rows[:, [0, 1]], _exp_ratio), tokens, "tokens"),
            Measured(WORD_PERPLEXITY, Tally(rows[:, [0, 2]], _exp_ratio), int(rows[:, 2].sum()), "words and ends"),
            Measured(
                BITS_PER_BYTE, Tally(rows[:, [0, 3]], ratio(1 / math.log(2))), int(rows[:, 3].sum()), "bytes and ends"
            ),
        ),
        details=details,
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    """A text to read and the replies in it to score."""

    dialogue: int
    encoded: EncodedDialogue
    replies: tuple[str, ...]

    @property
    def words(self) -> int:
        return sum(len(reply.split()) + 1 for reply in self.replies)

    @property
    def bytes(self) -> int:
        return sum(len(reply.strip().encode("utf-8", "replace")) + 1 for reply in self.replies)


def _readings(place: int, dialogue: Dialogue, tokenizer: Any, context_tokens: int) -> Iterator[_Reading]:
    """The dialogue, or its longest beginning that fits and then what follows each later partner turn."""
    stretches = _stretches(dialogue)

    # Room for a reply decides how much of a long persona stays; as in training.
    budget = Budget(context_tokens, min(128, context_tokens // 4))

    def encoded(end: int) -> EncodedDialogue | None:
        try:
            return encode_dialogue(replace(dialogue, turns=dialogue.turns[:end]), tokenizer, budget)
        except EncodingError:
            return None

    def too_long(count: int) -> bool:
        found = encoded(stretches[count - 1].end)
        return found is None or found.dropped_turns > 0

    with cuts_not_logged():
        counts = range(1, len(stretches) + 1)
        fitting = len(stretches) if stretches and not too_long(len(stretches)) else bisect(counts, False, key=too_long)
        if fitting:
            beginning = encoded(stretches[fitting - 1].end)
            assert beginning is not None
            yield _Reading(place, beginning, tuple(reply for each in stretches[:fitting] for reply in each.replies))
        for stretch in stretches[fitting:]:
            late = encoded(stretch.end)
            if late is not None:
                yield _Reading(place, _only_last(late, len(stretch.replies), tokenizer), stretch.replies)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Replies with nothing said between them; mostly one."""

    end: int
    """The turn after them."""
    replies: tuple[str, ...]


def _stretches(dialogue: Dialogue) -> list[_Stretch]:
    found = []
    replies: list[str] = []
    for end, turn in enumerate(dialogue.turns, start=1):
        if turn.speaker is not Speaker.PERSONA:
            continue
        replies.append(turn.text)
        if end == len(dialogue.turns) or dialogue.turns[end].speaker is not Speaker.PERSONA:
            found.append(_Stretch(end, tuple(replies)))
            replies = []
    return found


def _only_last(encoded: EncodedDialogue, replies: int, tokenizer: Any) -> EncodedDialogue:
    """With only the last replies, which follow one another, to be scored."""
    wanted = 1 if _joins_turns(tokenizer) else replies
    learn = [False] * len(encoded.learn_mask)
    for place in range(len(learn) - 1, -1, -1):
        if not encoded.learn_mask[place]:
            continue
        learn[place] = True
        if not place or not encoded.learn_mask[place - 1]:
            wanted -= 1
            if not wanted:
                break
    return replace(encoded, learn_mask=tuple(learn))


def _joins_turns(tokenizer: Any) -> bool:
    """Whether the template lays out two turns of one speaker as one."""
    twice = Dialogue().then(Speaker.PARTNER, "a").then(Speaker.PERSONA, "a").then(Speaker.PERSONA, "a")
    messages = as_messages(twice, tokenizer)
    return len(messages) < len(twice.turns)


def _scored(engine: LocalEngine, readings: Sequence[_Reading]) -> Iterator[tuple[_Reading, float, list[int]]]:
    """Each reading with its total of nats and the tokens scored."""
    model = engine.base.model
    collate = Collator(pad_id_of(engine.base.tokenizer))
    for batch in _batches(readings, engine.batch_size):
        tensors = {name: each.to(model.device) for name, each in collate([one.encoded for one in batch]).items()}
        with torch.inference_mode():
            nats = reply_nats(model, tensors)
        check_scores(nats, engine.base.spec)
        targets = [row[row != IGNORED].tolist() for row in tensors["labels"][:, 1:]]
        for one, row_nats, row_targets in zip(
            batch, nats.double().split([len(row) for row in targets]), targets, strict=True
        ):
            yield one, row_nats.sum().item(), row_targets


def _batches(readings: Sequence[_Reading], size: int) -> Iterator[list[_Reading]]:
    """Like lengths together, the longest first."""
    waiting = sorted(readings, key=lambda one: len(one.encoded.input_ids))
    while waiting:
        rows = max(1, min(size, _BATCH_TOKENS // len(waiting[-1].encoded.input_ids)))
        yield waiting[-rows:]
        del waiting[-rows:]


def _exp_ratio(total: Sums) -> Sums:
    with np.errstate(over="ignore"):
        return np.exp(ratio()(total))


def _unigram_perplexity(frequencies: Counter[int]) -> float:
    total = frequencies.total()
    # fsum, so that the order in which tokens were met does not show in the last digits
    return math.exp(-math.fsum(count / total * math.log(count / total) for count in frequencies.values()))
