"""Whatever ends a run, it can be resumed to the very weights of an unbroken one, or it is finished."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from personable.base import UNFINISHED, load_base
from personable.corpus import write_dialogues
from personable.errors import BaseNotFound, DataError, Interrupted, RecipeError, TrainingStopped
from personable.training import finishing, train
from personable.training.folder import open_run
from personable.training.lock import LOCK
from personable.training.record import MetricsFile
from tests.training.small import TRAIN, record_of, rows, same_weights, small_recipe

STEPS = 10
"""Two and a half epochs, so that a run ends and is interrupted within one."""


def recipe(base, data, run, **training):
    """With all that a resumed run must restore: order of dialogues and facts, dropout, optimiser, schedule."""
    return small_recipe(base, data, run, also={"dropout": 0.1}, **{"max_steps": STEPS, **training})


@pytest.fixture(scope="module")
def unbroken(base, data, tmp_path_factory):
    run = tmp_path_factory.mktemp("unbroken") / "run"
    train(recipe(base, data, run))
    return run


def terminated_after(step: int, monkeypatch) -> None:
    """Sends this process a SIGTERM after that optimiser step, as a batch system would."""

    def terminate(_self, args, state, control, **_):
        if state.global_step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(MetricsFile, "on_step_end", terminate)


def interrupted(settings, step: int, *, resume: bool = False) -> None:
    """Trains until that step."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        terminated_after(step, monkeypatch)
        before = signal.getsignal(signal.SIGTERM)
        with pytest.raises(Interrupted, match=rf"step {step} is saved\. Next: .*recipe\.yaml --resume") as caught:
            train(settings, resume=resume)
        assert caught.value.signum == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("step", "resumed_at"), [(1, [1]), (4, [4]), (5, [5]), (9, [9]), (10, [10])])
def test_a_resumed_run_has_the_weights_of_an_unbroken_one(base, data, tmp_path, unbroken, step, resumed_at) -> None:
    run = tmp_path / "run"
    settings = recipe(base, data, run)
    interrupted(settings, step)
    assert (run / UNFINISHED).exists()
    assert not (run / "config.json").exists()
    with pytest.raises(BaseNotFound, match=r"recipe\.yaml --resume"):
        load_base(run)
    with pytest.raises(RecipeError, match=r"holds an unfinished run already. Next: --resume to go on, or --overwrite"):
        train(settings)

    done = train(settings, resume=True)
    assert same_weights(run, unbroken)
    assert {file.name for file in run.iterdir()} == {file.name for file in unbroken.iterdir()}
    record, whole = record_of(run), record_of(unbroken)
    assert record["resumed_at_steps"] == resumed_at
    for key in ("steps", "epochs", "learnt_tokens", "kept", "data"):
        assert record[key] == whole[key], key
    timeless = [
        [{key: row[key] for key in row if "second" not in key} for row in rows(folder, "step")]
        for folder in (run, unbroken)
    ]
    assert timeless[0] == timeless[1], "metrics.jsonl tells one story, whatever was interrupted"
    times = [row["seconds"] for row in rows(run, "step")]
    assert times == sorted(times)
    assert done.seconds >= times[-1] - 0.01
    with pytest.raises(RecipeError, match="found a finished run"):
        train(settings, resume=True)


def test_patience_goes_on_where_it_was(base, data, tmp_path) -> None:
    """Interrupted after a first evaluation without improvement, a run stops at the second all the same."""
    worse = {"learning_rate": 4e-2, "lr_scheduler_type": "constant", "max_steps": 60}
    whole, run = tmp_path / "whole", tmp_path / "run"
    one, other = (
        small_recipe(base, data, folder, also={"early_stopping_patience": 2}, **worse) for folder in (whole, run)
    )
    train(one)
    interrupted(other, record_of(whole)["steps"] - 1)
    train(other, resume=True)
    assert record_of(run)["steps"] == record_of(whole)["steps"]
    assert same_weights(run, whole)


@pytest.mark.parametrize("damage", ["incomplete", "flipped", "truncated", "missing", "manifest"])
def test_a_damaged_checkpoint_is_passed_over(base, data, tmp_path, unbroken, caplog, damage: str) -> None:
    run = tmp_path / "run"
    interrupted(recipe(base, data, run), 5)
    newest = run / "checkpoints" / "checkpoint-5"
    if damage == "incomplete":
        (newest / "manifest.json").unlink()
    elif damage == "flipped":
        content = bytearray((newest / "optimizer.pt").read_bytes())
        content[len(content) // 2] ^= 1
        (newest / "optimizer.pt").write_bytes(content)
    elif damage == "missing":
        (newest / "model.safetensors").unlink()
    elif damage == "truncated":
        os.truncate(newest / "model.safetensors", 1000)
    else:
        (newest / "manifest.json").write_text("{")
    train(recipe(base, data, run), resume=True)
    assert f"checkpoint-5 cannot be used ({'incomplete' if damage == 'incomplete' else 'damaged'}" in caplog.text
    assert record_of(run)["resumed_at_steps"] == [4]
    assert same_weights(run, unbroken)


def test_without_a_usable_checkpoint_nothing_is_touched(base, data, tmp_path) -> None:
    run = tmp_path / "run"
    interrupted(recipe(base, data, run), 5)
    for name in ("checkpoint-4", "checkpoint-5"):
        (run / "checkpoints" / name / "manifest.json").unlink()
    with pytest.raises(TrainingStopped, match=r"found none that can be used: checkpoint-5 incomplete.*--overwrite"):
        train(recipe(base, data, run), resume=True)
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"checkpoint-4", "checkpoint-5"}


def test_a_damaged_best_checkpoint_is_not_loaded_at_the_end(base, data, tmp_path, caplog) -> None:
    """The best stays the one of step 2, as the largest perplexity is wanted; once it is lost, the end is kept."""
    run = tmp_path / "run"
    worse = {"greater_is_better": True, "max_steps": 5}
    interrupted(recipe(base, data, run, **worse), 3)
    state = json.loads((run / "checkpoints" / "checkpoint-3" / "trainer_state.json").read_text())
    best = run / "checkpoints" / f"checkpoint-{state['best_global_step']}"
    assert state["best_model_checkpoint"] == str(best)
    assert best.name == "checkpoint-2"
    os.truncate(best / "model.safetensors", 1000)
    train(recipe(base, data, run, **worse), resume=True)
    assert f"{best}, the best so far, cannot be used" in caplog.text
    assert record_of(run)["kept"]["step"] == 5


def test_an_interrupted_run_may_be_moved(base, data, tmp_path, unbroken) -> None:
    run, moved = tmp_path / "run", tmp_path / "moved"
    interrupted(recipe(base, data, run), 9)
    run.rename(moved)
    train(recipe(base, data, moved), resume=True)
    assert same_weights(moved, unbroken)
    assert record_of(moved)["kept"] == record_of(unbroken)["kept"]


@pytest.mark.parametrize(
    ("module", "name", "finished"),
    [
        (finishing, "draw_loss", False),
        (finishing, "save_model", False),
        (os, "fsync", False),
        (Path, "replace", False),
        (Path, "rmdir", False),
        (Path, "unlink", True),
    ],
)
def test_a_kill_while_the_run_is_written_leaves_it_resumable_or_finished(
    base, data, tmp_path, unbroken, module, name, finished: bool
) -> None:
    """The named step is the last that is done."""
    run = tmp_path / "run"
    settings = recipe(base, data, run)
    with pytest.MonkeyPatch.context() as monkeypatch:
        original = getattr(module, name)

        def killed_after(first, *arguments, **named):
            original(first, *arguments, **named)
            # Only once training has ended, and for the marker where it is a file that is removed.
            if (run / ".writing").exists() or name == "draw_loss" or str(first).endswith(UNFINISHED):
                raise KeyboardInterrupt
            if name == "rmdir":
                raise KeyboardInterrupt

        monkeypatch.setattr(module, name, killed_after)
        if name in ("unlink",):
            monkeypatch.setattr(module, name, lambda path, **named: _unlink_then_stop(original, path, named))
        with pytest.raises(KeyboardInterrupt):
            train(settings)
    assert (run / UNFINISHED).exists() == (not finished)
    if not finished:
        with pytest.raises(BaseNotFound):
            load_base(run)
        train(settings, resume=True)
    assert same_weights(run, unbroken)


def _unlink_then_stop(unlink, path, named) -> None:
    unlink(path, **named)
    if path.name == UNFINISHED:
        raise KeyboardInterrupt


def test_resuming_where_nothing_is(base, data, tmp_path) -> None:
    with pytest.raises(RecipeError, match="found no run"):
        train(recipe(base, data, tmp_path / "run"), resume=True)


def test_resuming_with_another_base_is_refused(base, data, tmp_path) -> None:
    run = tmp_path / "run"
    interrupted(recipe(base, data, run), 3)
    shutil.copytree(base, tmp_path / "other")
    with pytest.raises(RecipeError, match=r"found another base\. Next: .*recipe\.yaml --resume"):
        train(recipe(tmp_path / "other", data, run), resume=True)
    longer = recipe(base, data, run, max_steps=STEPS + 2)
    train(longer, resume=True)
    assert record_of(run)["steps"] == STEPS + 2


def test_resuming_with_changed_dialogues_is_refused(base, data, tmp_path) -> None:
    own, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(data, own)
    interrupted(recipe(base, own, run), 3)
    write_dialogues(TRAIN[:-1], own / "train.jsonl")
    with pytest.raises(DataError, match=r"train\.jsonl.* changed since"):
        train(recipe(base, own, run), resume=True)
    write_dialogues(TRAIN, own / "train.jsonl")
    train(recipe(base, own, run), resume=True)


def test_resuming_with_other_steps_is_refused(base, data, tmp_path, unbroken) -> None:
    run = tmp_path / "run"
    four = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "seed": 1, "max_steps": 4}
    interrupted(recipe(base, data, run, **four), 1)
    for changed, said in (
        ({"seed": 5}, r"with training\.seed 1, as it began, found 5"),
        ({"data_seed": 5}, r"with training\.data_seed 1, as it began, found 5"),
        ({"per_device_train_batch_size": 4}, r"per_device_train_batch_size x .* processes\) 4, as it began, found 8"),
        ({"gradient_accumulation_steps": 1}, r"gradient_accumulation_steps x processes\) 4, as it began, found 2"),
    ):
        with pytest.raises(RecipeError, match=rf"expected to resume .*{said}.*--overwrite"):
            train(recipe(base, data, run, **four | changed), resume=True)
    smaller = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4, "data_seed": 1}
    train(recipe(base, data, run, **four | smaller), resume=True)
    assert record_of(run)["steps"] == 4


@pytest.mark.parametrize("inside", ["base", "link", "train"])
def test_what_a_run_is_made_from_is_not_overwritten(base, data, tmp_path, inside: str) -> None:
    run, link = tmp_path / "run", tmp_path / "link"
    train(recipe(base, data, run, max_steps=1))
    link.symlink_to(run)
    shutil.copytree(data, run / "tensorboard" / "data")
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    settings = {
        "base": recipe(run, data, run),
        "link": recipe(link, data, run),
        "train": recipe(base, run / "tensorboard" / "data", run),
    }[inside]
    with pytest.raises(RecipeError, match=r"outside the folder that is replaced, found .*Next: choose another --run"):
        train(settings, overwrite=True)
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before


def test_a_second_process_is_refused(base, data, tmp_path, unbroken) -> None:
    """The lock lies where the first process put it, and a process that dies lets go of it."""
    run = tmp_path / "run"
    settings = recipe(base, data, run)
    interrupted(settings, 3)
    hold = (
        "import sys; from pathlib import Path; from personable.training.lock import locked\n"
        "with locked(Path(sys.argv[1])): print('locked', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold, run], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout
        assert holder.stdout.readline() == b"locked\n"
        for resume, overwrite in ((True, False), (False, True), (False, False)):
            with pytest.raises(RecipeError, match=r"another process is training in .*run\. Next: wait"):
                train(settings, resume=resume, overwrite=overwrite)
    finally:
        holder.kill()
        holder.communicate()
    assert (run / LOCK).exists()
    train(settings, resume=True)
    assert same_weights(run, unbroken)
    assert {file.name for file in run.iterdir()} == {file.name for file in unbroken.iterdir()}


def test_a_lock_left_by_a_killed_process_is_no_run(base, data, tmp_path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / LOCK).touch()
    assert open_run(recipe(base, data, run), resume=False, overwrite=False) is None
    with pytest.raises(BaseNotFound):
        train(recipe(tmp_path / "nowhere", data, tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_overwriting_an_unfinished_run_forgets_its_checkpoints(base, data, tmp_path) -> None:
    run = tmp_path / "run"
    interrupted(recipe(base, data, run), 9)
    with pytest.MonkeyPatch.context() as monkeypatch:
        terminated_after(3, monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            train(recipe(base, data, run, seed=5), overwrite=True)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["checkpoint-2", "checkpoint-3"]
    assert json.loads((run / UNFINISHED).read_text())["resumed_at_steps"] == []
    assert [row["step"] for row in rows(run, "loss")] == [1, 2, 3]
