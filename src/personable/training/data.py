"""Dialogues -> what the Trainer draws from: encoded when drawn, so that memory stays small and epochs can differ."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from personable.dialogue import Dialogue
from personable.encoding import Budget, EncodedDialogue, encode_dialogue
from personable.errors import EncodingError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Layout:
    """How dialogues are laid out for one run."""

    tokenizer: Any
    budget: Budget
    learn_partner: bool = False

    def encode(self, dialogue: Dialogue) -> EncodedDialogue:
        """See `encode_dialogue`."""
        return encode_dialogue(dialogue, self.tokenizer, self.budget, learn_partner=self.learn_partner)


class DialogueDataset(Dataset[EncodedDialogue]):
    """Dialogues with something to learn, each within the context.

    A dialogue longer than the context becomes several, each with the persona before it, so that every reply is learnt.
    """

    def __init__(self, dialogues: Sequence[Dialogue], layout: Layout, *, shuffle_persona_seed: int | None = None) -> None:
        self.layout = layout
        self.shuffle_persona_seed = shuffle_persona_seed
        self.epoch = 0
        self.dialogues: list[Dialogue] = []
        too_long = 0
        for dialogue in dialogues:
            try:
                self.dialogues += _windows(dialogue, layout)
            except EncodingError:
                too_long += 1
        if too_long:
            log.warning("left out %d of %d dialogues: too long for the context, or an empty turn", too_long, len(dialogues))
        self.sizes = [_size(dialogue) for dialogue in self.dialogues]
        """A length for each dialogue in bytes of text, good enough to put like with like."""

    def __len__(self) -> int:
        return len(self.dialogues)

    def __getitem__(self, index: int) -> EncodedDialogue:
        dialogue = self.dialogues[index]
        if self.shuffle_persona_seed is not None:
            facts = list(dialogue.persona.facts)
            random.Random(f"{self.shuffle_persona_seed}/{self.epoch}/{index}").shuffle(facts)
            dialogue = replace(dialogue, persona=replace(dialogue.persona, facts=tuple(facts)))
        return self.layout.encode(dialogue)


class ByLength(Sampler[int]):
    """Random order with dialogues of like length side by side; the same for the same seed and epoch, so that a resumed
    run sees what an unbroken one would have seen."""

    def __init__(self, dataset: DialogueDataset, batch_size: int, seed: int) -> None:
        self.dataset, self.batch_size, self.seed = dataset, batch_size, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.dataset.epoch)
        return iter(get_length_grouped_indices(self.dataset.sizes, self.batch_size, generator=generator))

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader; the dataset reorders persona facts by the same number."""
        self.dataset.epoch = epoch


def _windows(dialogue: Dialogue, layout: Layout) -> list[Dialogue]:
    """The dialogue, or, where it exceeds the context, successive parts of it with all its replies between them."""
    windows: list[Dialogue] = []
    rest = dialogue
    while rest.turns and (rest.replies or layout.learn_partner):
        windows.append(rest)
        # One token covers at least one byte and a turn's frame takes a few, so most dialogues need no counting.
        if _size(rest) + 16 * (len(rest.turns) + 1) <= layout.budget.context_tokens:
            break
        dropped = layout.encode(rest).dropped_turns
        windows[-1] = replace(rest, turns=rest.turns[dropped:])
        rest = replace(rest, turns=rest.turns[:dropped])
    return windows


def _size(dialogue: Dialogue) -> int:
    return len(dialogue.persona.text.encode()) + sum(len(turn.text.encode()) for turn in dialogue.turns)
