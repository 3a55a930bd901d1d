"""Floating-point operations that learning takes, and how many a second the machine can do at best.

After Chowdhery et al. 2022 (PaLM), appendix B: a weight of a matrix takes 2 operations per token forwards and 4
backwards; attention takes, for a sequence of n tokens in each layer of width w, 12 n² w, half of it under a causal
mask. Embedding look-ups, norms and activations are left out, as are padding, masked attention and anything computed
twice.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fine_tuning.examples import Encoded, replies_of


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a GPT-2."""

    layers: int
    width: int
    vocabulary: int

    @property
    def body_weights(self) -> int:
        """In the matrices of all layers: 4 w² of attention and 8 w² of the feed-forward part each."""
        return 12 * self.layers * self.width**2


def operations(
    shape: Shape, lengths: Sequence[int], head_positions: int, *, adapter_weights: int | None = None
) -> float:
    """Forwards and backwards, for sequences of these lengths with logits at so many positions.

    adapter_weights: of LoRA; the weights they lie on are frozen and take no gradient, which saves 2 of 6 operations.
    """
    per_weight = 6 if adapter_weights is None else 4
    tokens = sum(lengths)
    body = per_weight * shape.body_weights * tokens + 6 * (adapter_weights or 0) * tokens
    head = per_weight * shape.vocabulary * shape.width * head_positions
    attention = 6 * shape.layers * shape.width * sum(length**2 for length in lengths)
    return float(body + head + attention)


def needed_per_learnt_token(shape: Shape, dialogues: Sequence[Encoded], *, adapter_weights: int | None = None) -> float:
    """What learning takes at least: each dialogue once, logits where something is learnt."""
    learnt = sum(map(sum, (dialogue["learn_mask"] for dialogue in dialogues)))
    lengths = [len(dialogue["input_ids"]) for dialogue in dialogues]
    return operations(shape, lengths, learnt, adapter_weights=adapter_weights) / learnt


def classic_per_learnt_token(shape: Shape, dialogues: Sequence[Encoded]) -> float:
    """What the classic recipe takes without its padding: the history again for every reply, logits of all tokens."""
    replies = list(replies_of(dialogues))
    lengths = [reply.end for reply in replies]
    return operations(shape, lengths, sum(lengths)) / sum(reply.end - reply.begin for reply in replies)


def lora_weights(shape: Shape, rank: int = 16) -> int:
    """In the adapters of all linear layers of a GPT-2: (inputs + outputs) x rank for each of its four matrices."""
    w = shape.width
    return shape.layers * rank * ((w + 3 * w) + (w + w) + (w + 4 * w) + (4 * w + w))


def matmul_rate(width: int, device: str, *, bf16: bool, tokens: int = 1024, repetitions: int = 40) -> float:
    """Operations a second of (tokens, w) x (w, 4 w), the largest product of a layer: median of many.

    In bf16 or float32. On a GPU more tokens are taken, as it would otherwise never be busy.
    """
    dtype = torch.bfloat16 if bf16 else torch.float32
    if device == "cuda":
        tokens *= 16
    left = torch.randn(tokens, width, device=device, dtype=dtype)
    right = torch.randn(width, 4 * width, device=device, dtype=dtype)
    seconds = []
    for _ in range(repetitions + 5):
        began = time.perf_counter()
        torch.mm(left, right)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return 2 * tokens * width * 4 * width / statistics.median(seconds[5:])
