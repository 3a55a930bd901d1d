"""A GGUF file holds the model: read by gguf's own reader, and loaded again as a base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from tokenizers import Regex, normalizers, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, set_seed

from personable.base import Base, load_base
from personable.errors import BadBase
from personable.publishing.export.forms import Quantization
from personable.publishing.export.gguf_file import write_gguf
from tests.tiny import CHATML, chatml_tokenizer, tiny_gemma2, tiny_gpt2, tiny_tokenizer

DIGITS = pre_tokenizers.Digits(individual_digits=True)
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)


def gpt2_base(*, positions: int = 256, **changes: Any) -> Base:
    tokenizer = tiny_tokenizer()
    model = tiny_gpt2(tokenizer, positions=positions)
    for name, value in changes.items():
        setattr(model.config, name, value)
    return Base(model, tokenizer, positions, "tiny")


def llama_base(*, tied: bool = True, **settings: Any) -> Base:
    """Grouped queries, heads of another size than width / heads, SmolLM's pre-tokenizer."""
    specials = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    tokenizer = tiny_tokenizer(template=CHATML, specials=specials)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([DIGITS, BYTES])
    set_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=128, bos_token_id=0, eos_token_id=0,
        tie_word_embeddings=tied, **settings,
    )  # fmt: skip
    return Base(LlamaForCausalLM(config).eval(), tokenizer, 128, "tiny")


def written(base: Base, file: Path, quantization: Quantization = Quantization.F32) -> gguf.GGUFReader:
    write_gguf(base, file, quantization=quantization, name="tiny", licence="mit")
    return gguf.GGUFReader(file)


def value(reader: gguf.GGUFReader, key: str) -> Any:
    field = reader.get_field(key)
    return None if field is None else field.contents()


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=torch.arange(5, 45)[None]).logits
    return found


MADE = {
    "gpt2": lambda: gpt2_base(positions=1024),  # transformers reads no other number of positions from a GGUF file
    "llama": llama_base,
    "untied": lambda: llama_base(tied=False),
}


@pytest.mark.parametrize("kind", MADE)
def test_a_file_in_f32_is_the_same_model(kind: str, tmp_path) -> None:
    base = MADE[kind]()
    reader = written(base, tmp_path / "tiny.gguf")
    again = load_base(tmp_path / "tiny.gguf", device="cpu")
    assert torch.equal(logits(again.model), logits(base.model))
    tied = base.model.config.tie_word_embeddings
    assert ("output.weight" in {tensor.name for tensor in reader.tensors}) is not tied


def test_queries_and_keys_are_in_the_order_in_which_llama_cpp_rotates(tmp_path) -> None:
    base = llama_base()
    reader = written(base, tmp_path / "tiny.gguf")
    layer = base.model.model.layers[0].self_attn
    for name, weight, heads in (("q", layer.q_proj.weight, 4), ("k", layer.k_proj.weight, 2)):
        (found,) = (tensor.data for tensor in reader.tensors if tensor.name == f"blk.0.attn_{name}.weight")
        for head in range(heads):
            rows = weight.detach().numpy()[head * 32 : head * 32 + 32]
            assert np.array_equal(found[head * 32 : head * 32 + 32 : 2], rows[:16])
            assert np.array_equal(found[head * 32 + 1 : head * 32 + 32 : 2], rows[16:])


def test_matrices_take_the_type_asked_for_and_nothing_else_does(tmp_path) -> None:
    kinds = {}
    for quantization in Quantization:
        reader = written(gpt2_base(), tmp_path / f"{quantization}.gguf", quantization)
        kinds[quantization] = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
        assert value(reader, "general.file_type") == {"f32": 0, "f16": 1, "q8_0": 7}[quantization]
    matrices = {"token_embd.weight"} | {
        f"blk.{layer}.{name}.weight" for layer in (0, 1) for name in ("attn_qkv", "attn_output", "ffn_up", "ffn_down")
    }
    for quantization, found in kinds.items():
        assert {name for name, kind in found.items() if kind == quantization.upper()} == (
            set(found) if quantization is Quantization.F32 else matrices
        )
        assert found["position_embd.weight"] == "F32"
        assert len(found) == 2 + 2 + 2 * 12


def test_q8_0_rounds_to_a_127th_of_the_largest_of_32(tmp_path) -> None:
    base = gpt2_base()
    reader = written(base, tmp_path / "tiny.gguf", Quantization.Q8_0)
    (tensor,) = (tensor for tensor in reader.tensors if tensor.name == "blk.1.ffn_up.weight")
    found = gguf.quants.dequantize(tensor.data, gguf.GGMLQuantizationType.Q8_0).reshape(-1, 32)
    true = base.model.transformer.h[1].mlp.c_fc.weight.detach().T.numpy().reshape(-1, 32)
    step = np.abs(true).max(axis=1, keepdims=True) / 127
    # Half a step, and the scale itself is a float16.
    assert (np.abs(found - true) <= step * (1 / 2 + 127 / 2**11)).all()
    assert np.abs(found - true).max() > 0


def test_q8_0_falls_back_to_f16_where_rows_cannot_be_cut_into_32(tmp_path) -> None:
    base = llama_base()
    base.model.config.intermediate_size = 80
    model = LlamaForCausalLM(base.model.config)
    reader = written(Base(model, base.tokenizer, 128, "tiny"), tmp_path / "tiny.gguf", Quantization.Q8_0)
    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert kinds["blk.0.ffn_down.weight"] == "F16"
    assert kinds["blk.0.ffn_up.weight"] == "Q8_0"


def test_the_file_says_all_that_an_engine_asks_for(tmp_path) -> None:
    base = gpt2_base()
    base.model.generation_config = GenerationConfig(
        do_sample=True, temperature=0.5, top_p=0.8, top_k=7, repetition_penalty=1.25
    )
    reader = written(base, tmp_path / "tiny.gguf")
    expected = {
        "general.architecture": "gpt2",
        "general.name": "tiny",
        "general.license": "mit",
        "general.sampling.temp": 0.5,
        "general.sampling.top_p": pytest.approx(0.8),
        "general.sampling.top_k": 7,
        "general.sampling.min_p": 0,
        "general.sampling.penalty_repeat": 1.25,
        "general.sampling.penalty_last_n": -1,
        "gpt2.context_length": 256,
        "gpt2.embedding_length": 32,
        "gpt2.feed_forward_length": 128,
        "gpt2.block_count": 2,
        "gpt2.attention.head_count": 2,
        "gpt2.attention.layer_norm_epsilon": pytest.approx(1e-5),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.ggml.eot_token_id": 0,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": base.tokenizer.chat_template,
    }
    assert {key: value(reader, key) for key in expected} == expected


def test_the_token_that_ends_a_reply_is_told_apart_from_the_end_of_text(tmp_path) -> None:
    base = llama_base()
    reader = written(base, tmp_path / "tiny.gguf")
    assert value(reader, "tokenizer.ggml.pre") == "smollm"
    assert value(reader, "tokenizer.ggml.eos_token_id") == 0
    assert value(reader, "tokenizer.ggml.eot_token_id") == base.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert value(reader, "llama.attention.head_count_kv") == 2
    assert value(reader, "llama.rope.dimension_count") == 32


def test_tokens_are_told_apart_by_type_and_rows_without_a_token_are_unused(tmp_path) -> None:
    base = gpt2_base()
    base.tokenizer.add_tokens(["<smile>"])
    base.model.resize_token_embeddings(len(base.tokenizer) + 3, mean_resizing=False)
    reader = written(base, tmp_path / "tiny.gguf")
    tokens, types = value(reader, "tokenizer.ggml.tokens"), value(reader, "tokenizer.ggml.token_type")
    assert len(tokens) == len(types) == len(base.tokenizer) + 3
    assert tokens[: len(base.tokenizer)] == base.tokenizer.convert_ids_to_tokens(range(len(base.tokenizer)))
    assert (tokens[0], types[0]) == ("<|endoftext|>", gguf.TokenType.CONTROL)
    assert (tokens[-4], types[-4]) == ("<smile>", gguf.TokenType.USER_DEFINED)
    assert types[-3:] == [gguf.TokenType.UNUSED] * 3
    assert set(types[1:-4]) == {gguf.TokenType.NORMAL}


def test_another_architecture_is_refused_with_those_that_can_be_written(tmp_path) -> None:
    tokenizer = chatml_tokenizer()
    with pytest.raises(BadBase, match=r"gpt2, llama\), found gemma2 .*Next: export --to safetensors"):
        write_gguf(Base(tiny_gemma2(tokenizer), tokenizer, 256, "tiny"), tmp_path / "tiny.gguf", name="tiny")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "found"),
    [("activation_function", "relu"), ("scale_attn_by_inverse_layer_idx", True), ("scale_attn_weights", False)],
)
def test_a_gpt2_that_llama_cpp_would_compute_otherwise_is_refused(setting: str, found: Any, tmp_path) -> None:
    with pytest.raises(BadBase, match=f"{setting} {found!r}"):
        write_gguf(gpt2_base(**{setting: found}), tmp_path / "tiny.gguf", name="tiny")


STRETCHED = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10_000.0}


@pytest.mark.parametrize(
    ("setting", "found"), [("rope_parameters", STRETCHED), ("attention_bias", True), ("mlp_bias", True)]
)
def test_a_llama_that_is_not_plain_is_refused(setting: str, found: Any, tmp_path) -> None:
    with pytest.raises(BadBase, match=f"found {setting} "):
        write_gguf(llama_base(**{setting: found}), tmp_path / "tiny.gguf", name="tiny")


@pytest.mark.parametrize(
    ("part", "other", "found"),
    [
        ("pre_tokenizer", pre_tokenizers.Sequence([BYTES, DIGITS]), "ByteLevel, Digits"),
        ("pre_tokenizer", pre_tokenizers.ByteLevel(add_prefix_space=True), "ByteLevel"),
        ("pre_tokenizer", pre_tokenizers.Split(Regex(r"\d{1,3}"), "isolated"), "Split"),
        ("normalizer", normalizers.NFC(), "NFC"),
    ],
)
def test_a_tokenizer_that_llama_cpp_would_not_follow_is_refused(part: str, other: Any, found: str, tmp_path) -> None:
    base = gpt2_base()
    setattr(base.tokenizer.backend_tokenizer, part, other)
    with pytest.raises(BadBase, match=f"found {found}"):
        write_gguf(base, tmp_path / "tiny.gguf", name="tiny")
