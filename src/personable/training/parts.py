"""The data of a recipe -> what is learnt from and what is held out."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from personable import starter
from personable.corpus import read_dialogues, split_dialogues
from personable.dialogue import Dialogue
from personable.training.recipe import Recipe

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    train: tuple[Dialogue, ...]
    validation: tuple[Dialogue, ...]


def read_parts(recipe: Recipe, *, seed: int) -> Parts:
    data = recipe.data

    def read(sources: Sequence[str], bundled: Path, most: int | None) -> tuple[Dialogue, ...]:
        found: list[Dialogue] = []
        for source in sources:
            path = bundled if source == "starter" else source
            reading = read_dialogues(path, format=data.format if source != "starter" else None,
                                     detokenise=data.detokenise, max_bad=data.max_bad)  # fmt: skip
            for problem in reading.problems:
                log.warning("skipped: %s", problem)
            found += reading.dialogues
        if most is not None and most < len(found):
            found = random.Random(seed).sample(found, most)
        return tuple(found)

    train = read(data.train, starter.TRAIN, None)
    if data.validation:
        validation = read(data.validation, starter.VALIDATION, data.max_validation_dialogues)
    else:
        split = split_dialogues(train, validation_share=data.validation_share, seed=seed)
        train, validation = split.train, split.validation
        if split.left_out:
            log.warning(
                "left out %d of %d dialogues that share a conversation or a persona with both training and validation",
                len(split.left_out),
                len(train) + len(validation) + len(split.left_out),
            )
        most = data.max_validation_dialogues
        if most is not None and most < len(validation):
            validation = tuple(random.Random(seed).sample(validation, most))
    if data.max_dialogues is not None and data.max_dialogues < len(train):
        train = tuple(random.Random(seed).sample(train, data.max_dialogues))
    return Parts(train, validation)
