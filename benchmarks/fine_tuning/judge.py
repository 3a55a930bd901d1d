"""Validation reply perplexity of any model in training, by one and the same plain model."""

from __future__ import annotations

from typing import Any

import torch

from fine_tuning.job import Job
from fine_tuning.material import VALIDATION, read_material
from fine_tuning.peers import with_lora
from personable.base import load_base
from personable.encoding import EncodedDialogue
from personable.encoding.batches import Collator, pad_id_of
from personable.encoding.likelihood import reply_surprise


class Judge:
    """A base of its own that takes over the weights to be judged: what a Trainer has changed about a model's forward
    pass, dropout or precision has no say in it."""

    def __init__(self, job: Job) -> None:
        base = load_base(job.base, device=job.device)
        self.model = with_lora(base.model) if job.lora else base.model
        self.model.eval()
        collate = Collator(pad_id_of(base.tokenizer))
        dialogues = sorted(
            (
                EncodedDialogue(tuple(one["input_ids"]), tuple(one["learn_mask"]), tuple(range(len(one["input_ids"]))))
                for one in read_material(job.data, VALIDATION)
            ),
            key=lambda one: len(one.input_ids),
        )
        self.batches = [collate(dialogues[start : start + 4]) for start in range(0, len(dialogues), 4)]

    @torch.inference_mode()
    def perplexity(self, model: Any = None) -> float:
        """Of a model's weights; of the untrained base without one."""
        if model is not None:
            self.model.load_state_dict(model.state_dict())
        return reply_surprise(self.model, self.batches).perplexity
