"""Kills a real training run with SIGKILL again and again, resumes it each time, and compares what comes out.

    python -m tools.kill_training --kills 30 --json kills.json

Each life of the run is a process of its own, which ends by SIGKILL at a moment drawn from the seed:

    time    after so many seconds of training
    save    while a checkpoint is being written: so long after its staging folder appeared
    file    at its so-manieth file operation in the run folder, whichever that is

The last life finishes the run. Its weights have to equal those of an unbroken run bit by bit. A run that finishes too
early is followed by another, with another seed, until there were as many kills as asked for. Exits with 1 where weights
differ, or where a kill cost more steps than lie between two checkpoints.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from tests.tiny import tiny_base
from tests.training.small import same_weights, write_data

from personable.base import UNFINISHED
from personable.training import Recipe, make_recipe, train
from personable.training.manifest import STAGING
from personable.training.record import METRICS, MetricsFile, read_metrics

SAVE_STEPS = 3
STEPS_PER_KILL = 2
"""Length of a run for each kill that it is to suffer; about what a life gets done."""
SAVE_SECONDS = 0.03
"""That writing a checkpoint of the tiny model takes at most, more or less."""
MODES = ("time", "save", "file")
# Of the events that Python announces before it touches a file.
FILE_EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate")


@dataclass(frozen=True)
class Life:
    """One process of the run, from its start to its end."""

    mode: str
    """How it was to end; `finish` for one that was let live."""
    killed: bool
    began_at: int | None
    """Step of the checkpoint that it went on from; None where it was killed before the first step could begin."""
    reached: int
    """Last step that was finished by it or before it."""
    in_save: bool
    """A checkpoint was half written when it ended."""


def main() -> int:
    """Exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="Where to write the summary.")
    chosen = parser.parse_args()
    if chosen.kills < 1:
        parser.error(f"--kills: expected 1 or more, found {chosen.kills}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kill-training-") as folder:
        summary = survived(Path(folder), kills=chosen.kills, seed=chosen.seed)
    summary |= {"seed": chosen.seed, "seconds": round(time.monotonic() - began, 1)}
    if chosen.json:
        chosen.json.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    for key, value in summary.items():
        if key != "lives":
            print(f"{key.replace('_', ' '):<22}{value}")
    return 0 if summary["bit_equal"] and summary["most_steps_repeated"] <= SAVE_STEPS else 1


def survived(folder: Path, *, kills: int, seed: int) -> dict[str, Any]:
    """Trains, kills and compares until there were so many kills."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["personable.training", "tests.training.small", "matplotlib.figure"])
    _end(processes.Process(target=_make, args=(folder,)))
    draw, runs, equal = random.Random(seed), list[list[Life]](), list[bool]()
    while (left := kills - sum(life.killed for lives in runs for life in lives)) > 0:
        steps = STEPS_PER_KILL * left + SAVE_STEPS + 1
        whole, broken = (_recipe(folder, f"{name}-{len(runs)}", steps, len(runs)) for name in ("whole", "broken"))
        _end(processes.Process(target=_train, args=(whole, None)))
        runs.append(list(_lives(processes, broken, draw, at_most=left)))
        equal.append(same_weights(whole.run, broken.run) and _story(whole.run) == _story(broken.run))
    repeated = [steps for lives in runs for steps in _repeated(lives)]
    killed = [life for lives in runs for life in lives if life.killed]
    return {
        "kills": len(killed),
        "runs": len(runs),
        "bit_equal": all(equal),
        "save_steps": SAVE_STEPS,
        "most_steps_repeated": max(repeated),
        "mean_steps_repeated": round(sum(repeated) / len(killed), 2),
        "inside_a_save": sum(life.in_save for life in killed),
        "before_training": sum(life.began_at is None for life in killed),
        "by_mode": dict(Counter(life.mode for life in killed)),
        "lives": [[asdict(life) for life in lives] for lives in runs],
    }


def _repeated(lives: list[Life]) -> Iterator[int]:
    """For each life that trained: the steps done before it that it had to do again."""
    for before, life in pairwise(lives):
        if life.began_at is not None:
            yield before.reached - life.began_at


def _lives(processes: Any, recipe: Recipe, draw: random.Random, *, at_most: int) -> Iterator[Life]:
    kills = reached = 0
    while True:
        mode = draw.choice(MODES) if kills < at_most else "finish"
        _log(recipe).unlink(missing_ok=True)
        process = processes.Process(target=_train, args=(recipe, draw.randint(1, 160) if mode == "file" else None))
        process.start()
        if mode == "time":
            _kill_by_time(process, recipe, draw)
        elif mode == "save":
            _kill_in_save(process, recipe, draw)
        process.join()
        killed = process.exitcode == -signal.SIGKILL
        if not killed and process.exitcode:
            raise SystemExit(f"a life ended with {process.exitcode}:\n{_output(recipe).read_text(errors='replace')}")
        steps = [int(line) for line in _log(recipe).read_text().splitlines()] if _log(recipe).exists() else []
        reached = max([reached if not steps else 0, *steps])
        in_save = any((recipe.run / "checkpoints").glob(f"{STAGING}*"))
        yield Life(mode, killed, steps[0] if steps else None, reached, in_save)
        kills += killed
        if not killed:
            return


def _kill_by_time(process: BaseProcess, recipe: Recipe, draw: random.Random) -> None:
    if draw.random() < 0.8:  # else somewhere in the loading
        _wait(process, lambda: _log(recipe).exists())
    process.join(draw.uniform(0, 0.4))
    process.kill()


def _kill_in_save(process: BaseProcess, recipe: Recipe, draw: random.Random) -> None:
    checkpoints, delay = recipe.run / "checkpoints", draw.uniform(0, SAVE_SECONDS)
    _wait(process, lambda: _log(recipe).exists())
    for _ in range(draw.randint(1, 2)):
        _wait(process, lambda: not any(checkpoints.glob(f"{STAGING}*")))
        _wait(process, lambda: any(checkpoints.glob(f"{STAGING}*")))
    time.sleep(delay)
    process.kill()


def _wait(process: BaseProcess, happened: Callable[[], bool]) -> None:
    while process.is_alive() and not happened():
        time.sleep(0.0002)


def _end(process: BaseProcess) -> None:
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"the unbroken run ended with {process.exitcode}")


def _make(folder: Path) -> None:
    tiny_base(folder / "base")
    write_data(folder / "data")


def _recipe(folder: Path, name: str, steps: int, seed: int) -> Recipe:
    """With all that a life has to restore: order of dialogues and facts, dropout, optimiser, schedule, best weights."""
    every = {"eval_strategy": "steps", "eval_steps": SAVE_STEPS, "save_strategy": "steps", "save_steps": SAVE_STEPS}
    sizes = {"max_steps": steps, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "logging_steps": 2}
    return make_recipe(
        {
            "base": str(folder / "base"),
            "run": str(folder / name),
            "data": {name: str(folder / "data" / f"{name}.jsonl") for name in ("train", "validation")},
            "dropout": 0.1,
            "early_stopping_patience": None,
            "training": {**every, **sizes, "learning_rate": 1e-3, "seed": seed},
        }
    )


def _log(recipe: Recipe) -> Path:
    """The step that a life began at, then each that it finished."""
    return recipe.run.with_suffix(".steps")


def _output(recipe: Recipe) -> Path:
    return recipe.run.with_suffix(".output")


def _story(run: Path) -> list[dict[str, Any]]:
    return [{key: row[key] for key in row if "second" not in key} for row in read_metrics(run / METRICS)]


def _train(recipe: Recipe, last_file_operation: int | None) -> None:
    """What a life does."""
    torch.set_num_threads(1)
    output = os.open(_output(recipe), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    _note_steps(_log(recipe))
    if last_file_operation is not None:
        _die_at_file_operation(recipe.run, last_file_operation)
    train(recipe, resume=(recipe.run / UNFINISHED).exists())


def _note_steps(log: Path) -> None:
    began, stepped = MetricsFile.on_train_begin, MetricsFile.on_step_end

    def note(step: int) -> None:
        with log.open("ab", buffering=0) as file:
            file.write(b"%d\n" % step)

    def on_train_begin(self: MetricsFile, args: Any, state: Any, control: Any, **named: Any) -> None:
        began(self, args, state, control, **named)
        note(state.global_step)

    def on_step_end(self: MetricsFile, args: Any, state: Any, control: Any, **named: Any) -> None:
        stepped(self, args, state, control, **named)
        note(state.global_step)

    MetricsFile.on_train_begin = on_train_begin  # type: ignore[method-assign]  # in this process, which trains once
    MetricsFile.on_step_end = on_step_end  # type: ignore[method-assign]


def _die_at_file_operation(run: Path, number: int) -> None:
    left = [number]

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        if event in FILE_EVENTS and str(arguments[0]).startswith(f"{run}/"):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


if __name__ == "__main__":
    sys.exit(main())
