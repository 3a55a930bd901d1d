"""Encoded dialogues -> tensors: padded, or packed end to end."""

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


@dataclass(frozen=True, slots=True)
class RowCollator:
    """Rows of dialogues -> one batch, with the number of the row that each token is of.

    packed: all dialogues end to end in one sequence. Otherwise each is padded to the longest.
    """

    pad_id: int
    packed: bool

    def __call__(self, rows: Sequence[Sequence[EncodedDialogue]]) -> dict[str, torch.Tensor]:
        """Packed: input_ids, position_ids, labels, rows of shape (1, tokens) and cu_seq_lens of shape (dialogues + 1,).

        Padded: what `Collator` makes, and rows of that shape. Labels are as there, and ignored at the first token of
        each dialogue, which nothing comes before.
        """
        row_of = torch.tensor([number for number, row in enumerate(rows) for _ in row])
        encoded = [one for row in rows for one in row]
        if not self.packed:
            batch = Collator(self.pad_id)(encoded)
            batch["labels"][:, 0] = IGNORED
            return batch | {"rows": row_of[:, None].expand_as(batch["labels"]).contiguous()}
        sizes = torch.tensor([len(one.input_ids) for one in encoded])
        bounds = torch.cat([torch.zeros(1, dtype=torch.int32), sizes.cumsum(0).int()])
        ids = torch.tensor([token for one in encoded for token in one.input_ids])
        learnt = torch.tensor([learnt for one in encoded for learnt in one.learn_mask])
        labels = torch.where(learnt, ids, IGNORED)
        labels[bounds[:-1].long()] = IGNORED
        return {
            "input_ids": ids.unsqueeze(0),
            "position_ids": torch.tensor([place for one in encoded for place in one.positions]).unsqueeze(0),
            "labels": labels.unsqueeze(0),
            "rows": row_of.repeat_interleave(sizes).unsqueeze(0),
            "cu_seq_lens": bounds,
        }


def pad_id_of(tokenizer: Any) -> int:
    """The id to pad with: the pad token's, else the EOS token's (never learnt or attended to, so any id would do)."""
    for candidate in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if candidate is not None:
            return int(candidate)
    return 0
