"""What watches a Trainer: how fast it learns, and how good it has become after so many seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import TrainerCallback

from personable.encoding.batches import IGNORED

Batch = dict[str, torch.Tensor]


@dataclass
class Counted:
    """A collator that notes how many tokens each micro-batch learns."""

    collate: Callable[[Any], Batch]
    learnt: list[int] = field(default_factory=list)
    """Of each micro-batch so far; Trainer draws ahead, so the last may not have been learnt yet."""

    def __call__(self, features: Any) -> Batch:
        batch = self.collate(features)
        self.learnt.append(int((batch["labels"][..., 1:] != IGNORED).sum()))
        return batch


class Stopwatch(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Notes when each micro-batch ended; the first, which also sets memory up, starts the clock."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.first_step_loss: float | None = None

    def on_substep_end(self, *_: Any, **__: Any) -> None:
        """A micro-batch that others of its step follow."""
        self._note()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """The last micro-batch of a step, optimiser included."""
        self._note()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Keeps the loss of the first step."""
        if self.first_step_loss is None and logs and "loss" in logs:
            self.first_step_loss = float(logs["loss"])

    def _note(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())

    def speed(self, counted: Counted) -> dict[str, Any]:
        """Learnt tokens and seconds from the end of the first micro-batch on."""
        learnt = counted.learnt[1 : len(self.ends)]
        return {
            "learnt_tokens": sum(learnt),
            "seconds": self.ends[-1] - self.ends[0],
            "first_step_loss": self.first_step_loss,
        }


class PerplexityOverTime(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Measures validation reply perplexity at marks of training time, which stands still meanwhile."""

    def __init__(self, marks: tuple[float, ...], perplexity: Callable[[Any], float]) -> None:
        """marks: seconds, rising; training ends with the step that reaches the last.
        perplexity: of the model it is given."""
        self.marks, self.perplexity = marks, perplexity
        self.trained_seconds, self._since = 0.0, 0.0
        self.found: list[dict[str, float]] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Starts the clock."""
        self._since = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Measures where a mark was passed, and stops at the last."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.trained_seconds += time.perf_counter() - self._since
        passed = sum(self.trained_seconds >= mark for mark in self.marks)
        if passed > len(self.found):
            measured = {
                "trained_seconds": round(self.trained_seconds, 1),
                "steps": state.global_step,
                "perplexity": self.perplexity(model),
            }
            self.found += [measured] * (passed - len(self.found))
        control.should_training_stop = passed == len(self.marks)
        self._since = time.perf_counter()
