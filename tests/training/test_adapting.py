"""A base made ready to be trained: precision, dropout, memory."""

from __future__ import annotations

import pytest
import torch
from transformers import OPTConfig, OPTForCausalLM

from personable.training import adapting, make_recipe, train
from personable.training.adapting import bf16_helps, prepare
from tests.training.small import rows, same_weights, small_recipe


@pytest.mark.parametrize("flags", [{"fpu", "avx512f"}, {"fpu", "avx512_bf16"}, {"amx_bf16", "amx_tile"}, set()])
def test_bf16_is_left_alone_where_a_cpu_would_emulate_it(monkeypatch, flags) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(adapting, "_cpu_flags", lambda: flags)
    assert bf16_helps() is bool(flags & {"avx512_bf16", "amx_bf16"})


@pytest.mark.parametrize("computed", [True, False])
def test_bf16_is_left_alone_where_a_gpu_would_emulate_it(monkeypatch, computed) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or computed
    )
    assert bf16_helps() is computed


def test_dropout_is_set_where_models_keep_a_probability() -> None:
    """OPT has no layers for it; two passes while training are equal only where all of it is off."""
    config = OPTConfig(
        vocab_size=50, hidden_size=16, ffn_dim=32, num_hidden_layers=2, num_attention_heads=2, word_embed_proj_dim=16
    )
    model = prepare(OPTForCausalLM(config), make_recipe({})).train()
    one, other = (model(input_ids=torch.arange(8)[None]).logits for _ in range(2))
    assert torch.equal(one, other)
    model = prepare(model, make_recipe({"dropout": 0.5}))
    one, other = (model(input_ids=torch.arange(8)[None]).logits for _ in range(2))
    assert not torch.equal(one, other)


def test_dropout_reaches_every_layer(base, data, tmp_path, caplog) -> None:
    """Seen from outside: the same run with dropout learns something else."""
    for name, dropout in (("without", 0.0), ("with", 0.5), ("again", 0.5)):
        train(small_recipe(base, data, tmp_path / name, also={"dropout": dropout}, max_steps=2))
    assert not same_weights(tmp_path / "with", tmp_path / "without")
    assert same_weights(tmp_path / "with", tmp_path / "again")
    with_, without = (rows(tmp_path / name, "loss")[0]["loss"] for name in ("with", "without"))
    assert with_ != without


def test_gradient_checkpointing_changes_nothing_but_memory(base, data, tmp_path) -> None:
    for name, on in (("plain", False), ("checkpointed", True)):
        train(small_recipe(base, data, tmp_path / name, gradient_checkpointing=on))
    plain, checkpointed = ([row["loss"] for row in rows(tmp_path / name, "loss")] for name in ("plain", "checkpointed"))
    assert plain == pytest.approx(checkpointed, abs=1e-5)
