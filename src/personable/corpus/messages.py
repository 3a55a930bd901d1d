"""Chat messages: {"messages": [{"role": "system" | "user" | "assistant", "content": "..."}]}.

The persona is the system message.
"""

from __future__ import annotations

from collections.abc import Mapping

from personable.corpus.conversations import conversation_key
from personable.corpus.places import Place, dialogue, shown, text
from personable.dialogue import Dialogue, Persona, Speaker, Turn, split_sentences

_SPEAKERS = {"user": Speaker.PARTNER, "assistant": Speaker.PERSONA}
_ID_KEYS = ("conversation", "conv_id", "conversation_id")


def parse_messages(place: Place, record: Mapping[str, object]) -> list[Dialogue]:
    """The dialogue of one record, as a list of one. Raises BadRecord.

    The persona may also stand in a `system` value beside the messages.
    """
    messages = record.get("messages")
    if not isinstance(messages, list) or not messages:
        raise place.problem("a list of messages", shown(messages))
    persona = Persona(facts_of(text(place, record["system"], "system"))) if record.get("system") else Persona()
    turns: list[Turn] = []
    for index, message in enumerate(messages):
        name = f"messages[{index}]"
        if not isinstance(message, dict):
            raise place.problem(f"an object in {name}", shown(message))
        role, content = message.get("role"), text(place, message.get("content"), f"{name}.content")
        if role == "system" and index == 0:
            persona = Persona(facts_of(content))
        elif isinstance(role, str) and role in _SPEAKERS:
            turns.append(Turn(_SPEAKERS[role], content.strip()))
        else:
            raise place.problem(f'"user", "assistant" or a first "system" in {name}.role', shown(role))
    key = conversation_id(place, record, *_ID_KEYS) or conversation_key(turn.text for turn in turns)
    return [dialogue(place, persona, turns, conversation=key)]


def facts_of(system: str) -> tuple[str, ...]:
    """The facts of a system message: its lines, or its sentences where it is a single line."""
    lines = [line.strip() for line in system.strip().splitlines() if line.strip()]
    return tuple(lines if len(lines) > 1 else split_sentences(lines[0]) if lines else ())


def conversation_id(place: Place, record: Mapping[str, object], *keys: str) -> str:
    """The first of these values that is there, as text; empty when none is. Raises BadRecord for other types."""
    for key in keys:
        value = record.get(key)
        if value is None or value == "":
            continue
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return text(place, value, key)
    return ""
