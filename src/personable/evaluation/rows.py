"""Replies that grow side by side: a KV cache of several rows, each after its own prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from personable.evaluation.prefixes import ReadPrefix


class Rows:
    """Reads one token of every row at a time. Prompts end in the same column, so the shorter ones are padded on the
    left; the padding is masked, and positions count without it."""

    def __init__(self, model: Any, prompts: Sequence[tuple[ReadPrefix, int]], room: int) -> None:
        """prompts: for each row a text read and how many of its tokens are the prompt; room: tokens to come."""
        self._model = model
        lengths = [tokens for _, tokens in prompts]
        longest = max(lengths)
        self._lengths = torch.tensor(lengths, device=model.device)
        self._mask = (torch.arange(longest + room, device=model.device) >= longest - self._lengths[:, None]).long()
        self._cache = DynamicCache()
        self._cache.layers = [_RoomyLayer(prompts, place, room) for place in range(len(prompts[0][0].layers))]
        self._read = longest

    @torch.inference_mode()
    def step(self, ids: Sequence[int]) -> Tensor:
        """Logits (rows, vocabulary) after one more token of each row."""
        output = self._model(
            input_ids=torch.tensor(ids, device=self._model.device)[:, None],
            attention_mask=self._mask[:, : self._read + 1],
            position_ids=self._lengths[:, None],
            past_key_values=self._cache,
            use_cache=True,
        )
        self._read += 1
        self._lengths = self._lengths + 1
        logits = output.logits[:, -1]
        assert isinstance(logits, Tensor)
        return logits

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Forget all other rows."""
        indices = torch.tensor(rows, device=self._model.device)
        self._mask, self._lengths = self._mask[indices], self._lengths[indices]
        self._cache.batch_select_indices(indices)


class _RoomyLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not typed
    """Keys and values of one layer, with room for those to come: a new token is written, where the usual layer copies
    the whole cache for each."""

    def __init__(self, prompts: Sequence[tuple[ReadPrefix, int]], place: int, room: int) -> None:
        super().__init__()
        longest = max(tokens for _, tokens in prompts)
        states = prompts[0][0].layers[place]
        self.lazy_initialization(*states)
        self._buffers = [one.new_zeros(len(prompts), one.shape[1], longest + room, one.shape[3]) for one in states]
        for row, (prefix, tokens) in enumerate(prompts):
            for buffer, one in zip(self._buffers, prefix.layers[place], strict=True):
                buffer[row, :, longest - tokens : longest] = one[0, :, :tokens]
        self._show(longest)

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """All keys and values, with these at the end."""
        start = self.get_seq_length()
        end = start + key_states.shape[2]
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, start:end] = states
        self._show(end)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Only these rows stay."""
        held = self.get_seq_length()
        self._buffers = [buffer[indices] for buffer in self._buffers]
        self._show(held)

    def _show(self, tokens: int) -> None:
        self.keys, self.values = (buffer[:, :, :tokens] for buffer in self._buffers)
