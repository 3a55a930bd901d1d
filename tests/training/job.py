"""What each process of a launched test job runs: several trainings one after another, as `personable train` would.

    python -m torch.distributed.run --nproc-per-node 2 -m tests.training.job JOB.json [--sharded]

JOB.json: a list of {"recipe": FILE, "stop_after": STEP or null}. With a step, rank 0 gets a SIGTERM after it, and the
run is then resumed. Which dialogues a process drew, [[epoch, index], ...], is written beside the recipe, as
FILE.drawn.RANK.json.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from accelerate.state import PartialState
from accelerate.utils import DistributedType

from personable.errors import Interrupted
from personable.training import read_recipe, train
from personable.training.data import RowDataset
from personable.training.record import MetricsFile

RANK = int(os.environ["RANK"])


def shard_on_cpu() -> None:
    """What `accelerate launch` sets for FSDP2; and as accelerate shards on accelerators only, this CPU poses as one."""
    os.environ |= {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "ACCELERATE_TORCH_DEVICE": "cpu"}
    os.environ |= {"FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP", "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT"}
    PartialState._prepare_backend = lambda *_: ("gloo", DistributedType.MULTI_GPU)


def run(recipe_file: Path, stop_after: int | None) -> None:
    """Trains, and writes down what was drawn."""
    drawn: list[tuple[int, int]] = []
    original = RowDataset._encoded

    def encoded(dataset: RowDataset, index: int, epoch: int) -> Any:
        if dataset.shuffle_persona:  # only the training part does
            drawn.append((epoch, index))
        return original(dataset, index, epoch)

    def terminate(_self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == stop_after and RANK == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    recipe = read_recipe(recipe_file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RowDataset, "_encoded", encoded)
        if stop_after is None:
            train(recipe)
        else:
            patch.setattr(MetricsFile, "on_step_end", terminate)
            with pytest.raises(Interrupted, match=f"step {stop_after} is saved"):
                train(recipe)
            patch.undo()
            train(recipe, resume=True)
    recipe_file.with_suffix(f".drawn.{RANK}.json").write_text(json.dumps(drawn))


if __name__ == "__main__":
    if "--sharded" in sys.argv:
        shard_on_cpu()
    for entry in json.loads(Path(sys.argv[1]).read_text()):
        run(Path(entry["recipe"]), entry["stop_after"])
