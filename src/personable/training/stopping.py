"""What ends a run before its time: signals, and what the machine runs into."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import TrainingArguments

from personable.errors import RecipeError, TrainingStopped


class explained:  # noqa: N801  (used as a verb in `with`)
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


class terminated_like_interrupted:  # noqa: N801  (used as a phrase in `with`)
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
