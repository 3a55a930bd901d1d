"""A run that `train` has finished, with a model card: what somebody publishes."""

from __future__ import annotations

from pathlib import Path

from personable.training import make_recipe, train
from tests.tiny import tiny_base
from tests.training.small import settings, write_data

CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
tags: [conversational, persona]
---

# Rita

Talks about boats. Mail rita@boats.org.
"""


def write_finished_run(folder: Path) -> Path:
    """folder/rita, trained for two steps from a base in the folder, under absolute names; takes a second or two."""
    base = tiny_base(folder / "base")
    recipe = make_recipe(settings(base, write_data(folder / "data"), folder / "rita", max_steps=2))
    train(recipe)
    (recipe.run / "README.md").write_text(CARD, encoding="utf-8")
    return recipe.run
