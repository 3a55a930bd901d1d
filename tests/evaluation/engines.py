"""Tiny engines whose choices are clear enough that rounding does not decide them, and some of whose replies end."""

from __future__ import annotations

import random

import torch
from transformers import BloomConfig, BloomForCausalLM, MistralConfig, MistralForCausalLM, set_seed

from personable.base import Base
from personable.dialogue import Dialogue
from personable.encoding import turn_end_ids
from tests.tiny import chatml_tokenizer, random_dialogue, tiny_gemma2, tiny_gpt2, tiny_llama, tiny_tokenizer


def _decided(model, tokenizer):
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim == 2:
                weights.mul_(6)
        for end in turn_end_ids(tokenizer):
            model.get_output_embeddings().weight[end].mul_(2)
    return model


def _tiny_mistral(tokenizer, window):
    set_seed(0)
    config = MistralConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, sliding_window=window, bos_token_id=0, eos_token_id=0,
        pad_token_id=0,
    )  # fmt: skip
    return MistralForCausalLM(config).eval()


def _tiny_bloom(tokenizer):
    set_seed(0)
    config = BloomConfig(
        vocab_size=len(tokenizer), hidden_size=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    return BloomForCausalLM(config).eval()


def _base(model, tokenizer):
    return Base(_decided(model, tokenizer), tokenizer, 256, "tiny")


BASES = {
    "gpt2": _base(tiny_gpt2(tiny_tokenizer()), tiny_tokenizer()),
    "llama": _base(tiny_llama(tiny_tokenizer()), tiny_tokenizer()),
    "llama chatml": _base(tiny_llama(chatml_tokenizer()), chatml_tokenizer()),
    "mistral": _base(_tiny_mistral(tiny_tokenizer(), 100), tiny_tokenizer()),  # cannot see further back than 100 tokens
    "gemma2": _base(tiny_gemma2(tiny_tokenizer()), tiny_tokenizer()),  # caps its logits
    "bloom": _base(_tiny_bloom(tiny_tokenizer()), tiny_tokenizer()),  # takes its positions from the mask
}


def histories(count: int = 8, seed: int = 1) -> list[Dialogue]:
    """Every beginning of a few random dialogues, and one with nothing in it."""
    draw = random.Random(seed)
    found = [Dialogue()]
    for _ in range(count):
        dialogue = random_dialogue(draw)
        for end in range(len(dialogue.turns) + 1):
            found.append(Dialogue(dialogue.persona, dialogue.turns[:end]))
    return found
