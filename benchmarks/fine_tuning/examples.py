"""Encoded dialogues -> what the classic recipe learns from: an example for every reply, padded."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch.utils.data import Dataset

from personable.encoding.batches import IGNORED

Encoded = Mapping[str, Any]
"""A dialogue: `input_ids` and `learn_mask`, of one length."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Where a reply to learn stands."""

    dialogue: int
    begin: int
    end: int
    """After the token that ends it; the example is everything up to here."""


def replies_of(dialogues: Sequence[Encoded]) -> Iterator[Reply]:
    """The replies of dialogues in which speakers alternate: a frame lies between any two, so each is a run of learnt
    tokens."""
    for number, dialogue in enumerate(dialogues):
        begin = None
        for place, learnt in enumerate([*dialogue["learn_mask"], False]):
            if learnt and begin is None:
                begin = place
            elif not learnt and begin is not None:
                yield Reply(number, begin, place)
                begin = None


def batches_by_step(
    replies: Sequence[Reply], dialogues_per_step: int, replies_per_batch: int
) -> tuple[list[list[Reply]], int]:
    """Micro-batches such that each optimiser step learns the replies of as many dialogues, and how many make a step.

    Dialogues in order; a step's replies are shared out evenly, some batches one more than others.
    """
    steps: dict[int, list[Reply]] = {}
    for reply in replies:
        steps.setdefault(reply.dialogue // dialogues_per_step, []).append(reply)
    per_step = max(-(-max(map(len, steps.values())) // replies_per_batch), 1)
    return [part for step in steps.values() for part in _even_parts(step, per_step)], per_step


def shuffled_batches(replies: Sequence[Reply], replies_per_batch: int, *, seed: int) -> list[list[Reply]]:
    """Micro-batches of replies of any dialogues, as the classic recipe draws them."""
    order = list(replies)
    random.Random(seed).shuffle(order)
    return [order[start : start + replies_per_batch] for start in range(0, len(order), replies_per_batch)]


def _even_parts(replies: list[Reply], count: int) -> list[list[Reply]]:
    bounds = [round(part * len(replies) / count) for part in range(count + 1)]
    return [replies[begin:end] for begin, end in pairwise(bounds) if end > begin]


class ReplyExamples(Dataset[dict[str, torch.Tensor]]):
    """Micro-batches of reply examples; history whole, only the reply learnt."""

    def __init__(
        self, dialogues: Sequence[Encoded], batches: Sequence[Sequence[Reply]], pad_id: int, padded_tokens: int | None
    ) -> None:
        """padded_tokens: of every example; None pads to the longest of the micro-batch."""
        self.dialogues, self.batches, self.pad_id, self.padded_tokens = dialogues, batches, pad_id, padded_tokens

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """input_ids, attention_mask and labels, (examples, tokens), int64."""
        batch = self.batches[index]
        size = self.padded_tokens or max(reply.end for reply in batch)
        ids = torch.full((len(batch), size), self.pad_id)
        mask = torch.zeros_like(ids)
        labels = torch.full_like(ids, IGNORED)
        for row, reply in enumerate(batch):
            whole = torch.tensor(self.dialogues[reply.dialogue]["input_ids"][: reply.end])
            ids[row, : reply.end] = whole
            mask[row, : reply.end] = 1
            labels[row, reply.begin : reply.end] = whole[reply.begin :]
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}
