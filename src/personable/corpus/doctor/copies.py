"""Findings about dialogues that are in a corpus twice, or in another corpus too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from personable.corpus.doctor.finding import Case, Finding, Kind, excerpt, number_of
from personable.corpus.doctor.nearness import nearly_same
from personable.corpus.doctor.sameness import Chain, Likeness, Relation, across, within
from personable.corpus.places import Placed
from personable.corpus.splitting import persona_key


def find_copies(cases: Sequence[Case], others: Sequence[Placed]) -> Iterator[Finding]:
    """Duplicates, beginnings, near duplicates and both sides in one corpus; what of it is in another corpus too."""
    chains = [Chain.of(case.placed.dialogue) for case in cases]
    other_chains = [Chain.of(other.dialogue) for other in others]
    inside = _without_weaker(within(chains))
    leaks = list(across(chains, other_chains))
    for likeness in inside:
        case, counterpart = cases[likeness.one], cases[likeness.other].placed
        yield case.finding(_KINDS_WITHIN[likeness.relation], _told_within(likeness, case), like=counterpart.place)
    for likeness in leaks:
        case, counterpart = cases[likeness.one], others[likeness.other]
        yield case.finding(
            _KINDS_ACROSS[likeness.relation], _told_across(likeness, case, counterpart), like=counterpart.place
        )
    known = {each.one for each in (*inside, *leaks)}
    known_others = {each.one for each in within(other_chains)}
    yield from _find_near_copies(
        [case for number, case in enumerate(cases) if number not in known],
        [other for number, other in enumerate(others) if number not in known_others],
    )
    yield from _find_leaked_personas(cases, others)


def _without_weaker(likenesses: Iterable[Likeness]) -> list[Likeness]:
    """Without parting from a third dialogue, where a dialogue is a copy or a beginning of another anyway."""
    given = list(likenesses)
    copies = {each.one for each in given if each.relation in (Relation.SAME, Relation.BEGINNING)}
    return [each for each in given if not (each.relation is Relation.BRANCH and each.one in copies)]


_KINDS_WITHIN = {
    Relation.SAME: Kind.DUPLICATE,
    Relation.OTHER_PERSONA: Kind.NEAR_DUPLICATE,
    Relation.OTHER_SIDE: Kind.BOTH_SIDES,
    Relation.BEGINNING: Kind.BEGINNING,
    Relation.BRANCH: Kind.NEAR_DUPLICATE,
}
_KINDS_ACROSS = {
    Relation.SAME: Kind.LEAKED_CONVERSATION,
    Relation.OTHER_PERSONA: Kind.LEAKED_CONVERSATION,
    Relation.OTHER_SIDE: Kind.LEAKED_CONVERSATION,
    Relation.BEGINNING: Kind.LEAKED_BEGINNING,
    Relation.BRANCH: Kind.LEAKED_BEGINNING,
}


def _told_within(likeness: Likeness, case: Case) -> str:
    said = {
        Relation.SAME: f"the same persona and the same {likeness.turns} turns",
        Relation.OTHER_PERSONA: f"the same {likeness.turns} turns with another persona",
        Relation.OTHER_SIDE: f"the same first {likeness.turns} turns, seen from the other side",
        Relation.BEGINNING: f"its {likeness.turns} turns are the first of a longer dialogue",
        Relation.BRANCH: f"the same first {likeness.turns} turns",
    }
    return f"{said[likeness.relation]}: {_begins(case)}"


def _told_across(likeness: Likeness, case: Case, other: Placed) -> str:
    mine, theirs = len(case.placed.dialogue.turns), len(other.dialogue.turns)
    said = {
        Relation.SAME: f"the same {mine} turns",
        Relation.OTHER_PERSONA: f"the same {mine} turns with another persona",
        Relation.OTHER_SIDE: f"the same first {likeness.turns} turns, seen from the other side",
        Relation.BEGINNING: f"the {min(mine, theirs)} turns of one are the first of the other",
        Relation.BRANCH: f"the same first {likeness.turns} turns",
    }
    return f"{said[likeness.relation]}: {_begins(case)}"


def _begins(case: Case) -> str:
    return excerpt(case.placed.dialogue.turns[0].text)


def _find_near_copies(cases: Sequence[Case], others: Sequence[Placed]) -> Iterator[Finding]:
    dialogues = [*(case.placed.dialogue for case in cases), *(other.dialogue for other in others)]
    for near in nearly_same(dialogues):
        leaked = near.one >= len(cases)
        if near.other >= len(cases):
            continue  # both in the other corpus
        case = cases[near.other if leaked else near.one]
        counterpart = others[near.one - len(cases)] if leaked else cases[near.other].placed
        kind = Kind.LEAKED_NEARLY if leaked else Kind.NEAR_DUPLICATE
        found = f"{near.alike:.0%} of all runs of four words are in both: {_begins(case)}"
        yield case.finding(kind, found, like=counterpart.place)


def _find_leaked_personas(cases: Sequence[Case], others: Sequence[Placed]) -> Iterator[Finding]:
    """One finding for each persona, at its first dialogue."""
    known: dict[str, list[Placed]] = {}
    for other in others:
        known.setdefault(persona_key(other.dialogue.persona), []).append(other)
    here: dict[str, list[Case]] = {}
    for case in cases:
        here.setdefault(persona_key(case.placed.dialogue.persona), []).append(case)
    for persona, mine in here.items():
        if persona and persona in known:
            theirs = known[persona]
            fact = excerpt(mine[0].placed.dialogue.persona.facts[0])
            found = f"{number_of(len(mine), 'dialogue')} here and {len(theirs)} there: {fact}"
            yield mine[0].finding(Kind.LEAKED_PERSONA, found, like=theirs[0].place)
