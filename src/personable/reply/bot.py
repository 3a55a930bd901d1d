"""A run that answers: dialogue in, reply out."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import torch
from torch import Tensor

from personable.base import Base, load_base
from personable.dialogue import Dialogue
from personable.encoding import Budget, Prompt, encode_prompt, turn_end_ids
from personable.errors import BadBase, RecipeError
from personable.reply.cache import ReadIds
from personable.reply.sampling import Sampling, next_token, sampling_defaults
from personable.reply.text import PieceWriter


class FinishReason(StrEnum):
    """Why a reply ended."""

    STOP = "stop"
    """The model ended its turn."""
    LENGTH = "length"
    """It reached max_reply_tokens."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text of a reply. All pieces together are the reply; only the last one has a finish reason and counts."""

    text: str
    finish_reason: FinishReason | None = None
    prompt_tokens: int = 0
    """What the model was given: persona and history, in tokens."""
    reply_tokens: int = 0
    """What it said, in tokens, without the one that ends a turn."""
    dropped_turns: int = 0
    """Oldest turns that did not fit into the context and were left out."""
    cut_facts: tuple[str, ...] = ()
    """Facts of the persona that did not fit, wholly or in part."""


class Bot:
    """A loaded run. Keeps the KV cache of its latest dialogue, so that a next turn reads only what is new.

    Replies may be streamed from several threads at once; only one of them finds the kept cache.
    """

    def __init__(self, base: Base) -> None:
        self.base = base
        try:
            self.sampling = sampling_defaults(base.model.generation_config, base.context_tokens)
        except RecipeError as error:
            raise BadBase(f"{base.spec}: generation_config.json: {error}. Next: mend that file") from error
        self._turn_ends = turn_end_ids(base.tokenizer)
        self._kept: ReadIds | None = None

    def reply(self, dialogue: Dialogue, sampling: Sampling | None = None) -> str:
        """What the persona says next, in one string, without white space around it; may be empty.

        sampling: the run's own settings if None.
        Raises EncodingError where persona, last turn and reply do not fit into the context together.
        """
        return "".join(piece.text for piece in self.stream_reply(dialogue, sampling))

    def stream_reply(self, dialogue: Dialogue, sampling: Sampling | None = None) -> Generator[Piece]:
        """The same in pieces, as soon as they are certain; the last piece says why the reply ended.

        The generator may be closed at any time; the bot stays usable.
        """
        sampling = sampling or self.sampling
        budget = Budget(context_tokens=self.base.context_tokens, reply_tokens=sampling.max_reply_tokens)
        return self._stream(encode_prompt(dialogue, self.base.tokenizer, budget), sampling)

    def _stream(self, prompt: Prompt, sampling: Sampling) -> Generator[Piece]:
        writer = PieceWriter(self.base.tokenizer)
        reply_tokens, finish_reason = 0, FinishReason.LENGTH
        with closing(self._token_ids(prompt.input_ids, sampling)) as token_ids:
            for token_id in token_ids:
                if token_id in self._turn_ends:
                    finish_reason = FinishReason.STOP
                    break
                reply_tokens += 1
                if text := writer.add(token_id):
                    yield Piece(text)
        yield Piece(
            "",
            finish_reason,
            prompt_tokens=len(prompt.input_ids),
            reply_tokens=reply_tokens,
            dropped_turns=prompt.dropped_turns,
            cut_facts=prompt.cut_facts,
        )

    def _token_ids(self, prompt_ids: tuple[int, ...], sampling: Sampling) -> Generator[int]:
        """Up to max_reply_tokens ids, each chosen after all before it."""
        generator = generator_of(sampling.seed)
        # Taken while in use: a second stream that runs meanwhile starts an own cache instead of spoiling this one.
        read, self._kept = self._kept or ReadIds(self.base.model), None
        try:
            logits = read.read_anew(prompt_ids)
            said: list[int] = []
            while True:
                check_scores(logits, self.base.spec)
                said.append(next_token(logits, (*prompt_ids, *said), sampling, generator))
                yield said[-1]
                if len(said) == sampling.max_reply_tokens:
                    return
                logits = read.read_on(said[-1:])
        finally:
            self._kept = read


def load(run: str | Path = "starter") -> Bot:
    """The bot of a run folder, or of the bundled starter. Raises BaseNotFound or BadBase."""
    return Bot(load_base(run))


def generator_of(seed: int | None) -> torch.Generator:
    """Where the chances of one reply come from; None draws a new seed."""
    # On the CPU wherever the model is, so that a seed means the same on every machine.
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator


def check_scores(logits: Tensor, spec: str) -> None:
    """Raises BadBase where one of the logits, of any shape, is not a number."""
    if logits.isnan().any():
        raise BadBase(
            f"{spec}: expected scores for the next token, found nan. "
            "The weights are damaged, often by a training that diverged. Next: use an earlier checkpoint"
        )
