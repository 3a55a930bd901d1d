"""The one format Personable writes: a dialogue a line, UTF-8 JSON, keys in a fixed order, empty ones left out.

{"conversation": "...", "persona": {"name": "...", "facts": ["..."]}, "partner_persona": {...},
 "turns": [{"speaker": "partner" | "persona", "text": "...", "candidates": ["..."]}]}
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from personable.corpus.opening import Kind, kind_of
from personable.corpus.places import Place, dialogue, shown, text, texts, with_gold
from personable.dialogue import Dialogue, Persona, Speaker, Turn
from personable.errors import DataError

_DIALOGUE_KEYS = ("conversation", "persona", "partner_persona", "turns")
_PERSONA_KEYS = ("name", "facts")
_TURN_KEYS = ("speaker", "text", "candidates")


def parse_canonical(place: Place, record: Mapping[str, object]) -> list[Dialogue]:
    """The dialogue of one record, as a list of one. Raises BadRecord."""
    _refuse_unknown_keys(place, record, _DIALOGUE_KEYS, "a dialogue")
    turns = record.get("turns")
    if not isinstance(turns, list):
        raise place.problem("a list of turns", "no turns" if turns is None else shown(turns))
    conversation = text(place, record["conversation"], "conversation") if "conversation" in record else ""
    return [
        dialogue(
            place,
            _persona(place, record, "persona"),
            [_turn(place, turn, f"turns[{index}]") for index, turn in enumerate(turns)],
            _persona(place, record, "partner_persona"),
            conversation,
        )
    ]


def _persona(place: Place, record: Mapping[str, object], key: str) -> Persona:
    if key not in record:
        return Persona()
    value = record[key]
    if not isinstance(value, dict):
        raise place.problem(f"an object in {key}", shown(value))
    _refuse_unknown_keys(place, value, _PERSONA_KEYS, key)
    name = text(place, value["name"], f"{key}.name") if "name" in value else ""
    return Persona(texts(place, value.get("facts", []), f"{key}.facts"), name)


def _turn(place: Place, value: object, name: str) -> Turn:
    if not isinstance(value, dict):
        raise place.problem(f"an object in {name}", shown(value))
    _refuse_unknown_keys(place, value, _TURN_KEYS, name)
    speaker = value.get("speaker")
    if speaker not in tuple(Speaker):
        raise place.problem(f'"partner" or "persona" in {name}.speaker', shown(speaker))
    said = text(place, value.get("text"), f"{name}.text")
    candidates = texts(place, value.get("candidates", []), f"{name}.candidates")
    return Turn(Speaker(speaker), said, with_gold(place, said, candidates, f"{name}.candidates"))


def _refuse_unknown_keys(place: Place, record: Mapping[str, object], known: tuple[str, ...], name: str) -> None:
    for key in record:
        if key not in known:
            nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise place.problem(f"the keys {', '.join(known)} in {name}", f"{shown(key)}; did you mean {nearest!r}?")


def canonical_line(dialogue: Dialogue) -> str:
    """One dialogue as its line, without a line end."""
    record: dict[str, object] = {
        "conversation": dialogue.conversation,
        "persona": _persona_record(dialogue.persona),
        "partner_persona": _persona_record(dialogue.partner_persona),
        "turns": [_turn_record(turn) for turn in dialogue.turns],
    }
    return json.dumps(_without_empty(record), ensure_ascii=False)


def _persona_record(persona: Persona) -> dict[str, object]:
    return _without_empty({"name": persona.name, "facts": list(persona.facts)})


def _turn_record(turn: Turn) -> dict[str, object]:
    return _without_empty({"speaker": turn.speaker.value, "text": turn.text, "candidates": list(turn.candidates)})


def _without_empty(record: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in record.items() if value}


def canonical_lines(dialogues: Iterable[Dialogue], name: str) -> Iterator[str]:
    """The line of each dialogue. Raises BadRecord for one that could not be read back, naming its number."""
    for number, each in enumerate(dialogues, start=1):
        line = canonical_line(each)
        parse_canonical(Place(name, number), json.loads(line))
        yield line


def write_dialogues(dialogues: Iterable[Dialogue], path: str | Path) -> int:
    """Writes canonical JSONL and returns how many dialogues. The file appears whole or not at all.

    Raises BadRecord for a dialogue that could not be read back (no turn, a blank text, candidates without the reply),
    DataError when there is no dialogue or the place cannot be written.
    """
    path = Path(path)
    if kind_of(path) not in (Kind.ABSENT, Kind.FILE):
        raise DataError(f"{path}: expected a file to write, found a folder or device. Next: name a file in it")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    written = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("wb") as file:
                for line in canonical_lines(dialogues, str(path)):
                    file.write(line.encode("utf-8") + b"\n")
                    written += 1
                if written == 0:
                    raise DataError(f"{path}: expected dialogues to write, found none; nothing was written")
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error
    return written


def fingerprint(dialogues: Iterable[Dialogue]) -> str:
    """SHA-256, as hex digits, of what `write_dialogues` would write: equal for equal dialogues in equal order."""
    digest = hashlib.sha256()
    for line in map(canonical_line, dialogues):
        digest.update(line.encode("utf-8", errors="surrogatepass") + b"\n")
    return digest.hexdigest()
