"""What has been said so far, and how it can be taken back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from personable.corpus import Format, read_dialogues, write_dialogues
from personable.dialogue import Dialogue, Persona, Speaker, Turn
from personable.errors import ChatError


@dataclass(frozen=True, slots=True)
class Conversation:
    """A dialogue in the making. Every change gives a new one, so what was rejected leaves no trace."""

    dialogue: Dialogue = field(default_factory=Dialogue)
    retries: int = 0
    """How many replies to the latest line were rejected; sets a seeded retry apart from what it replaces."""

    @property
    def persona(self) -> Persona:
        """Who replies."""
        return self.dialogue.persona

    @property
    def turns(self) -> tuple[Turn, ...]:
        """What was said and stands."""
        return self.dialogue.turns

    def heard(self, text: str) -> Conversation:
        """With a line of the partner's at its end."""
        return Conversation(self.dialogue.then(Speaker.PARTNER, text))

    def answered(self, text: str) -> Conversation:
        """With a reply at its end."""
        return replace(self, dialogue=self.dialogue.then(Speaker.PERSONA, text))

    def awaiting_another_reply(self) -> Conversation:
        """Without the reply at its end, if one is there. Raises ChatError while the partner has said nothing."""
        if not self.turns or not any(turn.speaker is Speaker.PARTNER for turn in self.turns):
            raise ChatError("nothing to answer yet. Next: say something first")
        turns = self.turns[:-1] if self.turns[-1].speaker is Speaker.PERSONA else self.turns
        return Conversation(replace(self.dialogue, turns=turns), self.retries + 1)

    def undone(self) -> Conversation:
        """Without the partner's latest line and what followed it. Raises ChatError if there is none."""
        for place in reversed(range(len(self.turns))):
            if self.turns[place].speaker is Speaker.PARTNER:
                return Conversation(replace(self.dialogue, turns=self.turns[:place]))
        raise ChatError("nothing to undo: you have said nothing yet")


def save_conversation(conversation: Conversation, path: Path) -> None:
    """Writes one line of canonical JSONL. Raises ChatError while nothing was said, DataError for a bad place."""
    if not conversation.turns:
        raise ChatError("nothing to save yet. Next: say something first")
    write_dialogues([conversation.dialogue], path)


def load_conversation(path: Path) -> tuple[Conversation, int]:
    """The first dialogue of a file that `save_conversation` wrote, and how many dialogues the file holds.

    Raises ChatError if the file is not there, DataError if it holds something else.
    """
    if not path.is_file():
        raise ChatError(f"expected a saved conversation, found no file {path}")
    dialogues = read_dialogues(path, format=Format.PERSONABLE).dialogues
    return Conversation(dialogues[0]), len(dialogues)
