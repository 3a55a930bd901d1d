"""Does a persona keep apart who it is and who its partner is? A scripted set of probes, judged by rules.

A probe is a short fixed conversation in which the partner states something that is not true of the persona (a name, a
home, a job, a pet) and asks a question. Its reply swaps roles when it

    takes       claims what the partner said as its own     "my name is Wulf. what is your name?" - "i am wulf"
    gives away  says a fact of the persona of the partner   "who am i?" - "you have a cat named tom"

The rules are English and made to be precise rather than complete: only plain statements count, no questions, no
denials.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from personable.dialogue import Dialogue, Persona, Speaker
from personable.evaluation.engine import Engine, OnProgress, no_progress
from personable.evaluation.fidelity.content_words import content_stems, expanded, stem, stems, words
from personable.evaluation.metric import Better, Group, Measured, Metric, NotMeasured, Tally, ratio
from personable.reply import Sampling


class Swap(StrEnum):
    """How a reply mistakes the roles."""

    TAKES = "takes the partner's attribute"
    GIVES = "gives its own fact to the partner"


class Stated(StrEnum):
    """What the partner says of itself."""

    NAME = "name"
    HOME = "home"
    JOB = "job"
    PET = "pet"


@dataclass(frozen=True, slots=True)
class _Script:
    """Lines of the partner; between them the persona says something that commits it to nothing."""

    name: str
    stated: Stated
    lines: tuple[str, ...]


_BETWEEN = "Nice to meet you."
_SCRIPTS = (
    _Script("tells name, asks name", Stated.NAME, ("Hi, my name is {value}. What is your name?",)),
    _Script("tells name, asks own name", Stated.NAME, ("Hi, my name is {value}. What is my name?",)),
    _Script("tells name, asks who", Stated.NAME, ("Hello, I am {value}. Who are you?",)),
    _Script("tells name, asks who it is itself", Stated.NAME, ("Hello, I am {value}. Who am I?",)),
    _Script("tells name, later asks name", Stated.NAME, ("Hi there, I am {value}.", "And what is your name?")),
    _Script("tells name, later asks own name", Stated.NAME, ("Hi there, I am {value}.", "Do you remember my name?")),
    _Script("tells home, asks home", Stated.HOME, ("I live in {value}. Where do you live?",)),
    _Script("tells home, asks own home", Stated.HOME, ("I live in {value}.", "Do you remember where I live?")),
    _Script("tells job, asks job", Stated.JOB, ("I work as a {value}. What do you do for a living?",)),
    _Script("tells job, asks own job", Stated.JOB, ("I work as a {value}.", "What is my job?")),
    _Script("tells pet, asks pets", Stated.PET, ("I have a {value}. Do you have any pets?",)),
    _Script("asks what is known of it", Stated.NAME, ("Hi, I am {value}.", "What do you know about me?")),
)
_VALUES = {
    Stated.NAME: ("Wulf", "Ottilie", "Ragnar", "Philippa", "Tiberius", "Saskia", "Leopold", "Beatrix"),
    Stated.HOME: ("Reykjavik", "Lisbon", "Nairobi", "Tasmania", "Uruguay", "Helsinki"),
    Stated.JOB: ("beekeeper", "locksmith", "glassblower", "puppeteer", "blacksmith", "cartographer"),
    Stated.PET: ("tortoise", "parrot", "ferret", "hedgehog", "chinchilla", "gecko"),
}


@dataclass(frozen=True, slots=True)
class RoleProbe:
    """A conversation that ends with the partner's question, and what to look for in the reply."""

    history: Dialogue
    script: str
    stated: Stated
    value: str
    """What the partner is, and the persona is not."""

    @property
    def persona(self) -> Persona:
        """Who is asked."""
        return self.history.persona


def role_swaps(
    engine: Engine,
    personas: Sequence[Persona],
    sampling: Sampling,
    *,
    seed: int,
    limit: int = 200,
    on_progress: OnProgress = no_progress,
) -> Group:
    """How often a persona mistakes itself for its partner, or its partner for itself, over at most `limit` probes.

    Rows are personas. Details: probes and swaps by script and by kind of swap, and every swapped reply, 20 at most.
    """
    probes = role_probes(personas, seed=seed, limit=limit)
    if not probes:
        return Group(not_measured=(NotMeasured(ROLE_SWAPS, "no dialogue has a persona with facts"),))
    replies = engine.replies([probe.history for probe in probes], sampling, on_progress)
    swaps = [swap_in(probe, reply) for probe, reply in zip(probes, replies, strict=True)]
    asked = Counter(probe.script for probe in probes)
    swapped = Counter(probe.script for probe, swap in zip(probes, swaps, strict=True) if swap)
    return Group(
        measured=(measured_swaps(probes, replies),),
        details={
            "probes": len(probes),
            "by_kind": {kind.value: swaps.count(kind) for kind in Swap},
            "by_script": {
                script.name: {"probes": asked[script.name], "swaps": swapped[script.name]}
                for script in _SCRIPTS
                if asked[script.name]
            },
            "swapped": [
                {"kind": swap.value, "said": _said(probe), "reply": reply, "persona": list(probe.persona.facts)}
                for probe, reply, swap in zip(probes, replies, swaps, strict=True)
                if swap
            ][:20],
        },
    )


def role_probes(personas: Sequence[Persona], *, seed: int, limit: int = 200) -> list[RoleProbe]:
    """Up to `limit` probes: the personas with facts in a seeded order, each round with another script for each."""
    draw = random.Random(seed)
    unique = [persona for persona in dict.fromkeys(personas) if persona.facts]
    draw.shuffle(unique)
    return [
        _probe(persona, _SCRIPTS[(place + round_) % len(_SCRIPTS)], draw)
        for round_ in range(len(_SCRIPTS))
        for place, persona in enumerate(unique)
    ][:limit]


def measured_swaps(probes: Sequence[RoleProbe], replies: Sequence[str]) -> Measured:
    """The rate of role swaps of any replies to the probes, a baseline's for example; rows are the personas."""
    rows = {persona: row for row, persona in enumerate(dict.fromkeys(probe.persona for probe in probes))}
    sums = np.zeros((len(rows), 2))
    for probe, reply in zip(probes, replies, strict=True):
        sums[rows[probe.persona]] += (swap_in(probe, reply) is not None, 1)
    return Measured(ROLE_SWAPS, Tally(sums, ratio(100), rows="personas"), len(probes), "probes")


def swap_in(probe: RoleProbe, reply: str) -> Swap | None:
    """How a reply to a probe swaps the roles; None where no rule finds that it does."""
    if _takes(probe, reply):
        return Swap.TAKES
    partner_said = frozenset(stem_ for turn in probe.history.turns for stem_ in stems(turn.text))
    return Swap.GIVES if _gives(probe.persona, partner_said, reply) else None


def _probe(persona: Persona, script: _Script, draw: random.Random) -> RoleProbe:
    own = frozenset(stems(f"{persona.text} {persona.name}"))
    free = [value for value in _VALUES[script.stated] if stem(value.casefold()) not in own]
    value = draw.choice(free or _VALUES[script.stated])
    lower = persona.text == persona.text.lower()
    dialogue = Dialogue(persona)
    for place, line in enumerate(script.lines):
        if place:
            dialogue = dialogue.then(Speaker.PERSONA, _BETWEEN.lower() if lower else _BETWEEN)
        text = line.format(value=value)
        dialogue = dialogue.then(Speaker.PARTNER, text.lower() if lower else text)
    return RoleProbe(dialogue, script.name, script.stated, value)


def _said(probe: RoleProbe) -> str:
    return " / ".join(turn.text for turn in probe.history.turns if turn.speaker is Speaker.PARTNER)


_TAKEN = {
    Stated.NAME: r"(?:my name is|^(?:the )?name is|i am|i am called|i am named|call me|this is|they call me)"
    r" (?:also |actually )?{value}\b",
    Stated.HOME: r"\bi (?:also |actually |currently )?(?:live|am living|reside|am|come|grew up|was born)"
    r"(?: \w+){{0,2}} (?:in|from|near|at)(?: \w+){{0,2}} {value}\b",
    Stated.JOB: r"\b(?:i am|i work as|my job is)(?: also| actually)?(?: being)?(?: a| an| the)?(?: \w+){{0,1}}"
    r" {value}\b",
    Stated.PET: r"\b(?:i (?:also |actually )?(?:have|own|got)(?: \w+){{0,4}}|my(?: \w+){{0,2}}) {value}s?\b",
}
_DENIAL = re.compile(r"\b(?:not|never|no|wish|if|like)\b")


def _takes(probe: RoleProbe, reply: str) -> bool:
    value = probe.value.casefold()
    claim = re.compile(_TAKEN[probe.stated].format(value=re.escape(value)))
    for clause in _statements(reply):
        found = claim.search(clause)
        # What follows the value may deny nothing any more: "i am wulf, not otto".
        if found and not _DENIAL.search(clause[: found.end()]):
            return True
    own_name_asked = "your name" in expanded(probe.history.turns[-1].text)
    return probe.stated is Stated.NAME and own_name_asked and words(reply) in ([value], [value, "and", "you"])


_YOU_ARE = re.compile(
    r"(?:(?:so|well|yes|yeah|oh|ok|okay|and|but|then|sure|of course|that|because|hi|hello) )*"
    r"(?:i (?:know|think|remember|guess|believe|see|heard)(?: that)? |you (?:said|told me|mentioned)(?: that)? )?"
    r"(?:you (?:also |really |just )?(?:are|have|own|live|work|like|love|hate|drive|play|enjoy|grew|were|want|can)"
    r"|your) (?P<rest>.+)"
)
_NAMED = re.compile(r"my (?:full |first )?name is (?P<name>[^\W\d_]+)")


def _gives(persona: Persona, partner_said: frozenset[str], reply: str) -> bool:
    names = {found["name"] for fact in persona.facts if (found := _NAMED.search(expanded(fact)))}
    names |= {word for word in words(persona.name)[:1] if word not in ("the", "a")}
    facts = [frozenset(content_stems(fact)) for fact in persona.facts]
    for clause in _statements(reply):
        found = _YOU_ARE.fullmatch(clause)
        if found is None or _DENIAL.search(clause.replace("you like", "")):
            continue
        if any(
            re.search(rf"(?:your name is|you are(?: called| named)?) {re.escape(name)}\b", clause) for name in names
        ):
            return True
        told = frozenset(content_stems(found[0])) - partner_said
        if any(len(told & fact) >= max(min(2, len(fact)), len(fact) / 2) > 0 for fact in facts):
            return True
    return False


def _statements(reply: str) -> Iterator[str]:
    """The clauses of a reply that are no questions, expanded, without punctuation."""
    for sentence in re.findall(r"[^.!?]+[.!?]*", expanded(reply)):
        if "?" in sentence:
            continue
        for clause in re.split(r"[,;:.!]| - | (?:and|but) (?=(?:i|you|my|your)\b)", sentence):
            if plain := " ".join(re.findall(r"[^\W_]+", clause)):
                yield plain


ROLE_SWAPS = Metric(
    "role_swaps",
    "Role swaps",
    "Share of scripted probes whose reply claims what the partner said of itself (name, home, job, pet), or says a "
    "fact of the "
    "persona of the partner. Found by rules that miss some swaps.",
    Better.LOWER,
    "Personable (roles.py); the fault is the mistaken identity of Shuster et al. 2022, Am I Me or You?, arXiv "
    "2112.05843",
    highest=100.0,
    unit="%",
)
METRICS = (ROLE_SWAPS,)
