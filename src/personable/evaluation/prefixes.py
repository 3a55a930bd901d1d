"""Prompts of one dialogue begin alike: what they share is read once, and each goes on from its own end.

chains         which prompts are prefixes of which
PrefixReader   reads the longest prompt of a chain: the scores after each prompt, and keys and values for all
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

log = logging.getLogger(__name__)

Ids = tuple[int, ...]


def chains(prompts: Sequence[Ids]) -> list[list[int]]:
    """The places of all prompts, in groups: in each, every prompt begins with the one before it.

    The replies of a dialogue make one group, unless old turns were dropped in between.
    """
    groups: list[list[int]] = []
    before: Ids = ()
    for place in sorted(range(len(prompts)), key=lambda each: prompts[each]):
        ids = prompts[place]
        if groups and ids[: len(before)] == before:
            groups[-1].append(place)
        else:
            groups.append([place])
        before = ids
    return groups


@dataclass(frozen=True, slots=True)
class ReadPrefix:
    """A text that a model has read."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    """Keys and values of each layer, (1, heads, tokens, width)."""

    @property
    def bytes_per_token(self) -> int:
        """Memory that keys and values of one token take."""
        return sum(
            states.element_size() * states.shape[1] * states.shape[3] for layer in self.layers for states in layer
        )

    @property
    def bytes(self) -> int:
        """Memory that all of it takes."""
        return self.bytes_per_token * self.layers[0][0].shape[2]

    def first(self, tokens: int) -> tuple[tuple[Tensor, Tensor], ...]:
        """Keys and values of the first tokens."""
        return tuple((keys[:, :, :tokens], values[:, :, :tokens]) for keys, values in self.layers)


def cache_of(layers: Sequence[tuple[Tensor, Tensor]]) -> DynamicCache:
    """A cache that holds these keys and values, each (rows, heads, tokens, width), and leaves them as they are."""
    cache = DynamicCache()
    for place, (keys, values) in enumerate(layers):
        cache.update(keys, values, place)
    return cache


def branches_mask(prefix: int, lengths: Sequence[int], *, device: torch.device, dtype: torch.dtype) -> Tensor:
    """What to add to attention scores, (1, 1, all branches, prefix + all branches), for branches that stand one after
    the other in one row, each of which sees the prefix and itself:

        prefix of 2, branches a and b       p p a a b
                                         a  . . .
                                         a  . . . .
                                         b  . .     .
    """
    total = sum(lengths)
    branch = torch.repeat_interleave(torch.arange(len(lengths), device=device), torch.tensor(lengths, device=device))
    seen = (branch[:, None] == branch[None, :]).tril()
    seen = torch.cat([torch.ones(total, prefix, dtype=torch.bool, device=device), seen], dim=1)
    mask = torch.zeros(seen.shape, dtype=dtype, device=device).masked_fill(~seen, torch.finfo(dtype).min)
    return mask[None, None]


class PrefixReader:
    """Reads prompts with a model."""

    def __init__(self, model: Any, context_tokens: int) -> None:
        self.model = model
        self._context_tokens = context_tokens

    @torch.inference_mode()
    def read(self, ids: Ids, ends: Sequence[int]) -> tuple[Tensor, ReadPrefix]:
        """The logits of the token after the first `end` ids, (ends, vocabulary), and the text read."""
        cache = DynamicCache()
        output = self.model(
            input_ids=torch.tensor([ids], device=self.model.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=torch.tensor([end - 1 for end in ends], device=self.model.device),
        )
        return output.logits[0], ReadPrefix(tuple((layer.keys, layer.values) for layer in cache.layers))

    @cached_property
    def limit(self) -> int:
        """Tokens up to which going on from a shared prefix gives what reading everything anew gives; 0 where it never
        does. Found by trying once, so that no list of model families has to be kept."""
        layers = DynamicCache(config=self.model.config).layers
        if not all(isinstance(layer, DynamicLayer) for layer in layers):
            return 0  # a state that cannot be cut, such as a recurrent layer's
        windows = [int(layer.sliding_window) for layer in layers if layer.is_sliding]
        try:
            exact = self._goes_on_exactly()
        except (TypeError, ValueError, RuntimeError, IndexError, AttributeError) as error:
            # An architecture that takes no such arguments says so in its own way; it is read anew each time instead.
            log.info("%s cannot go on from a shared prefix: %s", type(self.model).__name__, error)
            exact = False
        return min([self._context_tokens, *windows]) if exact else 0

    @torch.inference_mode()
    def _goes_on_exactly(self) -> bool:
        model = self.model
        tokens = min(self._context_tokens, 13)
        ids, half = tuple(range(tokens)), tokens // 2  # any ids would do
        plain = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0]

        def same(found: Tensor, expected: Tensor) -> bool:
            return bool((found - expected).abs().max() <= 1e-3 * plain.std())

        logits, prefix = self.read(ids[: half + 1], [half, half + 1])
        rest, positions = torch.tensor([ids[half:]], device=model.device), torch.arange(half, tokens)[None]
        positions = positions.to(model.device)
        lengths = [tokens - half] * 2
        branches = model(
            input_ids=rest.repeat(1, 2),
            past_key_values=cache_of(prefix.first(half)),
            attention_mask=branches_mask(half, lengths, device=model.device, dtype=plain.dtype),
            position_ids=positions.repeat(1, 2),
            use_cache=True,
        ).logits[0]
        padded = model(
            input_ids=rest,
            past_key_values=cache_of([(padded_left(k, half), padded_left(v, half)) for k, v in prefix.first(half)]),
            attention_mask=(torch.arange(half + tokens, device=model.device) >= half).long()[None],
            position_ids=positions,
            use_cache=True,
        ).logits[0]
        return (
            same(logits, plain[half - 1 : half + 1])
            and all(same(branch, plain[half:]) for branch in branches.split(lengths))
            and same(padded, plain[half:])
        )


def padded_left(states: Tensor, tokens: int) -> Tensor:
    """Keys or values (rows, heads, tokens, width) with this many tokens of nothing before them."""
    return torch.nn.functional.pad(states, (0, 0, tokens, 0))
