"""The run folder while it is not finished: whose it is, whether it may be written, where training goes on from."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from personable.base import UNFINISHED
from personable.errors import DataError, RecipeError
from personable.files import write_whole
from personable.training.recipe import Recipe, read_recipe, write_recipe

log = logging.getLogger(__name__)

RECORD = "training.json"
CHECKPOINTS = "checkpoints"
MANIFEST = "manifest.json"
"""In a checkpoint, written after everything else: name -> SHA-256 of each file."""

# What a run folder may hold. `--overwrite` deletes a folder that holds nothing else.
_OURS = re.compile(
    r"unfinished\.json(\.new)?|training\.json|metrics\.jsonl|loss\.png|recipe\.yaml|tensorboard|checkpoints|\.writing"
    r"|config\.json|generation_config\.json|model.*\.safetensors|model\.safetensors\.index\.json|chat_template\.jinja"
    r"|tokenizer.*|vocab\..*|merges\.txt|special_tokens_map\.json|added_tokens\.json|spiece\.model"
    r"|evaluation.*|README\.md|LICENSE.*|export.*|.*\.gguf|(.*\.)?Modelfile"
)


def open_run(recipe: Recipe, *, resume: bool, overwrite: bool) -> Path | None:
    """The checkpoint to go on from. Raises RecipeError where the folder is taken."""
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
    if not run.exists() or (run.is_dir() and not any(run.iterdir())):
        return None
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
    return None


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
    """The newest checkpoint that was written to its end and not damaged since; a warning for each newer one."""
    found = {int(name.rpartition("-")[2]): name for name in (path.name for path in checkpoints.glob("checkpoint-*"))}
    for _, name in sorted(found.items(), reverse=True):
        if problem := _damage(checkpoints / name):
            log.warning("%s cannot be used (%s); trying the one before", checkpoints / name, problem)
        else:
            return checkpoints / name
    return None


def _damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint."""
    if not (checkpoint / TRAINER_STATE_NAME).exists():  # written after all the rest
        return "incomplete"
    try:
        sums = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        return f"damaged: {MANIFEST}"
    for name, expected in sums.items():
        file = checkpoint / name
        if not file.exists() or _sha256(file) != expected:
            return f"damaged: {name}"
    return None


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Manifest(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Writes down what a checkpoint consists of, so that a damaged one is found out before it is used."""

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        """Called when the checkpoint is written."""
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero and checkpoint.is_dir():
            sums = {file.name: _sha256(file) for file in sorted(checkpoint.iterdir()) if file.is_file()}
            (checkpoint / MANIFEST).write_text(json.dumps(sums, indent=2), encoding="utf-8")


def start_run(recipe: Recipe, data: list[str], checkpoint: Path | None) -> None:
    """Makes the folder, marked as unfinished from its first moment; what an overwritten run left goes now.

    data: fingerprints of the dialogues. Raises DataError where a resumed run began with others.
    """
    run = recipe.run
    now = datetime.now(UTC).isoformat(timespec="seconds")
    marker = read_marker(run) if checkpoint else {}
    if marker.get("data", data) != data:
        raise DataError(
            f"expected the dialogues that {run} began with, found that {' '.join(recipe.data.train)} "
            f"{' '.join(recipe.data.validation)} changed since. Next: put them back, or start anew with --overwrite."
        )
    marker = {"started": now, "resumed_at_steps": [], **marker, "data": data}
    if checkpoint:
        marker["resumed_at_steps"] = [*marker["resumed_at_steps"], step_of(checkpoint)]
    try:
        run.mkdir(parents=True, exist_ok=True)
        write_whole(run / UNFINISHED, json.dumps(marker, indent=2) + "\n")
        for leftover in () if checkpoint else tuple(run.iterdir()):
            if leftover.name != UNFINISHED:
                shutil.rmtree(leftover) if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()
        for later in run.glob(f"{CHECKPOINTS}/checkpoint-*"):
            if checkpoint and step_of(later) > step_of(checkpoint):
                shutil.rmtree(later)  # found to be unusable
        write_recipe(recipe, run / "recipe.yaml")
    except OSError as error:
        raise RecipeError(f"expected to be able to write the run folder {run}, found: {error.strerror}.") from error


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
