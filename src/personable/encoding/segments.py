"""Attention within each dialogue of a packed sequence, and nowhere else.

A packed sequence holds several dialogues end to end, positions starting anew with each. The models of transformers take
such a sequence with the name of an attention function that they look up; the one registered here reads from
`cu_seq_lens_q`, as flash attention's does, where each dialogue begins. No mask is built: with L tokens in a sequence it
would have L x L entries, most of them false.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

log = logging.getLogger(__name__)

SEGMENTS = "personable_segments"
"""The name to give `set_attn_implementation`."""


def segment_arguments(cu_seq_lens: Tensor) -> dict[str, Any]:
    """What a model is called with beside ids and positions. cu_seq_lens: int32 (dialogues + 1,), from 0 to tokens."""
    longest = int(cu_seq_lens.diff().max())
    return {
        "cu_seq_lens_q": cu_seq_lens,
        "cu_seq_lens_k": cu_seq_lens,
        "max_length_q": longest,
        "max_length_k": longest,
    }


def segment_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each segment; over all of it where no segments are given.

    query: (1, heads, tokens, width); key, value: the same with as many heads or a divisor of that.
    Returns (1, tokens, heads, width) and None in place of attention weights.
    """
    for extra in ("softcap", "s_aux"):  # logits capped, sinks: changes to attention that would be lost here
        if others.get(extra) is not None:
            raise NotImplementedError(extra)
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(  # type: ignore[no-any-return]  # transformers ships no types
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
    if _has_varlen_kernel(query, value, dropout):
        from torch.nn.attention.varlen import varlen_attn

        q, k, v = (each[0].transpose(0, 1).contiguous() for each in (query, key, value))
        longest = max_length_q or query.shape[2]
        together = varlen_attn(
            q,
            k,
            v,
            cu_seq_lens_q,
            cu_seq_lens_q,
            longest,
            longest,
            scale=scaling,
            window_size=(-1, 0),
            enable_gqa=query.shape[1] != key.shape[1],
        )
        assert isinstance(together, Tensor)
        return together.unsqueeze(0), None
    sizes = cu_seq_lens_q.diff().tolist()
    grouped = query.shape[1] != key.shape[1]
    parts = [
        functional.scaled_dot_product_attention(
            q, k, v, is_causal=True, dropout_p=dropout, scale=scaling, enable_gqa=grouped
        )
        for q, k, v in zip(*(each.split(sizes, dim=2) for each in (query, key, value)), strict=True)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2), None


AttentionInterface.register(SEGMENTS, segment_attention)


def _has_varlen_kernel(query: Tensor, value: Tensor, dropout: float) -> bool:
    """Flash attention over all segments at once: on CUDA since Ampere, in 16 bits, for heads of common widths, without
    dropout."""
    return (
        query.is_cuda
        and not dropout
        and query.dtype in (torch.bfloat16, torch.float16)
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
        and query.shape[3] == value.shape[3] <= 256
        and query.shape[3] % 8 == 0
    )


def attend_within_segments(model: Any, context_tokens: int) -> bool:
    """Makes the model attend within segments from now on; False, and no change, where that does not work with it.

    Found by trying, so that no list of model families has to be kept: three dialogues packed must give the logits that
    each gives alone. That leaves out models that carry a state over, or count positions by themselves.
    context_tokens: the longest dialogue to come. Windows of attention that are shorter than it are not kept to, so a
    model with those is left as it is.
    """
    before = model.config._attn_implementation
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if window is not None and window < context_tokens:
        return False
    if not _ATTENTION_LAYERS.issuperset(getattr(config, "layer_types", None) or ()):
        return False  # a convolution's leak can be too small to see in a model that has not learnt yet
    try:
        expected = _logits_alone(model)
        model.set_attn_implementation(SEGMENTS)
        if model.config._attn_implementation == SEGMENTS and _equal(_logits_packed(model), expected):
            return True
    except Exception as error:  # whatever a model of another make raises, it then cannot be packed
        log.debug("a packed sequence could not be tried: %s", error)
    model.set_attn_implementation(before)
    return False


_ATTENTION_LAYERS = frozenset({"full_attention", "sliding_attention"})
_TRIED_SIZES = (5, 9, 2)


def _tried_ids(model: Any) -> list[Tensor]:
    vocabulary = model.get_input_embeddings().num_embeddings
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(vocabulary, (1, size), generator=generator) for size in _TRIED_SIZES]


@torch.no_grad()
def _logits_alone(model: Any) -> Tensor:
    return torch.cat([model(input_ids=ids, use_cache=False).logits for ids in _tried_ids(model)], dim=1)


@torch.no_grad()
def _logits_packed(model: Any) -> Tensor:
    sizes = torch.tensor(_TRIED_SIZES)
    bounds = torch.cat([torch.zeros(1, dtype=torch.int32), sizes.cumsum(0).int()])
    logits: Tensor = model(
        input_ids=torch.cat(_tried_ids(model), dim=1),
        position_ids=torch.cat([torch.arange(size) for size in _TRIED_SIZES]).unsqueeze(0),
        use_cache=False,
        **segment_arguments(bounds),
    ).logits
    return logits


def _equal(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).abs().max() <= 1e-5 * expected.abs().max())
