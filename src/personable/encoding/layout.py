"""Dialogue -> token ids: the one place that decides what a model sees.

    encode_dialogue   everything said, with the tokens to learn      training, evaluation
    encode_prompt     up to where the next reply begins              chat, server, generation

Both lay out by the tokenizer's chat template and fit the context the same way: the persona stays, whole oldest turns
go, the last partner turn stays.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from personable.dialogue import Dialogue, Persona, Speaker, split_sentences
from personable.encoding.template import as_messages, content_spans, render
from personable.errors import BadBase, EncodingError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Budget:
    """How the positions of a model are shared out, in tokens."""

    context_tokens: int
    """Positions the model has; persona, turns and reply together never exceed it."""
    reply_tokens: int = 128
    """Kept free for the reply in a prompt."""
    persona_share: float = 0.5
    """Part of the room beside the reply that the persona may take before its facts are cut."""

    def __post_init__(self) -> None:
        if not 0 < self.reply_tokens < self.context_tokens:
            raise EncodingError(
                f"expected room for a reply between 1 and {self.context_tokens - 1} tokens (the context has "
                f"{self.context_tokens}), found {self.reply_tokens}. Next: ask for shorter replies."
            )
        if not 0 < self.persona_share < 1:
            raise EncodingError(f"expected a persona share between 0 and 1, found {self.persona_share}.")

    @property
    def prompt_tokens(self) -> int:
        """Room for persona and turns in a prompt."""
        return self.context_tokens - self.reply_tokens

    @property
    def persona_tokens(self) -> int:
        """Room for the persona."""
        return int(self.prompt_tokens * self.persona_share)


@dataclass(frozen=True, slots=True)
class EncodedDialogue:
    """A dialogue as a model reads it; the three tuples are of one length, at most `context_tokens`."""

    input_ids: tuple[int, ...]
    learn_mask: tuple[bool, ...]
    """True exactly on the tokens of replies and on the token that ends each reply."""
    positions: tuple[int, ...]
    dropped_turns: int = 0
    """Oldest turns left out for want of room."""
    cut_facts: tuple[str, ...] = ()
    """Facts left out, wholly or in part, for want of room."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model reads before it replies; at most `prompt_tokens` long."""

    input_ids: tuple[int, ...]
    dropped_turns: int = 0
    cut_facts: tuple[str, ...] = ()


def encode_dialogue(
    dialogue: Dialogue, tokenizer: Any, budget: Budget, *, learn_partner: bool = False
) -> EncodedDialogue:
    """Token ids of the whole dialogue and which of them are learnt.

    With `learn_partner` the partner's turns are learnt as well (for pre-training on dialogue without personas).
    Raises EncodingError when the last partner turn and what follows it do not fit beside the persona, or a turn is
    empty; BadBase when the template of the base cannot be read that way.
    """
    fitted, cut = _fit_persona(dialogue, tokenizer, budget)
    learnt = {"user", "assistant"} if learn_partner else {"assistant"}

    def lay_out(candidate: Dialogue) -> _Laid:
        return _lay_out(candidate, tokenizer, learnt)

    laid, dropped = _drop_oldest(fitted, lay_out, budget.context_tokens)
    return EncodedDialogue(
        tuple(laid.ids), tuple(laid.learn), tuple(range(len(laid.ids))), dropped_turns=dropped, cut_facts=cut
    )


def encode_prompt(dialogue: Dialogue, tokenizer: Any, budget: Budget) -> Prompt:
    """Token ids up to where the persona's next reply begins.

    They are a prefix of `encode_dialogue`'s for the same dialogue with that reply, as long as no turn was dropped.
    Raises EncodingError when the last partner turn does not fit beside the persona and the room for the reply.
    """
    fitted, cut = _fit_persona(dialogue, tokenizer, budget)

    def lay_out(candidate: Dialogue) -> _Laid:
        messages = as_messages(candidate, tokenizer)
        if not messages:  # some templates index the first message
            messages = as_messages(candidate.then(Speaker.PARTNER, "..."), tokenizer)
        return _Laid(_tokenise(render(messages, tokenizer, prompt=True), tokenizer)["input_ids"])

    laid, dropped = _drop_oldest(fitted, lay_out, budget.prompt_tokens)
    return Prompt(tuple(laid.ids), dropped_turns=dropped, cut_facts=cut)


@contextmanager
def cuts_not_logged() -> Iterator[None]:
    """Within it, no line is logged for a persona that is cut: for callers that say so themselves, once."""
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def turn_end_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of the tokens that end a reply: the one the template closes replies with, and the tokenizer's EOS."""
    probe = Dialogue().then(Speaker.PARTNER, "a").then(Speaker.PERSONA, "a")
    laid = _lay_out(probe, tokenizer, {"assistant"})
    last = max(place for place, learnt in enumerate(laid.learn) if learnt)
    ends = {laid.ids[last]}
    if tokenizer.eos_token_id is not None:
        ends.add(int(tokenizer.eos_token_id))
    return frozenset(ends)


@dataclass(slots=True)
class _Laid:
    ids: list[int]
    learn: list[bool] = field(default_factory=list)
    """Empty for a prompt: nothing of it is learnt."""

    def __len__(self) -> int:
        return len(self.ids)


def _tokenise(text: str, tokenizer: Any, *, offsets: bool = False) -> Any:
    return tokenizer(text, add_special_tokens=False, return_offsets_mapping=offsets, verbose=False)


def _lay_out(dialogue: Dialogue, tokenizer: Any, learnt_roles: set[str]) -> _Laid:
    messages = as_messages(dialogue, tokenizer)
    if not messages:
        raise EncodingError("expected a dialogue with a persona or turns, found neither.")
    if not tokenizer.is_fast:
        raise BadBase(f"expected a fast tokenizer (one with a tokenizer.json), found {type(tokenizer).__name__}.")
    text, spans = content_spans(messages, tokenizer)
    encoding = _tokenise(text, tokenizer, offsets=True)
    ids: list[int] = encoding["input_ids"]
    specials = special_ids(tokenizer)
    contents = [span for message, span in zip(messages, spans, strict=True) if message["role"] in learnt_roles]
    return _Laid(ids, learn_mask(text, ids, encoding["offset_mapping"], contents, specials))


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of the tokens that stand for no text: among them those that end turns."""
    return frozenset(tokenizer.added_tokens_decoder) | frozenset(tokenizer.all_special_ids)


def learn_mask(
    text: str,
    ids: list[int],
    offsets: list[tuple[int, int]],
    contents: list[tuple[int, int]],
    specials: frozenset[int],
) -> list[bool]:
    """True on the tokens of each content and on the special token that closes it.

    offsets: the characters [start, end) of each token in the text.   contents: those of what is learnt.
    Raises BadBase where no special token closes a content.
    """
    starts = [start for start, _ in offsets]
    ends = [end for _, end in offsets]
    learn = [False] * len(ids)
    for start, end in contents:
        place = bisect_left(ends, start + 1)  # first token that reaches into the content
        while place < len(ids) and starts[place] < end:
            learn[place] = True
            place += 1
        # A frame may put white space between the content and the token that ends the turn: learnt too, as it must be
        # generated to get there.
        while place < len(ids) and ids[place] not in specials and not text[starts[place] : ends[place]].strip():
            learn[place] = True
            place += 1
        if place == len(ids) or ids[place] not in specials:
            raise BadBase(
                "the chat template of this base closes replies with no special token, so a model would never learn to "
                "stop. Next: choose another base or change its `chat_template`."
            )
        learn[place] = True
    return learn


def _drop_oldest(dialogue: Dialogue, lay_out: Callable[[Dialogue], _Laid], limit: int) -> tuple[_Laid, int]:
    """The dialogue laid out without as many of its oldest turns as needed, and how many those are."""
    keep = _turns_to_keep(dialogue)
    most = max(len(dialogue.turns) - keep, 0)
    laid = lay_out(dialogue)
    if len(laid) <= limit:
        return laid, 0
    # Fewer turns are never longer, so bisect: long chats would otherwise be laid out once per turn.
    low, high = 1, most
    best: tuple[_Laid, int] | None = None
    while low <= high:
        middle = (low + high) // 2
        laid = lay_out(replace(dialogue, turns=dialogue.turns[middle:]))
        if len(laid) <= limit:
            best, high = (laid, middle), middle - 1
        else:
            low = middle + 1
    if best is None:
        shortest = lay_out(replace(dialogue, turns=dialogue.turns[most:]))
        raise EncodingError(
            f"expected persona and last partner turn to fit into {limit} tokens, found {len(shortest)}. "
            "Next: shorten that turn or the persona, or ask for shorter replies."
        )
    return best


def _turns_to_keep(dialogue: Dialogue) -> int:
    """How many turns at the end must stay: the last partner turn and what follows it."""
    for back, turn in enumerate(reversed(dialogue.turns), start=1):
        if turn.speaker is Speaker.PARTNER:
            return back
    return min(len(dialogue.turns), 1)


def _fit_persona(dialogue: Dialogue, tokenizer: Any, budget: Budget) -> tuple[Dialogue, tuple[str, ...]]:
    """The dialogue with its persona within its share, and the facts that were cut for it."""

    def fits(persona: Persona) -> bool:
        # A byte-level or word-piece token covers at least one byte, so short personas need no counting.
        if len(persona.text.encode("utf-8", "replace")) <= budget.persona_tokens:
            return True
        return len(_tokenise(persona.text, tokenizer)["input_ids"]) <= budget.persona_tokens

    persona = dialogue.persona
    if fits(persona):
        return dialogue, ()
    kept: list[str] = []
    cut: list[str] = []
    for fact in persona.facts:
        sentences = split_sentences(fact.strip())
        whole = ""
        for count in range(len(sentences), 0, -1):
            part = " ".join(sentences[:count])
            if not cut and fits(replace(persona, facts=(*kept, part))):
                whole = fact if count == len(sentences) else part
                break
        if whole:
            kept.append(whole)
        if whole != fact:
            cut.append(fact)
    log.warning(
        "the persona is larger than its share of the context (%d tokens); cut: %s",
        budget.persona_tokens,
        "; ".join(repr(fact if len(fact) <= 60 else fact[:57] + "...") for fact in cut),
    )
    return replace(dialogue, persona=replace(persona, facts=tuple(kept))), tuple(cut)
