"""Questions that a fact answers: patterns over first-person sentences, each with several wordings.

    "i have a cat named tom."   ->  "what is your cat's name?", "what is your cat called?", ...   answered by: tom

Facts that no pattern fits are not asked about. English only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from personable.dialogue import Persona
from personable.evaluation.fidelity.content_words import content_stems, expanded, is_empty_word, stem, words
from personable.evaluation.fidelity.fact_patterns import Pattern
from personable.evaluation.fidelity.identity_patterns import IDENTITY
from personable.evaluation.fidelity.life_patterns import LIFE


@dataclass(frozen=True, slots=True)
class Question:
    """Something to ask a persona."""

    persona: Persona
    fact: str
    kind: str
    """The pattern that found it, such as `job`."""
    text: str
    answers: tuple[tuple[str, ...], ...]
    """Stems of each answer that would do, its head first; the question's own words are not among them."""
    may_deny: bool = False
    """Whether the answer may stand behind a `not`, as what somebody does not like does."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A fact and the wordings of the question that it answers."""

    persona: Persona
    fact: str
    kind: str
    questions: tuple[Question, ...]


def probes_of(persona: Persona) -> list[Probe]:
    """What can be asked of a persona, in the order of its facts.

    Where one question fits several facts, such as what somebody likes, the value of any of them answers it.
    """
    found: dict[tuple[tuple[str, ...], str], tuple[Pattern, Probe]] = {}
    for fact in persona.facts:
        asked = _asked(fact)
        if asked is None:
            continue
        pattern, topic, value = asked
        questions = tuple(_questions(persona, fact, pattern, topic, value))
        if not questions:
            continue
        _, known = found.setdefault((pattern.wordings, topic), (pattern, Probe(persona, fact, pattern.kind, questions)))
        if known.fact != fact:
            found[pattern.wordings, topic] = pattern, _also_answered_by(known, questions[0].answers)
    probes = [probe for _, probe in found.values()]
    return [
        _also_answered_by(
            probe,
            (
                answer
                for other in probes
                if "any" in pattern.also or other.kind in pattern.also
                for answer in other.questions[0].answers
            ),
        )
        for pattern, probe in found.values()
    ]


def _also_answered_by(probe: Probe, answers: Iterable[tuple[str, ...]]) -> Probe:
    given = {stem(word) for question in probe.questions for word in words(question.text)}
    more = [kept for answer in answers if (kept := tuple(word for word in answer if word not in given))]
    known = tuple(dict.fromkeys((*probe.questions[0].answers, *more)))
    return replace(probe, questions=tuple(replace(question, answers=known) for question in probe.questions))


def is_covered(fact: str) -> bool:
    """Whether a pattern fits the fact."""
    return any(probes_of(Persona((fact,))))


@lru_cache(maxsize=4096)  # personas of a corpus share facts
def _asked(fact: str) -> tuple[Pattern, str, str] | None:
    """The first pattern that fits, with topic and value."""
    text = _GREETING.sub("", re.sub(r"\s+([,.!?])", r"\1", expanded(fact)).rstrip(" .!?;"))
    for pattern in (*IDENTITY, *LIFE):
        match = pattern.form.fullmatch(text)
        if match is None:
            continue
        groups = match.groupdict()
        topic = (groups.get("topic") or "").strip()
        if pattern.plural_topic:
            topic = _plural(topic)
        value = _first_clause(groups["value"])
        if not pattern.accepts(value):
            continue
        return pattern, topic, value
    return None


_GREETING = re.compile(r"^(?:hey|hi|hello|whats up|what is up|well)(?: there)?,? ")
_NEXT_CLAUSE = re.compile(
    r",? (?:but|because|due to|since|so that|so i"
    r"|when|whenever|while|which|who|that|if|although|though|unless|until|as i"
    r"|and (?:i|my|we|it|he|she|they|love|like|enjoy|want|hate|am|is|have|do|live|work|hope|never|would|can|use[ds]?)"
    r"|at night|on the side|during|occasionally|regularly|(?:every|once an?|twice an?|each) (?:\w+)|to (?:pay|see"
    r"|save|support)"
    r"|(?:in|for|about) (?:\w+ ){1,2}(?:days?|weeks?|months?|years?)|in (?:my |the )?(?:spare time|free time"
    r"|evenings?|mornings?"
    r"|summer|winter))\b"
)


def _first_clause(value: str) -> str:
    found = _NEXT_CLAUSE.search(value)
    return (value[: found.start()] if found and found.start() > 0 else value).strip(" ,;")


def _questions(persona: Persona, fact: str, pattern: Pattern, topic: str, value: str) -> Iterator[Question]:
    several = (topic.endswith("s") and not topic.endswith("ss")) or topic.split()[-1:] in (["children"], ["people"])
    verbs = {"is_are": "are", "does_do": "do"} if several else {"is_are": "is", "does_do": "does"}
    article = "an " if topic[:1] in tuple("aeiou") else "a "
    asked = [wording.format(topic=topic, a=article, **verbs) for wording in pattern.wordings]
    # Of all wordings, so that they have the same answers: none may be easier by giving something away.
    given = {stem(word) for text in asked for word in words(text)}
    parts = re.split(r",| and | or | & |/", value)
    answers = tuple(answer for part in parts for answer in _answers(part, pattern, given))
    if not answers:
        return
    capital = any(letter.isupper() for letter in fact)
    for text in asked:
        written = _capitals_restored(text, fact) if capital else text.lower()
        yield Question(persona, fact, pattern.kind, written, answers, pattern.may_deny)


_AFTER_THE_HEAD = re.compile(r" (?:at|in|on|with|for|of|from|to|by|about|as|over|into|like|near|through) ")


def _answers(part: str, pattern: Pattern, given: set[str]) -> Sequence[tuple[str, ...]]:
    """What a part of a value says beyond the words given, its head first: of `a swim coach at my pool`, `coach`."""
    if pattern.wants_number:
        return [(word,) for word in words(part) if word.isdigit()][:1]
    said = [word for word in content_stems(part) if word not in given]
    if not said or pattern.any_word:
        return [(word,) for word in said]
    before = [word for word in content_stems(_AFTER_THE_HEAD.split(part)[0]) if word in said]
    head = (before or said)[-1]
    return [(head, *(word for word in said if word != head))]


def _capitals_restored(question: str, fact: str) -> str:
    """The question with the words that the fact writes with a capital written so; patterns see lower case only."""
    names = {
        word.casefold(): word for word in re.findall(r"[^\W\d_]+", fact)[1:] if word[0].isupper() and len(word) > 1
    }
    names = {lower: word for lower, word in names.items() if not is_empty_word(lower)}
    return re.sub(r"[^\W\d_]+", lambda found: names.get(found[0], found[0]), question)


def _plural(topic: str) -> str:
    """`brother` -> `brothers`; what is plural stays."""
    *before, last = topic.split()
    if last in ("child", "man", "woman"):
        last = {"child": "children", "man": "men", "woman": "women"}[last]
    elif not last.endswith("s") and last not in ("children", "men", "women", "people", "mice", "fish", "feet"):
        last = (
            last[:-1] + "ies"
            if re.search(r"[^aeiou]y$", last)
            else last + ("es" if last.endswith(("x", "ch", "sh")) else "s")
        )
    return " ".join((*before, last))
