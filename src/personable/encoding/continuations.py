"""One history and many replies to it -> token ids: the history once, and of each reply only what it adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from personable.dialogue import Dialogue, Speaker
from personable.encoding.layout import Budget, EncodedDialogue, encode_dialogue, encode_prompt
from personable.encoding.template import defuse, special_texts
from personable.errors import EncodingError

# What a candidate is laid out after, to find its ids; any partner turn would do.
_STAND_IN = Dialogue().then(Speaker.PARTNER, "hm")


@dataclass(frozen=True, slots=True)
class EncodedCandidates:
    """Replies to one history; the history with any one of them fits into the context."""

    prompt: tuple[int, ...]
    """What comes before each of them."""
    replies: tuple[tuple[int, ...], ...]
    """For each candidate, in order, the ids that `encode_dialogue` would learn: the reply and its end."""
    dropped_turns: int = 0
    """Oldest turns left out so that the longest candidate fits; the same for all."""


class CandidateEncoder:
    """Encodes candidates; remembers each reply it has seen, as ranking sets draw on the same replies again and again.

    A special token cuts a text into parts that are tokenised on their own. So a reply has the same ids after every
    history, as long as between it and the last special token before it there is nothing but the frame. Where that is
    not so, history and candidate are laid out together.
    """

    def __init__(self, tokenizer: Any, context_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._context_tokens = context_tokens
        self._specials = frozenset(tokenizer.added_tokens_decoder) | frozenset(tokenizer.all_special_ids)
        self._special_texts = special_texts(tokenizer)
        self._seen: dict[str, tuple[int, ...] | None] = {}
        self._stand_in = encode_prompt(_STAND_IN, tokenizer, Budget(context_tokens, 1)).input_ids
        self._frame = self._since_last_special(self._stand_in)

    def encode(self, history: Dialogue, candidates: Sequence[str]) -> EncodedCandidates:
        """The ids of the prompt and of each candidate, as `encode_dialogue` lays out history and candidate.

        Raises EncodingError where a candidate is empty or does not fit beside persona and last partner turn.
        """
        for candidate in candidates:
            if not defuse(candidate.strip(), self._special_texts):
                raise EncodingError("expected text in every candidate, found an empty one. Next: leave it out.")
        answers_partner = bool(history.turns) and history.turns[-1].speaker is Speaker.PARTNER
        if self._frame and answers_partner:
            replies = tuple(reply for candidate in candidates if (reply := self._reply(candidate)))
            if len(replies) == len(candidates):
                prompt = encode_prompt(history, self._tokenizer, self._budget(replies))
                if self._since_last_special(prompt.input_ids) == self._frame:
                    return EncodedCandidates(prompt.input_ids, replies, prompt.dropped_turns)
        return self._laid_out_whole(history, candidates)

    def _reply(self, candidate: str) -> tuple[int, ...] | None:
        """Its ids after any history; None where they cannot be told from one."""
        if candidate not in self._seen:
            alone = _STAND_IN.then(Speaker.PERSONA, candidate)
            before, reply = _parted(encode_dialogue(alone, self._tokenizer, Budget(self._context_tokens, 1)))
            # Some templates put more before a finished reply than a prompt has, and a token may straddle the border.
            self._seen[candidate] = reply if before == self._stand_in else None
        return self._seen[candidate]

    def _laid_out_whole(self, history: Dialogue, candidates: Sequence[str]) -> EncodedCandidates:
        """Drops as many of the oldest turns as the longest candidate asks for, so that the prompt is one for all."""
        dropped, encoded = 0, []
        while True:
            kept = replace(history, turns=history.turns[dropped:])
            encoded = [
                encode_dialogue(kept.then(Speaker.PERSONA, text), self._tokenizer, Budget(self._context_tokens, 1))
                for text in candidates
            ]
            more = max(one.dropped_turns for one in encoded)
            if not more:
                break
            dropped += more
        prompts, replies = zip(*map(_parted, encoded), strict=True)
        if len(set(prompts)) > 1:
            raise EncodingError(
                "expected every candidate to begin with a token of its own, found one joined to the frame before it. "
                "Next: leave that candidate out, or choose another base."
            )
        return EncodedCandidates(prompts[0], replies, dropped)

    def _budget(self, replies: Sequence[tuple[int, ...]]) -> Budget:
        longest = max(map(len, replies))
        if longest >= self._context_tokens:
            raise EncodingError(
                f"expected candidates that fit into {self._context_tokens} tokens, found one of {longest}. "
                "Next: leave it out."
            )
        return Budget(self._context_tokens, longest)

    def _since_last_special(self, ids: Sequence[int]) -> tuple[int, ...]:
        """The last special token of ids and what follows it; empty where there is none."""
        for place in range(len(ids) - 1, -1, -1):
            if ids[place] in self._specials:
                return tuple(ids[place:])
        return ()


def _parted(encoded: EncodedDialogue) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What comes before the last reply, and that reply with its end."""
    end = max(place for place, learnt in enumerate(encoded.learn_mask) if learnt) + 1
    start = end
    while start and encoded.learn_mask[start - 1]:
        start -= 1
    return encoded.input_ids[:start], encoded.input_ids[start:end]
