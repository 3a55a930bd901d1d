"""Dialogues -> what the Trainer draws from: encoded when drawn, so that memory stays small and epochs can differ."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch.utils.data import Dataset, Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from personable.dialogue import Dialogue, Speaker
from personable.encoding import EncodedDialogue
from personable.encoding.layout import cuts_not_logged
from personable.errors import EncodingError
from personable.training.layout import Layout

log = logging.getLogger(__name__)


class DialogueDataset(Dataset[EncodedDialogue]):
    """Dialogues with something to learn, each within the context.

    A dialogue longer than the context becomes several, each with the persona before it, so that every reply is learnt.
    Left out whole, counted in a warning: dialogues without replies, with an empty turn, or with one exchange that is
    longer than the context by itself.
    """

    def __init__(
        self, dialogues: Sequence[Dialogue], layout: Layout, *, shuffle_persona_seed: int | None = None
    ) -> None:
        self.layout = layout
        self.shuffle_persona_seed = shuffle_persona_seed
        self.epoch = 0
        self.dialogues: list[Dialogue] = []
        left_out = 0
        personas_too_long = {
            d.persona for d in dialogues if _persona_may_be_cut(d, layout) and _cuts_persona(d, layout)
        }
        with cuts_not_logged():
            for dialogue in dialogues:
                try:
                    windows = _windows(dialogue, layout)
                except EncodingError:
                    windows = []
                self.dialogues += windows
                left_out += not windows
        if left_out:
            log.warning(
                "left out %d of %d dialogues: no reply, an empty turn, or an exchange longer than the context",
                left_out,
                len(dialogues),
            )
        if personas_too_long:
            log.warning(
                "facts are cut from %d personas: larger than their share of the context (%d tokens)",
                len(personas_too_long),
                layout.budget.persona_tokens,
            )
        self.sizes = [_size(dialogue) for dialogue in self.dialogues]
        """A length for each dialogue in bytes of text, good enough to put like with like."""

    def __len__(self) -> int:
        return len(self.dialogues)

    def __getitem__(self, index: int) -> EncodedDialogue:
        dialogue = self.dialogues[index]
        with cuts_not_logged():
            if self.shuffle_persona_seed is not None:
                try:
                    encoded = self.layout.encode(self._persona_shuffled(dialogue, index))
                    if not encoded.dropped_turns:
                        return encoded
                except EncodingError:
                    pass
                # A new order can take a token more, which only the order that was measured is sure to have room for.
            return self.layout.encode(dialogue)

    def set_epoch(self, epoch: int) -> None:
        """Another epoch, another order of persona facts; the same for the same seed and epoch."""
        self.epoch = epoch

    def _persona_shuffled(self, dialogue: Dialogue, index: int) -> Dialogue:
        facts = list(dialogue.persona.facts)
        random.Random(f"{self.shuffle_persona_seed}/{self.epoch}/{index}").shuffle(facts)
        return replace(dialogue, persona=replace(dialogue.persona, facts=tuple(facts)))


class EpochOrder(Sampler[int]):
    """The order in which an epoch draws dialogues; the same for the same seed and epoch, in every process, so that a
    resumed run sees what an unbroken one would have seen."""

    def __init__(self, dataset: DialogueDataset, strategy: str, *, batch_size: int, seed: int) -> None:
        """strategy: `group_by_length` (random, with dialogues of like length side by side), `random` or `sequential`.
        batch_size: dialogues of one optimiser step."""
        self.dataset, self.strategy, self.batch_size, self.seed = dataset, strategy, batch_size, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.dataset.epoch)
        if self.strategy == "group_by_length":
            return iter(get_length_grouped_indices(self.dataset.sizes, self.batch_size, generator=generator))
        if self.strategy == "random":
            return iter(torch.randperm(len(self.dataset), generator=generator).tolist())
        return iter(range(len(self.dataset)))

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader, and passed on to the dataset."""
        self.dataset.set_epoch(epoch)


def _windows(dialogue: Dialogue, layout: Layout) -> list[Dialogue]:
    """The dialogue, or, where it exceeds the context, successive parts of it with all its replies between them."""
    windows: list[Dialogue] = []
    rest = dialogue
    while rest.turns and (rest.replies or layout.learn_partner):
        windows.append(rest)
        # One token covers at least one byte and a turn's frame takes a few, so most dialogues need no counting.
        if _size(rest) + 16 * (len(rest.turns) + 1) <= layout.budget.context_tokens:
            break
        begin = layout.encode(rest).dropped_turns
        if begin and not layout.learn_partner:
            begin = _next_partner_turn(rest, begin)
        windows[-1] = replace(rest, turns=rest.turns[begin:])
        rest = replace(rest, turns=rest.turns[:begin])
    return [window for window in windows if window.replies or layout.learn_partner]


def _next_partner_turn(dialogue: Dialogue, begin: int) -> int:
    """Where the next partner turn stands: a window that began with a reply would hide what it replies to."""
    later = range(begin, len(dialogue.turns))
    return next((place for place in later if dialogue.turns[place].speaker is Speaker.PARTNER), begin)


def _persona_may_be_cut(dialogue: Dialogue, layout: Layout) -> bool:
    return len(dialogue.persona.text.encode()) > layout.budget.persona_tokens


def _cuts_persona(dialogue: Dialogue, layout: Layout) -> bool:
    with cuts_not_logged():
        try:
            return bool(layout.encode(replace(dialogue, turns=dialogue.turns[-1:])).cut_facts)
        except EncodingError:
            return False


def _size(dialogue: Dialogue) -> int:
    return len(dialogue.persona.text.encode()) + sum(len(turn.text.encode()) for turn in dialogue.turns)
