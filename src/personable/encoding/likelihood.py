"""How probable a model finds the tokens it is to learn: what training minimises and evaluation reports."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from personable.encoding.batches import IGNORED
from personable.encoding.segments import SEGMENTS, segment_arguments

_CHUNK_TOKENS = 512
"""Rows of logits alive at a time: 100 MB with the GPT-2 vocabulary, where a whole batch would take gigabytes."""
_BLOCK_LOGITS = 2**18
"""Logits alive at a time where nothing is learnt: as many as stay in a processor's cache."""


def reply_nats(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """Loss of each learnt token in nats, shape (learnt tokens,), row by row.

    Differentiable as long as all tokens weigh the same (a sum or a mean).
    batch: as `Collator` or `RowCollator` makes it. The language-model head, most of a small model's cost, runs on
    learnt tokens only, and in chunks where it is a plain matrix product.
    """
    bare = model.module if hasattr(model, "module") else model
    learnt = batch["labels"][:, 1:] != IGNORED
    targets = batch["labels"][:, 1:][learnt]
    inputs = _inputs(bare, batch)
    plain = _has_plain_head(bare)

    def nats_as_logits(head: _Head, hidden: Tensor) -> Tensor:
        hidden = hidden[:, :-1][learnt]
        if plain:
            return _ChunkedCrossEntropy.apply(hidden, head.weight, targets, torch.is_grad_enabled())  # type: ignore[no-any-return, no-untyped-call]  # torch leaves apply untyped
        return head(hidden.unsqueeze(0))

    # With a cache object transformers builds no mask from position ids: packed dialogues would see each other.
    with _head_replaced(bare, nats_as_logits):
        result: Tensor = model(**inputs, use_cache=False).logits
    return result if plain else functional.cross_entropy(result[0].float(), targets, reduction="none")


def _inputs(model: Any, batch: dict[str, Tensor]) -> dict[str, Any]:
    inputs: dict[str, Any] = {"input_ids": batch["input_ids"]}
    if "cu_seq_lens" in batch:
        inputs["position_ids"] = batch["position_ids"]
        if model.config._attn_implementation == SEGMENTS:
            inputs |= segment_arguments(batch["cu_seq_lens"])
    # The causal mask alone keeps right padding out of sight; without a mask tensor the fused kernels can be used.
    elif not bool(batch["attention_mask"][:, 0].all()):
        inputs |= {"attention_mask": batch["attention_mask"], "position_ids": batch["position_ids"]}
    return inputs


@torch.inference_mode()
def target_nats(model: Any, inputs: dict[str, Any], targets: Tensor) -> Tensor:
    """Nats of each target as the token after its place, (tokens,); nothing can be learnt from them.

    inputs: what the model is called with; input_ids of shape (1, tokens) among them.   targets: (tokens,).
    """
    plain = _has_plain_head(model)

    def nats_as_logits(head: _Head, hidden: Tensor) -> Tensor:
        return _nats_by_blocks(hidden[0], head.weight, targets) if plain else head(hidden)

    with _head_replaced(model, nats_as_logits):
        result: Tensor = model(**inputs).logits
    return result if plain else functional.cross_entropy(result[0].float(), targets, reduction="none")


def _nats_by_blocks(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy (tokens,) of `hidden @ weight.T`, a part of the vocabulary at a time, so that no logit leaves the
    processor's cache: 1.6 times as fast as all of them at once, for GPT-2's vocabulary."""
    gold = (hidden * weight[targets]).sum(1).float()
    highest, totals = [], []
    for block in weight.split(max(1024, _BLOCK_LOGITS // len(hidden))):
        logits = (hidden @ block.T).float()
        highest.append(logits.amax(1))
        totals.append(logits.sub_(highest[-1][:, None]).exp_().sum(1))
    return torch.stack([top + total.log() for top, total in zip(highest, totals, strict=True)]).logsumexp(0) - gold


@contextmanager
def _head_replaced(model: Any, replacement: Callable[[_Head, Tensor], Tensor]) -> Iterator[None]:
    """Within it, the head computes `replacement(head, hidden)`.

    That is inside the forward pass, where sharded weights are whole.
    """
    head = model.get_output_embeddings()
    original = head.forward

    def forward(hidden: Tensor) -> Tensor:
        return replacement(_Head(original, head), hidden)

    head.forward = forward
    try:
        yield
    finally:
        del head.forward  # the class's own shows again


@dataclass(frozen=True, slots=True)
class _Head:
    original: Callable[[Tensor], Tensor]
    module: torch.nn.Module

    def __call__(self, hidden: Tensor) -> Tensor:
        return self.original(hidden)

    @property
    def weight(self) -> Tensor:
        return self.module.weight  # type: ignore[return-value]  # a module may hold anything under a name


def _has_plain_head(model: Any) -> bool:
    """True where logits are hidden states times the head's weights and nothing more (no bias, scale or soft cap).

    Found by trying it once, so that no list of model families has to be kept.
    """
    head = model.get_output_embeddings()
    known: bool | None = getattr(head, "_personable_plain", None)
    if known is None:
        linear = type(head) is torch.nn.Linear
        known = linear and head.bias is None and _logits_pass_through(model, head)
        head._personable_plain = known
    return known


@torch.no_grad()
def _logits_pass_through(model: Any, head: torch.nn.Linear) -> bool:
    sent: list[Tensor] = []

    def constant(_head: _Head, hidden: Tensor) -> Tensor:
        # Values up to 100 would be changed by any scale or cap.
        sent.append(torch.linspace(-100, 100, hidden.shape[1], device=hidden.device, dtype=hidden.dtype).view(1, -1, 1))
        return sent[0]

    was_training = model.training
    model.eval()
    try:
        with _head_replaced(model, constant):
            seen = model(
                input_ids=torch.zeros(1, 4, dtype=torch.long, device=head.weight.device), use_cache=False
            ).logits
    finally:
        model.train(was_training)
    return bool(torch.equal(seen.float(), sent[0].float()))


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Cross entropy of `hidden @ weight.T`, a chunk of rows at a time; gradients are formed on the way forward, so that
    logits are computed once and never all at once."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, differentiate: bool) -> Tensor:
        """hidden: (tokens, width); weight: (vocabulary, width); targets: (tokens,) -> nats (tokens,) in float32.

        differentiate: False leaves the gradients out (autograd does not say in here whether it is recording).
        """
        # Under autocast the product is taken in the lower precision, as the head itself would.
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        inputs, matrix = hidden.to(dtype), weight.to(dtype)
        nats = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        hidden_gradient = torch.empty_like(inputs) if differentiate and ctx.needs_input_grad[0] else None
        weight_gradient = torch.zeros_like(weight) if differentiate and ctx.needs_input_grad[1] else None
        for start in range(0, len(hidden), _CHUNK_TOKENS):
            rows = slice(start, start + _CHUNK_TOKENS)
            goal = targets[rows].unsqueeze(1)
            logits = (inputs[rows] @ matrix.T).float()
            highest = logits.amax(dim=1, keepdim=True)
            gold = logits.gather(1, goal)
            exponentials = logits.sub_(highest).exp_()
            total = exponentials.sum(dim=1, keepdim=True)
            nats[rows] = (total.log() + highest - gold).squeeze(1)
            if hidden_gradient is None and weight_gradient is None:
                continue
            gradient = exponentials.div_(total)  # softmax - one-hot
            gradient.scatter_add_(1, goal, torch.full_like(gold, -1.0))
            gradient = gradient.to(dtype)
            if hidden_gradient is not None:
                hidden_gradient[rows] = gradient @ matrix
            if weight_gradient is not None:
                if dtype == weight.dtype:
                    weight_gradient.addmm_(gradient.T, inputs[rows])
                else:
                    weight_gradient += gradient.T @ inputs[rows]
        ctx.save_for_backward(hidden_gradient, weight_gradient)
        return nats

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Raises AssertionError when tokens weigh differently: the gradients were already summed over them."""
        (weights,) = gradients
        assert bool((weights == weights[:1]).all()), "reply_nats can be differentiated through a sum or a mean only"
        scale = weights[0] if len(weights) else weights.sum()
        by_hidden, by_weight = ctx.saved_tensors
        return (
            None if by_hidden is None else by_hidden.float().mul_(scale).to(by_hidden.dtype),
            None if by_weight is None else by_weight * scale,
            None,
            None,
        )


@dataclass(frozen=True, slots=True)
class Surprise:
    """Nats lost over a number of learnt tokens."""

    nats: float
    tokens: int

    @property
    def perplexity(self) -> float:
        """exp(mean nats per learnt token); >= 1, lower is better; nan without tokens. Jelinek et al. 1977."""
        if not self.tokens:
            return math.nan
        mean = self.nats / self.tokens
        return math.exp(mean) if mean < 700 else math.inf  # beyond what a float holds


@torch.inference_mode()
def reply_surprise(model: Any, batches: Iterable[dict[str, Tensor]]) -> Surprise:
    """Total over all batches: token-weighted, so the size of a batch does not change the result."""
    device = next(model.parameters()).device
    nats, tokens = 0.0, 0
    for batch in batches:
        losses = reply_nats(model, {name: tensor.to(device) for name, tensor in batch.items()})
        nats += losses.cpu().double().sum().item()
        tokens += losses.numel()
    return Surprise(nats, tokens)
