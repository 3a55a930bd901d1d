"""Starts measuring processes, one at a time, each with the Python that has what it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from fine_tuning.job import Job, Variant, write_job

BENCHMARKS = Path(__file__).resolve().parents[1]
PEERS = BENCHMARKS.parent / ".venv-peers" / "bin" / "python"
SKIPPED = "TRL is not installed in .venv-peers. Next: make bench-peers"


class MeasurementFailed(Exception):
    """A measuring process ended without a result."""


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def command() -> str:
    """The command line that runs, with file names in place of whole local paths: results are there for others."""
    given = [Path(each).name if Path(each).is_absolute() else each for each in sys.argv[1:]]
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *given])


def runnable(variants: list[Variant]) -> list[Variant]:
    """Those whose environment is there."""
    return [variant for variant in variants if not variant.needs_peers or _has_trl()]


def _has_trl() -> bool:
    if not PEERS.exists():
        return False
    found = subprocess.run([PEERS, "-c", "import trl"], capture_output=True, check=False)
    return found.returncode == 0


def measure(job: Job) -> dict[str, Any]:
    """What the job's process found. Raises MeasurementFailed with the last lines that it wrote."""
    python = PEERS if job.variant.needs_peers else Path(sys.executable)
    with tempfile.TemporaryDirectory(prefix="fine-tuning-job-") as folder:
        asked, answered = Path(folder) / "job.json", Path(folder) / "result.json"
        write_job(job, asked)
        command: list[str | Path] = [python, "-m", "fine_tuning.worker", asked, answered]
        # What a run keeps of prepared data goes with the folder, so that no round finds what another has left.
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=_environment(job, Path(folder) / "cache")
        )
        if done.returncode or not answered.exists():
            said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
            raise MeasurementFailed(f"expected a result of {job.variant}, found exit code {done.returncode}:\n{said}")
        found: dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
        return found


def _environment(job: Job, cache: Path) -> dict[str, str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(BENCHMARKS),
        "OMP_NUM_THREADS": str(cores()),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(cache),
    }
    if job.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    return environment
