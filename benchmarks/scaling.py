"""Learnt tokens per second of `personable train` with one and with two processes on this machine's cores.

python benchmarks/scaling.py
python benchmarks/scaling.py --quick --json scaling.json

Three ways to take the same optimiser steps over the same rows: one process with two threads, one with one thread, and
two processes (torchrun, gloo) with one thread each. Each way starts anew in every round, the rounds interleaved. The
first two steps of a run do not count. Needs two cores to itself.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from personable.provenance import hardware, versions

UNCOUNTED_STEPS = 2


@dataclass(frozen=True, slots=True)
class Way:
    """How many processes share the rows of a step, and the threads of each."""

    processes: int
    threads: int

    @property
    def name(self) -> str:
        """For the table."""
        return f"{self.processes} x {self.threads}"


WAYS = (Way(1, 2), Way(1, 1), Way(2, 1))


def recipe(base: str, run: Path, way: Way, *, rows: int, steps: int) -> dict[str, Any]:
    """So many rows to a step, shared by the processes; nothing is evaluated or saved on the way."""
    return {
        "base": base,
        "run": str(run),
        "training": {
            "max_steps": steps,
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": rows // way.processes,
            "logging_steps": 1,
            "eval_strategy": "no",
            "save_strategy": "no",
        },
    }


def tokens_per_second(folder: Path, settings: dict[str, Any], way: Way) -> float:
    """Trains once. Raises RuntimeError with what the job said where it fails."""
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    personable = str(Path(sys.executable).with_name("personable"))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(way.processes)]
    command = [*([*torchrun, "--no-python"] if way.processes > 1 else []), personable, "train", str(file)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(way.threads)}
    done = subprocess.run(command, env=environment, text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    lines = (Path(settings["run"]) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if "learnt_tokens" in row][UNCOUNTED_STEPS - 1 :]
    first, last = rows[0], rows[-1]
    return float((last["learnt_tokens"] - first["learnt_tokens"]) / (last["seconds"] - first["seconds"]))


def main() -> None:
    """Parses the command line, measures and prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="starter")
    parser.add_argument("--rows", type=int, default=8, help="rows of an optimiser step (default: 8)")
    parser.add_argument("--quick", action="store_true", help="one round of few steps")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    asked = parser.parse_args()
    rounds, steps = (1, 5) if asked.quick else (3, 12)

    found: dict[str, list[float]] = {way.name: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for way in WAYS:
                run = Path(folder) / f"{number}-{way.processes}-{way.threads}"
                settings = recipe(asked.base, run, way, rows=asked.rows, steps=steps)
                found[way.name].append(tokens_per_second(Path(folder), settings, way))
    medians = {name: statistics.median(each) for name, each in found.items()}
    one_thread = medians[WAYS[1].name]
    print("| processes x threads | learnt tokens/s | against 1 x 1 |\n| --- | --- | --- |")
    for name, median in medians.items():
        print(f"| {name} | {median:,.0f} | {median / one_thread:.2f} |")
    ratios = {
        "two_processes_vs_one": medians["2 x 1"] / one_thread,
        "two_processes_vs_two_threads": medians["2 x 1"] / medians["1 x 2"],
    }
    if asked.json:
        result = {"base": asked.base, "rows": asked.rows, "steps": steps, "learnt_tokens_per_second": found}
        asked.json.write_text(
            json.dumps({**result, "ratios": ratios, "versions": versions(), "hardware": hardware()}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
