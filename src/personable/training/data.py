"""Prepared dialogues -> what the Trainer draws from: rows, and the order in which each epoch takes them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch.utils.data import Dataset, Sampler

from personable.dialogue import Dialogue
from personable.encoding import EncodedDialogue
from personable.encoding.layout import cuts_not_logged
from personable.errors import EncodingError
from personable.training.layout import Layout
from personable.training.prepared import Prepared
from personable.training.rows import RowPlan


@dataclass(frozen=True, slots=True)
class Draw:
    """One row of one epoch. The epoch travels with it, so that it reaches processes that load data ahead."""

    epoch: int
    row: int


class RowDataset(Dataset[list[EncodedDialogue]]):
    """Rows of dialogues; the same for the same seed, epoch and row, in every process."""

    def __init__(self, prepared: Prepared, plan: RowPlan, layout: Layout, *, seed: int, shuffle_persona: bool) -> None:
        """shuffle_persona: facts in a new order each epoch."""
        self.prepared, self.plan, self.layout = prepared, plan, layout
        self.seed, self.shuffle_persona = seed, shuffle_persona

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, draw: Draw) -> list[EncodedDialogue]:
        indices = self.plan.row(draw.row, seed=self.seed, epoch=draw.epoch).tolist()
        return [self._encoded(index, draw.epoch) for index in indices]

    def _encoded(self, index: int, epoch: int) -> EncodedDialogue:
        if self.shuffle_persona:
            shuffled = self._persona_shuffled(self.prepared.dialogue(index), index, epoch)
            try:
                with cuts_not_logged():
                    encoded = self.layout.encode(shuffled)
                if not encoded.dropped_turns:
                    return encoded
            except EncodingError:
                pass
            # A new order can take a token more, which only the order that was measured is sure to have room for.
        return self.prepared.encoded(index)

    def _persona_shuffled(self, dialogue: Dialogue, index: int, epoch: int) -> Dialogue:
        facts = list(dialogue.persona.facts)
        random.Random(f"{self.seed}/{epoch}/{index}").shuffle(facts)
        return replace(dialogue, persona=replace(dialogue.persona, facts=tuple(facts)))


class RowOrder(Sampler[Draw]):
    """The order in which an epoch draws rows; the same for the same seed and epoch, in every process, so that a resumed
    run sees what an unbroken one would have seen."""

    def __init__(self, dataset: RowDataset, *, shuffled: bool) -> None:
        """shuffled: rows by lot, another order each epoch; otherwise as they were planned."""
        self.dataset, self.shuffled = dataset, shuffled
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[Draw]:
        rows = len(self.dataset)
        order = (
            self.dataset.plan.order(seed=self.dataset.seed, epoch=self.epoch).tolist() if self.shuffled else range(rows)
        )
        return (Draw(self.epoch, row) for row in order)

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader before each epoch."""
        self.epoch = epoch
