"""`personable train` as a user runs it: a process of its own, its output and its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tiny import tiny_base

FEW = [
    "--set=data.max_dialogues=8",
    "--set=data.max_validation_dialogues=2",
    "--set=training.max_steps=2",
    "--set=training.per_device_train_batch_size=2",
]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"), positions=512)


@pytest.fixture
def recipe(tmp_path) -> Path:
    file = tmp_path / "recipe.yaml"
    settings = {"run": str(tmp_path / "run"), "data": {"train": "starter", "validation": "starter"}}
    file.write_text(yaml.safe_dump({**settings, "training": {"logging_steps": 1}}))
    return file


def command(*arguments: object) -> dict[str, Any]:
    """How the command is started: as users do, but with any warning an error and no network."""
    code = "from personable.cli import main; main()"
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    return {
        "args": [sys.executable, "-W", "error", "-c", code, "train", *map(str, arguments)],
        "env": environment,
        "text": True,
    }


def personable_train(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(**command(*arguments), capture_output=True, timeout=120, check=False)


def test_results_go_to_stdout_and_progress_to_stderr(recipe, base, tmp_path) -> None:
    done = personable_train(recipe, "--base", base, *FEW)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("validation reply perplexity ")
    assert lines[1].startswith(f"{tmp_path / 'run'}: finished in ")
    assert lines[1].endswith(f"Next: personable chat {tmp_path / 'run'}")
    assert "step 2/2  loss " in done.stderr
    assert "Warning" not in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "run" / "model.safetensors").is_file()

    again = personable_train(recipe, "--base", base, *FEW)
    assert (again.returncode, again.stdout) == (1, "")
    assert "holds a finished run already" in again.stderr
    assert "Traceback" not in again.stderr


def test_an_interrupted_run_goes_on(recipe, base, tmp_path) -> None:
    """SIGTERM to the process, then the same command with --resume."""
    often = ["--set=training.save_steps=5", "--set=training.eval_steps=5", "--set=training.eval_strategy=steps"]
    endless = [recipe, "--base", base, *FEW[:2], "--set=training.max_steps=100000", *often]
    with subprocess.Popen(**command(*endless), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            if line.startswith("step 7/"):
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stderr.read()
    assert process.returncode == 130, "".join(seen) + rest
    assert "--resume" in rest
    assert "Traceback" not in rest
    assert not (tmp_path / "run" / "config.json").exists()
    done = personable_train(recipe, "--base", base, *FEW[:2], "--set=training.max_steps=8", *often, "--resume")
    assert done.returncode == 0, done.stderr
    assert "step 8/8" in done.stderr
    assert "step 5/8" not in done.stderr, "it went on from the checkpoint"


def test_a_dry_run_prints_the_settings_and_leaves(recipe, tmp_path) -> None:
    done = personable_train(
        recipe, "--base", "elsewhere", "--run", tmp_path / "other", "--data", "a.jsonl",
        "--set", "training.learning_rate=1e-4", "--set", "lora.r=8", "--dry-run",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    settings = yaml.safe_load(done.stdout)
    assert settings["base"] == "elsewhere"
    assert settings["run"] == str(tmp_path / "other")
    assert (settings["data"]["train"], settings["data"]["validation"]) == (["a.jsonl"], [])
    assert settings["training"] == {"learning_rate": 1e-4, "logging_steps": 1}
    assert settings["lora"]["alpha"] == 32.0
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere.yaml"], 1, "nowhere.yaml"),
        (["RECIPE", "--set", "training.learning_rat=1"], 1, "did you mean 'learning_rate'?"),
        (["RECIPE", "--set", "learning_rate"], 1, "--set KEY=VALUE"),
        (["RECIPE", "--base", "nobody/no-such-model"], 1, "--base starter"),
        (["RECIPE", "--no-such-option"], 2, "--no-such-option"),
        ([], 2, "RECIPE"),
    ],
)
def test_exit_codes_and_messages(recipe, arguments: list[str], code: int, said: str) -> None:
    done = personable_train(*[recipe if argument == "RECIPE" else argument for argument in arguments])
    assert (done.returncode, done.stdout) == (code, "")
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
