"""Rows of `persona_b`, `dialogue` and `reference`: each reply of a conversation in a row of its own.

Rows of one conversation begin alike, and each but the longest is a prefix of it: they are put together again.
"""

from __future__ import annotations

import io
import json
import re
import tokenize
from ast import literal_eval
from collections.abc import Iterable, Iterator, Mapping, Sequence

from personable.corpus.conversations import conversation_key
from personable.corpus.messages import conversation_id
from personable.corpus.places import Place, Placed, dialogue, facts, shown, text, texts
from personable.corpus.rows import FoundRow, Row
from personable.dialogue import Dialogue, Persona, Speaker, Turn
from personable.errors import BadRecord

_LABEL = re.compile(r"\s*(?:Persona|Person) ([AB])\s*:\s*", re.IGNORECASE)
_SPEAKERS = {"A": Speaker.PARTNER, "B": Speaker.PERSONA}


def read_persona_rows(rows: Iterable[FoundRow]) -> Iterator[Placed | BadRecord]:
    """One dialogue for each conversation, in the order in which its longest row comes; problems first, as they come.

    Holds all rows in memory, since any later row may continue an earlier one.
    """
    found: list[Placed] = []
    for row in rows:
        try:
            if isinstance(row, Row):
                found.append(Placed(row.place, _parse_row(row.place, row.values)))
            else:
                yield row
        except BadRecord as problem:
            yield problem
    yield from without_prefixes(found)


def without_prefixes(found: Sequence[Placed]) -> Iterator[Placed]:
    """The dialogues that no other of the same persona continues; of equal ones the first."""
    continued: set[int] = set()
    whole: list[int] = []
    for each in found:
        *shorter, longest = _prefix_hashes(each.dialogue)
        continued.update(shorter)
        whole.append(longest)
    for each, longest in zip(found, whole, strict=True):
        if longest not in continued:
            continued.add(longest)
            yield each


def _prefix_hashes(each: Dialogue) -> list[int]:
    """A number for each of the dialogue's beginnings, from its persona and first turn to its last turn."""
    hashes = [hash(each.persona.facts)]
    for turn in each.turns:
        hashes.append(hash((hashes[-1], turn.text)))
    return hashes[1:]


def _parse_row(place: Place, record: Mapping[str, object]) -> Dialogue:
    values = {key.strip().casefold(): value for key, value in record.items()}
    persona = Persona(facts(place, _listed(place, values.get("persona_b", []), "persona_b"), "persona_b"))
    said = texts(place, _listed(place, values.get("dialogue", []), "dialogue"), "dialogue")
    reply = text(place, values.get("reference"), "reference")
    turns = [_turn(place, each, f"dialogue[{index}]", len(said) - index) for index, each in enumerate(said)]
    turns.append(Turn(Speaker.PERSONA, _unlabelled(place, reply, "reference")))
    key = conversation_id(place, values, "conv_id") or conversation_key(turn.text for turn in turns)
    return dialogue(place, persona, turns, conversation=key)


def _turn(place: Place, said: str, name: str, turns_to_reply: int) -> Turn:
    """A turn by its label; without one, by its distance from the reply, since speakers alternate."""
    match = _LABEL.match(said)
    alternating = Speaker.PARTNER if turns_to_reply % 2 else Speaker.PERSONA
    speaker = _SPEAKERS[match[1].upper()] if match else alternating
    return Turn(speaker, _unlabelled(place, said, name))


def _unlabelled(place: Place, said: str, name: str) -> str:
    return text(place, _LABEL.sub("", said, count=1) if _LABEL.match(said) else said, name).strip()


def _listed(place: Place, value: object, name: str) -> object:
    """A list as it stands, or what a CSV cell holds of it: as JSON, as Python or numpy prints it, or an item a line."""
    if not isinstance(value, str):
        return value
    cell = value.strip()
    if not (cell.startswith("[") and cell.endswith("]")):
        return [line for line in cell.split("\n") if line.strip()]
    items = _printed_list(cell)
    if items is None:
        raise place.problem(f"a list of texts in {name}", shown(value))
    return items


def _printed_list(cell: str) -> list[object] | None:
    """The items of a printed list; None if it is none.

    numpy prints no commas, and Python would read its items as one long text, so the text tokens are taken one by one.
    """
    try:
        items = json.loads(cell)
        return items if isinstance(items, list) else None
    except (ValueError, RecursionError):
        pass
    try:
        tokens = [each for each in tokenize.generate_tokens(io.StringIO(cell).readline) if each.string.strip()]
        if any(each.type != tokenize.STRING and each.string not in "[,]" for each in tokens):
            return None
        return [literal_eval(each.string) for each in tokens if each.type == tokenize.STRING]
    except (tokenize.TokenError, SyntaxError, ValueError):
        return None
