"""The recipes of the repository: each says what it is and can be run as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from personable.base import HUB_ID
from personable.corpus.hub import is_hub_id
from personable.training.arguments import training_arguments
from personable.training.recipe import read_recipe

RECIPES = sorted((Path(__file__).resolve().parents[1] / "recipes").glob("*.yaml"))
FLAGSHIPS = ("dialogpt-medium", "dialogpt-medium-lora", "persona-based-chat")

each_recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


def flagships() -> list[Path]:
    return [path for path in RECIPES if path.stem in FLAGSHIPS]


def test_the_flagships_are_there() -> None:
    assert {path.stem for path in flagships()} == set(FLAGSHIPS)


@each_recipe
def test_transformers_accepts_what_a_recipe_asks_for(path: Path, tmp_path) -> None:
    recipe = read_recipe(path, changes={"run": str(tmp_path / "run")})
    arguments = training_arguments(recipe)
    asked = recipe.training
    assert asked["learning_rate"] == arguments.learning_rate
    assert {key: getattr(arguments, key) for key in asked if isinstance(asked[key], int)} == {
        key: value for key, value in asked.items() if isinstance(value, int)
    }


@each_recipe
def test_a_recipe_begins_by_saying_what_it_is(path: Path) -> None:
    first, second, *_ = path.read_text(encoding="utf-8").splitlines()
    assert first.startswith("# ")
    assert second.startswith("#")


@pytest.mark.parametrize("path", flagships(), ids=lambda path: path.stem)
def test_a_flagship_names_its_command_and_places_that_the_hub_can_have(path: Path) -> None:
    recipe = read_recipe(path)
    assert f"#   personable train recipes/{path.name}\n" in path.read_text(encoding="utf-8")
    assert recipe.run == Path("runs") / path.stem
    assert recipe.base == "microsoft/DialoGPT-medium"
    assert HUB_ID.fullmatch(recipe.base)
    sources = (*recipe.data.train, *recipe.data.validation)
    assert sources
    assert all(is_hub_id(source) for source in sources)


@pytest.mark.parametrize("path", flagships(), ids=lambda path: path.stem)
def test_a_flagship_takes_8_rows_to_a_step(path: Path) -> None:
    training = read_recipe(path).training
    assert training["per_device_train_batch_size"] * training["gradient_accumulation_steps"] == 8


def test_only_the_lora_recipe_adapts() -> None:
    assert [path.stem for path in flagships() if read_recipe(path).lora] == ["dialogpt-medium-lora"]
