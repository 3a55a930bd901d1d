"""Dialogues -> run folder."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from accelerate import PartialState
from torch.utils.tensorboard import SummaryWriter
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    ProgressCallback,
    TrainingArguments,
)
from transformers.integrations import TensorBoardCallback
from transformers.trainer import TRAINER_STATE_NAME

from personable.base import Base, load_base, quiet_transformers
from personable.corpus import fingerprint
from personable.encoding import Budget
from personable.encoding.batches import Collator, pad_id_of
from personable.errors import DataError
from personable.training.adapting import prepare
from personable.training.arguments import training_arguments
from personable.training.data import DialogueDataset
from personable.training.finishing import evaluated, finish, kept_step
from personable.training.folder import Manifest, open_run, start_run, step_of
from personable.training.layout import Layout
from personable.training.parts import read_parts
from personable.training.recipe import Learn, Recipe
from personable.training.record import (
    METRICS,
    MetricsFile,
    ProgressScreen,
)
from personable.training.stopping import explained, terminated_like_interrupted
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


def train(recipe: Recipe, *, resume: bool = False, overwrite: bool = False) -> Trained:
    """Fine-tunes `recipe.base` on `recipe.data` and writes the run folder `recipe.run`.

    The folder looks finished only once it is: until then it holds a marker and no config.json. With `resume` an
    unfinished run goes on from its newest checkpoint. `overwrite` replaces an earlier run, and nothing but a run.
    Raises RecipeError, DataError, BaseNotFound, BadBase, TrainingStopped, MissingExtra.
    """
    arguments = training_arguments(recipe)
    checkpoint = open_run(recipe, resume=resume, overwrite=overwrite)
    if checkpoint:
        arguments.eval_on_start = False  # measured already; once more would count against the patience
    transformers.set_seed(arguments.seed)
    dialogues = read_parts(recipe, seed=arguments.seed)
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
        with explained(arguments), quiet_transformers(), terminated_like_interrupted():
            trainer = _trainer(model, base, arguments, recipe, train_set, validation_set)
            if checkpoint:
                _restore_patience(trainer, checkpoint)
            for callback in (record, screen, *([board] if board else [])):
                trainer.add_callback(callback)
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            kept = kept_step(trainer)
            if arguments.eval_strategy != "no" and evaluated(recipe.run, trainer.state.global_step) is None:
                trainer.evaluate()
            if processes.is_main_process:
                finish(trainer, base, recipe, dialogues, layout, kept_step=kept, seconds=record.seconds)
    except KeyboardInterrupt:
        log.warning("interrupted; to go on from the last checkpoint, give the same command with --resume")
        raise
    finally:
        screen.close()
        if board and board.tb_writer:
            board.tb_writer.close()
    processes.wait_for_everyone()
    return Trained(recipe.run, evaluated(recipe.run, 0), evaluated(recipe.run, kept), record.seconds)


def _layout(recipe: Recipe, base: Base) -> Layout:
    context = min(recipe.encoding.context_tokens, base.context_tokens)
    budget = Budget(context, reply_tokens=min(128, context // 4))
    return Layout(base.tokenizer, budget, learn_partner=recipe.encoding.learn is Learn.TURNS)


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
