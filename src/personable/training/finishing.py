"""A trained model and the record of how it came about -> a finished run folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate.utils import DistributedType

from personable.base import UNFINISHED, Base, load_base, quiet_transformers
from personable.provenance import hardware, peak_memory_bytes, versions
from personable.training.adapting import prepare
from personable.training.folder import CHECKPOINTS, RECORD, read_marker, step_of
from personable.training.layout import Layout
from personable.training.parts import Parts
from personable.training.plot import draw_loss
from personable.training.prepared import Prepared
from personable.training.recipe import Recipe
from personable.training.record import METRICS, not_finite, read_metrics
from personable.training.saving import save_model
from personable.training.trainer import ReplyTrainer


def kept_step(trainer: ReplyTrainer) -> int:
    """The optimiser step whose weights the trainer holds now that it has ended."""
    best = trainer.state.best_model_checkpoint
    if trainer.args.load_best_model_at_end and best:
        return step_of(Path(best))
    return int(trainer.state.global_step)


def evaluated(run: Path, step: int) -> float | None:
    """Validation reply perplexity at a step; None where it was not measured then."""
    rows = read_metrics(run / METRICS) if (run / METRICS).exists() else []
    return next(
        (row["eval_reply_perplexity"] for row in rows if row["step"] == step and "eval_reply_perplexity" in row), None
    )


def whole_model(trainer: ReplyTrainer, recipe: Recipe) -> Any:
    """The trained model with all of its weights. Where those are sharded, the main process gets it; None elsewhere."""
    accelerator = trainer.accelerator
    if accelerator.distributed_type not in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        return accelerator.unwrap_model(trainer.model)
    weights = accelerator.get_state_dict(trainer.model_wrapped)
    if not accelerator.is_main_process:
        return None
    model = prepare(load_base(recipe.base, device="cpu").model, recipe)  # the trained one is in shards for good
    model.load_state_dict(weights)
    return model


def finish(
    trainer: ReplyTrainer,
    base: Base,
    recipe: Recipe,
    dialogues: Parts,
    layout: Layout,
    *,
    kept_step: int,
    seconds: float,
) -> None:
    """Writes the model folder, in the main process; all have to call it, since each may hold a part of the weights.

    Until the marker goes the run can be resumed, from then on it is finished.
    """
    model = whole_model(trainer, recipe)
    if not trainer.accelerator.is_main_process:
        return
    run, state = recipe.run, trainer.state
    if recipe.lora:
        model = model.merge_and_unload()
    if not all(bool(weight.isfinite().all()) for weight in model.parameters()):
        raise not_finite(f"weights that are no numbers after step {state.global_step}")
    metrics = read_metrics(run / METRICS)
    base_name = Path(base.spec).name if Path(base.spec).is_absolute() else base.spec  # others will see the picture
    draw_loss(metrics, run / "loss.png", title=f"{run.name}: {base_name} fine-tuned", kept_step=kept_step)
    staging = run / ".writing"
    if staging.exists():
        shutil.rmtree(staging)
    with quiet_transformers():
        generation = recipe.generation.model_dump()
        save_model(model, base.tokenizer, staging, generation=generation, context_tokens=base.context_tokens)
    marker = read_marker(run)
    record = {
        "recipe": recipe.model_dump(mode="json"),
        "training_arguments": {key: value for key, value in trainer.args.to_dict().items() if value is not None},
        "chat_template": base.tokenizer.chat_template,
        "context_tokens": layout.budget.context_tokens,
        "rows": _rows(trainer, layout),
        "processes": trainer.args.world_size,
        "data": {
            "train": described(recipe.data.train, dialogues.train),
            "validation": described(recipe.data.validation, dialogues.validation),
        },
        "steps": state.global_step,
        "epochs": state.epoch,
        "learnt_tokens": state.num_input_tokens_seen,
        "kept": {"step": kept_step, "validation_reply_perplexity": evaluated(run, kept_step)},
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "started": marker.get("started"),
        "resumed_at_steps": marker.get("resumed_at_steps", []),
        "duration_seconds": round(seconds, 1),
        "peak_memory_bytes": peak_memory_bytes(),
        "versions": versions(),
        "hardware": hardware(),
    }
    (staging / RECORD).write_text(
        json.dumps(record, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8"
    )
    for file in staging.iterdir():
        with file.open("rb") as stream:
            os.fsync(stream.fileno())  # on the disk before the marker goes
    for file in sorted(staging.iterdir(), key=lambda file: file.name == "config.json"):
        file.replace(run / file.name)
    staging.rmdir()
    (run / UNFINISHED).unlink()
    shutil.rmtree(run / CHECKPOINTS, ignore_errors=True)


def _rows(trainer: ReplyTrainer, layout: Layout) -> dict[str, Any]:
    """How dialogues went through the model together."""
    plan, tokens = trainer.train_dataset.plan, layout.budget.context_tokens
    return {
        "packed": trainer.data_collator.packed,
        "rows": len(plan),
        "tokens": tokens,
        "filled": round(plan.fill(tokens), 4),
    }


def described(sources: Sequence[str], prepared: Prepared) -> dict[str, Any]:
    """What training.json says of one part of the data."""
    return {
        "sources": list(sources) or ["held out of the training data"],
        "fingerprint": prepared.fingerprint,
        "dialogues": prepared.dialogues,
        "replies": prepared.replies,
    }
