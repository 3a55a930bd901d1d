"""Checkpoints that are there whole or not at all, and from which a run goes on as if it had never stopped."""

from __future__ import annotations

import json
import math
import os
import pickle
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import EarlyStoppingCallback, Trainer
from transformers.trainer import PREFIX_CHECKPOINT_DIR, TRAINER_STATE_NAME, TRAINING_ARGS_NAME, rotate_checkpoints
from transformers.trainer_callback import ExportableState

from personable.errors import TrainingStopped
from personable.training.manifest import STAGING, remove_leftovers, seal, sync
from personable.training.record import not_finite
from personable.training.stopping import StopSignals, largest, lost_process, remedy

_TENSORS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


class SafeCheckpoints(Trainer):  # type: ignore[misc]  # transformers ships no types
    """Saves a checkpoint whole or not at all, never one with weights that are no numbers, and stops where asked.

    A checkpoint is written under another name, brought to the disk, given a manifest and only then its own name; older
    ones go after that. All processes of a distributed run write into the same folder, which they have to share.
    """

    control: Any

    def __init__(self, *args: Any, stop: StopSignals, **kwargs: Any) -> None:
        """stop: asked after every optimiser step whether to save and leave."""
        super().__init__(*args, **kwargs)
        self.stop = stop
        self._staging: Path | None = None
        self._saved_step = -1
        self._epoch_ending = -1

    # ---- saving ----

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        step = self.state.global_step
        if step == self._saved_step:
            return
        self._refuse_broken_weights()
        checkpoint = Path(self._get_output_dir(trial)) / f"{PREFIX_CHECKPOINT_DIR}-{step}"
        staging = checkpoint.with_name(f"{STAGING}{step}")
        with _unwritable_explained(checkpoint):
            try:
                if self.is_world_process_zero():
                    remove_leftovers(checkpoint.parent)
                self.accelerator.wait_for_everyone()
                self._stage(model, trial, staging, checkpoint)
                self.accelerator.wait_for_everyone()
                if self.is_world_process_zero():
                    _publish(staging / checkpoint.name, checkpoint)
            finally:
                if self.is_world_process_zero():
                    shutil.rmtree(staging, ignore_errors=True)
        if self.is_world_process_zero():
            rotate_checkpoints(
                str(checkpoint.parent), self.args.save_total_limit, self.state.best_model_checkpoint, use_mtime=False
            )
        self.accelerator.wait_for_everyone()
        self._saved_step = step

    def _stage(self, model: Any, trial: Any, staging: Path, checkpoint: Path) -> None:
        """Trainer's own saving, led into the staging folder; what it notes about the place is set right after."""
        self._staging = staging
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self._staging = None
        # Not left to Trainer, which looks whether the folder is there yet: with FSDP it is not, elsewhere not seen yet.
        if self.state.best_global_step == self.state.global_step:
            self.state.best_model_checkpoint = str(checkpoint)
            if self.args.should_save:
                self.state.save_to_json(str(staging / checkpoint.name / TRAINER_STATE_NAME))

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging or super()._get_output_dir(trial))

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict)
        # A pickle that nothing reads: the settings are in recipe.yaml.
        (Path(output_dir or self.args.output_dir) / TRAINING_ARGS_NAME).unlink(missing_ok=True)

    def _save_rng_state(self, output_dir: str) -> None:
        """Adds what Trainer forgets: the losses summed since the last row of the metrics."""
        super()._save_rng_state(output_dir)
        unlogged = {"loss": float(self._tr_loss), "since_step": self._globalstep_last_logged}
        self._unlogged(output_dir).write_text(json.dumps(unlogged), encoding="utf-8")

    def _unlogged(self, checkpoint: str) -> Path:
        return Path(checkpoint) / f"unlogged_loss_{self.args.process_index}.json"

    # ---- going on ----

    def _init_training_state(self, *args: Any) -> Any:
        place = super()._init_training_state(*args)
        state = self.state
        self._saved_step = state.global_step or -1
        # Trusts no path: the run may have been moved, and the file may come from anywhere.
        best = Path(self.args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.best_global_step}"
        state.best_model_checkpoint = str(best) if state.best_global_step and best.is_dir() else None
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, ExportableState):  # one that the recipe has had only since
                state.stateful_callbacks.setdefault(type(callback).__name__, callback.state())
        return place

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        with _mismatch_explained(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with _mismatch_explained(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_scaler(self, checkpoint: str | None) -> None:
        with _mismatch_explained(checkpoint):
            super()._load_scaler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with _mismatch_explained(checkpoint):
            super()._load_rng_state(checkpoint)
        if checkpoint and self._unlogged(checkpoint).exists():
            unlogged = json.loads(self._unlogged(checkpoint).read_text(encoding="utf-8"))
            self._tr_loss = torch.tensor(unlogged["loss"], device=self.args.device)
            self._globalstep_last_logged = unlogged["since_step"]

    # ---- leaving ----

    def _run_epoch(self, *, model: Any, trial: Any, **named: Any) -> None:
        if self._is_over():  # stopped between the last step and the finished run
            self.control.should_training_stop = True
            return
        with self.stop.patient():
            super()._run_epoch(model=model, trial=trial, **named)
        self._leave_if_asked(model, trial)

    def _maybe_log_save_evaluate(
        self, tr_loss: Any, grad_norm: Any, model: Any, trial: Any, *args: Any, **named: Any
    ) -> None:
        ends = float(self.state.epoch or 0).is_integer()
        if ends and self._epoch_ending != self.state.global_step:
            # Trainer comes again when the epoch has ended. A checkpoint between the two would lack the second half.
            self._epoch_ending = self.state.global_step
            return
        super()._maybe_log_save_evaluate(tr_loss, grad_norm, model, trial, *args, **named)
        if not ends and not self.control.should_training_stop:
            self._leave_if_asked(model, trial)

    def _leave_if_asked(self, model: Any, trial: Any) -> None:
        """Raises Interrupted in all processes once one of them was sent a signal, after saving one checkpoint."""
        if signum := largest(self.stop.signum, self.args.device):
            if self._saved_step != self.state.global_step:
                self._save_checkpoint(model, trial)
                self.control = self.callback_handler.on_save(self.args, self.state, self.control)
            raise self.stop.interrupted(signum, f"step {self.state.global_step} is saved")

    def _is_over(self) -> bool:
        patience_lost = (
            callback.early_stopping_patience_counter >= callback.early_stopping_patience
            for callback in self.callback_handler.callbacks
            if isinstance(callback, EarlyStoppingCallback)
        )
        return self.state.global_step >= self.state.max_steps or any(patience_lost)

    def _finalize_training(self, *args: Any) -> Any:
        # With a limit of 1 Trainer would delete the newest checkpoint here, before the run is written.
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            return super()._finalize_training(*args)
        finally:
            self.args.save_total_limit = limit

    # ---- numbers ----

    def get_batch_samples(self, *args: Any) -> Any:
        """The micro-batches of an optimiser step and how many tokens they learn; raises where that is none."""
        batches, learnt = super().get_batch_samples(*args)
        if learnt is not None and not torch.as_tensor(learnt).any():
            raise TrainingStopped(
                f"expected tokens to learn in every optimiser step, found none in the dialogues of step "
                f"{self.state.global_step + 1}. Next: look with personable encode show, or raise "
                "encoding.context_tokens; checkpoints are kept."
            )
        return batches, learnt

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """Before the optimiser step; raises TrainingStopped where a gradient is no number."""
        grad_norm = super()._get_grad_norm(model, grad_norm)
        if grad_norm is not None:
            value = float(grad_norm.full_tensor() if hasattr(grad_norm, "full_tensor") else grad_norm)
            if not math.isfinite(value) and not self._scale_is_falling():
                raise not_finite(f"a gradient norm of {value} at step {self.state.global_step + 1}")
        return grad_norm

    def _scale_is_falling(self) -> bool:
        """In float16 gradients overflow until the loss scale fits; such steps are skipped, not made."""
        scaler = getattr(self.accelerator, "scaler", None)
        return scaler is not None and scaler.is_enabled() and scaler.get_scale() >= 1

    def _refuse_broken_weights(self) -> None:
        learnt = (weight.detach() for weight in self.model.parameters() if weight.requires_grad)
        local = (weight.to_local() if hasattr(weight, "to_local") else weight for weight in learnt)
        if largest(int(not all(bool(weight.isfinite().all()) for weight in local)), self.args.device):
            raise not_finite(f"weights that are no numbers after step {self.state.global_step}")


def _publish(staged: Path, checkpoint: Path) -> None:
    seal(staged)
    if checkpoint.exists():  # not whole, or training would have gone on from it
        checkpoint.rename(staged.with_name("replaced"))
    staged.rename(checkpoint)
    sync(checkpoint.parent)


@contextmanager
def _unwritable_explained(checkpoint: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        writer_failed = "PytorchStreamWriter" in str(error) or "inline_container" in str(error)
        if lost_process(error) or (isinstance(error, RuntimeError) and not writer_failed):
            raise
        free = shutil.disk_usage(checkpoint.parent).free / 2**20
        first = "make room" if writer_failed else remedy(error)  # torch's writer keeps the reason to itself
        raise TrainingStopped(
            f"expected to be able to write {checkpoint}, found: {error} ({free:,.0f} MiB free). Older checkpoints are "
            "untouched. "
            f"Next: {first}, then personable train {checkpoint.parent.parent / 'recipe.yaml'} --resume."
        ) from error


@contextmanager
def _mismatch_explained(checkpoint: str | None) -> Iterator[None]:
    """torch reads tensors only (`weights_only`) and raises where a file would have it run anything else."""
    forced = os.environ.get(_TENSORS_ONLY)
    os.environ[_TENSORS_ONLY] = "1"  # torch.distributed.checkpoint (FSDP) asks for everything
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # the error follows
            yield
    except pickle.UnpicklingError as error:
        what = str(error).split("\n", maxsplit=1)[0]
        raise TrainingStopped(
            f"expected tensors and numbers in {checkpoint}, found a file that asks to run code; it was not obeyed "
            f"({what}). Next: delete that folder, then --resume goes on from the checkpoint before it; and find out "
            "who wrote it."
        ) from error
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        if lost_process(error) or isinstance(error, torch.OutOfMemoryError):
            raise
        raise TrainingStopped(
            f"expected what this run has saved in {checkpoint}, found what cannot be used for it: {error}. Next: "
            "resume with as many processes and the engine that the run had, or start anew with --overwrite."
        ) from error
    finally:
        if forced is None:
            del os.environ[_TENSORS_ONLY]
        else:
            os.environ[_TENSORS_ONLY] = forced
