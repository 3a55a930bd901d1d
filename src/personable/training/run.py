"""Dialogues -> run folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    TrainerCallback,
    TrainingArguments,
)
from transformers.integrations import TensorBoardCallback

from personable.base import UNFINISHED, Base, load_base, quiet_transformers
from personable.encoding import Budget
from personable.encoding.batches import RowCollator, pad_id_of
from personable.encoding.segments import attend_within_segments
from personable.errors import DataError
from personable.training.adapting import prepare
from personable.training.arguments import training_arguments
from personable.training.data import RowDataset
from personable.training.finishing import evaluated, finish, kept_step
from personable.training.folder import check_same_steps, open_run, start_run, state_of, step_of
from personable.training.layout import Layout
from personable.training.lock import locked
from personable.training.parts import Parts, read_parts
from personable.training.processes import await_shared, main_alone_speaks, told_by_main
from personable.training.recipe import Learn, Recipe
from personable.training.record import (
    METRICS,
    MetricsFile,
    ProgressScreen,
)
from personable.training.rows import check_shared, plan_rows
from personable.training.stopping import StopSignals, explained
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


@main_alone_speaks()
def train(
    recipe: Recipe, *, resume: bool = False, overwrite: bool = False, callbacks: Sequence[TrainerCallback] = ()
) -> Trained:
    """Fine-tunes `recipe.base` on `recipe.data` and writes the run folder `recipe.run`.

    Under a launcher (torchrun, `accelerate launch`, Ray) all processes call it and return the same.

    The folder looks finished only once it is: until then it holds a marker and no config.json. With `resume` an
    unfinished run goes on from its newest checkpoint. `overwrite` replaces an earlier run, and nothing but a run.
    `callbacks` look on, and may stop it, as any of transformers' Trainer.
    Raises RecipeError, DataError, BaseNotFound, BadBase, TrainingStopped, MissingExtra; Interrupted after a signal.
    """
    arguments = training_arguments(recipe)
    processes = PartialState()
    with locked(recipe.run):
        checkpoint = open_run(recipe, resume=resume, overwrite=overwrite)
        processes.wait_for_everyone()  # all have looked at the folder by now
        done = _train(recipe, arguments, checkpoint, callbacks)
        processes.wait_for_everyone()
    return told_by_main(done)  # type: ignore[no-any-return]  # what came in comes out


def _train(
    recipe: Recipe, arguments: TrainingArguments, checkpoint: Path | None, callbacks: Sequence[TrainerCallback]
) -> Trained:
    steps = _steps(arguments)
    if checkpoint:
        check_same_steps(recipe.run, steps)
        arguments.eval_on_start = False  # measured already; once more would count against the patience
    transformers.set_seed(arguments.seed)
    base = load_base(recipe.base, device="cpu")
    transformers.set_seed(arguments.seed)  # loading may have drawn; LoRA's start is to depend on the seed alone
    layout = _layout(recipe, base)
    parts = read_parts(recipe, layout, seed=arguments.seed)
    for name, prepared in (("training", parts.train), ("validation", parts.validation)):
        if not len(prepared):
            sources = recipe.data.validation if name == "validation" and recipe.data.validation else recipe.data.train
            raise DataError(
                f"expected {name} dialogues with replies to learn, found none in {' '.join(sources)}. Next: "
                "look with personable data inspect"
                + (", or name data.validation." if name == "validation" and not recipe.data.validation else ".")
            )
    packed = recipe.encoding.packing and attend_within_segments(base.model, layout.budget.context_tokens)
    if recipe.encoding.packing and not packed:
        log.warning(
            "dialogues cannot be packed for %s: they are padded, those of like length together, which is slower",
            recipe.base,
        )
    train_set, validation_set = _rows(parts, layout, recipe, arguments, packed=packed)
    model = prepare(base.model, recipe)

    processes = PartialState()
    processes.wait_for_everyone()
    if processes.is_main_process:
        start_run(recipe, [parts.train.fingerprint, parts.validation.fingerprint], checkpoint, steps=steps)
    processes.wait_for_everyone()
    await_shared(recipe.run / UNFINISHED)
    record, screen = MetricsFile(recipe.run / METRICS), ProgressScreen()
    try:
        with (
            explained(arguments),
            quiet_transformers(),
            StopSignals(recipe.run) as stop,
            _tensorboard(recipe.run, checkpoint, writes=processes.is_main_process) as boards,
        ):
            collator = RowCollator(pad_id_of(base.tokenizer), packed)
            trainer = _trainer(model, arguments, recipe, collator, train_set, validation_set, stop)
            if checkpoint:
                _restore_patience(trainer, checkpoint)
            for callback in (record, screen, *boards, *callbacks):
                trainer.add_callback(callback)
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            kept = kept_step(trainer)
            measured = told_by_main(evaluated(recipe.run, trainer.state.global_step))
            if arguments.eval_strategy != "no" and measured is None:
                trainer.evaluate()
            finish(trainer, base, recipe, parts, layout, kept_step=kept, seconds=record.seconds)
    finally:
        screen.close()
    return Trained(recipe.run, evaluated(recipe.run, 0), evaluated(recipe.run, kept), record.seconds)


def _steps(arguments: TrainingArguments) -> dict[str, int]:
    """What the order of the dialogues and their number to a step follow from; several processes may share the rows."""
    return {
        "training.seed": arguments.seed,
        "training.data_seed": _data_seed(arguments),
        "rows to an optimiser step (training.per_device_train_batch_size x training.gradient_accumulation_steps x "
        "processes)": arguments.train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size,
    }


def _data_seed(arguments: TrainingArguments) -> int:
    return int(arguments.seed if arguments.data_seed is None else arguments.data_seed)


def _layout(recipe: Recipe, base: Base) -> Layout:
    context = min(recipe.encoding.context_tokens, base.context_tokens)
    budget = Budget(context, reply_tokens=min(128, context // 4))
    return Layout(base.tokenizer, budget, learn_partner=recipe.encoding.learn is Learn.TURNS)


def _rows(
    parts: Parts, layout: Layout, recipe: Recipe, arguments: TrainingArguments, *, packed: bool
) -> tuple[RowDataset, RowDataset]:
    """What is learnt from and what is held out, in rows. Raises DataError where they are too few for the processes."""
    row_tokens, processes = layout.budget.context_tokens, arguments.world_size
    seed = _data_seed(arguments)
    batch = arguments.train_batch_size * processes
    plan = plan_rows(
        parts.train.lengths,
        row_tokens,
        packed=packed,
        batch_rows=batch,
        accumulation=arguments.gradient_accumulation_steps,
    )
    check_shared(plan, batch, processes, "training")
    batch = 1
    if processes > 1:  # a row at least for each, also where few dialogues are held out
        most = max(len(parts.validation) // processes, 1)
        arguments.per_device_eval_batch_size = min(arguments.per_device_eval_batch_size, most)
        batch = arguments.eval_batch_size * processes
    held_out = plan_rows(parts.validation.lengths, row_tokens, packed=packed, batch_rows=batch)
    check_shared(held_out, batch, processes, "validation")
    return (
        RowDataset(parts.train, plan, layout, seed=seed, shuffle_persona=recipe.encoding.shuffle_persona),
        RowDataset(parts.validation, held_out, layout, seed=seed, shuffle_persona=False),
    )


def _trainer(
    model: Any,
    arguments: TrainingArguments,
    recipe: Recipe,
    collator: RowCollator,
    train_set: RowDataset,
    validation_set: RowDataset,
    stop: StopSignals,
) -> ReplyTrainer:
    callbacks: list[Any] = []
    if recipe.early_stopping_patience and arguments.load_best_model_at_end:
        callbacks.append(EarlyStoppingCallback(recipe.early_stopping_patience))
    trainer = ReplyTrainer(
        model=model,
        args=arguments,
        data_collator=collator,
        train_dataset=train_set,
        eval_dataset=validation_set,
        callbacks=callbacks,
        stop=stop,
    )
    for shown_twice in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(shown_twice)
    return trainer


def _restore_patience(trainer: ReplyTrainer, checkpoint: Path) -> None:
    """Evaluations without improvement before the interruption count on; Trainer would start again from none."""
    stored = (
        state_of(checkpoint).get("stateful_callbacks", {}).get(EarlyStoppingCallback.__name__, {}).get("attributes", {})
    )
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, EarlyStoppingCallback):
            callback.early_stopping_patience_counter = stored.get("early_stopping_patience_counter", 0)


@contextmanager
def _tensorboard(run: Path, checkpoint: Path | None, *, writes: bool) -> Iterator[list[TensorBoardCallback]]:
    """The callback that writes TensorBoard's files, or none of it; closed at the end."""
    if not writes:
        yield []
        return
    purge = step_of(checkpoint) + 1 if checkpoint else None  # hides what a lost stretch of the run wrote
    board = TensorBoardCallback(SummaryWriter(str(run / "tensorboard"), purge_step=purge))
    try:
        yield [board]
    finally:
        try:
            if board.tb_writer:
                board.tb_writer.close()
        except Exception as error:  # not in place of what ended the run; and a run is whole without its curves
            log.warning("the last of %s could not be written: %s", run / "tensorboard", error)
