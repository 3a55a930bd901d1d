"""What a run writes down about itself while it trains, and what people see of it."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback

from personable.errors import TrainingStopped
from personable.files import write_whole

METRICS = "metrics.jsonl"

# Trainer's own bookkeeping, of no use to a reader of the curve.
_LEFT_OUT = ("_runtime", "_per_second", "total_flos", "train_loss", "_preparation_time")


class _Paced(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Knows the time spent on learning, from this process's start: not on evaluating, nor on saving."""

    learning_seconds = 0.0
    _since: float | None = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The first one starts the clock; from then on a step reaches from the end of the one before."""
        if self._since is None:
            self._since = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Counts the step."""
        now = time.monotonic()
        self.learning_seconds += now - (now if self._since is None else self._since)
        self._since = now

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leaves out what was no learning."""
        self._since = None

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leaves out what was no learning."""
        self._since = None


class MetricsFile(_Paced):
    """Appends one JSON line for each logged loss and each evaluation; stops a run whose loss is no number.

    `seconds` and `learnt_tokens` of a row count from the first start of the run, also after it was resumed.
    `learnt_tokens_per_second` is that of the steps since this process went on with it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds_before = 0.0
        """Spent before this process went on with the run, up to the last row that still holds."""
        self._started = time.monotonic()
        self._tokens_before = 0

    @property
    def seconds(self) -> float:
        """Spent on training so far."""
        return self.seconds_before + time.monotonic() - self._started

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Forgets what a lost stretch of an interrupted run wrote."""
        self._started, self._tokens_before = time.monotonic(), state.num_input_tokens_seen
        if state.is_world_process_zero:
            self.path.touch()  # a run too short to log anything has an empty one
            rows = [
                row for row in read_metrics(self.path) if row["step"] <= state.global_step and state.global_step > 0
            ]
            write_whole(self.path, "".join(json.dumps(row) + "\n" for row in rows))
            self.seconds_before = max((row["seconds"] for row in rows), default=0.0)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """One line, with null for what is not finite; raises TrainingStopped where that is a loss."""
        values = {key: value for key, value in (logs or {}).items() if not any(part in key for part in _LEFT_OUT)}
        losses = {"loss", "eval_loss"} & set(values)
        if not losses:
            return
        if state.is_world_process_zero:
            finite = {key: value if math.isfinite(value) else None for key, value in values.items()}
            row = {"step": state.global_step, **finite, "seconds": round(self.seconds, 2)}
            if "loss" in values:
                learnt = state.num_input_tokens_seen - self._tokens_before
                row["learnt_tokens"] = state.num_input_tokens_seen
                row["learnt_tokens_per_second"] = round(learnt / max(self.learning_seconds, 1e-9), 1)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
                if "eval_loss" in losses:
                    file.flush()
                    os.fsync(file.fileno())  # a checkpoint follows, and trusts that the evaluation is on record
        for name in losses:
            if not math.isfinite(values[name]):
                raise not_finite(f"{name} {values[name]} at step {state.global_step}")


def not_finite(found: str) -> TrainingStopped:
    """The error for a model that has diverged."""
    return TrainingStopped(
        f"expected a finite loss, found {found}. Next: lower training.learning_rate, set training.max_grad_norm, or "
        "turn bf16/fp16 off, and start again with --overwrite; checkpoints are kept until then."
    )


class ProgressScreen(_Paced):
    """What is learnt and how, then a bar with loss, speed and time left on a terminal; elsewhere a line for each logged
    value. On stderr."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.bar: Progress | None = None
        self.task: Any = None
        self.loss = ""
        self.started = time.monotonic()
        self.first_step = self.first_tokens = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **_: Any) -> None:
        """Says what is learnt, and opens the bar."""
        self.started = time.monotonic()
        if state.is_world_process_zero:
            self.console.print(_beginning(args, state, train_dataloader), highlight=False, soft_wrap=True)
        self.first_step, self.first_tokens = state.global_step, state.num_input_tokens_seen
        if state.is_world_process_zero and self.console.is_terminal:
            columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[said]}"))
            self.bar = Progress(*columns, TimeRemainingColumn(), console=self.console)
            self.task = self.bar.add_task("training", total=state.max_steps, completed=state.global_step, said="")
            self.bar.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Moves the bar."""
        super().on_step_end(args, state, control)
        if self.bar:
            self.bar.update(self.task, completed=state.global_step, said=f"{self.loss}  {self._speed(state)}")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Shows a training loss or an evaluation."""
        if not state.is_world_process_zero or not logs:
            return
        if "loss" in logs:
            self.loss = f"loss {logs['loss']:.3f}"
            said = f"step {state.global_step}/{state.max_steps}  {self.loss}  {self._pace(state)}"
            if not self.bar:
                self.console.print(said, highlight=False)
        elif "eval_reply_perplexity" in logs:
            said = f"step {state.global_step}  validation reply perplexity {logs['eval_reply_perplexity']:.2f}"
            self.console.print(said, highlight=False, style="bold")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Closes the bar."""
        self.close()

    def close(self) -> None:
        """Gives the terminal back, also when training failed."""
        if self.bar:
            self.bar.stop()
            self.bar = None

    def _pace(self, state: Any) -> str:
        seconds = time.monotonic() - self.started
        done = state.global_step - self.first_step
        left = seconds / max(done, 1) * (state.max_steps - state.global_step)
        minutes, rest = divmod(int(left), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{self._speed(state)}  {hours}:{minutes:02d}:{rest:02d} left"

    def _speed(self, state: Any) -> str:
        learnt = state.num_input_tokens_seen - self.first_tokens
        return f"{learnt / max(self.learning_seconds, 1e-9):,.0f} learnt tokens/s"


def _beginning(args: Any, state: Any, loader: Any) -> str:
    """One line: how many dialogues, in which rows, in what precision, where, for how many steps."""
    plan, tokens = loader.dataset.plan, loader.dataset.layout.budget.context_tokens
    how = f"packed, {plan.fill(tokens):.0%} full" if loader.collate_fn.packed else "padded"
    precision = "bf16" if args.bf16 else "fp16" if args.fp16 else "float32"
    where = args.device.type + (f", {args.world_size} processes" if args.world_size > 1 else "")
    return (
        f"{len(loader.dataset.prepared):,} dialogues in {len(plan):,} rows of {tokens:,} tokens ({how}), "
        f"{state.max_steps:,} steps, {precision} on {where}"
    )


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl; a last line cut short by an interruption is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows
