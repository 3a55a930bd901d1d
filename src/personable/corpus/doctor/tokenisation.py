"""Text with its punctuation spaced off and no capitals, as ConvAI2 has it: how much of a corpus is like that."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from personable.corpus.doctor.finding import Case, Finding, Kind, excerpt, number_of

_SPACED_OFF = re.compile(r"\w (?:[.,!?;:]+|['’] ?(?:s|m|t|re|ve|ll|d)\b)(?=\s|$)", re.IGNORECASE)
_WORTH_A_FINDING = 0.05  # below, it is the odd typing slip: 0.7 % of turns in a real live chat
_WHOLE_SPACED, _WHOLE_LOWER = 0.7, 0.99  # ConvAI2 has 0.81 and 1.0: a fifth of its turns have no punctuation


@dataclass(frozen=True, slots=True)
class Tokenisation:
    """How many turns of a corpus look tokenised."""

    turns: int
    spaced: int
    """With a space before punctuation or within a contraction."""
    lower: int
    """Without a capital letter."""

    @property
    def whole(self) -> bool:
        """Whether the corpus as a whole is tokenised lower-case text, so that detokenising it all is safe."""
        return self.spaced >= _WHOLE_SPACED * self.turns and self.lower >= _WHOLE_LOWER * self.turns


def tokenisation_of(cases: Sequence[Case]) -> Tokenisation:
    texts = [turn.text for case in cases for turn in case.placed.dialogue.turns]
    return Tokenisation(
        len(texts),
        sum(_SPACED_OFF.search(text) is not None for text in texts),
        sum(text == text.lower() for text in texts),
    )


def find_tokenised(cases: Sequence[Case], counts: Tokenisation) -> Iterator[Finding]:
    """One finding about the corpus, at its first tokenised turn, if a twentieth of its turns or more are like that."""
    if counts.spaced < _WORTH_A_FINDING * counts.turns:
        return
    for case in cases:
        for number, turn in enumerate(case.placed.dialogue.turns):
            if _SPACED_OFF.search(turn.text):
                yield case.turn_finding(
                    Kind.TOKENISED,
                    number,
                    f"{counts.spaced / counts.turns:.0%} of {number_of(counts.turns, 'turn')} have "
                    f"punctuation spaced off, {counts.lower / counts.turns:.0%} have no capital: {excerpt(turn.text)}",
                )
                return
