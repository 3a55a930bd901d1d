"""The places in dialogues where a reply is due: what a system is asked, and what the data answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from personable.dialogue import Dialogue, Persona, Speaker


@dataclass(frozen=True, slots=True)
class Exchange:
    """One reply of a dialogue, to be given anew after the true history."""

    dialogue: int
    """The place of its dialogue among those evaluated, from 0."""
    history: Dialogue
    """Persona and the turns before the reply. The partner's persona is not in it."""
    reference: str
    """What the data replies."""
    candidates: tuple[str, ...] = ()
    """Replies to rank, the reference among them; empty where the data gives none."""

    @property
    def said(self) -> str:
        """The partner's last turn; empty where the persona opens the dialogue."""
        last = self.history.turns[-1] if self.history.turns else None
        return last.text if last and last.speaker is Speaker.PARTNER else ""


def exchanges_of(dialogues: Sequence[Dialogue]) -> list[Exchange]:
    """Every reply of every dialogue, in order."""
    return [
        Exchange(
            place,
            replace(dialogue, turns=dialogue.turns[:turn_place], partner_persona=Persona()),
            turn.text,
            turn.candidates,
        )
        for place, dialogue in enumerate(dialogues)
        for turn_place, turn in enumerate(dialogue.turns)
        if turn.speaker is Speaker.PERSONA
    ]
