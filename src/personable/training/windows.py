"""A dialogue -> what of it goes through the model at once: itself, or, where the context is too short, parts of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from personable.dialogue import Dialogue, Speaker
from personable.encoding import EncodedDialogue
from personable.errors import EncodingError
from personable.training.layout import Layout


@dataclass(frozen=True, slots=True)
class Window:
    """Part of a dialogue that fits into the context, with the persona before it."""

    dialogue: Dialogue
    encoded: EncodedDialogue


def windows_of(dialogue: Dialogue, layout: Layout, whole: EncodedDialogue | None = None) -> list[Window]:
    """The dialogue, or, where it exceeds the context, successive parts of it with all its replies between them.

    Empty where nothing can be learnt: no reply, an empty turn, or one exchange that is longer than the context by
    itself.   whole: the dialogue as encoded, where that is known already.
    """
    windows: list[Window] = []
    rest = dialogue
    try:
        while rest.turns and (rest.replies or layout.learn_partner):
            encoded = whole if whole is not None and rest is dialogue else layout.encode(rest)
            begin = encoded.dropped_turns
            if begin and not layout.learn_partner:
                begin = _next_partner_turn(rest, begin)
            window = replace(rest, turns=rest.turns[begin:]) if begin else rest
            rest = replace(rest, turns=rest.turns[:begin])
            if not (window.replies or layout.learn_partner):
                continue
            if begin != encoded.dropped_turns:
                encoded = layout.encode(window)
            windows.append(Window(window, replace(encoded, dropped_turns=0) if begin else encoded))
    except EncodingError:
        return []
    return windows


def cuts_persona(dialogue: Dialogue, layout: Layout) -> bool:
    """True where facts have to go because the persona is larger than its share of the context."""
    # A token covers at least one byte, so most personas need no counting.
    if len(dialogue.persona.text.encode("utf-8", "replace")) <= layout.budget.persona_tokens:
        return False
    try:
        return bool(layout.encode(replace(dialogue, turns=dialogue.turns[-1:])).cut_facts)
    except EncodingError:
        return False


def _next_partner_turn(dialogue: Dialogue, begin: int) -> int:
    """Where the next partner turn stands: a window that began with a reply would hide what it replies to."""
    later = range(begin, len(dialogue.turns))
    return next((place for place in later if dialogue.turns[place].speaker is Speaker.PARTNER), begin)
