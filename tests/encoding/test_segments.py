"""Packed dialogues are learnt as if each were alone."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import BloomConfig, BloomForCausalLM, Lfm2Config, Lfm2ForCausalLM, MistralConfig, MistralForCausalLM

from personable.dialogue import Dialogue, Speaker
from personable.encoding import Budget, encode_dialogue
from personable.encoding.batches import IGNORED, Collator, RowCollator, pad_id_of
from personable.encoding.likelihood import reply_nats
from personable.encoding.segments import SEGMENTS, attend_within_segments
from tests.tiny import CHATML, random_dialogue, tiny_gpt2, tiny_llama, tiny_tokenizer

CHATML_SPECIALS = ("<|im_end|>", "<|im_start|>")


def gpt2():
    tokenizer = tiny_tokenizer()
    return tiny_gpt2(tokenizer), tokenizer


def llama():
    tokenizer = tiny_tokenizer(template=CHATML, specials=CHATML_SPECIALS)
    return tiny_llama(tokenizer), tokenizer


def encoded_dialogues(tokenizer, count: int):
    source = random.Random(5)
    dialogues = [random_dialogue(source) for _ in range(count)]
    return [encode_dialogue(each, tokenizer, Budget(256, 64)) for each in dialogues if each.replies]


def learnt(model, batches):
    """(summed nats, gradient of each weight) over batches, each divided by all learnt tokens."""
    model.zero_grad()
    tokens = sum(int((batch["labels"][:, 1:] != IGNORED).sum()) for batch in batches)
    total = 0.0
    for batch in batches:
        loss = reply_nats(model, batch).sum() / tokens
        loss.backward()
        total += loss.item()
    return total, {name: weight.grad.clone() for name, weight in model.named_parameters()}


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model.train()


@pytest.mark.parametrize("attention", [SEGMENTS, "sdpa", "eager"])
@pytest.mark.parametrize("make", [gpt2, llama])
def test_loss_and_gradients_are_those_of_one_dialogue_at_a_time(make, attention: str) -> None:
    """Also with `config.use_cache` on, as bases come: a cache object would let dialogues attend to each other."""
    model, tokenizer = make()
    without_dropout(model)
    assert model.config.use_cache
    encoded = encoded_dialogues(tokenizer, 7)
    pad = pad_id_of(tokenizer)
    loss, gradients = learnt(model, [Collator(pad)([one]) for one in encoded])
    model.set_attn_implementation(attention)
    packed_loss, packed_gradients = learnt(model, [RowCollator(pad, packed=True)([encoded[:3], encoded[3:]])])
    assert packed_loss == pytest.approx(loss, rel=1e-6)
    for name, gradient in gradients.items():
        difference = (packed_gradients[name] - gradient).norm()
        assert difference <= 1e-5 * gradient.norm() + 1e-9, name


@pytest.mark.parametrize("make", [gpt2, llama])
def test_a_cache_object_is_why_it_is_kept_out(make) -> None:
    """The trap itself: with a cache transformers drops the mask that keeps packed dialogues apart, without a word."""
    model, tokenizer = make()
    model.eval()
    batch = RowCollator(pad_id_of(tokenizer), packed=True)([encoded_dialogues(tokenizer, 3)])
    inputs = {name: batch[name] for name in ("input_ids", "position_ids")}
    with torch.no_grad():
        apart, mixed = (model(**inputs, use_cache=cache).logits for cache in (False, True))
    assert (apart - mixed).abs().max() > 1e-4


def test_packed_and_padded_rows_name_the_row_of_every_token() -> None:
    model, tokenizer = gpt2()
    encoded = encoded_dialogues(tokenizer, 6)
    rows, pad = [encoded[:2], encoded[2:3], encoded[3:]], pad_id_of(tokenizer)
    packed, padded = (RowCollator(pad, packed=each)(rows) for each in (True, False))
    expected = [sum(sum(one.learn_mask[1:]) for one in row) for row in rows]
    for batch in (packed, padded):
        of_learnt = batch["rows"][:, 1:][batch["labels"][:, 1:] != IGNORED]
        assert of_learnt.bincount(minlength=3).tolist() == expected
    assert packed["cu_seq_lens"].tolist()[-1] == packed["input_ids"].shape[1] == sum(len(e.input_ids) for e in encoded)
    assert (packed["position_ids"] == 0).sum() == len(encoded)
    nats = [reply_nats(model.eval(), batch).sum().item() for batch in (packed, padded)]
    assert nats[0] == pytest.approx(nats[1], rel=1e-5)


def test_a_first_token_is_learnt_in_neither_layout() -> None:
    """Nothing comes before it; a template without speaker marks, learnt from both sides, begins with one."""
    tokenizer = tiny_tokenizer(template="{% for message in messages %}{{ message['content'] + eos_token }}{% endfor %}")
    dialogue = Dialogue().then(Speaker.PARTNER, "hello there").then(Speaker.PERSONA, "good night")
    encoded = encode_dialogue(dialogue, tokenizer, Budget(256, 64), learn_partner=True)
    assert encoded.learn_mask[0]
    counts = []
    for packed in (True, False):
        batch = RowCollator(pad_id_of(tokenizer), packed=packed)([[encoded, encoded]])
        counts.append(int((batch["labels"] != IGNORED).sum()))
    assert counts == [2 * (sum(encoded.learn_mask) - 1)] * 2


@pytest.mark.parametrize("make", [gpt2, llama])
def test_models_that_can_be_packed_are(make) -> None:
    model, _ = make()
    assert attend_within_segments(model, 256)
    assert model.config._attn_implementation == SEGMENTS


SMALL = {"vocab_size": 50, "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2}
GROUPED = {**SMALL, "intermediate_size": 32, "num_key_value_heads": 1, "bos_token_id": 1, "eos_token_id": 2}


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            lambda: BloomForCausalLM(BloomConfig(vocab_size=50, hidden_size=16, n_layer=1, n_head=2)), id="own"
        ),
        pytest.param(
            lambda: Lfm2ForCausalLM(Lfm2Config(**GROUPED, layer_types=["conv", "full_attention"])), id="convolution"
        ),
        pytest.param(lambda: MistralForCausalLM(MistralConfig(**GROUPED, sliding_window=128)), id="window"),
    ],
)
def test_models_that_cannot_be_packed_are_left_as_they_are(model) -> None:
    made = model().eval()
    before = made.config._attn_implementation
    assert not attend_within_segments(made, 256)
    assert made.config._attn_implementation == before
    if isinstance(made, MistralForCausalLM):
        assert attend_within_segments(made, 128), "no dialogue is longer than the window"
