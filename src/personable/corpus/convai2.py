"""PersonaChat / ConvAI2 in the text format of ParlAI.

    1 your persona: i have four sisters.
    2 partner's persona: i love iced tea.
    3 hello , how are you ?<TAB>i am good .<TAB><TAB>no way !|i am good .

Numbers restart at 1 with each dialogue. Persona lines of either side, of both or of none; candidates or none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from personable.corpus.conversations import conversation_key
from personable.corpus.opening import numbered_lines
from personable.corpus.places import Place, Placed, dialogue, shown, text, with_gold
from personable.corpus.rows import not_utf8
from personable.dialogue import Persona, Speaker, Turn
from personable.errors import BadRecord

SILENCE = frozenset({"__SILENCE__", "__ SILENCE __"})
"""Stands where the partner would have spoken first, and says nothing; the JSON edition has it with spaces."""

_LINE = re.compile(r"([0-9]{1,9}) (.*)", re.DOTALL)
_OWN, _PARTNERS = "your persona: ", "partner's persona: "


def read_convai2(path: Path) -> Iterator[Placed | BadRecord]:
    """Each dialogue of a file, or the first problem of a dialogue that cannot be used."""
    episode: _Episode | None = None
    for number, raw in numbered_lines(path):
        if not raw.strip():
            continue
        place = Place(str(path), number)
        if episode is None or raw.startswith(b"1 "):
            if episode is not None:
                yield episode.finished()
            episode = _Episode(place)
        episode.add(place, raw)
    if episode is not None:
        yield episode.finished()


class _Episode:
    """One dialogue while its lines come in; after its first problem it only waits for its end."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._last_number = 0
        self._facts: list[str] = []
        self._partner_facts: list[str] = []
        self._turns: list[Turn] = []
        self._turn_lines: list[int] = []
        self._problem: BadRecord | None = None

    def add(self, place: Place, raw: bytes) -> None:
        if self._problem is None:
            try:
                self._take(place, raw.decode("utf-8").rstrip("\r\n"))
            except UnicodeDecodeError as error:
                self._problem = not_utf8(place, error)
            except BadRecord as problem:
                self._problem = problem

    def finished(self) -> Placed | BadRecord:
        if self._problem is not None:
            return self._problem
        try:
            whole = dialogue(
                self._place,
                Persona(tuple(self._facts)),
                self._turns,
                Persona(tuple(self._partner_facts)),
                conversation_key(turn.text for turn in self._turns),
            )
        except BadRecord as problem:
            return problem
        return Placed(self._place, whole, tuple(self._turn_lines))

    def _take(self, place: Place, line: str) -> None:
        match = _LINE.fullmatch(line)
        if match is None:
            raise place.problem("a line that starts with its number and a space", shown(line))
        number = int(match[1])
        if number != self._last_number + 1:
            raise place.problem(f"line number {self._last_number + 1}, or 1 for a new dialogue", str(number))
        self._last_number = number
        content = match[2]
        if content.startswith(_OWN):
            self._facts.append(self._fact(place, content.removeprefix(_OWN), "your persona"))
        elif content.startswith(_PARTNERS):
            self._partner_facts.append(self._fact(place, content.removeprefix(_PARTNERS), "partner's persona"))
        else:
            exchange = list(self._exchange(place, content))
            self._turns += exchange
            self._turn_lines += [place.line] * len(exchange)

    def _fact(self, place: Place, fact: str, name: str) -> str:
        if self._turns:
            raise place.problem("a turn, since the dialogue has begun", f"a {name} line")
        return text(place, fact, name).strip()

    def _exchange(self, place: Place, content: str) -> Iterator[Turn]:
        fields = content.split("\t")
        if not 2 <= len(fields) <= 4:
            raise place.problem("utterance<TAB>reply, then perhaps <TAB><TAB>candidates", f"{len(fields)} field(s)")
        said, reply = fields[0].strip(), text(place, fields[1], "the reply").strip()
        if said not in SILENCE:
            yield Turn(Speaker.PARTNER, text(place, said, "the utterance"))
        elif self._turns:
            raise place.problem("an utterance", f"{said} after the first turn")
        candidates = fields[3].split("|") if len(fields) == 4 and fields[3].strip() else []
        given = [text(place, candidate, "the candidates").strip() for candidate in candidates]
        yield Turn(Speaker.PERSONA, reply, with_gold(place, reply, given, "the candidates"))
