"""`personable data doctor`: what is wrong with a corpus, and what can be mended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from personable import corpus
from personable.cli.options import DataPath, FormatOption, JsonOption
from personable.cli.screen import print_json, working
from personable.corpus import Diagnosis, Finding, Kind, Mending, Severity
from personable.corpus.doctor.finding import number_of
from personable.dialogue import Speaker
from personable.errors import DataError


def doctor(
    path: DataPath,
    other: Annotated[
        str | None, typer.Option(help="A corpus that must share nothing with this one, such as the validation part.")
    ] = None,
    nli: Annotated[
        str | None,
        typer.Option(help="A sequence classifier (folder or Hub id) that finds replies which contradict a fact."),
    ] = None,
    nli_pairs: Annotated[int, typer.Option(min=1, help="How many pairs of fact and reply it is asked about.")] = 2000,
    fix: Annotated[
        Path | None,
        typer.Option(help="Write a JSONL file with what can safely be mended: leaks, copies, personal data, spacing."),
    ] = None,
    format: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find what harms a persona corpus: leaks, copies, replies that speak for the partner, personal data, and more.

    Every finding has its file and line. Exits with 1 if there are findings of severity error, with --fix if any are
    left; warnings and notes do not fail. --fix never writes to what it reads, and writes the whole file or nothing.
    """
    with working(f"examining {path}"):
        diagnosis = corpus.examine(
            path, other=other, format=format, contradicts=_classifier(nli) if nli else None, most_pairs=nli_pairs
        )
    mending = None
    try:
        if fix is not None:
            with working(f"writing {fix}"):
                mending = corpus.mend(diagnosis, fix)
    finally:
        # What was found is worth showing even where it cannot be mended.
        if as_json:
            print_json(_record(diagnosis, mending))
        else:
            _print(diagnosis, mending)
    errors = diagnosis.errors if mending is None else mending.errors_left
    if errors:
        where = path if mending is None else mending.out
        advice = "mend them, or let --fix OUT mend what it can" if mending is None else "mend them by hand"
        raise DataError(f"{where}: expected no errors, found {len(errors):,} ({_kinds_of(errors)}). Next: {advice}")


def _classifier(spec: str) -> corpus.Contradicts:
    """Asks an NLI classifier both ways: what contradicts does so either way round, and half of its errors do not."""
    from personable.evaluation.fidelity.nli import Label, NliClassifier

    classifier = NliClassifier(spec)

    def contradictions(pairs: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        labels = classifier.label(pairs)
        return {pair for pair, label in zip(pairs, labels, strict=True) if label is Label.CONTRADICTION}

    def contradicts(pairs: list[tuple[str, str]]) -> list[bool]:
        suspected = contradictions([(reply, fact) for fact, reply in pairs])
        found = contradictions([(fact, reply) for reply, fact in sorted(suspected)])
        return [pair in found for pair in pairs]

    return contradicts


def _kinds_of(findings: Sequence[Finding]) -> str:
    counted = {kind: sum(finding.kind is kind for finding in findings) for kind in Kind}
    return ", ".join(f"{count:,} {kind}" for kind, count in counted.items() if count)


def _record(diagnosis: Diagnosis, mending: Mending | None) -> dict[str, object]:
    swearing = {speaker: diagnosis.profane(speaker) for speaker in Speaker}
    return {
        "path": diagnosis.path,
        "other": diagnosis.other,
        "format": diagnosis.format,
        "dialogues": diagnosis.dialogues,
        "replies": diagnosis.replies,
        "partner_turns": diagnosis.partner_turns,
        "profane_replies": swearing[Speaker.PERSONA],
        "profane_partner_turns": swearing[Speaker.PARTNER],
        "tokenised_turns": diagnosis.tokenisation.spaced,
        "lower_case_turns": diagnosis.tokenisation.lower,
        "counts": {severity: _counts_of(diagnosis, severity) for severity in Severity},
        "not_checked": list(diagnosis.not_checked),
        "findings": [_finding_record(finding) for finding in diagnosis.findings],
        "mended": _mending_record(mending) if mending is not None else None,
    }


def _counts_of(diagnosis: Diagnosis, severity: Severity) -> dict[Kind, int]:
    return {kind: count for kind, count in diagnosis.counts.items() if kind.severity is severity}


def _finding_record(finding: Finding) -> dict[str, object]:
    like = finding.like
    return {
        "kind": finding.kind,
        "severity": finding.kind.severity,
        "path": finding.path,
        "line": finding.line,
        "index": finding.index,
        "turn": finding.turn,
        "found": finding.found,
        "like": {"path": like.path, "line": like.line} if like is not None else None,
        "next": finding.kind.advice,
    }


def _mending_record(mending: Mending) -> dict[str, object]:
    return {
        "out": mending.out,
        "dialogues": mending.dialogues,
        "removed": mending.removed,
        "masked": mending.masked,
        "detokenised": mending.detokenised,
        "capitals_missing": mending.capitals_missing,
        "left": mending.left_counts,
    }


_PLACES_SHOWN = 3
_COLOURS = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def _print(diagnosis: Diagnosis, mending: Mending | None) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    table.add_column(overflow="fold")
    for kind, count in diagnosis.counts.items():
        table.add_row(Text(kind.severity, style=_COLOURS[kind.severity]), f"{count:,}", kind, kind.description)
    console = Console(highlight=False, markup=False)
    console.print(
        f"{diagnosis.path}: {number_of(diagnosis.dialogues, 'dialogue')} ({diagnosis.format}), "
        f"{number_of(diagnosis.replies, 'reply', 'replies')}, {number_of(diagnosis.partner_turns, 'partner turn')}",
        soft_wrap=True,
    )
    console.print(table if diagnosis.findings else "nothing found")
    for kind in diagnosis.counts:
        console.print(f"\n{kind}", style="bold")
        for line in _details(diagnosis, kind):
            console.print(f"  {line}", soft_wrap=True)
    if diagnosis.findings:
        console.print()
    for each in diagnosis.not_checked:
        console.print(f"not checked: {each}", soft_wrap=True)
    if mending is not None:
        for line in _mending_lines(mending):
            console.print(line, soft_wrap=True)


def _details(diagnosis: Diagnosis, kind: Kind) -> Iterator[str]:
    """The first places with a finding of a kind, and how many more there are."""
    findings = [finding for finding in diagnosis.findings if finding.kind is kind]
    if kind is Kind.PROFANITY:
        yield _share("replies", diagnosis.profane(Speaker.PERSONA), diagnosis.replies)
        yield _share("partner turns", diagnosis.profane(Speaker.PARTNER), diagnosis.partner_turns)
    for finding in findings[:_PLACES_SHOWN]:
        like = f" (see {finding.like.path}:{finding.like.line})" if finding.like else ""
        yield f"{finding.where}: {finding.found}{like}"
    if (more := len(findings) - _PLACES_SHOWN) > 0:
        yield f"and {more:,} more (--json lists all)"
    yield f"Next: {kind.advice}"


def _share(name: str, count: int, of: int) -> str:
    return f"in {count:,} of {of:,} {name} ({100 * count / of if of else 0:.2f} %)"


def _mending_lines(mending: Mending) -> Iterator[str]:
    yield f"{mending.out}: {number_of(mending.dialogues, 'dialogue')}"
    yield f"  taken out: {_listed(mending.removed)}"
    yield f"  masked: {_listed(mending.masked)}"
    spacing = "spacing mended; capitals are still missing" if mending.capitals_missing else "yes"
    yield f"  detokenised: {spacing if mending.detokenised else 'no'}"
    yield f"  left as it was: {_listed(mending.left_counts)}"


def _listed(counts: dict[Kind, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.items()) or "nothing"
