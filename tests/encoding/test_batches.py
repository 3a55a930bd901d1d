"""Padding, labels and what a model makes of them."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from personable.encoding import EncodedDialogue, likelihood
from personable.encoding.batches import IGNORED, Collator
from personable.encoding.likelihood import reply_nats, reply_surprise
from tests.tiny import tiny_gemma2, tiny_gpt2, tiny_llama, tiny_tokenizer

MODELS = {"gpt2": tiny_gpt2, "llama": tiny_llama, "gemma2": tiny_gemma2}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param](tiny_tokenizer())


def encoded(ids: list[int], learn_from: int) -> EncodedDialogue:
    return EncodedDialogue(tuple(ids), tuple(place >= learn_from for place in range(len(ids))), tuple(range(len(ids))))


SHORT = encoded([11, 12, 0, 13, 0], 3)
LONG = encoded([21, 22, 23, 0, 24, 25, 26, 0], 4)
MIDDLE = encoded([31, 32, 0, 33, 34, 0], 2)


def test_a_padded_batch_by_hand() -> None:
    batch = Collator(pad_id=0)([SHORT, LONG])
    x = IGNORED
    assert batch["input_ids"].tolist() == [[11, 12, 0, 13, 0, 0, 0, 0], [21, 22, 23, 0, 24, 25, 26, 0]]
    # The pad id is the id that ends turns: the turn end that is learnt (place 4) keeps its label, padding has none.
    assert batch["labels"].tolist() == [[x, x, x, 13, 0, x, x, x], [x, x, x, x, 24, 25, 26, 0]]
    assert batch["attention_mask"].tolist() == [[1] * 5 + [0] * 3, [1] * 8]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4, 0, 0, 0], list(range(8))]


def test_left_padding_by_hand() -> None:
    batch = Collator(pad_id=9, padding_side="left")([SHORT, LONG])
    assert batch["input_ids"][0].tolist() == [9, 9, 9, 11, 12, 0, 13, 0]
    assert batch["attention_mask"][0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    assert batch["position_ids"][0].tolist() == [0, 0, 0, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("side", ["left", "right"])
def test_one_dialogue_costs_the_same_alone_and_among_others(model, side: str) -> None:
    dialogues = [SHORT, LONG, MIDDLE]
    with torch.inference_mode():
        together = reply_nats(model, Collator(0, padding_side=side)(dialogues))
        alone = torch.cat([reply_nats(model, Collator(0)([one])) for one in dialogues])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_nats_and_gradients_equal_the_plain_definition(model, monkeypatch) -> None:
    monkeypatch.setattr(likelihood, "_CHUNK_TOKENS", 3)
    batch = Collator(0)([SHORT, LONG, MIDDLE])

    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    targets = batch["labels"][:, 1:].reshape(-1)
    plain = functional.cross_entropy(logits[:, :-1].flatten(0, 1), targets, reduction="none")[targets != IGNORED]
    plain.mean().backward()
    expected = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()

    nats = reply_nats(model, batch)
    nats.mean().backward()
    torch.testing.assert_close(nats, plain, rtol=1e-5, atol=1e-5)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.grad, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_the_head_runs_in_chunks_only_where_logits_are_a_plain_product() -> None:
    tokenizer = tiny_tokenizer()
    found = {name: likelihood._has_plain_head(make(tokenizer)) for name, make in MODELS.items()}
    assert found == {"gpt2": True, "llama": True, "gemma2": False}


def test_the_model_is_left_as_it_was() -> None:
    model = tiny_gpt2(tiny_tokenizer())
    ids = torch.tensor([[1, 2, 3]])
    before = model(ids).logits
    reply_nats(model, Collator(0)([SHORT]))
    assert "forward" not in vars(model.lm_head)
    torch.testing.assert_close(model(ids).logits, before)


def test_a_batch_with_nothing_to_learn_costs_nothing() -> None:
    model = tiny_gpt2(tiny_tokenizer())
    nothing = encoded([1, 2, 3], learn_from=3)
    nats = reply_nats(model, Collator(0)([nothing]))
    nats.sum().backward()
    assert nats.shape == (0,)


def test_perplexity_is_token_weighted() -> None:
    model = tiny_gpt2(tiny_tokenizer())
    collate = Collator(0)
    whole = reply_surprise(model, [collate([SHORT, LONG, MIDDLE])])
    parts = reply_surprise(model, [collate([SHORT]), collate([LONG, MIDDLE])])
    assert whole.tokens == parts.tokens == 2 + 4 + 4
    assert math.isclose(whole.perplexity, parts.perplexity, rel_tol=1e-6)
    assert math.isclose(whole.perplexity, math.exp(whole.nats / 10))


def test_perplexity_of_uniform_guesses_is_the_size_of_the_vocabulary() -> None:
    tokenizer = tiny_tokenizer()
    model = tiny_gpt2(tokenizer)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    assert math.isclose(reply_surprise(model, [Collator(0)([SHORT])]).perplexity, len(tokenizer), rel_tol=1e-4)
