"""What every stage passes on: a persona, the turns of a conversation with it, and nothing else.

Standard library only, so that reading and checking data never waits for torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class Speaker(StrEnum):
    """Who says a turn."""

    PARTNER = "partner"
    """The human side."""
    PERSONA = "persona"
    """The side that stays in character; its turns are the replies a model learns."""


@dataclass(frozen=True, slots=True)
class Persona:
    """A character as facts about it, one sentence each, usually in the first person."""

    facts: tuple[str, ...] = ()
    name: str = ""
    """Shown to people (chat screen, tables). Not part of what a model reads: say it in a fact too."""

    @property
    def text(self) -> str:
        """All facts, in order, one per line."""
        return "\n".join(self.facts)


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance."""

    speaker: Speaker
    text: str
    candidates: tuple[str, ...] = ()
    """Replies to rank in place of this one; the true reply is among them. Empty where the data gives none."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation, seen from the persona's side."""

    persona: Persona = field(default_factory=Persona)
    turns: tuple[Turn, ...] = ()
    partner_persona: Persona = field(default_factory=Persona)
    """Who the partner plays, where the data says so. A model never reads it: in a real chat nobody knows it."""
    conversation: str = ""
    """Equal for dialogues that tell one conversation (its two sides, or its prefixes); empty when unknown."""

    @property
    def replies(self) -> tuple[Turn, ...]:
        """The persona's turns, in order."""
        return tuple(turn for turn in self.turns if turn.speaker is Speaker.PERSONA)

    def then(self, speaker: Speaker, text: str) -> Dialogue:
        """This dialogue with one more turn at its end."""
        return replace(self, turns=(*self.turns, Turn(speaker, text)))


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, such as several facts on one line: it is cut at white space after . ! or ?"""
    return _SENTENCE_END.split(text)
