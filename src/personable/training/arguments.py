"""A recipe's `training` -> TrainingArguments."""

from __future__ import annotations

import logging
import os

import torch
from accelerate.utils import disable_fsdp_ram_efficient_loading
from transformers import TrainingArguments

from personable.errors import RecipeError
from personable.training.adapting import bf16_helps
from personable.training.folder import CHECKPOINTS
from personable.training.recipe import Recipe

log = logging.getLogger(__name__)


def training_arguments(recipe: Recipe) -> TrainingArguments:
    """What the recipe and the machine together ask for. Raises RecipeError."""
    chosen = recipe.training_arguments
    if "bf16" not in chosen and "fp16" not in chosen:
        chosen["bf16"] = bf16_helps()
    if "max_steps" in recipe.training and "num_train_epochs" not in recipe.training:
        chosen["num_train_epochs"] = 1
    for old in ("gradient_checkpointing", "gradient_checkpointing_kwargs"):
        new = old.replace("gradient", "activation")
        if old in chosen and new in TrainingArguments.__dataclass_fields__:  # the old name still works, with a warning
            chosen.setdefault(new, chosen.pop(old))
    accelerated = torch.accelerator.is_available()
    chosen.setdefault("dataloader_pin_memory", torch.cuda.is_available())  # elsewhere torch warns of it
    if torch.cuda.is_available():
        chosen.setdefault("dataloader_num_workers", 2)  # facts in a new order are laid out anew, beside the GPU's work
    if not accelerated:
        chosen.setdefault("use_cpu", True)  # else accelerate leaves launched processes each on its own; so gloo is used
    chosen.setdefault("ddp_find_unused_parameters", False)  # there are none, and looking for them takes time each step
    chosen.setdefault("log_level_replica", "error")
    chosen.setdefault("log_on_each_node", False)
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        disable_fsdp_ram_efficient_loading()  # bases are looked at before they are sharded, so each process needs one
    try:
        arguments = TrainingArguments(
            output_dir=str(recipe.run / CHECKPOINTS),
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            **chosen,
        )
    except (TypeError, ValueError, ImportError) as error:
        raise RecipeError(f"transformers.TrainingArguments refuses the recipe's `training`: {error}") from error
    use_one_gpu(arguments)
    return arguments


def use_one_gpu(arguments: TrainingArguments) -> None:
    """With several in one process Trainer would copy the model to each, and copies know nothing of learnt places."""
    if arguments.n_gpu > 1:
        log.warning(
            "found %d GPUs and use one; for all of them: torchrun --nproc-per-node %d --no-python personable train ...",
            arguments.n_gpu,
            arguments.n_gpu,
        )
        arguments._n_gpu = 1
