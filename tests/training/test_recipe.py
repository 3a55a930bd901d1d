"""Recipes: YAML, --set, and what is said about a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from personable.errors import RecipeError
from personable.training import make_recipe, read_recipe
from personable.training.arguments import use_one_gpu
from personable.training.recipe import TRAINING_RESERVED, parse_changes, write_recipe

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_repository_is_valid(path) -> None:
    assert read_recipe(path).training


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"bsae": "starter"}, r"unknown key 'bsae'; did you mean 'base'\?"),
        ({"data": {"tain": "x"}}, r"unknown key 'data.tain'; did you mean 'train'\?"),
        ({"lora": {"rank": 4}}, r"unknown key 'lora.rank'"),
        ({"training": {"learning_rat": 1}}, r"training.learning_rat is no .* did you mean 'learning_rate'\?"),
        (
            {"training": {"per_device_train_batch_size": "four"}},
            r"per_device_train_batch_size: .*integer.*found 'four'",
        ),
        *(
            ({"training": {key: 0}}, rf"training.{key}: expected 1 or more, found 0")
            for key in ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps")
        ),
        *(({"training": {key: 0}}, rf"training.{key}: .*found 0") for key in ("max_steps", "num_train_epochs")),
        ({"training": {"per_device_train_batch_size": 2.5}}, r"per_device_train_batch_size: .*integer.*found 2.5"),
        ({"training": {"bf16": "perhaps"}}, r"training.bf16: .*boolean.*found 'perhaps'"),
        ({"training": ["learning_rate"]}, r"training: .*dictionary.*found \['learning_rate'\]"),
        ({"dropout": "much"}, r"dropout: .*number.*found 'much'"),
        ({"encoding": {"context_tokens": 4}}, r"encoding.context_tokens: .*greater than 16, found 4"),
        ({"lora": {"r": 0}}, r"lora.r: .*greater than 0, found 0"),
        ({"data": {"validation_share": 1}}, r"data.validation_share: .*less than 1, found 1"),
        ({"encoding": {"learn": "everything"}}, r"encoding.learn: .*'replies' or 'turns', found 'everything'"),
    ],
)
def test_a_wrong_setting_is_named_and_quoted(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said) as caught:
        make_recipe(settings, source="my.yaml")
    assert str(caught.value).startswith("my.yaml: ")


@pytest.mark.parametrize("name", sorted(TRAINING_RESERVED))
def test_arguments_that_personable_decides_cannot_be_set(name: str) -> None:
    with pytest.raises(RecipeError, match=rf"training\.{name} cannot be set: "):
        make_recipe({"training": {name: "x"}})


def test_changes_are_read_as_yaml_and_reach_nested_keys() -> None:
    changes = parse_changes(
        [
            "training.learning_rate=1e-4",
            "training.eval_strategy=no",
            "lora.r=4",
            "data.train=[a.jsonl, b.jsonl]",
            "base=models/1e5",
            "early_stopping_patience=null",
            "dropout=",
        ]
    )
    assert changes["training.learning_rate"] == 0.0001
    recipe = make_recipe({"training": {"seed": 7}}, changes=changes)
    assert recipe.training == {"seed": 7, "learning_rate": 1e-4, "eval_strategy": "no"}
    assert recipe.lora is not None
    assert (recipe.lora.r, recipe.lora.alpha) == (4, 32)
    assert recipe.data.train == ("a.jsonl", "b.jsonl")
    assert recipe.base == "models/1e5"
    assert recipe.early_stopping_patience is None
    assert recipe.dropout is None


@pytest.mark.parametrize("text", ["nan", "inf", "1_000", "infinity"])
def test_a_name_that_python_would_take_for_a_number_stays_a_name(text: str) -> None:
    assert make_recipe({}, changes=parse_changes([f"base={text}.x"])).base == f"{text}.x"
    assert isinstance(parse_changes([f"base={text}"])["base"], int if text == "1_000" else str)


@pytest.mark.parametrize("pair", ["learning_rate", "=3", "base=[1", "base=@x"])
def test_a_change_that_is_none_is_quoted(pair: str) -> None:
    with pytest.raises(RecipeError, match="--set KEY=VALUE") as caught:
        parse_changes([pair])
    assert repr(pair) in str(caught.value)


def test_a_change_below_a_value_says_what_stands_there() -> None:
    with pytest.raises(RecipeError, match=r"--set base.x: expected settings under 'base', found 'starter'"):
        make_recipe({"base": "starter"}, changes={"base.x": 1})


def test_a_learning_rate_without_a_dot_in_a_file_is_a_number(tmp_path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("training: {learning_rate: 1e-4, save_strategy: no}\n")
    assert read_recipe(file).training == {"learning_rate": 1e-4, "save_strategy": "no"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("- base\n", "found list"),
        ("", "found NoneType"),
        ("base: [", "expected YAML"),
        (b"\xff\xfe\x00", "expected YAML"),
    ],
)
def test_a_file_that_is_no_recipe_is_named(tmp_path, content: str | bytes, said: str) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RecipeError, match=said) as caught:
        read_recipe(file)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(RecipeError, match=r"nowhere\.yaml.*No such file.*recipes/"):
        read_recipe("nowhere.yaml")


def test_a_written_recipe_reads_back_the_same(tmp_path) -> None:
    recipe = make_recipe({"lora": {"target_modules": ["c_attn"]}, "training": {"learning_rate": 1e-5}})
    write_recipe(recipe, tmp_path / "recipe.yaml")
    assert read_recipe(tmp_path / "recipe.yaml") == recipe


def test_saving_follows_evaluating() -> None:
    """transformers refuses to keep the best model otherwise."""
    chosen = make_recipe({"training": {"eval_strategy": "steps", "eval_steps": 7}}).training_arguments
    assert (chosen["save_strategy"], chosen["save_steps"]) == ("steps", 7)
    without = make_recipe({"training": {"eval_strategy": "no"}}).training_arguments
    assert not without["load_best_model_at_end"]


def test_several_gpus_in_one_process_are_left_to_torchrun(caplog) -> None:
    class FourGpus:
        _n_gpu = 4
        n_gpu = property(lambda self: self._n_gpu)

    arguments: Any = FourGpus()
    use_one_gpu(arguments)
    assert arguments.n_gpu == 1
    assert "torchrun --nproc-per-node 4" in caplog.text
