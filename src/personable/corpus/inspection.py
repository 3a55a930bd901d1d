"""What a corpus holds, in numbers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from personable.corpus.formats import Format
from personable.corpus.placeholders import placeholder_in
from personable.corpus.reading import read_dialogues
from personable.corpus.splitting import persona_key
from personable.dialogue import Dialogue, Speaker
from personable.errors import BadRecord


@dataclass(frozen=True)
class Spread:
    """The least, the middle and the greatest of some counts."""

    least: int
    median: float
    most: int

    @classmethod
    def of(cls, counts: Sequence[int]) -> Spread:
        return cls(min(counts), median(counts), max(counts)) if counts else cls(0, 0, 0)


@dataclass(frozen=True)
class Inspection:
    """The numbers of a corpus. Words are separated by white space; those of candidates do not count."""

    path: str
    format: Format
    dialogues: int
    conversations: int
    """Dialogues that tell one conversation count once."""
    turns: int
    replies: int
    """Turns of the persona."""
    replies_with_candidates: int
    personas: int
    """Different ones that dialogues are seen from; the same facts in another order are the same persona."""
    dialogues_without_persona: int
    words: int
    """Of all turns."""
    tokens: int | None
    """Of all facts and turns in the vocabulary of a base, without what a chat template adds; None without a base."""
    turns_per_dialogue: Spread
    facts_per_persona: Spread
    words_per_reply: Spread
    tokens_per_dialogue: Spread | None
    duplicates: int
    """Dialogues whose persona and turns are those of an earlier one."""
    placeholders: int
    """Turns with a blank such as [User 1's name] that was never filled in."""
    problems: tuple[BadRecord, ...]
    """Every record that cannot be used."""


def inspect(
    path: str | Path,
    *,
    format: Format | None = None,
    detokenise: bool = False,
    count_tokens: Callable[[str], int] | None = None,
) -> Inspection:
    """The numbers of what `path` holds. Bad records are listed, not raised; DataError if nothing can be read."""
    reading = read_dialogues(path, format=format, detokenise=detokenise, max_bad=sys.maxsize)
    dialogues = reading.dialogues
    turns = [turn for each in dialogues for turn in each.turns]
    replies = [turn for turn in turns if turn.speaker is Speaker.PERSONA]
    personas = {persona_key(each.persona): each.persona for each in dialogues if each.persona.facts}
    tokens = [_tokens(each, count_tokens) for each in dialogues] if count_tokens else None
    return Inspection(
        path=str(path),
        format=reading.format,
        dialogues=len(dialogues),
        conversations=_conversations(dialogues),
        turns=len(turns),
        replies=len(replies),
        replies_with_candidates=sum(bool(reply.candidates) for reply in replies),
        personas=len(personas),
        dialogues_without_persona=sum(not each.persona.facts for each in dialogues),
        words=sum(_words(turn.text) for turn in turns),
        tokens=sum(tokens) if tokens is not None else None,
        turns_per_dialogue=Spread.of([len(each.turns) for each in dialogues]),
        facts_per_persona=Spread.of([len(persona.facts) for persona in personas.values()]),
        words_per_reply=Spread.of([_words(reply.text) for reply in replies]),
        tokens_per_dialogue=Spread.of(tokens) if tokens is not None else None,
        duplicates=_duplicates(dialogues),
        placeholders=sum(bool(placeholder_in(turn.text)) for turn in turns),
        problems=reading.problems,
    )


def _words(text: str) -> int:
    return len(text.split())


def _tokens(dialogue: Dialogue, count: Callable[[str], int]) -> int:
    return sum(map(count, (*dialogue.persona.facts, *(turn.text for turn in dialogue.turns))))


def _conversations(dialogues: Iterable[Dialogue]) -> int:
    named = [each.conversation for each in dialogues]
    return len({name for name in named if name}) + named.count("")


def _duplicates(dialogues: Sequence[Dialogue]) -> int:
    different = {(each.persona.facts, tuple((turn.speaker, turn.text) for turn in each.turns)) for each in dialogues}
    return len(dialogues) - len(different)
