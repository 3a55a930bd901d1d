"""A corpus with what can safely be mended: copies and leaks out, tokenised text joined, personal data masked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from personable.corpus.canonical import write_dialogues
from personable.corpus.detokenising import detokenised
from personable.corpus.doctor.diagnosis import Diagnosis
from personable.corpus.doctor.finding import Finding, Kind, Severity, counts_of
from personable.corpus.doctor.private import masked
from personable.dialogue import Dialogue, Persona, Turn
from personable.errors import DataError

_REMOVED = (Kind.LEAKED_CONVERSATION, Kind.LEAKED_BEGINNING, Kind.DUPLICATE, Kind.BEGINNING)
_MASKED = (Kind.CARD, Kind.IBAN, Kind.EMAIL, Kind.PHONE)


@dataclass(frozen=True)
class Mending:
    """What was done about a diagnosis, and what was left."""

    out: str
    dialogues: int
    """Written."""
    removed: dict[Kind, int]
    """Dialogues taken out, by the worst of what was wrong with them; records that cannot be read are among them."""
    masked: dict[Kind, int]
    """Places with personal data that were masked in dialogues that stayed."""
    detokenised: bool
    capitals_missing: bool
    """Whether it is lower-case as before: spacing can be mended, capitals cannot."""
    left: tuple[Finding, ...]
    """What is as wrong in the new file as in the old one; index and line are those of the old one."""

    @property
    def left_counts(self) -> dict[Kind, int]:
        """How many findings of each kind are left; kinds without any are not in it."""
        return counts_of(self.left)

    @property
    def errors_left(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.left if finding.kind.severity is Severity.ERROR)


def mend(diagnosis: Diagnosis, out: str | Path) -> Mending:
    """Writes canonical JSONL with what can safely be mended, whole or not at all, and says what was done and left.

    Taken out: records that cannot be read, dialogues that are in the other corpus (or begin as one there), duplicates
    but for the first, dialogues that are the beginning of another. Masked: personal data. Detokenised: the texts, if
    the corpus as a whole is tokenised and lower-case. Nothing else is touched.
    Raises DataError if `out` is the corpus itself or the other one, lies in one of them, or nothing would be left.
    """
    _refuse_to_overwrite(diagnosis, Path(out))
    removed = _removed(diagnosis)
    join = diagnosis.tokenisation.whole
    kept = (placed.dialogue for index, placed in enumerate(diagnosis.records) if index not in removed)
    written = write_dialogues((_mended(dialogue, join) for dialogue in kept), out)
    counts = Counter(removed.values())
    counts[Kind.UNREADABLE] = diagnosis.counts.get(Kind.UNREADABLE, 0)
    staying = [each for each in diagnosis.findings if each.kind is not Kind.UNREADABLE and each.index not in removed]
    left = (each for each in staying if each.kind not in _MASKED and not (join and each.kind is Kind.TOKENISED))
    return Mending(
        out=str(out),
        dialogues=written,
        removed={kind: counts[kind] for kind in Kind if counts[kind]},
        masked=counts_of(each for each in staying if each.kind in _MASKED),
        detokenised=join,
        capitals_missing=join and any(each.kind is Kind.TOKENISED for each in diagnosis.findings),
        left=tuple(left),
    )


def _refuse_to_overwrite(diagnosis: Diagnosis, out: Path) -> None:
    for given in filter(None, (diagnosis.path, diagnosis.other)):
        source = Path(given).resolve()
        if source in (out.resolve(), *out.resolve().parents):
            raise DataError(f"{out}: expected a new file, found what is read ({given}). Next: name another file")


def _removed(diagnosis: Diagnosis) -> dict[int, Kind]:
    """Which dialogues go, and why; the worst reason counts."""
    removed: dict[int, Kind] = {}
    for finding in diagnosis.findings:
        if finding.kind in _REMOVED and finding.index is not None:
            removed.setdefault(finding.index, finding.kind)
    return removed


def _mended(dialogue: Dialogue, join: bool) -> Dialogue:
    whole = _with_texts(dialogue, masked)
    return detokenised(whole) if join else whole


def _with_texts(dialogue: Dialogue, change: Callable[[str], str]) -> Dialogue:
    return replace(
        dialogue,
        persona=_persona(dialogue.persona, change),
        partner_persona=_persona(dialogue.partner_persona, change),
        turns=tuple(_turn(turn, change) for turn in dialogue.turns),
    )


def _persona(persona: Persona, change: Callable[[str], str]) -> Persona:
    return replace(persona, facts=tuple(map(change, persona.facts)))


def _turn(turn: Turn, change: Callable[[str], str]) -> Turn:
    return replace(turn, text=change(turn.text), candidates=tuple(map(change, turn.candidates)))
