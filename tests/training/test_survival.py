"""Signals and kills: what was learnt before is kept, and a run ends with the weights of an unbroken one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest
from tools.kill_training import survived

from personable.errors import Interrupted
from personable.training import train
from personable.training.checkpoints import SafeCheckpoints
from personable.training.manifest import MANIFEST, STAGING, damage
from personable.training.stopping import StopSignals
from tests.training.small import (
    BY_EPOCH,
    checkpoints,
    record_of,
    same_weights,
    signalled,
    small_recipe,
    story,
    uneven_recipe,
)


@pytest.fixture(autouse=True)
def ctrl_c_is_listened_to():
    """Whoever starts the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("event", "step", "saved", "by"),
    [
        ("on_step_begin", 0, 1, "steps"),
        ("on_substep_end", 2, 3, "steps"),  # between the two micro-batches
        ("on_pre_optimizer_step", 4, 5, "epoch"),
        ("on_prediction_step", 4, 4, "steps"),  # in the middle of an evaluation
        ("on_save", 4, 4, "epoch"),
        ("on_epoch_end", 4, 4, "epoch"),
        ("on_step_end", 4, 4, "epoch"),  # the last of an epoch, before it is evaluated
        ("on_step_end", 7, 7, "steps"),
        ("on_step_end", 7, 7, "epoch"),
    ],
)
def test_a_signal_saves_one_checkpoint_from_which_all_is_as_if_unbroken(
    base, data, tmp_path, unbroken_uneven, event: str, step: int, saved: int, by: str
) -> None:
    run = tmp_path / "run"
    settings = uneven_recipe(base, data, run, **(BY_EPOCH if by == "epoch" else {}))
    said = str(signalled(settings, event, step=step))
    assert said == f"step {saved} is saved. Next: personable train {run / 'recipe.yaml'} --resume"
    assert damage(run / "checkpoints" / f"checkpoint-{saved}") is None
    train(settings, resume=True)
    assert record_of(run)["resumed_at_steps"] == [saved]
    assert same_weights(run, unbroken_uneven / by)
    assert story(run) == story(unbroken_uneven / by)
    for key in ("steps", "epochs", "learnt_tokens", "kept"):
        assert record_of(run)[key] == record_of(unbroken_uneven / by)[key], key


def test_interrupted_again_and_again(base, data, tmp_path, unbroken_uneven) -> None:
    run = tmp_path / "run"
    for step in (1, 2, 3, 6):
        signalled(uneven_recipe(base, data, run), "on_step_end", step=step, resume=step > 1)
    train(uneven_recipe(base, data, run), resume=True)
    assert record_of(run)["resumed_at_steps"] == [1, 2, 3, 6]
    assert same_weights(run, unbroken_uneven / "steps")
    assert story(run) == story(unbroken_uneven / "steps")


def test_lora_goes_on_as_if_unbroken(base, data, tmp_path) -> None:
    pytest.importorskip("peft")
    whole, broken = (
        small_recipe(base, data, tmp_path / name, also={"lora": {"r": 4, "dropout": 0.1}}, max_steps=6)
        for name in ("whole", "broken")
    )
    train(whole)
    signalled(broken, "on_step_end", step=3)
    train(broken, resume=True)
    assert same_weights(tmp_path / "whole", tmp_path / "broken")


def test_a_step_is_written_once(base, data, tmp_path, monkeypatch) -> None:
    written = []
    original = SafeCheckpoints._stage

    def stage(self, *arguments):
        written.append(self.state.global_step)
        original(self, *arguments)

    monkeypatch.setattr(SafeCheckpoints, "_stage", stage)
    signalled(uneven_recipe(base, data, tmp_path / "run"), "on_save", step=4)
    assert written == [2, 4]
    signalled(uneven_recipe(base, data, tmp_path / "run"), "on_step_begin", step=4, resume=True)
    assert written == [2, 4, 5]


def test_what_a_signal_saves_is_kept_where_one_checkpoint_is_allowed(base, data, tmp_path) -> None:
    settings = uneven_recipe(base, data, tmp_path / "run", save_total_limit=1, greater_is_better=True)
    signalled(settings, "on_step_end", step=5)
    assert checkpoints(tmp_path / "run") == ["checkpoint-2", "checkpoint-5"], "the best and the newest"


def test_where_nothing_is_saved_a_signal_saves(base, data, tmp_path, unbroken_uneven) -> None:
    seldom = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False, "eval_on_start": False}
    for name in ("whole", "broken"):
        settings = uneven_recipe(base, data, tmp_path / name, **seldom)
        if name == "broken":
            signalled(settings, "on_step_end", step=3)
        train(settings, resume=name == "broken")
    assert same_weights(tmp_path / "whole", tmp_path / "broken")


def test_before_the_first_step_nothing_is_waited_for(base, data, tmp_path, unbroken_uneven) -> None:
    run = tmp_path / "run"
    said = str(signalled(uneven_recipe(base, data, run), "on_prediction_step", step=0, signum=signal.SIGINT))
    assert "what came after the newest checkpoint is not saved" in said
    assert checkpoints(run) == []
    train(uneven_recipe(base, data, run), resume=True)
    assert same_weights(run, unbroken_uneven / "steps")


class TestSignals:
    """StopSignals by itself."""

    def test_the_second_one_stops_at_once(self, tmp_path, monkeypatch, caplog) -> None:
        monkeypatch.setattr("personable.training.stopping._SAME_SIGNAL_SECONDS", 0.0)
        with StopSignals(tmp_path) as stop, stop.patient():
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.signum == signal.SIGINT
            assert "once more stops at once" in caplog.text
            with pytest.raises(Interrupted, match="is not saved") as caught:
                os.kill(os.getpid(), signal.SIGTERM)
        assert caught.value.signum == signal.SIGTERM

    def test_one_that_a_launcher_passes_on_as_well_counts_once(self, tmp_path) -> None:
        with StopSignals(tmp_path) as stop, stop.patient():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.signum == signal.SIGTERM

    def test_it_is_a_keyboard_interrupt_to_those_who_know_no_better(self, tmp_path) -> None:
        with pytest.raises(KeyboardInterrupt), StopSignals(tmp_path):
            os.kill(os.getpid(), signal.SIGINT)

    def test_what_is_ignored_stays_ignored(self, tmp_path) -> None:
        """As under nohup."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with StopSignals(tmp_path) as stop, stop.patient():
                os.kill(os.getpid(), signal.SIGINT)
                assert stop.signum == 0
        finally:
            signal.signal(signal.SIGINT, before)

    def test_outside_the_main_thread_handlers_stay(self, tmp_path) -> None:
        before, seen = signal.getsignal(signal.SIGTERM), []

        def enter() -> None:
            with StopSignals(tmp_path):
                seen.append(signal.getsignal(signal.SIGTERM))

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        assert seen == [before]


class TestCheckpoints:
    """What is on the disk."""

    def test_the_manifest_names_every_file(self, base, data, tmp_path) -> None:
        signalled(uneven_recipe(base, data, tmp_path / "run"), "on_step_end", step=3)
        newest = tmp_path / "run" / "checkpoints" / "checkpoint-3"
        entries = json.loads((newest / MANIFEST).read_text())
        assert list(entries) == sorted(file.name for file in newest.iterdir() if file.name != MANIFEST)
        assert {"model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"} <= set(
            entries
        )
        assert "training_args.bin" not in entries
        assert all(entry["bytes"] == (newest / name).stat().st_size for name, entry in entries.items())

    def test_the_state_names_the_final_folder(self, base, data, tmp_path) -> None:
        signalled(uneven_recipe(base, data, tmp_path / "run"), "on_step_end", step=4)
        newest = tmp_path / "run" / "checkpoints" / "checkpoint-4"
        state = json.loads((newest / "trainer_state.json").read_text())
        assert state["best_model_checkpoint"] == str(newest)

    def test_leftovers_of_a_killed_process_go(self, base, data, tmp_path) -> None:
        run = tmp_path / "run"
        signalled(uneven_recipe(base, data, run), "on_step_end", step=3)
        shutil.copytree(run / "checkpoints" / "checkpoint-3", run / "checkpoints" / f"{STAGING}4" / "checkpoint-4")
        signalled(uneven_recipe(base, data, run), "on_step_end", step=4, resume=True)
        assert checkpoints(run) == ["checkpoint-3", "checkpoint-4"]

    def test_everything_is_on_the_disk_before_it_gets_its_name(self, base, data, tmp_path, monkeypatch) -> None:
        synced, renamed = set(), []
        fsync, rename = os.fsync, Path.rename

        def noted(handle: int) -> None:
            synced.add(str(Path(f"/proc/self/fd/{handle}").readlink()))
            fsync(handle)

        def checked(path: Path, target: Path) -> Path:
            files = {str(file) for file in path.rglob("*")} | {str(path)}
            renamed.append(files - synced)
            return rename(path, target)

        monkeypatch.setattr(os, "fsync", noted)
        monkeypatch.setattr(Path, "rename", checked)
        train(uneven_recipe(base, data, tmp_path / "run", max_steps=2))
        assert renamed == [set()]
        assert str(tmp_path / "run" / "checkpoints") in synced

    def test_the_newest_of_one_is_kept_until_the_run_is_written(self, base, data, tmp_path, monkeypatch) -> None:
        """Trainer would delete it once training ends, and a kill after that would lose all since the best."""
        run, left = tmp_path / "run", []
        monkeypatch.setattr("personable.training.run.finish", lambda *_, **__: left.extend(checkpoints(run)))
        first_is_best = {"greater_is_better": True, "save_total_limit": 1, "max_steps": 6}
        train(small_recipe(base, data, run, also={"early_stopping_patience": None}, **first_is_best))
        assert left == ["checkpoint-2", "checkpoint-6"]


def test_killed_at_random_moments_a_run_ends_with_the_same_weights(tmp_path) -> None:
    """A small edition of what the tool does; see there."""
    found = survived(tmp_path, kills=5, seed=1)
    assert found["kills"] == 5
    assert found["inside_a_save"]
    assert found["bit_equal"]
    assert found["most_steps_repeated"] <= found["save_steps"]
