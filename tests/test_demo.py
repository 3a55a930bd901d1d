"""The main job in process: before, training, after."""

from __future__ import annotations

from pathlib import Path

import pytest

from personable import starter
from personable.base import load_base
from personable.demo import QUESTIONS, ask, demo, demo_recipe, starter_variant
from personable.reply import load
from personable.training import Recipe, make_recipe, read_recipe
from tests.tiny import tiny_base

FEW = {"train": "starter", "validation": "starter", "max_dialogues": 4, "max_validation_dialogues": 2}


def two_steps(base: str | Path, run: Path, **other) -> Recipe:
    training = {"max_steps": 2, "per_device_train_batch_size": 2, "learning_rate": 0.03, "warmup_steps": 0}
    return make_recipe({"base": str(base), "run": str(run), "data": FEW, "training": training, **other})


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"), positions=512)


def test_the_same_questions_before_and_after(base, tmp_path) -> None:
    told: list[str] = []
    found = demo(two_steps(base, tmp_path / "run"), tell=told.append)
    assert found.base == str(base)
    assert [(exchange.persona, exchange.question) for exchange in found.exchanges] == list(QUESTIONS)
    assert [exchange.after for exchange in found.exchanges] == ask(load(tmp_path / "run"))
    assert [exchange.before for exchange in found.exchanges] == ask(load(base))
    assert any(exchange.before != exchange.after for exchange in found.exchanges)
    first, best = found.trained.first_perplexity, found.trained.best_perplexity
    assert first is not None
    assert best is not None
    assert best < first
    assert str(tmp_path / "run") in " ".join(told)

    again = demo(two_steps(base, tmp_path / "run"), tell=told.append)
    assert again.trained.best_perplexity == best, "an earlier demo is replaced"


def test_where_the_base_cannot_be_had_the_starter_stands_in(base, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(starter, "MODEL", base)  # the real one takes minutes to train
    told: list[str] = []
    found = demo(two_steps("nobody/no-such-model", tmp_path / "run", lora={"r": 4}), tell=told.append)
    assert found.base == "starter"
    assert "nobody/no-such-model cannot be had" in told[1]
    assert "the bundled starter stands in" in told[2]
    assert all(exchange.before for exchange in found.exchanges)


def test_the_variant_for_the_starter_is_a_valid_recipe() -> None:
    recipe = starter_variant(read_recipe(demo_recipe()))
    assert make_recipe(recipe.model_dump(mode="json")) == recipe
    assert (recipe.base, recipe.lora) == ("starter", None)


def test_the_bundled_starter_can_be_asked() -> None:
    assert (starter.MODEL / "config.json").is_file(), "the package is built with the starter's weights in it"
    bundled = load_base("starter", device="cpu")
    assert bundled.context_tokens >= 512
    assert len(ask(load("starter"))) == len(QUESTIONS)
