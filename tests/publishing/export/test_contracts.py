"""What a run folder says, every engine has to read alike: the same ids, the same replies.

llama.cpp and vLLM themselves are asked by `make contracts`; here their rules are held against the files.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE
from tools.contracts.serving import post, served
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from personable.base import load_tokenizer
from personable.dialogue import Dialogue, Speaker
from personable.encoding import Budget, encode_dialogue, encode_prompt
from personable.encoding.template import as_messages
from personable.publishing.export.exporting import export
from personable.publishing.export.forms import Form
from personable.reply import Sampling, load
from personable.training.recipe import GenerationSettings
from personable.training.saving import save_model
from tests.reply.memorised_run import CONTEXT_TOKENS, KNOWN, said, write_memorised_run
from tests.tiny import CHATML, random_dialogue, tiny_tokenizer

ROOMY = Budget(100_000, 100)
PROMPTS = 50
GREEDY = Sampling(temperature=0, max_reply_tokens=24)
PRE_TOKENIZERS = {
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
}


def starter_run(folder: Path) -> Path:
    """As `--to safetensors` writes it: GPT-2's own vocabulary."""
    return export("starter", to=Form.SAFETENSORS, out=folder).path


def memorised(folder: Path) -> Path:
    """A trained run, with a vocabulary of its own."""
    folder.mkdir()
    return write_memorised_run(folder)


def llama_run(folder: Path) -> Path:
    """A run of the architecture, the template and the pre-tokenizer that SmolLM2 has."""
    tokenizer = tiny_tokenizer(template=CHATML, specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    tokenizer.backend_tokenizer.pre_tokenizer = PRE_TOKENIZERS["smollm"]
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    generation = GenerationSettings().model_dump()
    save_model(LlamaForCausalLM(config), tokenizer, folder, generation=generation, context_tokens=256)
    return folder


RUNS: dict[str, Callable[[Path], Path]] = {"starter": starter_run, "memorised": memorised, "llama": llama_run}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Callable[[str], Path]:
    """Each of RUNS, made once."""
    return cache(lambda kind: RUNS[kind](tmp_path_factory.mktemp("runs") / kind))


class LlamaCppReading:
    """What llama.cpp makes of messages, from nothing but a GGUF file: the template as jinja2 renders it, special tokens
    split off as they stand, the rest cut by the named pre-tokenizer and merged."""

    def __init__(self, file: Path) -> None:
        reader = gguf.GGUFReader(file)

        def value(key: str) -> Any:
            field = reader.get_field(key)
            assert field is not None, key
            return field.contents()

        tokens, types = value("tokenizer.ggml.tokens"), value("tokenizer.ggml.token_type")
        merges = [tuple(pair.split(" ")) for pair in value("tokenizer.ggml.merges")]
        special = (gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED)
        self.special_ids = {
            token: place for place, (token, kind) in enumerate(zip(tokens, types, strict=True)) if kind in special
        }
        self.bpe = Tokenizer(BPE({token: place for place, token in enumerate(tokens)}, merges))
        self.bpe.pre_tokenizer = PRE_TOKENIZERS[value("tokenizer.ggml.pre")]
        longest_first = sorted(self.special_ids, key=len, reverse=True)
        self.split = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        self.template = environment.from_string(value("tokenizer.chat_template"))
        names = ("bos", "eos")
        self.variables = {f"{name}_token": tokens[value(f"tokenizer.ggml.{name}_token_id")] for name in names}
        assert value("tokenizer.ggml.add_bos_token") is False
        assert value("tokenizer.ggml.add_eos_token") is False

    def ids(self, messages: list[dict[str, str]], *, prompt: bool) -> list[int]:
        text = self.template.render(messages=messages, add_generation_prompt=prompt, **self.variables)
        found: list[int] = []
        for part in self.split.split(text):
            found += [self.special_ids[part]] if part in self.special_ids else self.bpe.encode(part).ids
        return found


@pytest.fixture(scope="module")
def readings(runs, tmp_path_factory) -> Callable[[str], LlamaCppReading]:
    """The GGUF file of each of RUNS, read once."""
    return cache(lambda kind: LlamaCppReading(export(runs(kind), out=tmp_path_factory.mktemp(kind) / "run.gguf").path))


@pytest.mark.parametrize("kind", RUNS)
def test_a_thousand_dialogues_have_the_same_ids_for_trainer_transformers_and_gguf(kind, runs, readings) -> None:
    ours, theirs, llama = load_tokenizer(runs(kind)), AutoTokenizer.from_pretrained(runs(kind)), readings(kind)
    draw = random.Random(4)
    for _ in range(1000):
        dialogue = random_dialogue(draw)
        messages = as_messages(dialogue, ours)
        whole = list(encode_dialogue(dialogue, ours, ROOMY).input_ids)
        assert whole == theirs.apply_chat_template(messages, return_dict=False)
        assert whole == llama.ids(messages, prompt=False)
        prompt = list(encode_prompt(dialogue, ours, ROOMY).input_ids)
        assert prompt == theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert prompt == llama.ids(messages, prompt=True)


@pytest.mark.parametrize("kind", RUNS)
def test_numbers_accents_and_runs_of_spaces_are_cut_alike(kind, runs, readings) -> None:
    ours, llama = load_tokenizer(runs(kind)), readings(kind)
    for text in ("in 1984, 12345.6 of 007!", "naïve Ünïcode 日本 🙂", "a   b \n\n c\t d", "don't I'LL we're 'tis"):
        dialogue = Dialogue().then(Speaker.PARTNER, text)
        assert list(encode_prompt(dialogue, ours, ROOMY).input_ids) == llama.ids(
            as_messages(dialogue, ours), prompt=True
        )


def prompts_for(run: Path) -> list[Dialogue]:
    """What the run knows by heart up to each turn of the partner, then anything that leaves room for a reply."""
    asked = [said(persona, *turns[: place + 1]) for persona, turns in KNOWN for place in range(0, len(turns), 2)]
    draw, tokenizer = random.Random(6), load_tokenizer(run)
    while len(asked) < PROMPTS:
        dialogue = random_dialogue(draw, odd=len(asked) % 2 == 0).then(Speaker.PARTNER, "hi")
        prompt = encode_prompt(dialogue, tokenizer, ROOMY).input_ids
        if prompt == encode_prompt(dialogue, tokenizer, Budget(CONTEXT_TOKENS, GREEDY.max_reply_tokens)).input_ids:
            asked.append(dialogue)
    return asked


def test_transformers_serve_replies_as_we_do(runs, tmp_path) -> None:
    run = runs("memorised")
    bot = load(run)
    dialogues = prompts_for(run)
    expected = [bot.reply(dialogue, GREEDY) for dialogue in dialogues]
    assert len(set(expected)) > 10, "the prompts do not tell much"
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(run), "--device", "cpu"]
    command += ["--host", "127.0.0.1", "--port", "{port}"]
    environment = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    found = []
    with served(command, log=tmp_path / "serve.log", environment=environment, wait_seconds=300) as address:
        for dialogue in dialogues:
            messages = as_messages(dialogue, bot.base.tokenizer)
            asked = {"model": str(run), "messages": messages, "temperature": 0, "max_tokens": GREEDY.max_reply_tokens}
            answer = post(f"{address}/v1/chat/completions", asked)
            found.append(answer["choices"][0]["message"]["content"].strip())
    assert found == expected


# vLLM's reading, from its released code: ModelConfig.get_diff_sampling_param, GPT2Attention, GPT2LMHeadModel,
# resolve_chat_template.
TAKEN_FROM_GENERATION_CONFIG = {
    *("repetition_penalty", "presence_penalty", "frequency_penalty"),
    *("temperature", "top_k", "top_p", "min_p", "max_new_tokens"),
}
NO_SAMPLING = {"do_sample", "eos_token_id", "bos_token_id", "pad_token_id", "transformers_version"}


def read_json(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("kind", ["starter", "llama"])
def test_vllm_loses_no_setting_and_finds_everything_without_flags(kind, runs) -> None:
    run = runs(kind)
    generation = read_json(run / "generation_config.json")
    assert set(generation) <= TAKEN_FROM_GENERATION_CONFIG | NO_SAMPLING
    assert generation["do_sample"] is True
    assert {"temperature", "top_p", "top_k", "repetition_penalty", "max_new_tokens"} <= set(generation)
    settings = read_json(run / "tokenizer_config.json")
    template = (run / "chat_template.jinja").read_text(encoding="utf-8")
    assert settings["chat_template"] == template
    # Content as a string, the persona as `system`: else vLLM passes lists of parts, or a developer message as it is.
    assert "message['content']" in template
    assert re.search(r"message\['content'\]\s*(\[|\|\s*selectattr)|for \w+ in message\['content'\]", template) is None
    assert (settings["truncation_side"], settings["padding_side"]) == ("left", "left")
    assert [file.name for file in run.iterdir() if file.suffix in (".bin", ".pt", ".pth", ".pkl")] == []
    assert [file.name for file in run.glob("*.safetensors")] == ["model.safetensors"]


def test_a_gpt2_run_is_one_that_vllm_and_llama_cpp_compute(runs) -> None:
    config = read_json(runs("starter") / "config.json")
    assert config["architectures"] == ["GPT2LMHeadModel"]
    assert config["tie_word_embeddings"] is True
    for refused in ("add_cross_attention", "scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn"):
        assert config[refused] is False
    assert (
        config["n_ctx"]
        == config["n_positions"]
        == read_json(runs("starter") / "tokenizer_config.json")["model_max_length"]
    )
    assert config["n_inner"] in (None, 4 * config["n_embd"])
    assert config["n_embd"] % config["n_head"] == 0
    assert "task_specific_params" not in config


def test_replies_end_for_every_engine_with_the_token_the_template_closes_them_with(runs) -> None:
    for kind, end in (("starter", "<|endoftext|>"), ("llama", "<|im_end|>")):
        tokenizer = load_tokenizer(runs(kind))
        ends = read_json(runs(kind) / "generation_config.json")["eos_token_id"]
        assert tokenizer.convert_tokens_to_ids(end) in (ends if isinstance(ends, list) else [ends])
