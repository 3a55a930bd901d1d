"""`personable train` as a Ray Train job: the same function, in workers that Ray places on the machines of its cluster.

    pip install 'personable[ray]'
    python recipes/cluster/ray_train.py recipes/dialogpt-medium.yaml --workers 8 --gpus --run /shared/runs/medium

On a cluster, start it with `ray job submit`. Run folder, data and base have to be on a file system that all machines
share, or on the Hub. A worker that dies is replaced up to --failures times; training goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from personable.base import UNFINISHED
from personable.training.recipe import Recipe, make_recipe, parse_changes, read_recipe


def train_in_worker(settings: dict[str, Any]) -> None:
    """What every worker runs. Ray has joined them in a process group by then."""
    from personable.training import train

    recipe = make_recipe(settings)
    train(recipe, resume=(recipe.run / UNFINISHED).exists())


def with_whole_paths(recipe: Recipe) -> Recipe:
    """The recipe with absolute paths: workers start in a folder of their own."""

    def whole(source: str) -> str:
        return str(Path(source).resolve()) if Path(source).exists() else source

    data = recipe.data
    parts = {"train": tuple(map(whole, data.train)), "validation": tuple(map(whole, data.validation))}
    changes = {"run": recipe.run.resolve(), "base": whole(recipe.base), "data": data.model_copy(update=parts)}
    return recipe.model_copy(update=changes)


def main() -> None:
    """Reads the command line, trains, and says where the run is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--run", help="the folder to write, in place of the recipe's")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--gpus", action="store_true", help="one GPU for each")
    parser.add_argument("--failures", type=int, default=3, help="how often lost workers are replaced (default: 3)")
    parser.add_argument("--ray-results", type=Path, help="where Ray keeps its own records (default: ~/ray_results)")
    asked = parser.parse_args()

    changes = parse_changes(asked.changes) | ({"run": asked.run} if asked.run else {})
    recipe = with_whole_paths(read_recipe(asked.recipe, changes=changes))
    results = str(asked.ray_results.resolve()) if asked.ray_results else None
    TorchTrainer(
        train_in_worker,
        train_loop_config=recipe.model_dump(mode="json"),
        scaling_config=ScalingConfig(num_workers=asked.workers, use_gpu=asked.gpus),
        run_config=RunConfig(storage_path=results, failure_config=FailureConfig(max_failures=asked.failures)),
    ).fit()
    ray.shutdown()
    print(f"{recipe.run}: finished. Next: personable chat {recipe.run}")


if __name__ == "__main__":
    main()
