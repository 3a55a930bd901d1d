"""The main job on bundled defaults: fine-tune, compare before and after, leave a run to talk with."""

from __future__ import annotations

import gc
import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from personable.base import load_base
from personable.chat.personas import bundled_personas
from personable.dialogue import Dialogue, Speaker
from personable.errors import BadBase, BaseNotFound, MissingExtra
from personable.reply import Bot, Sampling, load
from personable.training import Recipe, Trained, read_recipe, train

log = logging.getLogger(__name__)

QUESTIONS = (
    ("Tobias Wren", "Good evening! Who are you, and what do you do?"),
    ("Tobias Wren", "Is there an animal that keeps you company out there?"),
    ("Berrin", "My name is Wulf. What's your name?"),
)
"""(persona of the bundled dialogues, what a partner says to it); none of them stands in the training dialogues."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question, answered by the base and by the run made from it."""

    persona: str
    question: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What the demo found."""

    base: str
    trained: Trained
    exchanges: tuple[Exchange, ...]


def demo_recipe() -> Path:
    """recipes/demo.yaml, in a checkout or in an installed package."""
    here = Path(__file__).resolve().parent
    for folder in (here / "recipes", here.parents[1] / "recipes"):
        if (folder / "demo.yaml").is_file():
            return folder / "demo.yaml"
    raise BadBase("this installation lacks recipes/demo.yaml. Next: install Personable again.")


def demo(recipe: Recipe | None = None, *, tell: Callable[[str], None] = log.info) -> Demonstration:
    """Runs a recipe over bundled dialogues (recipes/demo.yaml by default), asking the same questions before and after.

    tell: is given a line for each stage. Where the base of the recipe cannot be had, the bundled starter stands in.
    An earlier demo run in the same folder is replaced. Raises what `train` raises.
    """
    recipe = recipe or read_recipe(demo_recipe())
    tell(f"loading {recipe.base} (fetched the first time)")
    try:
        if recipe.lora and importlib.util.find_spec("peft") is None:
            raise MissingExtra("peft", "lora", "a recipe with `lora`")
        before_bot = Bot(load_base(recipe.base))
    except (BaseNotFound, MissingExtra) as error:
        tell(f"{recipe.base} cannot be had ({error})")
        tell("the bundled starter stands in: smaller, and its replies are simpler")
        recipe = starter_variant(recipe)
        before_bot = Bot(load_base(recipe.base))
    tell(f"base: {recipe.base}, {sum(p.numel() for p in before_bot.base.model.parameters()) / 1e6:.0f}M parameters")
    tell("asking it before it has learnt anything")
    before = ask(before_bot)
    del before_bot
    gc.collect()
    tell(f"fine-tuning on the bundled dialogues; the run goes to {recipe.run}")
    trained = train(recipe, overwrite=True)
    tell("asking again")
    after = ask(load(trained.run))
    exchanges = tuple(
        Exchange(name, question, old, new) for (name, question), old, new in zip(QUESTIONS, before, after, strict=True)
    )
    return Demonstration(recipe.base, trained, exchanges)


def starter_variant(recipe: Recipe) -> Recipe:
    """The recipe with the bundled starter as base: small enough to train whole."""
    return recipe.model_copy(
        update={
            "base": "starter",
            "lora": None,
            "training": {**recipe.training, "num_train_epochs": 6, "learning_rate": 1e-3},
        }
    )


def ask(bot: Bot) -> list[str]:
    """The bot's greedy answers to QUESTIONS, each in a new dialogue with the bundled persona."""
    personas = {persona.name: persona for persona in bundled_personas()}
    greedy = Sampling(temperature=0, max_reply_tokens=60)
    return [bot.reply(Dialogue(personas[name]).then(Speaker.PARTNER, question), greedy) for name, question in QUESTIONS]
