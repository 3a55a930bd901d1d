"""The run folder while it is not finished: whose it is, whether it may be written, where training goes on from."""

from __future__ import annotations

import json
import logging
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transformers.trainer import PREFIX_CHECKPOINT_DIR, TRAINER_STATE_NAME

from personable import smollm2
from personable.base import UNFINISHED, is_local
from personable.corpus.reading import files_of
from personable.errors import DataError, RecipeError, TrainingStopped
from personable.files import write_whole
from personable.training.lock import LOCK
from personable.training.manifest import damage, remove_leftovers
from personable.training.recipe import Recipe, read_recipe, write_recipe

log = logging.getLogger(__name__)

RECORD = "training.json"
CHECKPOINTS = "checkpoints"

# What a run folder may hold. `--overwrite` deletes a folder that holds nothing else.
_OURS = re.compile(
    r"unfinished\.json(\.new)?|training\.lock|training\.json|metrics\.jsonl|loss\.png|recipe\.yaml|tensorboard"
    r"|checkpoints|\.writing"
    r"|config\.json|generation_config\.json|model.*\.safetensors|model\.safetensors\.index\.json|chat_template\.jinja"
    r"|tokenizer.*|vocab\..*|merges\.txt|special_tokens_map\.json|added_tokens\.json|spiece\.model"
    r"|evaluation.*|README\.md|LICENSE.*|export.*|.*\.gguf|(.*\.)?Modelfile"
)

_FIRST = (LOCK, f"{UNFINISHED}.new")


def open_run(recipe: Recipe, *, resume: bool, overwrite: bool) -> Path | None:
    """Checkpoint to go on from. Raises RecipeError where the folder is taken, TrainingStopped where none is whole."""
    run = recipe.run
    if resume:
        if not (run / UNFINISHED).exists():
            state = "a finished run" if (run / RECORD).exists() else "no run"
            raise RecipeError(
                f"expected an unfinished run to resume in {run}, found {state}. Next: leave out --resume."
            )
        _check_same_beginning(recipe)
        checkpoint = _newest_whole(run / CHECKPOINTS)
        if checkpoint is None:
            log.warning("no checkpoint was saved in %s yet; starting from the beginning", run)
        return checkpoint
    if not run.exists() or (run.is_dir() and all(file.name in _FIRST for file in run.iterdir())):
        return None  # nothing there, or only what a process killed in its first moment left
    ours = (run / UNFINISHED).exists() or (run / RECORD).exists()
    foreign = sorted(each.name for each in run.iterdir() if not _OURS.fullmatch(each.name)) if ours else []
    if not ours or (overwrite and foreign):
        found = f" ({', '.join(foreign)})" if foreign else ""
        raise RecipeError(
            f"expected a new or empty folder for the run, found other files{found} in {run}. "
            "Next: choose another --run."
        )
    if not overwrite:
        state, out = ("an unfinished", "--resume to go on, or ") if (run / UNFINISHED).exists() else ("a finished", "")
        raise RecipeError(f"{run} holds {state} run already. Next: {out}--overwrite to replace it, or another --run.")
    _check_spared(recipe)
    return None


def _check_spared(recipe: Recipe) -> None:
    """Raises RecipeError where a run would delete, with the folder that it replaces, what it is made from."""
    bundled = ("starter", smollm2.SPEC)
    bases = [Path(recipe.base).expanduser()] if recipe.base not in bundled and is_local(recipe.base) else []
    data = [source for source in (*recipe.data.train, *recipe.data.validation) if source != "starter"]
    for what, paths in (("a base", bases), ("data", [path for source in data for path in _local_paths(source)])):
        for path in paths:
            if path.exists() and (
                path.absolute().is_relative_to(recipe.run.absolute())
                or path.resolve().is_relative_to(recipe.run.resolve())
            ):
                raise RecipeError(
                    f"expected {what} outside the folder that is replaced, found {path} in {recipe.run}. "
                    "Next: choose another --run."
                )


def _local_paths(source: str) -> tuple[Path, ...]:
    try:
        found = files_of(source)
    except DataError:
        return ()  # reading it, which comes before anything is deleted, says what is wrong
    return found[0] if found else ()


def check_same_steps(run: Path, steps: dict[str, int]) -> None:
    """Raises RecipeError where a run would go on with other optimiser steps than it began with.

    steps: what the order of the dialogues and their number to a step follow from, under the names of the settings.
    """
    before = read_marker(run).get("steps", {})
    for name, value in steps.items():
        if before.get(name, value) != value:
            raise RecipeError(
                f"expected to resume {run} with {name} {before[name]}, as it began, found {value}: other dialogues "
                "would be in each step. Next: set it as it was, or start anew with --overwrite."
            )


def _check_same_beginning(recipe: Recipe) -> None:
    """Raises RecipeError where a run would go on with a model or data other than those it began with."""
    try:
        before = read_recipe(recipe.run / "recipe.yaml")
    except RecipeError:
        return  # stopped in its first moment
    parts = ("base", "data", "encoding", "lora", "dropout")
    if changed := [part for part in parts if getattr(recipe, part) != getattr(before, part)]:
        raise RecipeError(
            f"expected to resume {recipe.run} with the recipe it began with (its recipe.yaml), found another "
            f"{', '.join(changed)}. Next: personable train {recipe.run / 'recipe.yaml'} --resume, "
            "or --overwrite to start anew."
        )


def _newest_whole(checkpoints: Path) -> Path | None:
    """The newest checkpoint that can be gone on from; a warning for each newer one, and for a best one that is lost.

    Raises TrainingStopped where there are checkpoints and none can be used.
    """
    found = _by_step(checkpoints)
    problems = []
    for _, checkpoint in sorted(found.items(), reverse=True):
        if problem := damage(checkpoint):
            problems.append(f"{checkpoint.name} {problem}")
            log.warning("%s cannot be used (%s); trying the one before", checkpoint, problem)
            continue
        best = found.get(state_of(checkpoint).get("best_global_step") or 0, checkpoint)
        if best != checkpoint and (problem := damage(best)):
            log.warning(
                "%s, the best so far, cannot be used (%s); the best is chosen among those to come", best, problem
            )
        return checkpoint
    if problems:
        raise TrainingStopped(
            f"expected a checkpoint to go on from in {checkpoints}, found none that can be used: "
            f"{'; '.join(problems)}. Next: put one back from a copy, or start anew with --overwrite."
        )
    return None


def _by_step(checkpoints: Path) -> dict[int, Path]:
    named = checkpoints.glob(f"{PREFIX_CHECKPOINT_DIR}-*")
    return {step_of(path): path for path in named if path.name.rpartition("-")[2].isdecimal()}


def state_of(checkpoint: Path) -> dict[str, Any]:
    """What Trainer noted in a checkpoint that is whole."""
    state: dict[str, Any] = json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    return state


def start_run(recipe: Recipe, data: list[str], checkpoint: Path | None, *, steps: dict[str, int]) -> None:
    """Makes the folder, marked as unfinished from its first moment; what an overwritten run left goes now.

    data: fingerprints of the dialogues.   steps: as for `check_same_steps`.
    Raises DataError where a resumed run began with others, RecipeError where the folder cannot be written.
    """
    run = recipe.run
    now = datetime.now(UTC).isoformat(timespec="seconds")
    marker = read_marker(run) if checkpoint else {}
    if marker.get("data", data) != data:
        raise DataError(
            f"expected the dialogues that {run} began with, found others: what is in "
            f"{' '.join((*recipe.data.train, *recipe.data.validation))} changed since, or else training.seed, "
            "data.validation_share or another setting by which they are chosen. Next: put it back, or start anew with "
            "--overwrite."
        )
    marker = {"started": now, "resumed_at_steps": [], **marker, "data": data, "steps": steps}
    if checkpoint:
        marker["resumed_at_steps"] = [*marker["resumed_at_steps"], step_of(checkpoint)]
    try:
        run.mkdir(parents=True, exist_ok=True)
        write_whole(run / UNFINISHED, json.dumps(marker, indent=2) + "\n")
        for leftover in () if checkpoint else tuple(run.iterdir()):
            if leftover.name not in (UNFINISHED, LOCK):
                shutil.rmtree(leftover) if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()
        if checkpoint:
            _clear_unusable(checkpoint)
        write_recipe(recipe, run / "recipe.yaml")
    except OSError as error:
        raise RecipeError(f"expected to be able to write the run folder {run}, found: {error.strerror}.") from error


def _clear_unusable(checkpoint: Path) -> None:
    """Deletes checkpoints after the one gone on from, a damaged best one, and what a killed process had begun."""
    best = state_of(checkpoint).get("best_global_step")
    for step, other in _by_step(checkpoint.parent).items():
        if step > step_of(checkpoint) or (step == best and other != checkpoint and damage(other)):
            shutil.rmtree(other)
    remove_leftovers(checkpoint.parent)


def step_of(checkpoint: Path) -> int:
    """The optimiser step after which a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


def read_marker(run: Path) -> dict[str, Any]:
    """What an unfinished run noted at its start; empty where there is nothing to read."""
    try:
        marker: dict[str, Any] = json.loads((run / UNFINISHED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return marker
