"""A loaded base made ready to be trained: precision, dropout, LoRA."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from personable.errors import MissingExtra, RecipeError
from personable.training.recipe import LoraSettings, Recipe


def bf16_helps() -> bool:
    """True where matrix products in bf16 are computed, not emulated: there they are faster and take half the memory."""
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def prepare(model: Any, recipe: Recipe) -> Any:
    """The model to train: dropout set, LoRA added."""
    if recipe.dropout is not None:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = recipe.dropout
            if hasattr(module, "attention_dropout") and isinstance(module.attention_dropout, float):
                module.attention_dropout = recipe.dropout
    if recipe.lora is None:
        return model
    adapted = _with_lora(model, recipe.lora)
    if any(recipe.training.get(name) for name in ("gradient_checkpointing", "activation_checkpointing")):
        # Checkpointed layers need an input to differentiate; elsewhere that costs a backward pass through all layers.
        adapted.enable_input_require_grads()
    return adapted


def _with_lora(model: Any, settings: LoraSettings) -> Any:
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise MissingExtra("peft", "lora", "a recipe with `lora`") from error
    from transformers.pytorch_utils import Conv1D

    targets = settings.target_modules
    config = LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        layers_to_transform=list(settings.layers_to_transform) if settings.layers_to_transform else None,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),  # GPT-2 stores weights transposed
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():
            # peft asks the model for a property that transformers has renamed
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            adapted = get_peft_model(model, config)
    except ValueError as error:
        raise RecipeError(f"lora.target_modules: {error}") from error
    return adapted
