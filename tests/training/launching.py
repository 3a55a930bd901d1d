"""Jobs of several processes on this machine's CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}


def launcher(*command: str, processes: int = 2) -> list[str]:
    """The command line that starts a job on a port of its own."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [*torchrun, *command]


def launched(*command: str, processes: int = 2) -> subprocess.CompletedProcess[str]:
    """A job that has ended, whatever became of it."""
    return subprocess.run(
        launcher(*command, processes=processes), cwd=ROOT, env=ENVIRONMENT, text=True, capture_output=True, timeout=300
    )


def write_recipe_file(path: Path, settings: dict[str, Any]) -> Path:
    """The settings as a recipe."""
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def job(folder: Path, recipes: dict[Path, int | None], *options: str) -> None:
    """Trains the recipes in one job of two processes; value: the step after which that run is interrupted once."""
    plan = folder / "job.json"
    plan.write_text(json.dumps([{"recipe": str(recipe), "stop_after": step} for recipe, step in recipes.items()]))
    done = launched("-m", "tests.training.job", str(plan), *options)
    assert done.returncode == 0, done.stderr
