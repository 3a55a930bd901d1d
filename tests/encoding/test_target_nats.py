import pytest
import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, set_seed

from personable.encoding.likelihood import target_nats
from tests.tiny import tiny_gemma2, tiny_gpt2, tiny_tokenizer


def llama_with_many_words():
    """More than the 1024 that are scored at a time, and no multiple of it."""
    set_seed(0)
    config = LlamaConfig(
        vocab_size=2500, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        bos_token_id=0, eos_token_id=0, pad_token_id=0, initializer_range=0.8,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


MODELS = [llama_with_many_words(), tiny_gpt2(tiny_tokenizer()), tiny_gemma2(tiny_tokenizer())]


@pytest.mark.parametrize("model", MODELS, ids=["llama", "gpt2", "gemma2 with capped logits"])
def test_nats_are_those_of_full_logits(model):
    ids = torch.arange(3, 300, 7)
    words = model.config.vocab_size
    targets = torch.arange(len(ids)) * 61 % words
    # One target is the likeliest token, one in the last, smaller part of the vocabulary.
    with torch.no_grad():
        scores = model(ids[None]).logits[0].double().log_softmax(-1)
    targets[0], targets[1] = scores[0].argmax(), words - 1
    found = target_nats(model, {"input_ids": ids[None], "use_cache": False}, targets)
    assert found.tolist() == pytest.approx(
        (-scores.gather(1, targets[:, None]).squeeze(1)).tolist(), rel=1e-5, abs=1e-5
    )


def test_what_the_model_is_called_with_is_passed_on():
    model, ids = MODELS[0], torch.arange(5, 25)
    cache = DynamicCache(config=model.config)
    model(ids[None, :12], past_key_values=cache, use_cache=True)
    found = target_nats(model, {"input_ids": ids[None, 12:], "past_key_values": cache, "use_cache": True}, ids[:8])
    whole = target_nats(model, {"input_ids": ids[None], "use_cache": False}, ids.roll(12))
    assert found.tolist() == pytest.approx(whole[12:].tolist(), rel=1e-4)
