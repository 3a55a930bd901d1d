"""Several processes do together what one does alone, and lose nothing where one of them dies. On a CPU, over gloo."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM

from personable.base import UNFINISHED
from personable.corpus import write_dialogues
from personable.training import make_recipe, train
from tests.training.launching import ENVIRONMENT, ROOT, job, launched, launcher, write_recipe_file
from tests.training.small import VALIDATION, measured, record_of, rows, settings, spoken, weights_of

LORA = {"r": 4, "alpha": 8, "target_modules": ["c_attn", "c_proj"]}
KINDS: dict[str, dict[str, Any]] = {
    "packed": {},
    "padded": {"encoding": {"packing": False}},
    "packed-lora": {"lora": LORA},
    "padded-lora": {"encoding": {"packing": False}, "lora": LORA},
}
STEPS = 8
LONG = {"max_steps": 120, "save_strategy": "steps", "save_steps": 10, "eval_strategy": "steps", "eval_steps": 60}
LONG |= {"load_best_model_at_end": False}
PERSONABLE = ("--no-python", str(Path(sys.executable).with_name("personable")))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Enough for several rows in each process."""
    folder = tmp_path_factory.mktemp("data")
    write_dialogues([spoken(number, 2 + number % 7) for number in range(24)], folder / "train.jsonl")
    write_dialogues(VALIDATION, folder / "validation.jsonl")
    return folder


def recipe_of(kind: str, base: Path, data: Path, run: Path, **training: Any) -> dict[str, Any]:
    """One row in each micro-batch, so that who gets which matters; as exact as float32 is."""
    exact = {"bf16": False, "max_steps": STEPS, "per_device_eval_batch_size": 1}
    return {**settings(base, data, run, **(exact | training)), "dropout": 0.0, **KINDS[kind]}


@pytest.fixture(scope="module")
def alone(base, data, tmp_path_factory) -> Path:
    """Runs of one process, with two micro-batches to a step."""
    folder = tmp_path_factory.mktemp("alone")
    for kind in KINDS:
        train(make_recipe(recipe_of(kind, base, data, folder / kind, gradient_accumulation_steps=2)))
    return folder


@pytest.fixture(scope="module")
def together(base, data, tmp_path_factory) -> Path:
    """Runs of two processes, with one micro-batch each to a step; `long` has time for something to happen."""
    folder = tmp_path_factory.mktemp("together")
    recipes = {kind: recipe_of(kind, base, data, folder / kind) for kind in KINDS}
    recipes["long"] = recipe_of("packed", base, data, folder / "long", **LONG)
    job(folder, {write_recipe_file(folder / f"{kind}.yaml", each): None for kind, each in recipes.items()})
    return folder


@pytest.fixture(scope="module")
def sharded(base, data, tmp_path_factory) -> Path:
    """Runs of two processes that each hold a part of the weights (FSDP2); `stopped` is interrupted and resumed."""
    folder = tmp_path_factory.mktemp("sharded")
    kinds = {"packed": "packed", "packed-lora": "packed-lora", "stopped": "packed"}
    recipes = {name: recipe_of(kind, base, data, folder / name, use_cpu=False) for name, kind in kinds.items()}
    files = {name: write_recipe_file(folder / f"{name}.yaml", each) for name, each in recipes.items()}
    job(folder, {file: 3 if name == "stopped" else None for name, file in files.items()}, "--sharded")
    return folder


def curve(run: Path, key: str) -> list[float]:
    return [row[key] for row in rows(run, key)]


def check_same_course(run: Path, other: Path) -> None:
    """Losses, evaluations and weights within what the order of additions changes."""
    for key in ("loss", "eval_loss", "learnt_tokens"):
        assert len(curve(run, key)) > 2
        assert curve(run, key) == pytest.approx(curve(other, key), rel=1e-5), key
    left, right = weights_of(run), weights_of(other)
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=1e-3, atol=1e-4)
    ours, theirs = record_of(run), record_of(other)
    assert {key: ours[key] for key in ("steps", "epochs", "learnt_tokens", "data")} == {
        key: theirs[key] for key in ("steps", "epochs", "learnt_tokens", "data")
    }


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_as_one_with_twice_the_accumulation(alone, together, kind) -> None:
    check_same_course(together / kind, alone / kind)


@pytest.mark.parametrize("kind", ["packed", "packed-lora"])
def test_sharded_weights_train_as_whole_ones_and_end_in_a_plain_folder(alone, sharded, data, kind) -> None:
    run = sharded / kind
    check_same_course(run, alone / kind)
    kept = record_of(run)["kept"]["validation_reply_perplexity"]
    assert measured(run, data) == pytest.approx(kept, rel=1e-5)
    plain = AutoModelForCausalLM.from_pretrained(run, dtype=torch.float32).state_dict()
    assert all(torch.equal(tensor, plain[name]) for name, tensor in weights_of(run).items())
    assert not (run / "checkpoints").exists()


def test_a_sharded_run_resumes_to_the_same_weights(sharded) -> None:
    assert record_of(sharded / "stopped")["resumed_at_steps"] == [3]
    stopped, unbroken = weights_of(sharded / "stopped"), weights_of(sharded / "packed")
    assert all(torch.equal(stopped[name], unbroken[name]) for name in unbroken)


@pytest.mark.parametrize("kind", KINDS)
def test_every_dialogue_of_an_epoch_goes_to_one_process(together, kind) -> None:
    drawn = [json.loads((together / f"{kind}.drawn.{rank}.json").read_text()) for rank in (0, 1)]
    first = [[index for epoch, index in each if epoch == 0] for each in drawn]
    assert all(first)
    assert sorted(first[0] + first[1]) == list(range(24))


def test_a_killed_process_ends_the_job_which_resumes_to_the_same_weights(base, data, tmp_path, together) -> None:
    """And the main process alone writes and speaks."""
    run = tmp_path / "run"
    recipe = write_recipe_file(tmp_path / "recipe.yaml", recipe_of("packed", base, data, run, **LONG))
    command = (*PERSONABLE, "train", str(recipe))
    process = subprocess.Popen(
        launcher(*command), cwd=ROOT, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_for_step(run / "metrics.jsonl", 15, process)
    (victim,) = [child for child in psutil.Process(process.pid).children() if child.environ().get("RANK") == "1"]
    victim.send_signal(signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "--resume" in said, said
    assert (run / UNFINISHED).exists()

    resumed = launched(*command, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.count("finished in") == 1
    assert resumed.stderr.count("step 120/120") == 1
    assert record_of(run)["resumed_at_steps"][0] >= 10
    unbroken, found = weights_of(together / "long"), weights_of(run)
    assert all(torch.equal(found[name], unbroken[name]) for name in unbroken)


def wait_for_step(metrics: Path, step: int, process: subprocess.Popen[str]) -> None:
    patience = time.monotonic() + 120
    while not metrics.exists() or f'"step": {step}' not in metrics.read_text():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < patience
        time.sleep(0.02)


def test_what_all_processes_run_into_is_said_once(base, data, tmp_path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("mine")
    recipe = write_recipe_file(tmp_path / "recipe.yaml", recipe_of("packed", base, data, tmp_path / "run"))
    refused = launched(*PERSONABLE, "train", str(recipe))
    assert refused.returncode == 1
    assert refused.stderr.count("found other files in") == 1
    assert refused.stderr.count("Traceback") == 1, "torchrun's own"
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["thesis.tex"]
