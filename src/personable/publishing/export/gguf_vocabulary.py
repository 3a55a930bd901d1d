"""A tokenizer as GGUF stores it: byte-level BPE, the only kind of GPT-2 and of the SmolLM2 bases."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import gguf

from personable.errors import BadBase
from personable.pre_tokenizers import BY_NAME

_NO_EFFECT_ON_IDS = "trim_offsets"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens in the order of their ids, and how text becomes them."""

    tokens: list[str]
    """In GPT-2's alphabet of bytes; special tokens as plain text."""
    types: list[int]
    """A gguf.TokenType each."""
    merges: list[str]
    """Pairs, joined by a space, in order of rank."""
    pre_tokenizer: str
    """llama.cpp's name for how text is cut before merging."""


def vocabulary_of(tokenizer: Any, rows: int) -> Vocabulary:
    """The vocabulary of a fast tokenizer, filled up to as many tokens as the model has rows of embeddings.

    Raises BadBase for a tokenizer that llama.cpp would not follow.
    """
    settings = json.loads(tokenizer.backend_tokenizer.to_str())
    model, added = settings["model"], settings["added_tokens"]
    _check(settings)
    tokens = [f"[PAD{index}]" for index in range(rows)]
    types = [gguf.TokenType.UNUSED] * rows
    for token, index in model["vocab"].items():
        tokens[index], types[index] = token, gguf.TokenType.NORMAL
    for token in added:
        kind = gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
        tokens[token["id"]], types[token["id"]] = token["content"], kind
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return Vocabulary(tokens, [int(kind) for kind in types], merges, _pre_tokenizer(settings["pre_tokenizer"]))


def _check(settings: dict[str, Any]) -> None:
    model = settings["model"]
    if model["type"] != "BPE":
        raise _unlike("byte-level BPE", model["type"])
    wrong = [
        name
        for name in ("continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges", "dropout")
        if model.get(name)
    ]
    if wrong:
        raise _unlike("plain byte-level BPE", f"BPE with {', '.join(wrong)}")
    if settings["normalizer"] is not None:
        raise _unlike("no normaliser", settings["normalizer"]["type"])
    for token in settings["added_tokens"]:
        if token["lstrip"] or token["rstrip"] or token["single_word"]:
            raise _unlike("added tokens that match as they stand", f"{token['content']!r}, which takes spaces along")


def _pre_tokenizer(found: dict[str, Any] | None) -> str:
    steps = found["pretokenizers"] if found and found["type"] == "Sequence" else [found]
    plain = [{key: value for key, value in (step or {}).items() if key != _NO_EFFECT_ON_IDS} for step in steps]
    for name, known in BY_NAME.items():  # whatever is not here would be cut at other places by llama.cpp
        if plain == [{key: value for key, value in step.items() if key != _NO_EFFECT_ON_IDS} for step in known]:
            return name
    names = ", ".join(str(step.get("type")) for step in plain)
    raise _unlike("the pre-tokenizer of GPT-2 or of SmolLM", names)


def _unlike(expected: str, found: str) -> BadBase:
    return BadBase(
        f"a GGUF file can be written for tokenizers of GPT-2's kind: expected {expected}, found {found}. "
        "Next: export --to safetensors, and convert that folder with llama.cpp's convert_hf_to_gguf.py."
    )
