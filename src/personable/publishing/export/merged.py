"""A run, or a checkpoint of one, as a whole model: adapters merged, the tokenizer found where it is."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.trainer import TRAINER_STATE_NAME

from personable.base import Base, is_local, load_base, quiet_transformers
from personable.errors import BadBase, MissingExtra
from personable.training.recipe import Recipe, read_recipe

_ADAPTER = "adapter_config.json"


def load_merged(run: str | Path, *, base: str | None = None) -> Base:
    """What `load_base` gives, on the CPU, also for a checkpoint of a run and for a folder with a LoRA adapter.

    base: what an adapter belongs to, where neither the recipe of its run nor the adapter itself tells.
    Raises BaseNotFound, BadBase, MissingExtra (an adapter without the `peft` package).
    """
    folder = Path(run).expanduser() if is_local(run) else None
    adapted = folder is not None and (folder / _ADAPTER).is_file()
    if folder is None or not (adapted or (folder / TRAINER_STATE_NAME).is_file()):
        return load_base(run, device="cpu")
    recipe = _recipe_of_checkpoint(folder)
    start = load_base(_start(folder, recipe, base), device="cpu")
    model = _merge(start.model, folder) if adapted else _read(folder)
    model.generation_config = _generation(recipe) if recipe else start.model.generation_config
    return Base(model.eval(), start.tokenizer, start.context_tokens, str(run))


def _recipe_of_checkpoint(folder: Path) -> Recipe | None:
    """That of the run whose checkpoints/checkpoint-N the folder is."""
    file = folder.resolve().parents[1] / "recipe.yaml"
    return read_recipe(file) if file.is_file() else None


def _start(folder: Path, recipe: Recipe | None, base: str | None) -> str:
    if base or recipe:
        return base or str(recipe.base if recipe else "")
    file = folder / _ADAPTER
    try:
        named = json.loads(file.read_text(encoding="utf-8")).get("base_model_name_or_path") if file.is_file() else None
    except (ValueError, AttributeError) as error:
        raise BadBase(f"expected the settings of an adapter in {file}, found: {error}.") from error
    if not named:
        raise BadBase(f"expected {folder} to say which base it was trained from, found nothing. Next: add --base.")
    return str(named)


def _merge(model: Any, folder: Path) -> Any:
    try:
        from peft import PeftModel
    except ImportError as error:
        raise MissingExtra("peft", "lora", f"the adapter in {folder}") from error
    try:
        with warnings.catch_warnings(), quiet_transformers():
            # peft asks the model for a property that transformers has renamed
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            merged: Any = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise BadBase(
            f"expected an adapter in {folder} that fits its base, found: {error}. Next: name its base with --base."
        ) from error
    return merged


def _read(folder: Path) -> Any:
    try:
        with quiet_transformers():
            return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise BadBase(f"expected a whole checkpoint in {folder}, found: {error}") from error


def _generation(recipe: Recipe) -> GenerationConfig:
    settings = recipe.generation.model_dump()
    if settings["temperature"] == 0:
        return GenerationConfig(
            do_sample=False,
            max_new_tokens=settings["max_new_tokens"],
            repetition_penalty=settings["repetition_penalty"],
        )
    return GenerationConfig(do_sample=True, **settings)
