"""How the next token of a reply is chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from personable.errors import RecipeError


@dataclass(frozen=True, slots=True)
class Sampling:
    """Every setting of a reply. Raises RecipeError, quoting the value, for one that makes no sense."""

    temperature: float = 0.7
    """Divides the logits; lower is more predictable. 0 is greedy: always the likeliest token."""
    top_p: float = 0.9
    """Keep the likeliest tokens whose probabilities add up to this much; 1 keeps all."""
    top_k: int = 0
    """Keep this many of the likeliest tokens; 0 keeps all."""
    min_p: float = 0.0
    """Drop tokens less likely than this fraction of the likeliest token's probability; 0 keeps all."""
    repetition_penalty: float = 1.0
    """Makes every token already in the prompt or the reply less likely; 1 is off. Keskar et al. 2019."""
    max_reply_tokens: int = 80
    """A reply is cut after this many tokens."""
    seed: int | None = None
    """Equal seeds give equal replies to equal dialogues; None draws anew each time."""

    def __post_init__(self) -> None:
        _check("temperature", self.temperature, "0 (greedy) or a positive number", 0 <= self.temperature < math.inf)
        _check("top_p", self.top_p, "a number above 0 and at most 1", 0 < self.top_p <= 1)
        _check("top_k", self.top_k, "0 (off) or a positive whole number", _whole(self.top_k) and self.top_k >= 0)
        _check("min_p", self.min_p, "a number from 0 (off) to 1", 0 <= self.min_p <= 1)
        _check(
            "repetition_penalty",
            self.repetition_penalty,
            "a positive number, 1 for none",
            0 < self.repetition_penalty < math.inf,
        )
        _check(
            "max_reply_tokens",
            self.max_reply_tokens,
            "a whole number of at least 1",
            _whole(self.max_reply_tokens) and self.max_reply_tokens >= 1,
        )
        # The range that torch.Generator.manual_seed takes without wrapping round.
        valid_seed = self.seed is None or (_whole(self.seed) and 0 <= self.seed < 2**63)
        _check("seed", self.seed, "a whole number from 0 to 2**63 - 1, or none", valid_seed)

    @property
    def greedy(self) -> bool:
        """Whether chance plays no part."""
        return self.temperature == 0

    def but(self, **settings: float | None) -> Sampling:
        """These settings with those given changed; None leaves a setting as it is.

        Raises RecipeError for a name that is no setting.
        """
        known = [field.name for field in fields(self)]
        for name in settings:
            if name not in known:
                raise RecipeError(f"sampling: expected one of {', '.join(known)}, found {name!r}")
        given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
        return replace(self, **given)


def sampling_defaults(config: GenerationConfig | None, context_tokens: int) -> Sampling:
    """The settings that a run's generation_config.json asks for; what it leaves out is Personable's default.

    Replies take at most half of the context unless a caller asks for more, so that a run with a short context, or one
    that asks for replies as long as its context, still has room for a dialogue.
    """
    asked = Sampling() if config is None else _asked_by(config)
    return asked.but(max_reply_tokens=max(1, min(asked.max_reply_tokens, context_tokens // 2)))


def next_token(logits: Tensor, previous: Sequence[int], sampling: Sampling, generator: torch.Generator) -> int:
    """The id of the next token. What is left to choose from is what transformers' generate leaves.

    logits: (vocab,) float, on any device.   previous: all ids before, prompt and reply.
    generator: a CPU generator; drawn from once unless greedy.
    """
    scores = penalise_repetition(logits.float().cpu(), previous, sampling.repetition_penalty)
    if sampling.greedy:
        return int(scores.argmax())
    scores = scores / sampling.temperature
    scores = keep_top_k(scores, sampling.top_k)
    scores = keep_top_p(scores, sampling.top_p)
    scores = keep_min_p(scores, sampling.min_p)
    return draw(scores.softmax(-1), generator)


def draw(probabilities: Tensor, generator: torch.Generator) -> int:
    """An index of probabilities (vocab,), each as often as its share.

    One random number against the running total, not `multinomial` with one per token: that is a tenth of the time for
    GPT-2's vocabulary, and a rounding error elsewhere in the vocabulary leaves the choice as it is.
    """
    totals = probabilities.double().cumsum(-1)
    share = 1 - torch.rand(1, dtype=torch.float64, generator=generator)  # above 0, so nothing impossible is drawn
    return int(torch.searchsorted(totals, share * totals[-1]))


def penalise_repetition(scores: Tensor, previous: Sequence[int], penalty: float) -> Tensor:
    """Scores (vocab,) with each previous id's divided by the penalty where positive, multiplied where negative."""
    if penalty == 1 or not previous:
        return scores
    seen = torch.tensor(sorted(set(previous)))
    old = scores[seen]
    return scores.index_put((seen,), torch.where(old < 0, old * penalty, old / penalty))


def keep_top_k(scores: Tensor, top_k: int) -> Tensor:
    """Scores (vocab,) with all but the top_k highest at -inf; ties with the last one stay. 0 keeps all."""
    if top_k == 0 or top_k >= len(scores):
        return scores
    return scores.masked_fill(scores < scores.topk(top_k).values[-1], -torch.inf)


def keep_top_p(scores: Tensor, top_p: float) -> Tensor:
    """Scores (vocab,) of the smallest set of likeliest tokens that holds top_p of the probability; the rest -inf."""
    if top_p == 1:
        return scores
    probabilities = scores.softmax(-1)
    # A few hundred tokens nearly always hold enough, and sorting all 50,000 costs a fifth of a small model's step.
    for count in (256, 8192, len(scores)):
        likeliest = probabilities.topk(min(count, len(scores)))
        if likeliest.values.sum() >= top_p:
            break
    before = likeliest.values.cumsum(-1) - likeliest.values
    kept = likeliest.indices[before < top_p]
    return torch.full_like(scores, -torch.inf).index_copy(0, kept, scores[kept])


def keep_min_p(scores: Tensor, min_p: float) -> Tensor:
    """Scores (vocab,) with tokens less likely than min_p times the likeliest at -inf."""
    if min_p == 0:
        return scores
    probabilities = scores.softmax(-1)
    return scores.masked_fill(probabilities < min_p * probabilities.max(), -torch.inf)


def _asked_by(config: GenerationConfig) -> Sampling:
    return Sampling().but(
        temperature=0 if config.do_sample is False else config.temperature,
        top_p=config.top_p,
        top_k=config.top_k,
        min_p=config.min_p,
        repetition_penalty=config.repetition_penalty,
        max_reply_tokens=config.max_new_tokens,
    )


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check(name: str, value: object, expected: str, valid: bool) -> None:
    if not valid:
        raise RecipeError(f"sampling: expected {name} to be {expected}, found {value!r}")
