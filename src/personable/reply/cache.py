"""The keys and values of ids that a model has read, kept so that no id is read twice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel


class ReadIds:
    """A model's memory of one text: a KV cache together with the ids that it holds."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._cache = DynamicCache(config=model.config)
        self._ids: list[int] = []

    @property
    def ids(self) -> tuple[int, ...]:
        """What the cache holds, in order."""
        return tuple(self._ids)

    def read_anew(self, ids: Sequence[int]) -> Tensor:
        """Logits (vocab,) of the token after ids, keeping what ids share with what was read before.

        ids: at least one.
        """
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(self._ids, ids, strict=False)))
        # The last id is always read: its logits are the answer, and the cache does not hold them.
        self._keep(min(shared, len(ids) - 1))
        return self.read_on(ids[len(self._ids) :])

    def read_on(self, ids: Sequence[int]) -> Tensor:
        """Logits (vocab,) of the token after ids, which follow what was read before; ids: at least one."""
        cache, held = self._cache, self._ids
        # An interrupt in the middle leaves some layers longer than others; forgetting first makes that harmless.
        self._forget()
        with torch.inference_mode():
            output = self._model(
                input_ids=torch.tensor([list(ids)], device=self._model.device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        self._cache, self._ids = cache, [*held, *ids]
        logits = output.logits[0, -1]
        assert isinstance(logits, Tensor)
        return logits

    def _keep(self, count: int) -> None:
        """Forget all but the first ids; forget them all where the cache cannot be cropped."""
        surplus = len(self._ids) - count
        if surplus == 0:
            return
        cache, held = self._cache, self._ids
        self._forget()
        if not cache.is_croppable:
            return
        try:
            cache.crop(-surplus)
        except RuntimeError:  # a sliding window that has let go of the ids we would return to
            return
        self._cache, self._ids = cache, held[:count]

    def _forget(self) -> None:
        self._cache, self._ids = DynamicCache(config=self._model.config), []
