"""A model folder that every engine opens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import transformers

from personable.encoding import turn_end_ids
from personable.encoding.batches import pad_id_of


def save_model(model: Any, tokenizer: Any, folder: Path, *, generation: dict[str, Any], context_tokens: int) -> None:
    """A model folder that every engine opens and chats with rightly: safetensors, tokenizer, template, sampling.

    generation: temperature, top_p, top_k, repetition_penalty, max_new_tokens.
    """
    folder.mkdir(parents=True)
    config = model.config
    if config.model_type == "gpt2":
        config.n_ctx = config.n_positions  # what llama.cpp's converter reads
    if hasattr(config, "task_specific_params"):
        del config.task_specific_params  # DialoGPT's leftover: conversational defaults that some tools obey
    config.use_cache = True  # Trainer turns it off
    ends = sorted(turn_end_ids(tokenizer))  # not every template closes replies with the tokenizer's EOS
    greedy = generation["temperature"] == 0
    sampling = {"do_sample": not greedy} | {
        key: value for key, value in generation.items() if not (greedy and key in ("temperature", "top_p", "top_k"))
    }
    model.generation_config = transformers.GenerationConfig(
        eos_token_id=ends[0] if len(ends) == 1 else ends,
        pad_token_id=pad_id_of(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        **sampling,
    )
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder, context_tokens=context_tokens)


def save_tokenizer(tokenizer: Any, folder: Path, *, context_tokens: int) -> None:
    """tokenizer.json, and the chat template in both places where engines look for it."""
    tokenizer.model_max_length = context_tokens
    tokenizer.save_pretrained(folder)
    settings_file = folder / "tokenizer_config.json"
    settings = json.loads(settings_file.read_text(encoding="utf-8"))
    # Readers older than chat_template.jinja look only here.
    settings |= {"chat_template": tokenizer.chat_template, "model_max_length": context_tokens}
    settings_file.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
