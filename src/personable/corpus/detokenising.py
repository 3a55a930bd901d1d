"""Text as people write it, from text with its punctuation spaced off."""

from __future__ import annotations

import re
from dataclasses import replace

from personable.dialogue import Dialogue, Persona, Turn

_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        # do n't, do n ' t -> don't
        (r"(?<=[a-z]) n ?' ?t\b", "n't"),
        # i ' m, i 'm -> i'm   don ' t -> don't   80 ' s -> 80's   (not: the letter ' s ')
        (r"(?<=[a-z0-9]) ' ?(m|s|re|ve|ll|d|t)\b(?! ?')", r"'\1"),
        # i' m -> i'm
        (r"(?<=[a-z])' (m|s|re|ve|ll|d|t)\b(?= )", r"'\1"),
        # rock ' n ' roll -> rock 'n' roll
        (r"(?<= )' n '(?= )", "'n'"),
        # : ) -> :)   before the rule that would join the colon to the word before it
        (r"(?<= [:;]) (?=[()](?:\s|$))", ""),
        # 3 , 000 -> 3,000   5 : 30 -> 5:30
        (r"(?<=[0-9]) , (?=[0-9]{3}\b)", ","),
        (r"(?<=[0-9]) : (?=[0-9]{2}\b)", ":"),
        # hello , you ? ! -> hello, you?!   . . . -> ...   (not .5 or .com, where a point begins a word)
        (r"(?<=\S) +(?=[,;:!?.]+(?:\s|$))", ""),
        # ( really ) -> (really)
        (r"(?<=[(\[]) +(?=\S)", ""),
        (r"(?<=[^\s:;]) +(?=[)\]])", ""),
        # " hi " -> "hi"
        (r'(?:(?<=\s)|^)" +([^"]*?\S) +"(?=[\s,.;:!?)]|$)', r'"\1"'),
        # $ 5 -> $5   50 % -> 50%
        (r"(?<=[$£€]) +(?=[0-9])", ""),
        (r"(?<=[0-9]) +(?=%)", ""),
        # t - shirt -> t-shirt   9 - 5 -> 9-5   mother - in - law -> mother-in-law   (not the dash of: yes - i do)
        (r"\b([etx]) - (?=[a-z])", r"\1-"),
        (r"(?<=[0-9]) - (?=[0-9])", "-"),
        (r"(?<=[a-z]) - in - law\b", "-in-law"),
    )
)


def detokenise(text: str) -> str:
    """The text with the spaces taken out that a tokeniser put before punctuation and inside contractions.

    Only spaces go, never a letter, and text without such spaces stays as it is. Doing it twice changes nothing more.
    """
    while (joined := _once(text)) != text:
        text = joined
    return text


def _once(text: str) -> str:
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def detokenised(dialogue: Dialogue) -> Dialogue:
    """The dialogue with every fact, turn and candidate detokenised."""
    return replace(
        dialogue,
        persona=_persona(dialogue.persona),
        partner_persona=_persona(dialogue.partner_persona),
        turns=tuple(_turn(turn) for turn in dialogue.turns),
    )


def _persona(persona: Persona) -> Persona:
    return replace(persona, facts=tuple(detokenise(fact) for fact in persona.facts))


def _turn(turn: Turn) -> Turn:
    return replace(turn, text=detokenise(turn.text), candidates=tuple(detokenise(each) for each in turn.candidates))
