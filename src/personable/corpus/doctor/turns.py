"""Findings about single turns: labels in replies, blanks, the same speaker twice, length, personal data, swearing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from personable.corpus.doctor.finding import Case, Finding, Kind, excerpt
from personable.corpus.doctor.private import Private, hint, private_spans
from personable.corpus.doctor.profanity import swearword_in
from personable.corpus.placeholders import placeholder_in
from personable.dialogue import Persona, Speaker

LONG_TURN_WORDS = 250  # about 330 tokens of GPT-2, a third of its context

# "User 1:" stands for a speaker wherever it is; a bare word does so where a line begins.
_NUMBERED_LABEL = re.compile(r"\b(?:user|person|persona|speaker|participant) ?(?:[12]|[ab](?!\w)) ?:", re.IGNORECASE)
_LABEL = re.compile(
    r"(?:^|\n)[\s*\"]*(?:user|assistant|system|human|bot|chatbot|ai|partner|persona|you|me|them|stranger)"
    r"[\s*]*:(?! ?\))",
    re.IGNORECASE,
)
_OWN_NAME = re.compile(r"\b(?:my name is|my name's|i am called|call me) ([^\W\d_]{2,})", re.IGNORECASE)
_PRIVATE_KINDS = {
    Private.EMAIL: Kind.EMAIL,
    Private.CARD: Kind.CARD,
    Private.IBAN: Kind.IBAN,
    Private.PHONE: Kind.PHONE,
}


def find_in_turns(case: Case) -> Iterator[Finding]:
    """What is wrong with single turns of a dialogue, in order; personal data in its facts comes first."""
    dialogue = case.placed.dialogue
    for fact in (*dialogue.persona.facts, *dialogue.partner_persona.facts):
        for span in private_spans(fact):
            yield case.finding(_PRIVATE_KINDS[span.sort], f"in a fact: {hint(fact, span)}")
    names = _names(dialogue.persona)
    before: Speaker | None = None
    for number, turn in enumerate(dialogue.turns):
        if turn.speaker is Speaker.PERSONA and (at := _label_at(turn.text, names)) is not None:
            yield case.turn_finding(Kind.SPEAKS_FOR_PARTNER, number, excerpt(turn.text, at))
        for span in private_spans(turn.text):
            yield case.turn_finding(_PRIVATE_KINDS[span.sort], number, hint(turn.text, span))
        if blank := placeholder_in(turn.text):
            yield case.turn_finding(Kind.PLACEHOLDER, number, excerpt(turn.text, turn.text.find(blank)))
        if turn.speaker is before:
            yield case.turn_finding(Kind.TWICE_IN_A_ROW, number, f"the {before} again: {excerpt(turn.text)}")
        if (words := len(turn.text.split())) > LONG_TURN_WORDS:
            yield case.turn_finding(Kind.LONG_TURN, number, f"{words} words: {excerpt(turn.text)}")
        if word := swearword_in(turn.text):
            yield case.turn_finding(Kind.PROFANITY, number, f"{turn.speaker}: {word[0]}{'*' * (len(word) - 1)}")
        before = turn.speaker


def _names(persona: Persona) -> tuple[str, ...]:
    said = [match[1] for fact in persona.facts for match in _OWN_NAME.finditer(fact)]
    return tuple({name.casefold() for name in (persona.name.strip(), *said) if name})


def _label_at(reply: str, names: tuple[str, ...]) -> int | None:
    """Where in a reply a speaker's label stands; None if there is none."""
    if ":" not in reply:
        return None
    for match in (_NUMBERED_LABEL.search(reply), _LABEL.search(reply)):
        if match is not None:
            return match.start()
    start = reply.lstrip('*" \n').casefold()
    return 0 if any(start.startswith((f"{name}:", f"{name} :")) for name in names) else None
