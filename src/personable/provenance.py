"""What numbers depend on: versions of software, the machine, and the memory that was needed."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def versions() -> dict[str, str]:
    """Versions of what a run's or an evaluation's numbers depend on."""
    found = {"python": platform.python_version()}
    for package in (
        "personable",
        "torch",
        "transformers",
        "tokenizers",
        "accelerate",
        "datasets",
        "safetensors",
        "peft",
        "numpy",
        "sacrebleu",
    ):
        with suppress(PackageNotFoundError):  # peft is optional, and Personable may run from its source
            found[package] = version(package)
    return found


def hardware() -> dict[str, Any]:
    """What numbers were computed on; no host or user name."""
    import torch

    found: dict[str, Any] = {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
    }
    if torch.cuda.is_available():
        found["gpus"] = [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]
    return found


def peak_memory_bytes() -> int | None:
    """Most memory this process has held, where the system tells."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
