"""Dialogues -> run folder."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import PartialState
from safetensors import SafetensorError
from torch.utils.tensorboard import SummaryWriter
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    ProgressCallback,
    TrainingArguments,
)
from transformers.integrations import TensorBoardCallback
from transformers.trainer import TRAINER_STATE_NAME

from personable import starter
from personable.base import UNFINISHED, Base, load_base, quiet_transformers
from personable.corpus import fingerprint, read_dialogues, split_dialogues
from personable.dialogue import Dialogue
from personable.encoding import Budget
from personable.encoding.batches import Collator, pad_id_of
from personable.errors import DataError, RecipeError, TrainingStopped
from personable.provenance import hardware, peak_memory_bytes, versions
from personable.training.adapting import bf16_helps, prepare
from personable.training.data import DialogueDataset, Layout
from personable.training.folder import CHECKPOINTS, RECORD, Manifest, open_run, read_marker, start_run, step_of
from personable.training.plot import draw_loss
from personable.training.recipe import Learn, Recipe
from personable.training.record import (
    METRICS,
    MetricsFile,
    ProgressScreen,
    not_finite,
    read_metrics,
)
from personable.training.saving import save_model
from personable.training.trainer import ReplyTrainer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run."""

    run: Path
    first_perplexity: float | None
    """Validation reply perplexity before the first step; None where the recipe did not measure it."""
    best_perplexity: float | None
    """Validation reply perplexity of the weights in the run."""
    seconds: float
    """Spent on training and evaluating, the stretches before an interruption included."""


@dataclass(frozen=True, slots=True)
class _Dialogues:
    train: tuple[Dialogue, ...]
    validation: tuple[Dialogue, ...]


def train(recipe: Recipe, *, resume: bool = False, overwrite: bool = False) -> Trained:
    """Fine-tunes `recipe.base` on `recipe.data` and writes the run folder `recipe.run`.

    The folder looks finished only once it is: until then it holds a marker and no config.json. With `resume` an
    unfinished run goes on from its newest checkpoint. `overwrite` replaces an earlier run, and nothing but a run.
    Raises RecipeError, DataError, BaseNotFound, BadBase, TrainingStopped, MissingExtra.
    """
    arguments = _training_arguments(recipe)
    checkpoint = open_run(recipe, resume=resume, overwrite=overwrite)
    if checkpoint:
        arguments.eval_on_start = False  # measured already; once more would count against the patience
    transformers.set_seed(arguments.seed)
    dialogues = _read(recipe, seed=arguments.seed)
    base = load_base(recipe.base, device="cpu")
    transformers.set_seed(arguments.seed)  # loading may have drawn; LoRA's start is to depend on the seed alone
    layout = _layout(recipe, base)
    seed = arguments.data_seed if arguments.data_seed is not None else arguments.seed
    shuffle_seed = seed if recipe.encoding.shuffle_persona else None
    train_set = DialogueDataset(dialogues.train, layout, shuffle_persona_seed=shuffle_seed)
    validation_set = DialogueDataset(dialogues.validation, layout)
    for name, dataset in (("training", train_set), ("validation", validation_set)):
        if not len(dataset):
            sources = recipe.data.validation if name == "validation" and recipe.data.validation else recipe.data.train
            raise DataError(
                f"expected {name} dialogues with replies to learn, found none in {' '.join(sources)}. Next: "
                "look with personable data inspect"
                + (", or name data.validation." if name == "validation" and not recipe.data.validation else ".")
            )
    model = prepare(base.model, recipe)

    processes = PartialState()
    processes.wait_for_everyone()  # all have looked at the folder by now
    if processes.is_main_process:
        start_run(recipe, [fingerprint(dialogues.train), fingerprint(dialogues.validation)], checkpoint)
    processes.wait_for_everyone()
    record, screen = MetricsFile(recipe.run / METRICS), ProgressScreen()
    board = _tensorboard(recipe.run, checkpoint) if processes.is_main_process else None
    try:
        with _explained(arguments), quiet_transformers(), _terminated_like_interrupted():
            trainer = _trainer(model, base, arguments, recipe, train_set, validation_set)
            if checkpoint:
                _restore_patience(trainer, checkpoint)
            for callback in (record, screen, *([board] if board else [])):
                trainer.add_callback(callback)
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            kept = _kept_step(trainer)
            if arguments.eval_strategy != "no" and _evaluated(recipe.run, trainer.state.global_step) is None:
                trainer.evaluate()
            if processes.is_main_process:
                _finish(trainer, base, recipe, dialogues, layout, kept_step=kept, seconds=record.seconds)
    except KeyboardInterrupt:
        log.warning("interrupted; to go on from the last checkpoint, give the same command with --resume")
        raise
    finally:
        screen.close()
        if board and board.tb_writer:
            board.tb_writer.close()
    processes.wait_for_everyone()
    return Trained(recipe.run, _evaluated(recipe.run, 0), _evaluated(recipe.run, kept), record.seconds)


def _kept_step(trainer: ReplyTrainer) -> int:
    """The optimiser step whose weights the trainer holds now that it has ended."""
    best = trainer.state.best_model_checkpoint
    if trainer.args.load_best_model_at_end and best:
        return int(Path(best).name.rpartition("-")[2])
    return int(trainer.state.global_step)


def _evaluated(run: Path, step: int) -> float | None:
    """Validation reply perplexity at a step; None where it was not measured then."""
    rows = read_metrics(run / METRICS) if (run / METRICS).exists() else []
    return next(
        (row["eval_reply_perplexity"] for row in rows if row["step"] == step and "eval_reply_perplexity" in row), None
    )


class _explained:  # noqa: N801  (used as a verb in `with`)
    """Turns what training runs into into a PersonableError that says what to do."""

    def __init__(self, arguments: TrainingArguments) -> None:
        self.arguments = arguments

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, torch.OutOfMemoryError):
            raise TrainingStopped(
                f"the device ran out of memory at batch size {self.arguments.per_device_train_batch_size}. Next: lower "
                "training.per_device_train_batch_size (and raise training.gradient_accumulation_steps by as much), set "
                "training.gradient_checkpointing=true, or add lora; then start again with --overwrite."
            ) from error
        if isinstance(error, (OSError, SafetensorError)):
            raise TrainingStopped(
                f"expected to be able to write the run, found: {error}. Next: make room, then go on with --resume."
            ) from error
        if isinstance(error, ImportError) or (isinstance(error, KeyError) and "metric_for_best_model" in str(error)):
            raise RecipeError(f"the recipe's `training` cannot be followed: {error}") from error


def _read(recipe: Recipe, *, seed: int) -> _Dialogues:
    data = recipe.data

    def read(sources: Sequence[str], bundled: Path, most: int | None) -> tuple[Dialogue, ...]:
        found: list[Dialogue] = []
        for source in sources:
            path = bundled if source == "starter" else source
            reading = read_dialogues(path, format=data.format if source != "starter" else None,
                                     detokenise=data.detokenise, max_bad=data.max_bad)  # fmt: skip
            for problem in reading.problems:
                log.warning("skipped: %s", problem)
            found += reading.dialogues
        if most is not None and most < len(found):
            found = random.Random(seed).sample(found, most)
        return tuple(found)

    train = read(data.train, starter.TRAIN, None)
    if data.validation:
        validation = read(data.validation, starter.VALIDATION, data.max_validation_dialogues)
    else:
        split = split_dialogues(train, validation_share=data.validation_share, seed=seed)
        train, validation = split.train, split.validation
        if split.left_out:
            log.warning(
                "left out %d of %d dialogues that share a conversation or a persona with both training and validation",
                len(split.left_out),
                len(train) + len(validation) + len(split.left_out),
            )
        most = data.max_validation_dialogues
        if most is not None and most < len(validation):
            validation = tuple(random.Random(seed).sample(validation, most))
    if data.max_dialogues is not None and data.max_dialogues < len(train):
        train = tuple(random.Random(seed).sample(train, data.max_dialogues))
    return _Dialogues(train, validation)


def _layout(recipe: Recipe, base: Base) -> Layout:
    context = min(recipe.encoding.context_tokens, base.context_tokens)
    budget = Budget(context, reply_tokens=min(128, context // 4))
    return Layout(base.tokenizer, budget, learn_partner=recipe.encoding.learn is Learn.TURNS)


def _training_arguments(recipe: Recipe) -> TrainingArguments:
    chosen = recipe.training_arguments
    if "bf16" not in chosen and "fp16" not in chosen:
        chosen["bf16"] = bf16_helps()
    if "max_steps" in recipe.training and "num_train_epochs" not in recipe.training:
        chosen["num_train_epochs"] = 1
    for old in ("gradient_checkpointing", "gradient_checkpointing_kwargs"):
        new = old.replace("gradient", "activation")
        if old in chosen and new in TrainingArguments.__dataclass_fields__:  # the old name still works, with a warning
            chosen.setdefault(new, chosen.pop(old))
    chosen.setdefault("dataloader_pin_memory", torch.accelerator.is_available())  # else torch warns of it
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
    _use_one_gpu(arguments)
    return arguments


def _use_one_gpu(arguments: TrainingArguments) -> None:
    """With several in one process Trainer would copy the model to each, and copies know nothing of learnt places."""
    if arguments.n_gpu > 1:
        log.warning(
            "found %d GPUs and use one; for all of them: torchrun --nproc-per-node %d --no-python personable train ...",
            arguments.n_gpu,
            arguments.n_gpu,
        )
        arguments._n_gpu = 1


def _trainer(
    model: Any,
    base: Base,
    arguments: TrainingArguments,
    recipe: Recipe,
    train_set: DialogueDataset,
    validation_set: DialogueDataset,
) -> ReplyTrainer:
    callbacks: list[Any] = [Manifest()]
    if recipe.early_stopping_patience and arguments.load_best_model_at_end:
        callbacks.append(EarlyStoppingCallback(recipe.early_stopping_patience))
    trainer = ReplyTrainer(
        model=model,
        args=arguments,
        data_collator=Collator(pad_id_of(base.tokenizer)),
        train_dataset=train_set,
        eval_dataset=validation_set,
        callbacks=callbacks,
    )
    for shown_twice in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(shown_twice)
    return trainer


def _restore_patience(trainer: ReplyTrainer, checkpoint: Path) -> None:
    """Evaluations without improvement before the interruption count on; Trainer would start again from none."""
    state = json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    stored = state.get("stateful_callbacks", {}).get(EarlyStoppingCallback.__name__, {}).get("attributes", {})
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, EarlyStoppingCallback):
            callback.early_stopping_patience_counter = stored.get("early_stopping_patience_counter", 0)


def _tensorboard(run: Path, checkpoint: Path | None) -> TensorBoardCallback:
    purge = step_of(checkpoint) + 1 if checkpoint else None  # hides what a lost stretch of the run wrote
    return TensorBoardCallback(SummaryWriter(str(run / "tensorboard"), purge_step=purge))


class _terminated_like_interrupted:  # noqa: N801  (used as a phrase in `with`)
    """SIGTERM, as a batch system or container sends it, ends training the way Ctrl-C does."""

    def __enter__(self) -> None:
        self.before: Callable[..., Any] | int | None = None
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGTERM, self._interrupt)

    def __exit__(self, *_: object) -> None:
        if self.before is not None:
            signal.signal(signal.SIGTERM, self.before)

    @staticmethod
    def _interrupt(*_: object) -> None:
        raise KeyboardInterrupt


def _finish(
    trainer: ReplyTrainer,
    base: Base,
    recipe: Recipe,
    dialogues: _Dialogues,
    layout: Layout,
    *,
    kept_step: int,
    seconds: float,
) -> None:
    """Writes the model folder. Until the marker goes the run can be resumed, from then on it is finished."""
    run, state = recipe.run, trainer.state
    model = trainer.accelerator.unwrap_model(trainer.model)
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
    save_model(
        model, base.tokenizer, staging, generation=recipe.generation.model_dump(), context_tokens=base.context_tokens
    )
    marker = read_marker(run)
    record = {
        "recipe": recipe.model_dump(mode="json"),
        "training_arguments": {key: value for key, value in trainer.args.to_dict().items() if value is not None},
        "chat_template": base.tokenizer.chat_template,
        "context_tokens": layout.budget.context_tokens,
        "data": {
            "train": _described(recipe.data.train, dialogues.train),
            "validation": _described(recipe.data.validation, dialogues.validation),
        },
        "steps": state.global_step,
        "epochs": state.epoch,
        "learnt_tokens": state.num_input_tokens_seen,
        "kept": {"step": kept_step, "validation_reply_perplexity": _evaluated(run, kept_step)},
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


def _described(sources: Sequence[str], dialogues: Sequence[Dialogue]) -> dict[str, Any]:
    return {
        "sources": list(sources) or ["held out of the training data"],
        "fingerprint": fingerprint(dialogues),
        "dialogues": len(dialogues),
        "replies": sum(len(dialogue.replies) for dialogue in dialogues),
    }
