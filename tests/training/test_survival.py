"""Signals, full disks and numbers that are none: what was learnt before is kept, and the message says how to go on."""

from __future__ import annotations

import errno
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from tools.kill_training import survived
from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback, TrainingArguments

from personable.errors import Interrupted, RecipeError, TrainingStopped
from personable.training import finishing, train
from personable.training.checkpoints import SafeCheckpoints
from personable.training.manifest import MANIFEST, STAGING, damage
from personable.training.record import MetricsFile
from personable.training.stopping import StopSignals, explained
from personable.training.trainer import ReplyTrainer
from tests.training.small import record_of, rows, same_weights, small_recipe

BY_EPOCH = {"eval_strategy": "epoch", "save_strategy": "epoch", "eval_steps": None, "save_steps": 500}


def recipe(base, data, run, **training):
    """Two micro-batches a step, two steps an epoch, losses logged every third step: nothing ends where another does."""
    uneven = {"max_steps": 7, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 1, "logging_steps": 3}
    return small_recipe(base, data, run, also={"dropout": 0.1}, **{**uneven, **training})


@pytest.fixture(scope="module")
def unbroken(base, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    train(recipe(base, data, folder / "steps"))
    train(recipe(base, data, folder / "epoch", **BY_EPOCH))
    return folder


def signalled(settings, event: str, *, step: int, signum: int = signal.SIGTERM, resume: bool = False) -> Interrupted:
    """Trains and sends this process a signal when something happens for the first time after so many steps."""
    sent: list[int] = []

    def send(_self, args, state, control, **_):
        if state.global_step == step and not sent:
            sent.append(signum)
            os.kill(os.getpid(), signum)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(MetricsFile, event, send)
        with pytest.raises(Interrupted) as caught:
            train(settings, resume=resume)
    return caught.value


@pytest.fixture(autouse=True)
def ctrl_c_is_listened_to():
    """Whoever starts the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def story(run: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without times."""
    return [{key: row[key] for key in row if "second" not in key} for row in rows(run, "step")]


def checkpoints(run: Path) -> list[str]:
    """Names of what is in the folder of checkpoints."""
    return sorted(path.name for path in (run / "checkpoints").iterdir())


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
    base, data, tmp_path, unbroken, event: str, step: int, saved: int, by: str
) -> None:
    run = tmp_path / "run"
    settings = recipe(base, data, run, **(BY_EPOCH if by == "epoch" else {}))
    said = str(signalled(settings, event, step=step))
    assert said == f"step {saved} is saved. Next: personable train {run / 'recipe.yaml'} --resume"
    assert damage(run / "checkpoints" / f"checkpoint-{saved}") is None
    train(settings, resume=True)
    assert record_of(run)["resumed_at_steps"] == [saved]
    assert same_weights(run, unbroken / by)
    assert story(run) == story(unbroken / by)
    for key in ("steps", "epochs", "learnt_tokens", "kept"):
        assert record_of(run)[key] == record_of(unbroken / by)[key], key


def test_interrupted_again_and_again(base, data, tmp_path, unbroken) -> None:
    run = tmp_path / "run"
    for step in (1, 2, 3, 6):
        signalled(recipe(base, data, run), "on_step_end", step=step, resume=step > 1)
    train(recipe(base, data, run), resume=True)
    assert record_of(run)["resumed_at_steps"] == [1, 2, 3, 6]
    assert same_weights(run, unbroken / "steps")
    assert story(run) == story(unbroken / "steps")


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
    signalled(recipe(base, data, tmp_path / "run"), "on_save", step=4)
    assert written == [2, 4]
    signalled(recipe(base, data, tmp_path / "run"), "on_step_begin", step=4, resume=True)
    assert written == [2, 4, 5]


def test_what_a_signal_saves_is_kept_where_one_checkpoint_is_allowed(base, data, tmp_path) -> None:
    settings = recipe(base, data, tmp_path / "run", save_total_limit=1, greater_is_better=True)
    signalled(settings, "on_step_end", step=5)
    assert checkpoints(tmp_path / "run") == ["checkpoint-2", "checkpoint-5"], "the best and the newest"


def test_where_nothing_is_saved_a_signal_saves(base, data, tmp_path, unbroken) -> None:
    seldom = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False, "eval_on_start": False}
    for name in ("whole", "broken"):
        settings = recipe(base, data, tmp_path / name, **seldom)
        if name == "broken":
            signalled(settings, "on_step_end", step=3)
        train(settings, resume=name == "broken")
    assert same_weights(tmp_path / "whole", tmp_path / "broken")


def test_before_the_first_step_nothing_is_waited_for(base, data, tmp_path, unbroken) -> None:
    run = tmp_path / "run"
    said = str(signalled(recipe(base, data, run), "on_prediction_step", step=0, signum=signal.SIGINT))
    assert "what came after the newest checkpoint is not saved" in said
    assert checkpoints(run) == []
    train(recipe(base, data, run), resume=True)
    assert same_weights(run, unbroken / "steps")


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
        signalled(recipe(base, data, tmp_path / "run"), "on_step_end", step=3)
        newest = tmp_path / "run" / "checkpoints" / "checkpoint-3"
        entries = json.loads((newest / MANIFEST).read_text())
        assert list(entries) == sorted(file.name for file in newest.iterdir() if file.name != MANIFEST)
        assert {"model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"} <= set(
            entries
        )
        assert "training_args.bin" not in entries
        assert all(entry["bytes"] == (newest / name).stat().st_size for name, entry in entries.items())

    def test_the_state_names_the_final_folder(self, base, data, tmp_path) -> None:
        signalled(recipe(base, data, tmp_path / "run"), "on_step_end", step=4)
        newest = tmp_path / "run" / "checkpoints" / "checkpoint-4"
        state = json.loads((newest / "trainer_state.json").read_text())
        assert state["best_model_checkpoint"] == str(newest)

    def test_leftovers_of_a_killed_process_go(self, base, data, tmp_path) -> None:
        run = tmp_path / "run"
        signalled(recipe(base, data, run), "on_step_end", step=3)
        shutil.copytree(run / "checkpoints" / "checkpoint-3", run / "checkpoints" / f"{STAGING}4" / "checkpoint-4")
        signalled(recipe(base, data, run), "on_step_end", step=4, resume=True)
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
        train(recipe(base, data, tmp_path / "run", max_steps=2))
        assert renamed == [set()]
        assert str(tmp_path / "run" / "checkpoints") in synced

    def test_the_newest_of_one_is_kept_until_the_run_is_written(self, base, data, tmp_path, monkeypatch) -> None:
        """Trainer would delete it once training ends, and a kill after that would lose all since the best."""
        run, left = tmp_path / "run", []
        monkeypatch.setattr("personable.training.run.finish", lambda *_, **__: left.extend(checkpoints(run)))
        first_is_best = {"greater_is_better": True, "save_total_limit": 1, "max_steps": 6}
        train(small_recipe(base, data, run, also={"early_stopping_patience": None}, **first_is_best))
        assert left == ["checkpoint-2", "checkpoint-6"]


class TestDisk:
    """No room."""

    @pytest.mark.parametrize("room", [20_000, 250_000])
    def test_a_limit_to_files(self, base, data, tmp_path, unbroken, room: int) -> None:
        """From less than the weights take to more than the weights and less than the optimiser."""
        run = tmp_path / "run"
        settings = recipe(base, data, run)
        signalled(settings, "on_step_end", step=3)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        assert (run / "checkpoints" / "checkpoint-3" / "optimizer.pt").stat().st_size > room
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        try:
            with pytest.raises(TrainingStopped, match=r"able to write .*checkpoint-4, found.*untouched.*--resume"):
                train(settings, resume=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert checkpoints(run) == ["checkpoint-2", "checkpoint-3"]
        assert damage(run / "checkpoints" / "checkpoint-3") is None
        train(settings, resume=True)
        assert same_weights(run, unbroken / "steps")
        assert story(run) == story(unbroken / "steps")

    def test_while_the_run_is_written(self, base, data, tmp_path, unbroken, monkeypatch) -> None:
        run = tmp_path / "run"
        settings = recipe(base, data, run)

        def full(*_, **__) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "model.safetensors")

        with monkeypatch.context() as broken:
            broken.setattr(finishing, "save_model", full)
            with pytest.raises(TrainingStopped, match=r"No space left.*model\.safetensors.*make room, then .*--resume"):
                train(settings)
        train(settings, resume=True)
        assert same_weights(run, unbroken / "steps")

    def test_closing_what_cannot_be_written_hides_nothing(self, base, data, tmp_path, monkeypatch) -> None:
        def unwritable(_self) -> None:
            raise OSError(errno.ENOSPC, "of tensorboard")

        monkeypatch.setattr(SummaryWriter, "close", unwritable)
        assert "step 3 is saved" in str(signalled(recipe(base, data, tmp_path / "run"), "on_step_end", step=3))

    @pytest.mark.parametrize(
        ("error", "first"),
        [
            (OSError(errno.EDQUOT, "Disk quota exceeded", "a"), "make room"),
            (OSError(errno.EFBIG, "File too large", "a"), "make room"),
            (SafetensorError("I/O error: No space left on device (os error 28)"), "make room"),
            (PermissionError(errno.EACCES, "Permission denied", "/there/a"), "mend what it names"),
            (SafetensorError("InvalidHeader"), "mend what it names"),
        ],
    )
    def test_room_is_asked_for_only_where_it_is_wanting(self, tmp_path, error: Exception, first: str) -> None:
        arguments = TrainingArguments(str(tmp_path), use_cpu=True)
        with pytest.raises(TrainingStopped) as caught, explained(arguments):
            raise error
        assert f"found: {error}. Next: {first}, then go on with --resume." in str(caught.value)

    def test_a_full_one(self, base, data, tmp_path, unbroken) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
        )
        if mounted.returncode:
            pytest.skip(f"nothing can be mounted here: {mounted.stderr.strip()}")
        try:
            run = disk / "run"
            settings = recipe(base, data, run)
            signalled(settings, "on_step_end", step=3)
            ballast = disk / "ballast"
            ballast.write_bytes(bytes(shutil.disk_usage(disk).free - 300_000))
            with pytest.raises(TrainingStopped, match=r"write .*checkpoint-4, found: .*0 MiB free.*--resume"):
                train(settings, resume=True)
            assert checkpoints(run) == ["checkpoint-2", "checkpoint-3"]
            ballast.unlink()
            train(settings, resume=True)
            assert same_weights(run, unbroken / "steps")
        finally:
            subprocess.run(["umount", str(disk)], check=False)


@pytest.mark.parametrize(("rows", "first"), [(4, "lower training.per_device_train"), (1, "set training.activation")])
def test_what_to_do_without_memory(tmp_path, rows: int, first: str) -> None:
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, per_device_train_batch_size=rows)
    with (
        pytest.raises(TrainingStopped, match=rf"{rows} rows? at a time. Next: {first}") as caught,
        explained(arguments),
    ):
        raise torch.OutOfMemoryError
    order = ("activation_checkpointing=true", "--resume", "encoding.context_tokens", "lora", "--overwrite")
    places = [str(caught.value).index(each) for each in order]
    assert places == sorted(places)


class TestNumbers:
    """A model that diverges stops before it spoils what is saved."""

    def test_a_gradient_that_is_no_number_stops_before_the_step(self, base, data, tmp_path, monkeypatch) -> None:
        run, seen = tmp_path / "run", {}
        original = ReplyTrainer.compute_loss

        def poisoned(self, model, inputs, *arguments, **named):
            loss = original(self, model, inputs, *arguments, **named)
            if self.state.global_step == 5:
                seen.update({name: weight.clone() for name, weight in model.named_parameters()})
                seen["model"] = model
                weight = next(model.parameters())
                loss = loss + (weight * 1e38).sum() * 1e38
            return loss

        monkeypatch.setattr(ReplyTrainer, "compute_loss", poisoned)
        with pytest.raises(TrainingStopped, match=r"gradient norm of (inf|nan) at step 6.*training\.learning_rate"):
            train(recipe(base, data, run))
        model = seen.pop("model")
        assert all(torch.equal(weight, seen[name]) for name, weight in model.named_parameters())
        assert damage(run / "checkpoints" / "checkpoint-4") is None
        assert checkpoints(run) == ["checkpoint-2", "checkpoint-4"]

    def test_without_clipping_too(self, base, data, tmp_path) -> None:
        settings = recipe(base, data, tmp_path / "run", learning_rate=1e30, warmup_steps=0, max_grad_norm=0)
        with pytest.raises(TrainingStopped, match=r"finite loss, found .*(nan|inf)"):
            train(settings)

    def test_weights_that_are_no_numbers_push_nothing_out(self, base, data, tmp_path, monkeypatch) -> None:
        run = tmp_path / "run"

        class Spoiler(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
            def on_optimizer_step(self, args, state, control, model=None, **_) -> None:
                if state.global_step == 3:
                    with torch.no_grad():
                        next(model.parameters())[0, 0] = math.nan

        monkeypatch.setattr(ReplyTrainer, "evaluate", lambda self, **_: {"eval_reply_perplexity": 1.0})
        original = ReplyTrainer.__init__

        def spoilt(self, *arguments, **named):
            original(self, *arguments, **named)
            self.add_callback(Spoiler())

        monkeypatch.setattr(ReplyTrainer, "__init__", spoilt)
        with pytest.raises(TrainingStopped, match="weights that are no numbers after step 4"):
            train(recipe(base, data, run))
        assert checkpoints(run) == ["checkpoint-2"]

    def test_a_step_without_anything_to_learn_is_named(self, base, data, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr(ReplyTrainer, "_get_num_items_in_batch", lambda *_: torch.tensor(0))
        with pytest.raises(TrainingStopped, match=r"expected tokens to learn .* step 1"):
            train(recipe(base, data, tmp_path / "run"))

    @pytest.mark.parametrize("rate", [0, 0.0, -1e-4, math.nan, math.inf])
    def test_a_learning_rate_that_teaches_nothing_is_refused(self, base, data, tmp_path, rate: float) -> None:
        with pytest.raises(RecipeError, match=r"training\.learning_rate: expected a number above 0"):
            recipe(base, data, tmp_path / "run", learning_rate=rate)


def test_killed_at_random_moments_a_run_ends_with_the_same_weights(tmp_path) -> None:
    """A small edition of what the tool does; see there."""
    found = survived(tmp_path, kills=5, seed=1)
    assert found["kills"] == 5
    assert found["inside_a_save"]
    assert found["bit_equal"]
    assert found["most_steps_repeated"] <= found["save_steps"]
