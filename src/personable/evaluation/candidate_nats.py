"""How improbable a model finds each of many replies to one history.

after_prefix   the history is read once; all candidates follow it in one row, hidden from one another
one_by_one     history and candidate read as one text, for each: what the other has to equal
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from personable.encoding import EncodedCandidates, EncodedDialogue
from personable.encoding.batches import IGNORED, Collator
from personable.encoding.likelihood import reply_nats, target_nats
from personable.evaluation.prefixes import Ids, ReadPrefix, branches_mask, cache_of

_BRANCH_TOKENS = 2**10
"""Tokens in one row of candidates: their mask takes a number for each pair, and some models' logits are large."""


@torch.inference_mode()
def after_prefix(model: Any, first_scores: Tensor, prefix: ReadPrefix, encoded: EncodedCandidates) -> Tensor:
    """Nats of each candidate, (candidates,).

    first_scores: logits (vocabulary,) after the prompt.   prefix: a text that begins with the prompt.
    """
    firsts = first_scores.float().log_softmax(-1)
    return torch.cat(
        [
            _of_branches(model, firsts, cache_of(prefix.first(len(encoded.prompt))), len(encoded.prompt), chunk)
            for chunk in _chunks(encoded.replies, _BRANCH_TOKENS)
        ]
    )


def _of_branches(model: Any, firsts: Tensor, cache: Any, prompt_tokens: int, replies: Sequence[Ids]) -> Tensor:
    device = firsts.device
    # The last token of a reply predicts nothing that is scored, so it is not read.
    lengths = [len(reply) - 1 for reply in replies]
    nats = -firsts[torch.tensor([reply[0] for reply in replies], device=device)]
    if not any(lengths):
        return nats
    inputs = {
        "input_ids": torch.tensor([[token for reply in replies for token in reply[:-1]]], device=device),
        "attention_mask": branches_mask(prompt_tokens, lengths, device=device, dtype=model.dtype),
        "position_ids": torch.tensor(
            [[prompt_tokens + place for length in lengths for place in range(length)]], device=device
        ),
        "past_key_values": cache,
        "use_cache": True,
    }
    rest = target_nats(model, inputs, torch.tensor([token for reply in replies for token in reply[1:]], device=device))
    owners = torch.repeat_interleave(torch.arange(len(replies), device=device), torch.tensor(lengths, device=device))
    return nats.index_add(0, owners, rest)


@torch.inference_mode()
def one_by_one(model: Any, encoded: EncodedCandidates, collate: Collator, batch_size: int) -> Tensor:
    """Nats of each candidate, (candidates,)."""
    whole = [
        EncodedDialogue(
            encoded.prompt + reply,
            (False,) * len(encoded.prompt) + (True,) * len(reply),
            tuple(range(len(encoded.prompt) + len(reply))),
        )
        for reply in encoded.replies
    ]
    found = []
    for start in range(0, len(whole), batch_size):
        batch = {name: each.to(model.device) for name, each in collate(whole[start : start + batch_size]).items()}
        counts = (batch["labels"][:, 1:] != IGNORED).sum(1).tolist()
        found += [each.sum() for each in reply_nats(model, batch).split(counts)]
    return torch.stack(found)


def _chunks(replies: Sequence[Ids], tokens: int) -> Iterator[Sequence[Ids]]:
    """Replies in order, in groups of at most so many tokens, or of one."""
    start, held = 0, 0
    for place, reply in enumerate(replies):
        if place > start and held + len(reply) > tokens:
            yield replies[start:place]
            start, held = place, 0
        held += len(reply)
    yield replies[start:]
