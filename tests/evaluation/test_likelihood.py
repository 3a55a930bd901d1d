import math
import random
from collections import Counter
from dataclasses import replace

import pytest
import torch

from personable.base import Base
from personable.dialogue import Dialogue, Persona, Speaker, Turn
from personable.encoding import Budget, encode_dialogue
from personable.errors import BadBase
from personable.evaluation.likelihood import METRICS, perplexities
from personable.evaluation.local import LocalEngine
from tests.tiny import ALTERNATING, chatml_tokenizer, random_dialogue, tiny_gpt2, tiny_llama, tiny_tokenizer


def base_of(tokenizer, model, context_tokens=256):
    return Base(model, tokenizer, context_tokens, "tiny")


BASES = {
    "gpt2": base_of(tiny_tokenizer(), tiny_gpt2(tiny_tokenizer())),
    "llama": base_of(tiny_tokenizer(), tiny_llama(tiny_tokenizer())),
    "llama chatml": base_of(chatml_tokenizer(), tiny_llama(chatml_tokenizer())),
    "gpt2 alternating": base_of(chatml_tokenizer(ALTERNATING), tiny_gpt2(chatml_tokenizer())),
}


def dialogues(count=12, seed=1):
    draw = random.Random(seed)
    found = [random_dialogue(draw) for _ in range(count)]
    return [one for one in found if one.replies]


def nats_one_at_a_time(base, dialogue):
    """Nats of each token of each reply: the dialogue up to that reply read on its own, full logits, token by token."""
    found = []
    for end, turn in enumerate(dialogue.turns, start=1):
        follows = end < len(dialogue.turns) and dialogue.turns[end].speaker is Speaker.PERSONA
        if turn.speaker is not Speaker.PERSONA or follows:
            continue
        encoded = encode_dialogue(
            replace(dialogue, turns=dialogue.turns[:end]),
            base.tokenizer,
            Budget(base.context_tokens, base.context_tokens // 4),
        )
        with torch.no_grad():
            scores = base.model(torch.tensor([encoded.input_ids])).logits[0].double().log_softmax(-1)
        # Everything learnt after the partner's last turn, found as what the dialogue without it does not have.
        before = [one for one in range(end) if dialogue.turns[one].speaker is Speaker.PARTNER]
        if not before:
            start = 0
        else:
            shorter = replace(dialogue, turns=dialogue.turns[: before[-1] + 1])
            start = sum(
                encode_dialogue(
                    shorter, base.tokenizer, Budget(base.context_tokens, base.context_tokens // 4)
                ).learn_mask
            )
        learnt = [place for place, learn in enumerate(encoded.learn_mask) if learn and place][start:]
        assert not encoded.dropped_turns
        found += [(encoded.input_ids[place], -scores[place - 1, encoded.input_ids[place]].item()) for place in learnt]
    return found


@pytest.mark.parametrize("name", BASES)
def test_perplexities_are_those_of_replies_scored_one_at_a_time(name):
    base = BASES[name]
    data = [one for one in dialogues(16) if not encode_dialogue(one, base.tokenizer, Budget(256, 64)).dropped_turns]
    assert len(data) > 8
    expected = [nats_one_at_a_time(base, one) for one in data]
    group = perplexities(LocalEngine(base, batch_size=5), data)
    by_token, by_word, by_byte = group.measured
    nats = sum(nat for one in expected for _, nat in one)
    tokens = sum(map(len, expected))
    replies = [turn.text for one in data for turn in one.replies]
    words = sum(len(text.split()) for text in replies)
    size = sum(len(text.strip().encode()) for text in replies)
    assert by_token.count == tokens
    assert by_token.tally.value == pytest.approx(math.exp(nats / tokens), rel=1e-5)
    assert by_word.tally.value == pytest.approx(math.exp(nats / (words + len(replies))), rel=1e-5)
    assert by_byte.tally.value == pytest.approx(nats / math.log(2) / (size + len(replies)), rel=1e-5)
    for row, one in zip(by_token.tally.sums, expected, strict=True):
        assert row == pytest.approx((sum(nat for _, nat in one), len(one)), rel=1e-5)
    counts = Counter(token for one in expected for token, _ in one)
    entropy = -sum(count / tokens * math.log(count / tokens) for count in counts.values())
    assert group.details["unigram_perplexity"] == pytest.approx(math.exp(entropy))
    assert group.details["scored_replies"] == len(replies)
    assert group.details["left_out_replies"] == 0


@pytest.mark.parametrize("name", ["gpt2", "llama chatml"])
def test_neither_batch_size_nor_order_changes_a_number(name):
    data = dialogues()
    expected = perplexities(LocalEngine(BASES[name], batch_size=1), data)
    for size in (3, 64):
        for one, other in zip(
            expected.measured, perplexities(LocalEngine(BASES[name], batch_size=size), data).measured, strict=True
        ):
            assert other.tally.sums == pytest.approx(one.tally.sums, rel=1e-5)
    turned = perplexities(LocalEngine(BASES[name]), data[::-1])
    assert turned.measured[0].tally.sums[::-1] == pytest.approx(expected.measured[0].tally.sums, rel=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "gpt2 alternating"])
def test_each_reply_of_a_long_dialogue_is_scored_once_after_as_much_history_as_fits(name):
    base = replace(BASES[name], context_tokens=90)
    turns = [Turn((Speaker.PARTNER, Speaker.PERSONA)[place % 2], f"what {place} 🙂 dogs") for place in range(15)]
    turns.insert(14, Turn(Speaker.PERSONA, "no!"))  # two replies in a row, one turn where the template insists
    dialogue = Dialogue(Persona(("I'm Ada",)), tuple(turns))
    nats, tokens, cut = 0.0, 0, 0
    ends = [end for end, turn in enumerate(turns, start=1) if turn.speaker is Speaker.PERSONA]
    ends.remove(14)  # scored together with the next
    for end in ends:
        replies = 2 if end == 15 else 1
        encoded = encode_dialogue(replace(dialogue, turns=tuple(turns[:end])), base.tokenizer, Budget(90, 22))
        cut += replies * (encoded.dropped_turns > 0)
        mask = (*encoded.learn_mask, False)
        borders = [place for place in range(1, len(mask)) if mask[place - 1] and not mask[place]]
        runs = replies if name == "gpt2" else 1
        after = borders[-runs - 1] if len(borders) > runs else 0
        learnt = [place for place in range(after, len(encoded.learn_mask)) if encoded.learn_mask[place]]
        with torch.no_grad():
            scores = base.model(torch.tensor([encoded.input_ids])).logits[0].double().log_softmax(-1)
        nats -= sum(scores[place - 1, encoded.input_ids[place]].item() for place in learnt)
        tokens += len(learnt)
    group = perplexities(LocalEngine(base), [dialogue])
    assert 0 < cut < 8
    assert group.details["replies_after_cut_history"] == cut
    assert group.details["scored_replies"] == 8
    assert group.measured[0].tally.sums[0] == pytest.approx((nats, tokens), rel=1e-5)
    words = sum(len(turn.text.split()) + 1 for turn in dialogue.replies)
    assert group.measured[1].tally.sums[0, 1] == words


def test_a_reply_longer_than_the_context_is_left_out_of_every_count():
    base = replace(BASES["gpt2"], context_tokens=60)
    short = Dialogue().then(Speaker.PARTNER, "hello").then(Speaker.PERSONA, "I'm Ada")
    long = short.then(Speaker.PARTNER, "what?").then(Speaker.PERSONA, "2 dogs " * 60)
    of_long, of_short = (perplexities(LocalEngine(base), [one]) for one in (long, short))
    assert of_long.details["left_out_replies"] == 1
    for found, expected in zip(of_long.measured, of_short.measured, strict=True):
        assert found.tally.sums == pytest.approx(expected.tally.sums, rel=1e-5)


def test_without_a_reply_nothing_is_measured_and_the_reason_given():
    group = perplexities(LocalEngine(BASES["gpt2"]), [Dialogue().then(Speaker.PARTNER, "hello")])
    assert not group.measured
    assert [one.metric for one in group.not_measured] == list(METRICS)
    assert all("no reply" in one.reason for one in group.not_measured)


def test_a_dialogue_without_replies_keeps_its_row():
    data = [Dialogue().then(Speaker.PARTNER, "hello"), *dialogues(3)]
    sums = perplexities(LocalEngine(BASES["gpt2"]), data).measured[0].tally.sums
    assert sums.shape == (len(data), 2)
    assert not sums[0].any()


def test_progress_ends_when_everything_is_done():
    seen = []
    perplexities(LocalEngine(BASES["gpt2"], batch_size=2), dialogues(5), lambda *done: seen.append(done))
    assert [done for done, _ in seen] == list(range(1, seen[-1][1] + 1))


def test_damaged_weights_are_an_error():
    tokenizer = tiny_tokenizer()
    model = tiny_gpt2(tokenizer)
    with torch.no_grad():
        model.transformer.ln_f.weight[0] = math.nan
    with pytest.raises(BadBase, match="found nan"):
        perplexities(LocalEngine(base_of(tokenizer, model)), dialogues(3))
