"""A model on this machine that replies to many histories at once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath

import torch
from torch import Tensor

from personable.base import Base
from personable.dialogue import Dialogue
from personable.encoding import Budget, encode_prompt, turn_end_ids
from personable.encoding.layout import cuts_not_logged
from personable.errors import EncodingError
from personable.evaluation.engine import OnProgress, no_progress
from personable.evaluation.prefixes import Ids, PrefixReader, ReadPrefix, chains
from personable.evaluation.rows import Rows
from personable.evaluation.seeds import seed_of
from personable.reply import Bot, Sampling
from personable.reply.bot import check_scores, generator_of
from personable.reply.sampling import next_token
from personable.reply.text import reply_text

log = logging.getLogger(__name__)

CACHE_BYTES = 2**30
"""Keys and values held at a time, beside those of the prompts just read."""
_BATCHES_TO_SORT = 4
"""So many batches are read before the first reply, so that prompts of like length go together."""
_WORTH_COPYING = 0.75
"""Rows are let go of when no more than this part of them goes on: doing so copies the cache."""


class LocalEngine:
    """A loaded base or run. Replies as `Bot` does, many at a time, and gives log-probabilities."""

    def __init__(self, base: Base, *, batch_size: int = 32) -> None:
        """batch_size: replies, or dialogues to score, that are worked on at once; changes speed and memory only."""
        if batch_size < 1:
            raise ValueError(f"expected a batch size of at least 1, found {batch_size}")
        self.base = base
        self.batch_size = batch_size
        self.reader = PrefixReader(base.model, base.context_tokens)
        self._turn_ends = turn_end_ids(base.tokenizer)

    @cached_property
    def about(self) -> dict[str, object]:
        """What it is, ready for JSON."""
        model, spec = self.base.model, self.base.spec
        return {
            "kind": "local",
            "name": PurePath(spec).name if PurePath(spec).is_absolute() else spec,
            "architecture": type(model).__name__,
            "parameters": sum(each.numel() for each in model.parameters()),
            "context_tokens": self.base.context_tokens,
            "vocabulary": len(self.base.tokenizer),
            "dtype": str(model.dtype).removeprefix("torch."),
            "device": model.device.type,
        }

    def replies(
        self, histories: Sequence[Dialogue], sampling: Sampling, on_progress: OnProgress = no_progress
    ) -> list[str]:
        """The next reply to each history, as `Bot.reply` gives it with the seed `seed_of(history, sampling.seed)`.

        A history that cannot be laid out, mostly as its last turn does not fit beside persona and reply, gets an empty
        one; a warning says how many.
        Raises BadBase where the model's scores are not numbers.
        """
        budget = Budget(self.base.context_tokens, sampling.max_reply_tokens)
        prompts: dict[int, Ids] = {}
        refused: EncodingError | None = None
        with cuts_not_logged():
            for place, history in enumerate(histories):
                try:
                    prompts[place] = encode_prompt(history, self.base.tokenizer, budget).input_ids
                except EncodingError as error:
                    refused = refused or error
        if refused:
            count = len(histories) - len(prompts)
            log.warning("no reply to %d of %d histories, left empty; the first: %s", count, len(histories), refused)
        replies = [""] * len(histories)
        done = len(histories) - len(prompts)
        for place, text in self._replies(histories, prompts, sampling):
            replies[place] = text
            done += 1
            on_progress(done, len(histories))
        return replies

    def _replies(
        self, histories: Sequence[Dialogue], prompts: dict[int, Ids], sampling: Sampling
    ) -> Iterator[tuple[int, str]]:
        """Place and reply, as they come."""
        limit = self.reader.limit - sampling.max_reply_tokens
        for batch in self._batches(histories, {p: ids for p, ids in prompts.items() if len(ids) <= limit}, sampling):
            for reply in self._finished(batch, sampling):
                yield reply.place, reply_text(reply.said, self.base.tokenizer)
        bot = Bot(self.base)
        for place in (place for place, ids in prompts.items() if len(ids) > limit):
            with cuts_not_logged():
                own_seed = sampling.but(seed=seed_of(histories[place], sampling.seed))
                yield place, bot.reply(histories[place], own_seed)

    def _batches(
        self, histories: Sequence[Dialogue], prompts: dict[int, Ids], sampling: Sampling
    ) -> Iterator[list[_Reply]]:
        """Replies about to begin, those after prompts of like length together."""
        places = list(prompts)
        groups = [[places[each] for each in group] for group in chains([prompts[place] for place in places])]
        groups.sort(key=lambda group: -len(prompts[group[-1]]))  # the largest first: what does not fit shows at once
        waiting: list[_Reply] = []
        for group in groups:
            ends = [len(prompts[place]) for place in group]
            logits, prefix = self.reader.read(prompts[group[-1]], ends)
            for place, scores in zip(group, logits, strict=True):
                seed = 0 if sampling.greedy else seed_of(histories[place], sampling.seed)
                waiting.append(_Reply(place, prompts[place], prefix, scores, generator_of(seed)))
            held = {id(reply.prefix): reply.prefix.bytes for reply in waiting}
            full = len(waiting) >= _BATCHES_TO_SORT * self.batch_size or sum(held.values()) >= CACHE_BYTES
            if full or group is groups[-1]:
                waiting.sort(key=lambda reply: len(reply.prompt))
                while waiting:
                    tokens = len(waiting[-1].prompt) + sampling.max_reply_tokens
                    rows = max(1, min(self.batch_size, CACHE_BYTES // (tokens * prefix.bytes_per_token)))
                    yield waiting[-rows:]
                    del waiting[-rows:]

    def _finished(self, batch: list[_Reply], sampling: Sampling) -> Iterator[_Reply]:
        """The replies of a batch, each as soon as it has ended."""
        rows = Rows(self.base.model, [(one.prefix, len(one.prompt)) for one in batch], sampling.max_reply_tokens)
        logits = torch.stack([one.first_scores for one in batch])
        while True:
            check_scores(logits, self.base.spec)
            for reply, scores in zip(batch, logits.float().cpu(), strict=True):
                if reply.ended:
                    continue
                reply.latest = next_token(scores, (*reply.prompt, *reply.said), sampling, reply.generator)
                if reply.latest not in self._turn_ends:
                    reply.said.append(reply.latest)
                reply.ended = reply.latest in self._turn_ends or len(reply.said) == sampling.max_reply_tokens
                if reply.ended:
                    yield reply
            going_on = [row for row, reply in enumerate(batch) if not reply.ended]
            if not going_on:
                return
            if len(going_on) <= _WORTH_COPYING * len(batch):
                rows.keep(going_on)
                batch = [batch[row] for row in going_on]
            logits = rows.step([reply.latest for reply in batch])


@dataclass(slots=True)
class _Reply:
    """One that is being made."""

    place: int
    prompt: Ids
    prefix: ReadPrefix
    """Holds the prompt and, often, more."""
    first_scores: Tensor
    """Logits (vocabulary,) after the prompt."""
    generator: torch.Generator
    said: list[int] = field(default_factory=list)
    latest: int = 0
    ended: bool = False
