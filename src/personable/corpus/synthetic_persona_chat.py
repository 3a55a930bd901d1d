"""Synthetic-Persona-Chat: two personas and a conversation in one row; each row is read from both sides."""

from __future__ import annotations

import re
from collections.abc import Mapping

from personable.corpus.conversations import conversation_key
from personable.corpus.formats import SYNTHETIC_PERSONA_CHAT_COLUMNS
from personable.corpus.places import Place, dialogue, facts, shown, text
from personable.dialogue import Dialogue, Persona, Speaker, Turn

# Some published conversations have Markdown around the label or the line: "*User 1:* Hi!", "* User 1: Hi! *".
_SAID = re.compile(r"([\s*]*)User ([12])\s*:[\s*]*(.*)", re.IGNORECASE)


def parse_synthetic(place: Place, record: Mapping[str, object]) -> list[Dialogue]:
    """The conversation of one row, as user 2 and as user 1 see it. Raises BadRecord.

    Lines without a speaker are stage directions and are left out, as is a label with nothing after it; what one user
    says in a row is one turn. Where no line has a speaker, lines alternate and user 1 begins. A row whose conversation
    is empty, as the published files have some, gives no dialogue.
    """
    cells = {key.strip().casefold(): value for key, value in record.items()}
    first, second, said = (cells.get(column) for column in SYNTHETIC_PERSONA_CHAT_COLUMNS)
    if said == "":
        return []
    personas = {"1": _persona(place, first, "user 1 personas"), "2": _persona(place, second, "user 2 personas")}
    turns = _turns(text(place, said, "best generated conversation"))
    if not turns:
        raise place.problem('lines "User 1: ..." and "User 2: ..."', shown(said))
    key = conversation_key(each for _, each in turns)
    return [
        dialogue(
            place,
            personas[own],
            [Turn(Speaker.PERSONA if user == own else Speaker.PARTNER, each) for user, each in turns],
            personas[partner],
            key,
        )
        for own, partner in (("2", "1"), ("1", "2"))
    ]


def _persona(place: Place, cell: object, name: str) -> Persona:
    return Persona(facts(place, text(place, cell, name).split("\n"), name))


def _turns(conversation: str) -> list[tuple[str, str]]:
    """(user, text) for each turn."""
    lines = [line for line in conversation.split("\n") if line.strip()]
    said = [each for each in map(_said, lines) if each is not None]
    if not said:
        said = [("12"[index % 2], line.strip()) for index, line in enumerate(lines)]
    turns: list[tuple[str, str]] = []
    for user, words in said:
        if turns and turns[-1][0] == user:
            turns[-1] = (user, f"{turns[-1][1]} {words}")
        elif words:
            turns.append((user, words))
    return [(user, words.strip()) for user, words in turns]


def _said(line: str) -> tuple[str, str] | None:
    """(user, text) of a line with a speaker; the text may be empty."""
    match = _SAID.fullmatch(line)
    if match is None:
        return None
    words = match[3].strip()
    return match[2], words.rstrip("* ") if "*" in match[1] else words
