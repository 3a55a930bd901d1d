"""Plain turns: {"turns": ["...", "..."]}, the partner first, speakers in alternation; perhaps with personas.

The keys of Multi-Session Chat are known too: `persona_user` is the partner's persona, `persona_assistant` the persona.
"""

from __future__ import annotations

from collections.abc import Mapping

from personable.corpus.conversations import conversation_key
from personable.corpus.messages import conversation_id
from personable.corpus.places import Place, dialogue, facts, shown, texts
from personable.dialogue import Dialogue, Persona, Speaker, Turn

_KEYS = frozenset({"turns", "source", "split", "id", "session", "persona_user", "persona_assistant"})
_IN_TURN = (Speaker.PARTNER, Speaker.PERSONA)


def parse_turns(place: Place, record: Mapping[str, object]) -> list[Dialogue]:
    """The dialogue of one record, as a list of one. Raises BadRecord."""
    if unknown := sorted(set(record) - _KEYS):
        raise place.problem(f"the keys {', '.join(sorted(_KEYS))}", shown(unknown[0]))
    said = texts(place, record.get("turns"), "turns")
    turns = [Turn(_IN_TURN[index % 2], each.strip()) for index, each in enumerate(said)]
    persona, partner_persona = _persona(place, record, "persona_assistant"), _persona(place, record, "persona_user")
    key = conversation_id(place, record, "id") or conversation_key(said)
    return [dialogue(place, persona, turns, partner_persona, key)]


def _persona(place: Place, record: Mapping[str, object], key: str) -> Persona:
    return Persona(facts(place, record.get(key, []), key))
