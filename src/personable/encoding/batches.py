"""Encoded dialogues -> padded tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from personable.encoding.layout import EncodedDialogue

IGNORED = -100
"""The label of a token that is not learnt; the value of torch's cross entropy `ignore_index`."""


@dataclass(frozen=True, slots=True)
class Collator:
    """Pads dialogues to the longest of a batch. Masks come from lengths, never from "id equals pad id"."""

    pad_id: int
    padding_side: str = "right"
    """Right for scoring and training, left for generation."""

    def __call__(self, encoded: Sequence[EncodedDialogue]) -> dict[str, torch.Tensor]:
        """Tensors of shape (dialogues, tokens): input_ids, attention_mask, position_ids, labels (int64).

        `labels` hold the id at each learnt token and IGNORED elsewhere, unshifted, as transformers expects.
        """
        longest = max(len(one.input_ids) for one in encoded)
        shape = (len(encoded), longest)
        batch = {
            "input_ids": torch.full(shape, self.pad_id),
            "attention_mask": torch.zeros(shape, dtype=torch.long),
            "position_ids": torch.zeros(shape, dtype=torch.long),
            "labels": torch.full(shape, IGNORED),
        }
        for row, one in enumerate(encoded):
            size = len(one.input_ids)
            span = slice(longest - size, None) if self.padding_side == "left" else slice(0, size)
            ids = torch.tensor(one.input_ids)
            batch["input_ids"][row, span] = ids
            batch["attention_mask"][row, span] = 1
            batch["position_ids"][row, span] = torch.tensor(one.positions)
            batch["labels"][row, span] = torch.where(torch.tensor(one.learn_mask), ids, IGNORED)
        return batch


def pad_id_of(tokenizer: Any) -> int:
    """The id to pad with: the pad token's, else the EOS token's (never learnt or attended to, so any id would do)."""
    for candidate in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if candidate is not None:
            return int(candidate)
    return 0
