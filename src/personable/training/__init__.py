"""Dialogues -> run folder: `train(read_recipe("recipes/demo.yaml"))`."""

from personable.training.recipe import Recipe, make_recipe, read_recipe
from personable.training.run import Trained, train

__all__ = ["Recipe", "Trained", "make_recipe", "read_recipe", "train"]
