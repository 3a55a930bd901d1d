"""PersonaChat as JSON: `personality`, and `utterances` that each have a `history` and `candidates`, the reply last."""

from __future__ import annotations

from collections.abc import Mapping

from personable.corpus.convai2 import SILENCE
from personable.corpus.conversations import conversation_key
from personable.corpus.places import Place, dialogue, facts, shown, text, texts
from personable.dialogue import Dialogue, Persona, Speaker, Turn


def parse_personachat(place: Place, record: Mapping[str, object]) -> list[Dialogue]:
    """The dialogue of one record, as a list of one. Raises BadRecord."""
    utterances = record.get("utterances")
    if not isinstance(utterances, list) or not utterances:
        raise place.problem("a list of utterances", shown(utterances))
    turns: list[Turn] = []
    for index, utterance in enumerate(utterances):
        turns += _exchange(place, utterance, f"utterances[{index}]", turns)
    spoken = tuple(turn for turn in turns if turn.text not in SILENCE)
    persona = Persona(facts(place, record.get("personality", []), "personality"))
    key = conversation_key(turn.text for turn in spoken)
    return [dialogue(place, persona, spoken, conversation=key)]


def _exchange(place: Place, utterance: object, name: str, before: list[Turn]) -> list[Turn]:
    """The turns that an utterance adds to those before: what the partner said, and the reply with its candidates."""
    if not isinstance(utterance, dict):
        raise place.problem(f"an object in {name}", shown(utterance))
    history = [said.strip() for said in texts(place, utterance.get("history"), f"{name}.history")]
    candidates = tuple(item.strip() for item in texts(place, utterance.get("candidates"), f"{name}.candidates"))
    if not candidates:
        raise place.problem(f"at least the reply in {name}.candidates", "an empty list")
    if history[: len(before)] != [turn.text for turn in before] or (before and len(history) != len(before) + 1):
        raise place.problem(
            f"{name}.history to be the {len(before)} turns so far and one more", f"{len(history)} turns, or others"
        )
    added = [
        Turn(Speaker.PARTNER if (len(history) - index) % 2 else Speaker.PERSONA, said)
        for index, said in enumerate(history)
    ]
    reply = Turn(Speaker.PERSONA, text(place, candidates[-1], f"{name}.candidates"), _given(candidates))
    return [*added[len(before) :], reply]


def _given(candidates: tuple[str, ...]) -> tuple[str, ...]:
    """A list with the reply alone gives nothing to rank."""
    return candidates if len(candidates) > 1 else ()
