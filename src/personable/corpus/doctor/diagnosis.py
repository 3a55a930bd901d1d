"""A corpus examined: everything that is wrong with it, with places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from personable.corpus.doctor.contradictions import Contradicts, find_contradictions
from personable.corpus.doctor.copies import find_copies
from personable.corpus.doctor.finding import Case, Finding, Kind, Severity, counts_of, excerpt
from personable.corpus.doctor.grounding import find_about_personas
from personable.corpus.doctor.tokenisation import Tokenisation, find_tokenised, tokenisation_of
from personable.corpus.doctor.turns import find_in_turns
from personable.corpus.formats import Format
from personable.corpus.places import Placed
from personable.corpus.reading import read_placed
from personable.dialogue import Speaker
from personable.errors import BadRecord


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a corpus."""

    path: str
    other: str | None
    """The corpus it was compared with."""
    format: Format
    dialogues: int
    """Those that can be read."""
    replies: int
    partner_turns: int
    findings: tuple[Finding, ...]
    """The worst kinds first, those of one kind by place."""
    not_checked: tuple[str, ...]
    """What was not looked into, and why."""
    tokenisation: Tokenisation
    records: tuple[Placed, ...] = field(repr=False)
    """The dialogues examined; a finding's `index` counts these."""

    @property
    def counts(self) -> dict[Kind, int]:
        """How many findings of each kind there are; kinds without any are not in it."""
        return counts_of(self.findings)

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.kind.severity is Severity.ERROR)

    def profane(self, speaker: Speaker) -> int:
        """How many turns of a speaker have strong language."""
        swearing = (finding for finding in self.findings if finding.kind is Kind.PROFANITY)
        return sum(self._speaker_of(finding) is speaker for finding in swearing)

    def _speaker_of(self, finding: Finding) -> Speaker:
        assert finding.index is not None
        assert finding.turn is not None
        return self.records[finding.index].dialogue.turns[finding.turn - 1].speaker


def examine(
    path: str | Path,
    *,
    other: str | Path | None = None,
    format: Format | None = None,
    contradicts: Contradicts | None = None,
    most_pairs: int = 2000,
) -> Diagnosis:
    """Everything that is wrong with a corpus, worst first; records that cannot be read are findings too.

    other        a corpus that must have nothing in common with this one, such as the validation part.
    format       how `path` is written down; found from the content when None, as that of `other` always is.
    contradicts  tells for pairs of (fact, reply) whether the reply contradicts the fact; without, not checked.
    most_pairs   how many pairs it is asked about; of more, those of evenly spread dialogues.

    Raises DataError for a file that cannot be used or holds no record.
    """
    reading = read_placed(path, format=format)
    others = read_placed(other).records if other is not None else ()
    cases = [Case(placed, index) for index, placed in enumerate(reading.records)]
    tokenisation = tokenisation_of(cases)
    findings = [
        *map(_unreadable, reading.problems),
        *find_copies(cases, others),
        *chain.from_iterable(map(find_in_turns, cases)),
        *find_about_personas(cases),
        *find_tokenised(cases, tokenisation),
    ]
    not_checked = [] if other is not None else ["leaks: no other corpus was given (--other)"]
    if contradicts is None:
        not_checked.append("contradictions between replies and facts: no NLI classifier was given (--nli)")
    else:
        asked = find_contradictions(cases, contradicts, most_pairs)
        findings += asked.findings
        if asked.looked_at < asked.pairs:
            not_checked.append(
                f"contradictions in {asked.pairs - asked.looked_at} of {asked.pairs} pairs of fact and reply "
                "(--nli-pairs asks about more)"
            )
    turns = [turn for placed in reading.records for turn in placed.dialogue.turns]
    replies = sum(turn.speaker is Speaker.PERSONA for turn in turns)
    return Diagnosis(
        path=str(path),
        other=str(other) if other is not None else None,
        format=reading.format,
        dialogues=len(reading.records),
        replies=replies,
        partner_turns=len(turns) - replies,
        findings=_in_order(findings),
        not_checked=tuple(not_checked),
        tokenisation=tokenisation,
        records=reading.records,
    )


def _unreadable(problem: BadRecord) -> Finding:
    return Finding(
        Kind.UNREADABLE, problem.path, problem.line, f"expected {problem.expected}, found {excerpt(problem.found)}"
    )


_ORDER = {kind: number for number, kind in enumerate(Kind)}


def _in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Worst kinds first; what is of one kind stays in the order of places, since it was found in that order."""
    return tuple(sorted(findings, key=lambda finding: (_ORDER[finding.kind], finding.path, finding.line)))
