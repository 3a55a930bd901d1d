"""What ends a run before its time: signals, processes that die, and what the machine runs into."""

from __future__ import annotations

import errno
import logging
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from safetensors import SafetensorError
from transformers import TrainingArguments

from personable.errors import Interrupted, RecipeError, TrainingStopped

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Launchers pass on what the terminal or the batch system has sent to every process already.
_SAME_SIGNAL_SECONDS = 1.0

# How gloo and NCCL say that the other end is gone.
_LOST = ("gloo", "nccl", "closed by peer", "reset by peer", "broken pipe", "watchdog", "store->", "waitforinput")


# No room on the device, none left to this user, and a file larger than is allowed.
_FULL = {code for name in ("ENOSPC", "EDQUOT", "EFBIG") if (code := getattr(errno, name, None)) is not None}


@contextmanager
def explained(arguments: TrainingArguments) -> Iterator[None]:
    """Turns what training runs into into a PersonableError that says what to do."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingStopped(_out_of_memory(arguments)) from error
    except (OSError, SafetensorError) as error:
        raise TrainingStopped(
            f"expected to be able to read and write what the run needs, found: {error}. Next: {remedy(error)}, then go "
            "on with --resume."
        ) from error
    except ImportError as error:
        raise RecipeError(f"the recipe's `training` cannot be followed: {error}") from error
    except KeyError as error:
        if "metric_for_best_model" not in str(error):
            raise
        raise RecipeError(f"the recipe's `training` cannot be followed: {error}") from error
    except RuntimeError as error:
        if not lost_process(error):
            raise
        reason = str(error).strip().split("\n", maxsplit=1)[0]
        raise TrainingStopped(
            f"expected {torch.distributed.get_world_size()} processes to train together, found that another one "
            f"ended or cannot be reached ({reason}). Next: see what it said last, then start all of them again "
            f"with --resume; they go on from the newest whole checkpoint in {arguments.output_dir}."
        ) from error


def remedy(error: BaseException) -> str:
    """What to do about a file that could not be written or read, as the beginning of an instruction."""
    in_words = re.search(r"\(os error (\d+)\)", str(error))  # as safetensors has it
    number = error.errno if isinstance(error, OSError) else int(in_words[1]) if in_words else None
    return "make room" if number in _FULL else "mend what it names"


def _out_of_memory(arguments: TrainingArguments) -> str:
    rows, gentle = arguments.per_device_train_batch_size, []
    if rows > 1:
        gentle.append(
            "lower training.per_device_train_batch_size (and raise training.gradient_accumulation_steps by as much)"
        )
    if not getattr(arguments, "activation_checkpointing", False):
        gentle.append("set training.activation_checkpointing=true")
    first = f"{' or '.join(gentle)} and go on with --resume; or " if gentle else ""
    return (
        f"the device ran out of memory with {rows} row{'s' if rows > 1 else ''} at a time. Next: {first}lower "
        "encoding.context_tokens, or add lora, and start anew with --overwrite."
    )


def lost_process(error: BaseException) -> bool:
    """Whether an error means that another process of a distributed run is gone."""
    if not _distributed() or not isinstance(error, RuntimeError):
        return False
    said = str(error).lower()
    return isinstance(error, torch.distributed.DistError) or any(part in said for part in _LOST)


def largest(value: int, device: torch.device) -> int:
    """The largest value that any process passed; costs nothing where there is one. All have to call it."""
    if not _distributed():
        return value
    found = torch.tensor(value, device=device)
    torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
    return int(found)


def _distributed() -> bool:
    group = torch.distributed
    return group.is_available() and group.is_initialized() and group.get_world_size() > 1


class StopSignals:
    """SIGTERM, as a batch system or container sends it, and Ctrl-C: the first one asks, the second one stops at once.

    While `patient`, the first is noted in `signum`, for training to save and leave; at other times nothing would be
    lost, and it raises Interrupted at once. Outside the main thread signals are left as they are.
    """

    def __init__(self, run: Path) -> None:
        self.run = run
        self.signum = 0
        """Of the signal that came; 0 while none has."""
        self._patient = False
        self._received_at = 0.0
        self._process = os.getpid()
        self._before: dict[int, Callable[..., Any] | int | None] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for each in SIGNALS:
                if signal.getsignal(each) is not signal.SIG_IGN:  # nohup, or a job in the background
                    self._before[each] = signal.signal(each, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    @contextmanager
    def patient(self) -> Iterator[None]:
        """For a stretch that asks for `signum` often enough, and once after."""
        self._patient = True
        try:
            yield
        finally:
            self._patient = False

    def interrupted(self, signum: int, state: str) -> Interrupted:
        """The exception to raise; state: what is saved and what is lost."""
        return Interrupted(signum, f"{state}. Next: personable train {self.run / 'recipe.yaml'} --resume")

    def _receive(self, signum: int, _frame: object) -> None:
        if os.getpid() != self._process:
            return  # a data loader's worker, which ends with its parent
        now = time.monotonic()
        if self.signum and now - self._received_at < _SAME_SIGNAL_SECONDS:
            return
        if self._patient and not self.signum:
            self.signum, self._received_at = signum, now
            log.warning("%s: saving a checkpoint after this step; once more stops at once", signal.strsignal(signum))
            return
        raise self.interrupted(signum, "what came after the newest checkpoint is not saved")
