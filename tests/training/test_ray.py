"""The Ray Train entry trains with two workers."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from tests.training.launching import ENVIRONMENT, ROOT, write_recipe_file
from tests.training.small import record_of, rows, settings


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed: pip install '.[ray]'")
def test_two_workers_train(base, data, tmp_path) -> None:
    recipe = write_recipe_file(tmp_path / "recipe.yaml", settings(base, data, tmp_path / "run", bf16=False))
    command = [sys.executable, str(ROOT / "recipes" / "cluster" / "ray_train.py"), str(recipe)]
    command += ["--workers", "2", "--set", "training.per_device_eval_batch_size=1", "--ray-results", str(tmp_path)]
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}
    done = subprocess.run(command, env={**ENVIRONMENT, **quiet}, text=True, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith(f"finished. Next: personable chat {tmp_path / 'run'}")
    assert len(rows(tmp_path / "run", "loss")) == 4
    assert record_of(tmp_path / "run")["steps"] == 4
    assert (tmp_path / "run" / "model.safetensors").is_file()
