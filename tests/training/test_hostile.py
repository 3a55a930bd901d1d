"""Checkpoints made to harm: nothing in them is ever run, whatever their manifest says."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from personable.errors import Interrupted, TrainingStopped
from personable.training import train
from personable.training.folder import open_run
from personable.training.manifest import MANIFEST, damage, seal
from personable.training.record import MetricsFile
from tests.training.small import record_of, same_weights, small_recipe


class Payload:
    """Unpickled, it makes a folder: the marker that code was run."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture(scope="module")
def stopped(base, data, tmp_path_factory) -> Path:
    """A run stopped after step 5, with checkpoints of steps 4 and 5."""
    run = tmp_path_factory.mktemp("stopped") / "run"

    def terminate(_self, args, state, control, **_):
        if state.global_step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(MetricsFile, "on_step_end", terminate)
        with pytest.raises(Interrupted):
            train(small_recipe(base, data, run, max_steps=8))
    return run


@pytest.fixture
def run(stopped, tmp_path) -> Path:
    return Path(shutil.copytree(stopped, tmp_path / "run"))


def newest(run: Path) -> Path:
    return run / "checkpoints" / "checkpoint-5"


def resealed(checkpoint: Path) -> None:
    """With a manifest that matches, as an attacker would make it."""
    (checkpoint / MANIFEST).unlink()
    seal(checkpoint)


def test_the_payload_works(tmp_path) -> None:
    """Else the tests below would show nothing."""
    torch.save({"state": Payload(tmp_path / "marker")}, tmp_path / "file")
    torch.load(tmp_path / "file", weights_only=False)
    assert (tmp_path / "marker").is_dir()


@pytest.mark.parametrize("plain", [False, True], ids=["torch.save", "pickle"])
@pytest.mark.parametrize("name", ["rng_state.pth", "optimizer.pt", "scheduler.pt"])
def test_what_is_read_by_torch_may_hold_tensors_only(base, data, tmp_path, run, name: str, plain: bool) -> None:
    marker, file = tmp_path / "marker", newest(run) / name
    poisoned = {"state": Payload(marker), "python": Payload(marker)}
    if plain:
        file.write_bytes(pickle.dumps(poisoned))
    else:
        torch.save(poisoned, file)
    resealed(newest(run))
    settings = small_recipe(base, data, run, max_steps=8)
    with pytest.raises(TrainingStopped, match=r"checkpoint-5, found a file that asks to run code; it was not obeyed"):
        train(settings, resume=True)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["training_args.bin", "pytorch_model.bin", "adapter_model.bin", "deep/state.pkl"])
def test_a_checkpoint_with_a_pickle_that_is_not_ours_is_passed_over(
    base, data, tmp_path, run, caplog, name: str
) -> None:
    marker, file = tmp_path / "marker", newest(run) / name
    file.parent.mkdir(exist_ok=True)
    torch.save({"transformer.wte.weight": Payload(marker)}, file)
    (newest(run) / "model.safetensors").unlink()  # loaders would take the pickle in its place
    resealed(newest(run))
    settings = small_recipe(base, data, run, max_steps=8)
    assert open_run(settings, resume=True, overwrite=False) == run / "checkpoints" / "checkpoint-4"
    assert f"checkpoint-5 cannot be used (refused: {name} is a pickle" in caplog.text
    assert not marker.exists()


def test_the_best_is_not_looked_for_elsewhere(base, data, tmp_path, run) -> None:
    """The best weights are loaded at the end. trainer_state.json may name any place for them."""
    marker, elsewhere = tmp_path / "marker", tmp_path / "elsewhere"
    elsewhere.mkdir()
    torch.save({"transformer.wte.weight": Payload(marker)}, elsewhere / "pytorch_model.bin")
    file = newest(run) / "trainer_state.json"
    state = json.loads(file.read_text())
    best_metric = -1.0  # nothing to come can be better
    file.write_text(json.dumps(state | {"best_model_checkpoint": str(elsewhere), "best_metric": best_metric}))
    resealed(newest(run))
    train(small_recipe(base, data, run, max_steps=8), resume=True)
    assert not marker.exists()
    assert record_of(run)["kept"]["step"] == state["best_global_step"]


def test_tensors_of_other_shapes_are_explained(base, data, run) -> None:
    torch.save({"state": {}, "param_groups": []}, newest(run) / "optimizer.pt")
    resealed(newest(run))
    with pytest.raises(TrainingStopped, match=r"checkpoint-5, found what cannot be used for it: .*parameter groups"):
        train(small_recipe(base, data, run, max_steps=8), resume=True)


class TestIndexOfShards:
    """torch.distributed.checkpoint reads its `.metadata` with a plain pickle.load: it is looked through before."""

    @pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
    def test_a_real_one_passes(self, tmp_path) -> None:
        from torch.distributed.checkpoint.state_dict_saver import save

        state = {"weight": torch.ones(3, dtype=torch.bfloat16), "nested": {"step": 3, "names": ["a"]}}
        save(state, checkpoint_id=tmp_path / "optimizer_0", no_dist=True)
        (tmp_path / "trainer_state.json").write_text('{"global_step": 3}')
        seal(tmp_path)
        assert damage(tmp_path) is None

    def test_one_that_runs_code_is_refused(self, tmp_path) -> None:
        folder, marker = tmp_path / "checkpoint", tmp_path / "marker"
        (folder / "optimizer_0").mkdir(parents=True)
        (folder / "optimizer_0" / ".metadata").write_bytes(pickle.dumps(Payload(marker)))
        seal(folder)
        assert damage(folder) == "refused: optimizer_0/.metadata names more than tensors"
        assert not marker.exists()


def test_a_manifest_that_is_no_manifest_is_damage(tmp_path) -> None:
    for content in ("[]", "{", '{"a": 1}', '{"a": {"bytes": 0}}', "\x00", "null", '"text"'):
        (tmp_path / MANIFEST).write_text(content)
        assert damage(tmp_path) == f"damaged: {MANIFEST}", content


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("added", r"damaged: deep/notes.txt is not in manifest.json"),
        ("outside", r"damaged: \.\./checkpoint-4/config.json"),
        ("stateless", "damaged: trainer_state.json is missing"),
        *((state, "damaged: trainer_state.json cannot be read") for state in ("{", "[]", '{"global_step": []}', "{}")),
    ],
)
def test_a_checkpoint_is_what_its_manifest_names_with_a_state(base, data, run, caplog, what: str, said: str) -> None:
    checkpoint = newest(run)
    state = checkpoint / "trainer_state.json"
    if what == "added":
        (checkpoint / "deep").mkdir()
        (checkpoint / "deep" / "notes.txt").write_text("later")
    elif what == "outside":
        entries = json.loads((checkpoint / MANIFEST).read_text())
        entries["../checkpoint-4/config.json"] = entries.pop("config.json")
        (checkpoint / "config.json").unlink()
        (checkpoint / MANIFEST).write_text(json.dumps(entries))
    elif what == "stateless":
        state.unlink()
        resealed(checkpoint)
    else:
        state.write_text(what)
        resealed(checkpoint)
    settings = small_recipe(base, data, run, max_steps=8)
    assert open_run(settings, resume=True, overwrite=False) == run / "checkpoints" / "checkpoint-4"
    assert re.search(rf"checkpoint-5 cannot be used \({said}", caplog.text)


def test_a_run_beside_is_whole(stopped, base, data, tmp_path, run) -> None:
    """Untouched, the same folder goes on."""
    train(small_recipe(base, data, run, max_steps=8), resume=True)
    train(small_recipe(base, data, tmp_path / "whole", max_steps=8))
    assert same_weights(run, tmp_path / "whole")
