"""A loaded base made ready to be trained: precision, dropout, faster equal parts, LoRA."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from transformers.activations import NewGELUActivation

from personable.errors import MissingExtra, RecipeError
from personable.training.recipe import LoraSettings, Recipe


def bf16_helps() -> bool:
    """True where matrix products in bf16 are computed, not emulated: there they are faster and take half the memory.

    Emulated they are several times slower than in float32, on a CPU as on an old GPU.
    """
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(_BF16_FLAGS & _cpu_flags())


_BF16_FLAGS = {"amx_bf16", "avx512_bf16"}


def _cpu_flags() -> set[str]:
    """What Linux says of the processor; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def prepare(model: Any, recipe: Recipe) -> Any:
    """The model to train: dropout set, LoRA added."""
    for module in list(model.modules()):
        if recipe.dropout is not None:
            _set_dropout(module, recipe.dropout)
        if isinstance(getattr(module, "act", None), NewGELUActivation):
            module.act = torch.nn.GELU(approximate="tanh")  # the same function in one kernel: a tenth of a step
    if recipe.lora is None:
        return model
    adapted = _with_lora(model, recipe.lora)
    if any(recipe.training.get(name) for name in ("gradient_checkpointing", "activation_checkpointing")):
        # Checkpointed layers need an input to differentiate; elsewhere that costs a backward pass through all layers.
        adapted.enable_input_require_grads()
    return adapted


# Where models keep a probability for the functional form of dropout.
_DROPOUTS = ("dropout", "attention_dropout", "activation_dropout", "resid_dropout", "embd_dropout", "attn_dropout")


def _set_dropout(module: torch.nn.Module, probability: float) -> None:
    if isinstance(module, torch.nn.Dropout):
        module.p = probability
    for name in _DROPOUTS:
        if isinstance(getattr(module, name, None), float):
            setattr(module, name, probability)


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
