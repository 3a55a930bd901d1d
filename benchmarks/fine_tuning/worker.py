"""A measuring process: python -m fine_tuning.worker JOB.json RESULT.json"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers.utils import logging as transformers_logging

from fine_tuning import own, peers
from fine_tuning.job import Job, read_job
from fine_tuning.judge import Judge
from fine_tuning.material import FIRST, LATER, read_material
from fine_tuning.watches import PerplexityOverTime, Stopwatch
from personable.provenance import peak_memory_bytes


def main() -> None:
    """Does one job."""
    job = read_job(Path(sys.argv[1]))
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    found = _perplexity_over_time(job) if job.marks else _speed(job)
    on_gpu = job.device == "cuda"
    found["peak_memory_bytes"] = torch.cuda.max_memory_allocated() if on_gpu else peak_memory_bytes()
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")


def _speed(job: Job) -> dict[str, Any]:
    if _is_own(job):
        return own.speed(job)
    watch = Stopwatch()
    return watch.speed(peers.learn(job, _read(job, FIRST), _read(job, LATER), watch))


def _perplexity_over_time(job: Job) -> dict[str, Any]:
    judge = Judge(job)
    untrained = judge.perplexity()
    watch = PerplexityOverTime(job.marks, judge.perplexity)
    began = time.perf_counter()
    if _is_own(job):
        own.learn(job, watch)
    else:
        peers.learn(job, _read(job, FIRST), _read(job, LATER), watch)
    return {"untrained_perplexity": untrained, "marks": watch.found, "seconds_in_all": time.perf_counter() - began}


def _is_own(job: Job) -> bool:
    return job.variant.value.startswith("personable")


def _read(job: Job, name: str) -> datasets.Dataset:
    return read_material(job.data, name)


if __name__ == "__main__":
    main()
