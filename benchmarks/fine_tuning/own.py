"""Personable's own training, as `personable train` runs it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from fine_tuning.job import ROW_TOKENS, Job, Variant
from fine_tuning.material import FIRST, LATER, VALIDATION
from personable.training import make_recipe, train
from personable.training.recipe import Recipe
from personable.training.record import METRICS, read_metrics


def speed(job: Job) -> dict[str, Any]:
    """Learnt tokens and seconds from the end of the first step to that of the last; loss of a step on the first
    dialogues."""
    with tempfile.TemporaryDirectory(prefix="fine-tuning-") as folder:
        train(recipe_of(job, job.data / FIRST, Path(folder) / "first", max_steps=1))
        beginning = _losses(Path(folder) / "first")
        train(recipe_of(job, job.data / LATER, Path(folder) / "later", max_steps=1 + job.steps))
        rows = _losses(Path(folder) / "later")
    return {
        "learnt_tokens": rows[-1]["learnt_tokens"] - rows[0]["learnt_tokens"],
        "seconds": rows[-1]["seconds"] - rows[0]["seconds"],
        "first_step_loss": beginning[0]["loss"],
    }


def learn(job: Job, watch: TrainerCallback) -> None:
    """Fine-tunes until `watch` says stop."""
    with tempfile.TemporaryDirectory(prefix="fine-tuning-") as folder:
        train(recipe_of(job, job.data / LATER, Path(folder) / "run", max_steps=10**6), callbacks=[watch])


def recipe_of(job: Job, dialogues: Path, run: Path, *, max_steps: int) -> Recipe:
    """The job as a recipe; everything it does not name is Personable's default."""
    validation = job.data / VALIDATION
    lora = job.lora or job.variant is Variant.PERSONABLE_LORA
    return make_recipe(
        {
            "base": job.base,
            "run": str(run),
            "data": {
                "train": str(dialogues.with_suffix(".jsonl")),
                "validation": str((validation if validation.exists() else dialogues).with_suffix(".jsonl")),
                "detokenise": False,  # done already
            },
            # Where losses are compared, facts have to stand in the order in which others read them.
            "encoding": {"context_tokens": ROW_TOKENS, "shuffle_persona": bool(job.marks)},
            **({"lora": {}} if lora else {}),
            "dropout": 0.1 if job.variant is Variant.PERSONABLE_DROPOUT else job.dropout,
            "training": {
                "max_steps": max_steps,
                "per_device_train_batch_size": job.rows_per_step,
                "gradient_accumulation_steps": 1,
                "learning_rate": job.learning_rate,
                "lr_scheduler_type": "constant_with_warmup",
                "warmup_steps": job.warmup_steps,
                "logging_steps": 10 if job.marks else 1,
                "eval_strategy": "no",
                "save_strategy": "no",
                "seed": job.seed,
                "bf16": job.computes_bf16,
            },
        }
    )


def _losses(run: Path) -> list[dict[str, Any]]:
    return [row for row in read_metrics(run / METRICS) if "loss" in row]
