"""`personable train` as a user runs it: a process of its own, its output and its exit code."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from personable.cli import main
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


@pytest.fixture
def here(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """The same command in this process, which saves the seconds of importing torch: exit code, stdout, stderr."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["personable", "train", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        return code, *capsys.readouterr()

    return run


def test_results_go_to_stdout_and_progress_to_stderr(recipe, base, tmp_path, here) -> None:
    done = subprocess.run(**command(recipe, "--base", base, *FEW), capture_output=True, timeout=300, check=False)
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

    code, out, err = here(recipe, "--base", base, *FEW)
    assert (code, out) == (1, "")
    assert "holds a finished run already" in err


def test_an_interrupted_run_goes_on(recipe, base, tmp_path, here) -> None:
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
    assert process.returncode == 143, "".join(seen) + rest
    saved = re.search(r"stopped: step (\d+) is saved\. Next: personable train (.*) --resume", rest)
    assert saved, rest
    assert "Traceback" not in rest
    assert not (tmp_path / "run" / "config.json").exists()
    step = int(saved[1])
    code, _, err = here(saved[2], f"--set=training.max_steps={step + 1}", "--resume")
    assert code == 0, err
    assert f"step {step + 1}/{step + 1}" in err
    assert f"step {step}/" not in err, "it went on from the checkpoint"


def test_ctrl_c_ends_with_130(recipe, base, here, monkeypatch) -> None:
    from personable.training.record import MetricsFile

    monkeypatch.setattr(MetricsFile, "on_step_end", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever tests in the background has it ignored
    try:
        code, out, err = here(recipe, "--base", base, *FEW)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (code, out) == (130, "")
    assert "stopped: step 1 is saved. Next: personable train" in err


def test_a_dry_run_prints_the_settings_and_leaves(recipe, tmp_path, here) -> None:
    code, out, err = here(
        recipe, "--base", "elsewhere", "--run", tmp_path / "other", "--data", "a.jsonl",
        "--set", "training.learning_rate=1e-4", "--set", "lora.r=8", "--dry-run",
    )  # fmt: skip
    assert code == 0, err
    settings = yaml.safe_load(out)
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
        ([], 2, "Missing argument"),
    ],
)
def test_exit_codes_and_messages(recipe, here, arguments: list[str], code: int, said: str) -> None:
    found, out, err = here(*[recipe if argument == "RECIPE" else argument for argument in arguments])
    assert (found, out) == (code, "")
    assert said in err
