"""Where a record stands, and checks that name that place when a record cannot be used."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from personable.dialogue import Dialogue, Persona, Turn
from personable.errors import BadRecord


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file (1-based), or a row where the file has no lines (Parquet, a Hub data set)."""

    path: str
    line: int

    def problem(self, expected: str, found: str) -> BadRecord:
        """The error that names this place; the caller raises or yields it."""
        return BadRecord(self.path, self.line, expected=expected, found=found)


@dataclass(frozen=True, slots=True)
class Placed:
    """A dialogue and where it stands."""

    place: Place
    """Where its record begins; of rows that were put together, the longest."""
    dialogue: Dialogue
    turn_lines: tuple[int, ...] = ()
    """The line of each turn, where turns have lines of their own; empty otherwise."""

    def place_of(self, turn: int) -> Place:
        """Where a turn (counted from 0) stands: its own line, or else that of the record."""
        return Place(self.place.path, self.turn_lines[turn]) if self.turn_lines else self.place


_short = reprlib.Repr()
_short.maxstring = 80
_short.maxother = 80


def shown(value: object) -> str:
    """A value as an error shows it: short whatever its size."""
    return f"{type(value).__name__} {_short.repr(value)}"


def text(place: Place, value: object, name: str) -> str:
    """The value, if it is text that can be written as UTF-8 and says something. Raises BadRecord otherwise."""
    if not isinstance(value, str):
        raise place.problem(f"text in {name}", shown(value))
    if not value.strip():
        raise place.problem(f"text in {name}", "nothing but white space" if value else "an empty string")
    if "\x00" in value:
        raise place.problem(f"text in {name}", f"a NUL character in {shown(value)}")
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise place.problem(f"UTF-8 text in {name}", f"bytes or escapes that are no character in {shown(value)}")
    return value


def texts(place: Place, value: object, name: str) -> tuple[str, ...]:
    """The values, if they are a list of texts. Raises BadRecord otherwise."""
    if not isinstance(value, (list, tuple)):
        raise place.problem(f"a list of texts in {name}", shown(value))
    return tuple(text(place, item, f"{name}[{index}]") for index, item in enumerate(value))


def facts(place: Place, value: object, name: str) -> tuple[str, ...]:
    """The facts of a persona, trimmed; blank ones, as published lists have here and there, are passed over."""
    if isinstance(value, (list, tuple)):
        value = [fact for fact in value if not isinstance(fact, str) or fact.strip()]
    return tuple(fact.strip() for fact in texts(place, value, name))


def with_gold(place: Place, gold: str, candidates: Iterable[str], name: str) -> tuple[str, ...]:
    """The candidates, if the true reply is among them or there are none. Raises BadRecord otherwise."""
    given = tuple(candidates)
    if given and gold not in given:
        raise place.problem(f"the true reply {gold!r} among {name}", f"{len(given)} others")
    return given


def dialogue(
    place: Place,
    persona: Persona,
    turns: Sequence[Turn],
    partner_persona: Persona | None = None,
    conversation: str = "",
) -> Dialogue:
    """The dialogue, if it has a turn. Raises BadRecord otherwise."""
    if not turns:
        raise place.problem("at least one turn", "a dialogue without turns")
    return Dialogue(persona, tuple(turns), partner_persona or Persona(), conversation)
