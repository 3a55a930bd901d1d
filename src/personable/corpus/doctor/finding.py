"""What can be wrong with a corpus, how bad it is, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from personable.corpus.doctor.private import masked
from personable.corpus.places import Place, Placed


class Severity(StrEnum):
    """How bad a finding is, the worst first."""

    ERROR = "error"
    """What makes a model or its measurement wrong: mend it before training."""
    WARNING = "warning"
    """What is likely to do harm: look at it."""
    NOTE = "note"
    """What is good to know."""


class Kind(StrEnum):
    """What is wrong, the worst first."""

    UNREADABLE = "unreadable"
    LEAKED_CONVERSATION = "leaked-conversation"
    LEAKED_BEGINNING = "leaked-beginning"
    SPEAKS_FOR_PARTNER = "speaks-for-partner"
    SPEAKERS_SWAPPED = "speakers-swapped"
    CARD = "card"
    IBAN = "iban"
    LEAKED_NEARLY = "leaked-nearly"
    LEAKED_PERSONA = "leaked-persona"
    DUPLICATE = "duplicate"
    BEGINNING = "beginning"
    NEAR_DUPLICATE = "near-duplicate"
    CONTRADICTED = "contradicted"
    EMAIL = "e-mail"
    PHONE = "phone"
    PLACEHOLDER = "placeholder"
    TWICE_IN_A_ROW = "twice-in-a-row"
    TOKENISED = "tokenised"
    LONG_TURN = "long-turn"
    NO_PERSONA = "no-persona"
    UNGROUNDED = "ungrounded"
    PROFANITY = "profanity"
    BOTH_SIDES = "both-sides"

    @property
    def severity(self) -> Severity:
        return _ABOUT[self][0]

    @property
    def description(self) -> str:
        """What it is, in a few words."""
        return _ABOUT[self][1]

    @property
    def advice(self) -> str:
        """What to do about it."""
        return _ABOUT[self][2]


_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
_ABOUT: dict[Kind, tuple[Severity, str, str]] = {
    Kind.UNREADABLE: (_ERROR, "record that cannot be read", "mend the record; --fix leaves it out"),
    Kind.LEAKED_CONVERSATION: (
        _ERROR,
        "conversation that is in the other corpus too",
        "take it out of one of them (--fix takes it out here), or cut both anew with `personable data split`",
    ),
    Kind.LEAKED_BEGINNING: (
        _ERROR,
        "conversation that begins as one in the other corpus",
        "take it out of one of them (--fix takes it out here), or cut both anew with `personable data split`",
    ),
    Kind.SPEAKS_FOR_PARTNER: (
        _ERROR,
        "reply that speaks for the partner",
        "cut the reply before the label: a model learns to go on with the partner's lines",
    ),
    Kind.SPEAKERS_SWAPPED: (
        _ERROR,
        "speakers that seem swapped",
        "look at a few dialogues; if it is so, let `persona` and `partner` change places",
    ),
    Kind.CARD: (_ERROR, "payment card number", "take it out; --fix writes [card]"),
    Kind.IBAN: (_ERROR, "bank account number", "take it out; --fix writes [iban]"),
    Kind.LEAKED_NEARLY: (
        _WARNING,
        "conversation nearly as one in the other corpus",
        "look at both; where they tell the same, take one out",
    ),
    Kind.LEAKED_PERSONA: (
        _WARNING,
        "persona that replies in the other corpus too",
        "fine for a bot of that one persona; to measure how it plays new ones, cut with `personable data split`",
    ),
    Kind.DUPLICATE: (_WARNING, "duplicate of another dialogue", "keep one; --fix keeps the first"),
    Kind.BEGINNING: (
        _WARNING,
        "dialogue that is the beginning of another",
        "keep the whole one, as --fix does: every reply of a dialogue is learnt anyway",
    ),
    Kind.NEAR_DUPLICATE: (
        _WARNING,
        "near duplicate of another dialogue",
        "look at both; keep one if they tell the same",
    ),
    Kind.CONTRADICTED: (
        _WARNING,
        "reply that contradicts a fact of its persona",
        "look at it: the classifier can be wrong; change the fact or the reply, or drop the dialogue",
    ),
    Kind.EMAIL: (_WARNING, "e-mail address", "take it out unless it is invented; --fix writes [e-mail]"),
    Kind.PHONE: (_WARNING, "phone number", "take it out unless it is invented; --fix writes [phone]"),
    Kind.PLACEHOLDER: (
        _WARNING,
        "blank that was never filled in",
        "fill it in or drop the dialogue: a model learns to say it",
    ),
    Kind.TWICE_IN_A_ROW: (
        _WARNING,
        "same speaker twice in a row",
        "join the two turns, or put in the one that is missing",
    ),
    Kind.TOKENISED: (
        _WARNING,
        "tokenised lower-case text",
        "read it with --detokenise (or --fix): DialoGPT learnt from text as people write it",
    ),
    Kind.LONG_TURN: (_WARNING, "very long turn", "shorten it: older turns are dropped to make room for it"),
    Kind.NO_PERSONA: (_NOTE, "dialogue without a persona", "fine for general talk; it teaches nothing about a persona"),
    Kind.UNGROUNDED: (
        _NOTE,
        "dialogue in which nothing of the persona is heard",
        "fine now and then; many of them teach a model to ignore its persona",
    ),
    Kind.PROFANITY: (_NOTE, "strong language", "drop the dialogue if the bot must not talk like that"),
    Kind.BOTH_SIDES: (
        _NOTE,
        "conversation told from both sides",
        "split by conversation, as `personable data split` does, never by dialogue",
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and where."""

    kind: Kind
    path: str
    line: int
    """From 1; a row where the file has no lines."""
    found: str
    """What was found, short, with personal data masked."""
    index: int | None = None
    """Of the dialogue among those that can be read, from 0: what `personable data show --index` takes."""
    turn: int | None = None
    """Of the dialogue, from 1, where the finding is about one."""
    like: Place | None = None
    """Where its counterpart stands, where the finding is about two places."""

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}" + (f" (turn {self.turn})" if self.turn else "")


@dataclass(frozen=True, slots=True)
class Case:
    """A dialogue under examination: where it stands, and its number among those that can be read, from 0."""

    placed: Placed
    index: int

    def finding(self, kind: Kind, found: str, *, like: Place | None = None) -> Finding:
        """A finding about the dialogue as a whole."""
        return Finding(kind, self.placed.place.path, self.placed.place.line, found, self.index, like=like)

    def turn_finding(self, kind: Kind, turn: int, found: str) -> Finding:
        """A finding about a turn, counted from 0."""
        place = self.placed.place_of(turn)
        return Finding(kind, place.path, place.line, found, self.index, turn + 1)


def counts_of(findings: Iterable[Finding]) -> dict[Kind, int]:
    """How many findings there are of each kind, the worst kinds first; kinds without any are not in it."""
    counted = Counter(finding.kind for finding in findings)
    return {kind: counted[kind] for kind in Kind if counted[kind]}


_SHOWN_CHARS = 100


def excerpt(text: str, around: int = 0) -> str:
    """A text as a finding quotes it: personal data masked, on one line, its first 100 characters or those `around`."""
    start = max(0, around - _SHOWN_CHARS // 3)
    # Masked before it is cut: half a number would not be known for one.
    line = " ".join(masked(text).split())
    if len(line) <= _SHOWN_CHARS:
        return repr(line)
    start = min(start, len(line) - _SHOWN_CHARS)
    end = start + _SHOWN_CHARS
    return repr(("..." if start else "") + line[start:end] + ("..." if end < len(line) else ""))


def number_of(count: int, one: str, many: str | None = None) -> str:
    """How many of what, as in "1 reply", "2 replies". many: its plural where that is not `one` with an s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
