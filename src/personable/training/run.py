"""Dialogues -> run folder."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.utils.tensorboard import SummaryWriter
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    ProgressCallback,
    TrainingArguments,
)
from transformers.integrations import TensorBoardCallback
from transformers.trainer_utils import get_last_checkpoint

from personable import starter
from personable.base import UNFINISHED, Base, load_base
from personable.corpus import fingerprint, read_dialogues, split_dialogues
from personable.dialogue import Dialogue
from personable.encoding import Budget
from personable.encoding.batches import Collator, pad_id_of
from personable.errors import DataError, MissingExtra, RecipeError, TrainingStopped
from personable.training.data import DialogueDataset, Layout
from personable.training.plot import draw_loss
from personable.training.recipe import Learn, LoraSettings, Recipe, write_recipe
from personable.training.record import (
    METRICS,
    MetricsFile,
    ProgressScreen,
    hardware,
    peak_memory_bytes,
    read_metrics,
    versions,
)
from personable.training.trainer import ReplyTrainer

log = logging.getLogger(__name__)

RECORD = "training.json"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run."""

    run: Path
    first_perplexity: float | None
    """Validation reply perplexity before the first step; None where the recipe did not measure it."""
    best_perplexity: float | None
    """Validation reply perplexity of the weights in the run."""
    seconds: float


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
    started = time.monotonic()
    began = datetime.now(UTC)
    checkpoint = _open_run(recipe, resume=resume, overwrite=overwrite)
    arguments = _training_arguments(recipe)
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
            raise DataError(f"expected {name} dialogues with replies to learn, found none. Next: personable data inspect")

    _start_run(recipe)
    model = _prepare(base.model, recipe)
    trainer = _trainer(model, base, arguments, recipe, train_set, validation_set)
    record, screen = MetricsFile(recipe.run / METRICS), ProgressScreen()
    record.trainer = screen.trainer = trainer
    trainer.add_callback(record)
    trainer.add_callback(screen)
    try:
        with _terminated_like_interrupted():
            trainer.train(resume_from_checkpoint=checkpoint)
    except torch.OutOfMemoryError as error:
        raise TrainingStopped(
            f"the device ran out of memory at batch size {arguments.per_device_train_batch_size}. Next: lower "
            "training.per_device_train_batch_size (and raise training.gradient_accumulation_steps by as much), set "
            "training.gradient_checkpointing=true, or add lora."
        ) from error
    except KeyboardInterrupt:
        log.warning("interrupted; to go on from the last checkpoint, give the same command with --resume")
        raise
    finally:
        screen.close()
    if trainer.is_world_process_zero():
        _finish(trainer, base, recipe, dialogues, layout, began=began, seconds=time.monotonic() - started)
    trainer.accelerator.wait_for_everyone()
    evaluations = [row for row in read_metrics(recipe.run / METRICS) if "eval_reply_perplexity" in row]
    first = next((row["eval_reply_perplexity"] for row in evaluations if row["step"] == 0), None)
    best = min((row["eval_reply_perplexity"] for row in evaluations), default=None)
    return Trained(recipe.run, first, best, time.monotonic() - started)


def _open_run(recipe: Recipe, *, resume: bool, overwrite: bool) -> str | None:
    """The checkpoint to go on from. Raises RecipeError where the folder is taken."""
    run = recipe.run
    if resume:
        checkpoint = get_last_checkpoint(str(run / CHECKPOINTS)) if (run / CHECKPOINTS).is_dir() else None
        if not (run / UNFINISHED).exists():
            state = "a finished run" if (run / RECORD).exists() else "no run"
            raise RecipeError(f"expected an unfinished run to resume in {run}, found {state}. Next: leave out --resume.")
        if checkpoint is None:
            log.warning("no checkpoint was saved in %s yet; starting from the beginning", run)
        return checkpoint
    if not run.exists() or (run.is_dir() and not any(run.iterdir())):
        return None
    ours = (run / UNFINISHED).exists() or (run / RECORD).exists()
    if not ours:
        raise RecipeError(f"expected a new or empty folder for the run, found other files in {run}. Next: choose another.")
    if not overwrite:
        state, out = ("an unfinished", "--resume to go on, or ") if (run / UNFINISHED).exists() else ("a finished", "")
        raise RecipeError(f"{run} holds {state} run already. Next: {out}--overwrite to replace it, or another --run.")
    return None


def _start_run(recipe: Recipe) -> None:
    """Makes the folder, marked as unfinished from its first moment; what an overwritten run left goes now."""
    run = recipe.run
    run.mkdir(parents=True, exist_ok=True)
    resuming = (run / UNFINISHED).exists() and (run / CHECKPOINTS).is_dir()
    (run / UNFINISHED).write_text(json.dumps({"started": datetime.now(UTC).isoformat(), "process": os.getpid()}))
    if not resuming:
        for leftover in run.iterdir():
            if leftover.name == UNFINISHED:
                continue
            shutil.rmtree(leftover) if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()
    write_recipe(recipe, run / "recipe.yaml")


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
        if data.max_validation_dialogues is not None:
            validation = validation[: data.max_validation_dialogues]
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
    try:
        return TrainingArguments(
            output_dir=str(recipe.run / CHECKPOINTS),
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            **chosen,
        )
    except (TypeError, ValueError, ImportError) as error:
        raise RecipeError(f"transformers.TrainingArguments refuses the recipe's `training`: {error}") from error


def bf16_helps() -> bool:
    """True where matrix products in bf16 are computed, not emulated: there they are faster and take half the memory."""
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def _prepare(model: Any, recipe: Recipe) -> Any:
    """The model to train: dropout set, LoRA added."""
    if recipe.dropout is not None:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = recipe.dropout
            if hasattr(module, "attention_dropout") and isinstance(module.attention_dropout, float):
                module.attention_dropout = recipe.dropout
    return _with_lora(model, recipe.lora) if recipe.lora else model


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
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),  # GPT-2 stores weights transposed
        task_type="CAUSAL_LM",
    )
    try:
        adapted = get_peft_model(model, config)
    except ValueError as error:
        raise RecipeError(f"lora.target_modules: {error}") from error
    adapted.enable_input_require_grads()  # without it gradient checkpointing finds nothing to differentiate
    return adapted


def _trainer(
    model: Any,
    base: Base,
    arguments: TrainingArguments,
    recipe: Recipe,
    train_set: DialogueDataset,
    validation_set: DialogueDataset,
) -> ReplyTrainer:
    callbacks: list[Any] = [TensorBoardCallback(SummaryWriter(str(recipe.run / "tensorboard")))]
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
    began: datetime,
    seconds: float,
) -> None:
    """Writes the model folder; the marker goes last, so that nothing half-written looks like a run."""
    run, state = recipe.run, trainer.state
    model = trainer.accelerator.unwrap_model(trainer.model)
    if recipe.lora:
        model = model.merge_and_unload()
    metrics = read_metrics(run / METRICS)
    draw_loss(metrics, run / "loss.png", title=f"{run.name}: {base.spec} fine-tuned")
    staging = run / ".writing"
    if staging.exists():
        shutil.rmtree(staging)
    save_model(model, base.tokenizer, staging, generation=recipe.generation.model_dump(), context_tokens=base.context_tokens)
    evaluations = [row for row in metrics if "eval_reply_perplexity" in row]
    best = min(evaluations, key=lambda row: row["eval_reply_perplexity"], default=None)
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
        "learnt_tokens": trainer.learnt_tokens,
        "best": {"step": best["step"], "validation_reply_perplexity": best["eval_reply_perplexity"]} if best else None,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "started": began.isoformat(timespec="seconds"),
        "duration_seconds": round(seconds, 1),
        "peak_memory_bytes": peak_memory_bytes(),
        "versions": versions(),
        "hardware": hardware(),
    }
    (staging / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
    for file in sorted(staging.iterdir(), key=lambda file: file.name == "config.json"):
        file.replace(run / file.name)
    staging.rmdir()
    shutil.rmtree(run / CHECKPOINTS, ignore_errors=True)
    (run / UNFINISHED).unlink()


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
    greedy = generation["temperature"] == 0
    sampling = {"do_sample": not greedy} | {
        key: value for key, value in generation.items() if not (greedy and key in ("temperature", "top_p", "top_k"))
    }
    model.generation_config = transformers.GenerationConfig(
        eos_token_id=tokenizer.eos_token_id,
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


def _described(sources: Sequence[str], dialogues: Sequence[Dialogue]) -> dict[str, Any]:
    return {
        "sources": list(sources) or ["held out of the training data"],
        "fingerprint": fingerprint(dialogues),
        "dialogues": len(dialogues),
        "replies": sum(len(dialogue.replies) for dialogue in dialogues),
    }
