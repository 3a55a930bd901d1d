"""Full disks, lacking memory and numbers that are none: what was learnt before is kept, and the message says how to go
on."""

from __future__ import annotations

import errno
import math
import os
import resource
import shutil
import subprocess

import pytest
import torch
from safetensors import SafetensorError
from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback, TrainingArguments

from personable.errors import RecipeError, TrainingStopped
from personable.training import finishing, train
from personable.training.manifest import damage
from personable.training.stopping import explained
from personable.training.trainer import ReplyTrainer
from tests.training.small import checkpoints, same_weights, signalled, story, uneven_recipe


class TestDisk:
    """No room."""

    @pytest.mark.parametrize("room", [20_000, 250_000])
    def test_a_limit_to_files(self, base, data, tmp_path, unbroken_uneven, room: int) -> None:
        """From less than the weights take to more than the weights and less than the optimiser."""
        run = tmp_path / "run"
        settings = uneven_recipe(base, data, run)
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
        assert same_weights(run, unbroken_uneven / "steps")
        assert story(run) == story(unbroken_uneven / "steps")

    def test_while_the_run_is_written(self, base, data, tmp_path, unbroken_uneven, monkeypatch) -> None:
        run = tmp_path / "run"
        settings = uneven_recipe(base, data, run)

        def full(*_, **__) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "model.safetensors")

        with monkeypatch.context() as broken:
            broken.setattr(finishing, "save_model", full)
            with pytest.raises(TrainingStopped, match=r"No space left.*model\.safetensors.*make room, then .*--resume"):
                train(settings)
        train(settings, resume=True)
        assert same_weights(run, unbroken_uneven / "steps")

    def test_closing_what_cannot_be_written_hides_nothing(self, base, data, tmp_path, monkeypatch) -> None:
        def unwritable(_self) -> None:
            raise OSError(errno.ENOSPC, "of tensorboard")

        monkeypatch.setattr(SummaryWriter, "close", unwritable)
        assert "step 3 is saved" in str(signalled(uneven_recipe(base, data, tmp_path / "run"), "on_step_end", step=3))

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

    def test_a_full_one(self, base, data, tmp_path, unbroken_uneven) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
        )
        if mounted.returncode:
            pytest.skip(f"nothing can be mounted here: {mounted.stderr.strip()}")
        try:
            run = disk / "run"
            settings = uneven_recipe(base, data, run)
            signalled(settings, "on_step_end", step=3)
            ballast = disk / "ballast"
            ballast.write_bytes(bytes(shutil.disk_usage(disk).free - 300_000))
            with pytest.raises(TrainingStopped, match=r"write .*checkpoint-4, found: .*0 MiB free.*--resume"):
                train(settings, resume=True)
            assert checkpoints(run) == ["checkpoint-2", "checkpoint-3"]
            ballast.unlink()
            train(settings, resume=True)
            assert same_weights(run, unbroken_uneven / "steps")
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
            train(uneven_recipe(base, data, run))
        model = seen.pop("model")
        assert all(torch.equal(weight, seen[name]) for name, weight in model.named_parameters())
        assert damage(run / "checkpoints" / "checkpoint-4") is None
        assert checkpoints(run) == ["checkpoint-2", "checkpoint-4"]

    def test_without_clipping_too(self, base, data, tmp_path) -> None:
        settings = uneven_recipe(base, data, tmp_path / "run", learning_rate=1e30, warmup_steps=0, max_grad_norm=0)
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
            train(uneven_recipe(base, data, run))
        assert checkpoints(run) == ["checkpoint-2"]

    def test_a_step_without_anything_to_learn_is_named(self, base, data, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr(ReplyTrainer, "_get_num_items_in_batch", lambda *_: torch.tensor(0))
        with pytest.raises(TrainingStopped, match=r"expected tokens to learn .* step 1"):
            train(uneven_recipe(base, data, tmp_path / "run"))

    @pytest.mark.parametrize("rate", [0, 0.0, -1e-4, math.nan, math.inf])
    def test_a_learning_rate_that_teaches_nothing_is_refused(self, base, data, tmp_path, rate: float) -> None:
        with pytest.raises(RecipeError, match=r"training\.learning_rate: expected a number above 0"):
            uneven_recipe(base, data, tmp_path / "run", learning_rate=rate)
