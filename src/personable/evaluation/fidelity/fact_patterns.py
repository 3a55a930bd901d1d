"""The sentences about oneself that can be asked about, and how.

A form sees a fact in lower case, contractions written out, without greeting and final full stop. Its group `value` is
the answer, its group `topic` goes into the questions. The first pattern that fits a fact is taken, those of
`identity_patterns` before those of `life_patterns`, so the particular come before the general.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from personable.evaluation.fidelity.content_words import NUMBERS


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """Facts of one kind."""

    kind: str
    form: re.Pattern[str]
    wordings: tuple[str, ...]
    accepts: Callable[[str], bool] = bool
    """A last look at the value."""
    also: frozenset[str] = frozenset()
    """Kinds whose facts answer the question as well; `any` for all of them."""
    wants_number: bool = False
    """Only the first number of the value is the answer."""
    any_word: bool = False
    """Each word of the value is an answer by itself, as the parts of a name are."""
    plural_topic: bool = False
    """The topic is asked about in the plural: `one brother` -> `how many brothers`."""
    may_deny: bool = False
    """Whether the answer may be said with a negation."""


def any_of(choices: str) -> str:
    """`a, b c` -> `(?:a|b c)`."""
    return f"(?:{'|'.join(choice.strip() for choice in choices.split(','))})"


NUMBER = rf"(?:\d+|(?:{'|'.join(NUMBERS)})(?:[ -](?:{'|'.join(list(NUMBERS)[1:10])}))?)"
_ADVERB = (
    any_of(
        "really, also, just, do, still, absolutely, especially, always, usually, often, sometimes, only, currently, "
        "mostly,"
        "now, truly, simply, secretly, mainly, would, very much, never"
    )
    + " "
)
I_DO = rf"i (?:{_ADVERB})*"
I_AM = rf"i am (?:{_ADVERB})*"
I_HAVE = rf"{I_DO}(?:have|own|got|have got|adopted)"
ARTICLE = r"(?:(?:a|an|the|my|some|our|your) )?"
REST = r"(?:\W.*)?"
ANIMAL = (
    any_of(
        "dog, cat, puppy, kitten, turtle, hamster, parrot, bird, fish, horse, rabbit, bunny, snake, lizard, iguana, "
        "cow,"
        "goat, pig, ferret, goldfish, poodle, beagle, labrador, retriever, shepherd, husky, pug, chihuahua, terrier,"
        "tarantula, pony, llama, hedgehog, gerbil, rat, mouse, monkey, chicken, duck, bulldog, corgi, dachshund, "
        "spaniel"
    )
    + "s?"
)
RELATIVE = any_of(
    "mother, mom, mum, father, dad, brother, sister, husband, wife, son, daughter, parents, grandmother, grandfather,"
    "grandma, grandpa, uncle, aunt, boyfriend, girlfriend, partner, best friend, boss, roommate, twin, dog, cat, "
    "family,"
    "children, kids"
)
ACTIVITY = any_of(
    "eat, drink, cook, bake, play, read, watch, collect, ride, travel to, visit, listen to, sing, make, wear, drive, "
    "draw,"
    "paint, write, build, grow, work on, work with"
)
ACTIVITY_ING = any_of(
    "eating, drinking, cooking, baking, playing, reading, watching, collecting, riding, visiting, listening to, "
    "singing,"
    "making, wearing, driving, drawing, painting, writing, building, growing, taking, exploring, working on, working "
    "with"
)
HABIT = any_of(
    "play, grow, bake, make, sell, build, write, teach, wear, visit, raise, breed, drink, eat, cook, watch, read, "
    "collect,"
    "use, paint, run, own, listen to, work with, work on, dream of, dream about, believe in, care about, care for,"
    "worry about, shop for, go to, compete in, design, create, study, train, coach, walk, hunt, practice, restore, fix,"
    "produce, compose, sew, knit, repair, host, manage, serve, deliver, perform, keep, brew, fly, race, help out at"
)
LIKE = any_of("like, love, enjoy, prefer, adore")
PLEASURES = frozenset({"like", "like to", "hobby", "pastime", "habit", "favourite", "skill"})


def pattern(
    kind: str,
    form: str,
    *wordings: str,
    accepts: Callable[[str], bool] = bool,
    also: frozenset[str] = frozenset(),
    wants_number: bool = False,
    any_word: bool = False,
    plural_topic: bool = False,
    may_deny: bool = False,
) -> Pattern:
    return Pattern(
        kind,
        re.compile(form),
        wordings,
        accepts,
        also,
        wants_number=wants_number,
        any_word=any_word,
        plural_topic=plural_topic,
        may_deny=may_deny,
    )
