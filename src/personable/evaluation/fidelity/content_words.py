"""Words compared by what they mean: blind to case, plural, simple inflection, and whether a number is spelt out.

English, by rules: nothing to download, the same result on every machine, and crude (`teacher` and `teach` are one word,
and so are `corner` and `corn`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
NUMBERS = {word: value for value, word in enumerate(_UNITS)} | _TENS
"""English number words up to ninety and their values."""

_CONTRACTIONS = (
    (re.compile(r"\s*['’`´]\s*(?=(m|ve|re|ll|d|s|t)\b)"), "'"),  # ConvAI2 writes i ' m
    (re.compile(r"\b(can)not\b|\b(ca)n'?t\b"), "can not"),
    (re.compile(r"\bwon'?t\b"), "will not"),
    (re.compile(r"\b(do|does|did|is|are|was|were|has|have|had|would|could|should)n'?t\b"), r"\1 not"),
    (re.compile(r"\bi'?m\b|\bi m\b"), "i am"),
    (re.compile(r"\b(i|you|we|they)'?ve\b|\bi ve\b"), lambda found: f"{found[1] or 'i'} have"),
    (re.compile(r"\b(i|you|we|they|he|she|it)'ll\b"), r"\1 will"),
    (re.compile(r"\b(i|you|we|they|he|she)'d\b"), r"\1 would"),
    (re.compile(r"\b(you|we|they)'re\b|\b(you)re\b"), lambda found: f"{found[1] or found[2]} are"),
    (re.compile(r"\b(what|who|where|name|that|it|he|she)'s\b"), r"\1 is"),
    (re.compile(r"\b(what|who)s\b"), r"\1 is"),
)

# Words that say nothing of their own, and those that any answer may hold.
_EMPTY_WORDS = """
    a an the this that these those some any each every all both such own my your his her its our their mine yours i
    me you he she it we they them us him myself yourself who which what when where how why am is are was were be
    been being do does did done doing have has had having will would can could should may might must shall get gets
    got getting go goes going went and or but so if then than as because since while though although of in on at to
    for from by with about into over under after before up down out off near between through during above below
    behind beside inside outside around across not no nor never yes very really quite just also too only even still
    already currently now often usually always lot lots much many more most few little bit kind sort type thing
    things something anything one ones other others there here well please like named called years year old time
    times etc am pm
"""
_EMPTY = frozenset(_EMPTY_WORDS.split())
_IRREGULAR = {
    "children": "child", "kids": "child", "kid": "child", "wives": "wife", "knives": "knife",
    "men": "man", "women": "woman", "teeth": "tooth", "feet": "foot", "mice": "mouse", "geese": "goose",
    "taught": "teach", "teaches": "teach", "ran": "run", "swam": "swim", "sang": "sing", "wrote": "write",
    "drove": "drive", "rode": "ride", "grew": "grow", "ate": "eat", "drank": "drink", "built": "build",
    "made": "make", "born": "birth", "movies": "film", "movie": "film", "films": "film",
}  # fmt: skip
_SAME = {
    "mom": "mother", "mum": "mother", "mommy": "mother", "dad": "father", "daddy": "father",
    "grandma": "grandmother", "grandpa": "grandfather", "female": "woman", "girl": "woman", "lady": "woman",
    "gal": "woman", "male": "man", "guy": "man", "boy": "man", "television": "tv", "bicycle": "bike",
    "motorcycle": "motorbike", "automobile": "car", "favourite": "favorite", "colour": "color", "grey": "gray",
    "puppy": "dog", "kitty": "cat", "kitten": "cat", "usa": "america", "physician": "doctor", "attorney": "lawyer",
}  # fmt: skip
_RUNNERS = frozenset({"run", "swim", "win", "jog", "shop", "drum", "rap", "program", "plan", "dig", "trap"})
"""Verbs that double a consonant before -er; in most words that do (`butter`), -er is no ending."""
_NEGATIONS = frozenset({"not", "no", "never", "nor", "none", "without", "neither", "nt"})
_NEGATION_REACH = 4
"""Words after a negation that it is taken to cover, within its clause."""


def expanded(text: str) -> str:
    """The text in lower case with contractions written out: `I'm` and ConvAI2's `i ' m` become `i am`."""
    text = " ".join(text.casefold().split()).replace("’", "'")
    for pattern, replacement in _CONTRACTIONS:
        text = pattern.sub(replacement, text)
    return text


def words(text: str) -> list[str]:
    """The words and numbers of a text, expanded, in order; `twenty two` and `twenty-two` become `22`."""
    tokens = re.findall(r"\d+|[^\W\d_]+", re.sub(r"'s\b", "", expanded(text)).replace("'", ""))
    joined: list[str] = []
    for token in tokens:
        value = NUMBERS.get(token)
        if value is not None and value < 10 and joined and joined[-1] in _TENS:
            joined[-1] = str(_TENS[joined[-1]] + value)
        else:
            joined.append(token)
    return [str(NUMBERS[token]) if token in NUMBERS else token for token in joined]


def stem(word: str) -> str:
    """What a word shares with its inflections: `horses` and `horse`, `baking` and `bake`, `teacher` and `teach`."""
    word = _SAME.get(word, word)
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif re.search(r"(s|x|z|ch|sh)es$", word):
        word = word[:-2]
    elif word.endswith("s") and len(word) > 3 and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    word = _IRREGULAR.get(word, _SAME.get(word, word))
    for ending, shortest in (("ing", 6), ("ed", 5), ("er", 6)):
        rest = word.removesuffix(ending)
        if rest != word and len(word) >= shortest and re.search(r"[aeiouy]", rest):
            doubled = len(rest) > 2 and rest[-1] == rest[-2] and rest[-1] not in "lszeo"
            if doubled and ending == "er" and rest[:-1] not in _RUNNERS:
                break
            word = rest[:-1] if doubled else rest
            break
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 3 and word.endswith("y") else word


def stems(text: str) -> list[str]:
    """The stem of every word, in order."""
    return [stem(word) for word in words(text)]


def content_stems(text: str) -> tuple[str, ...]:
    """The stems of the words that carry meaning, each once, in order."""
    return tuple(dict.fromkeys(stem(word) for word in words(text) if word not in _EMPTY))


def is_empty_word(word: str) -> bool:
    """Whether a word carries no meaning of its own, such as `the` or `have`."""
    return word in _EMPTY


def affirmed_stems(text: str) -> frozenset[str]:
    """The stems of a text that no negation covers: of `no cats, but a dog`, `dog` and not `cat`."""
    said: set[str] = set()
    for clause in re.split(r"[.,;:!?]|\bbut\b|\bthough\b", expanded(text)):
        covered = 0
        for word in words(clause):
            if covered:
                covered -= 1
            else:
                said.add(stem(word))
            if word in _NEGATIONS:
                covered = _NEGATION_REACH
    return frozenset(said)


def says(reply_stems: frozenset[str], answer: Sequence[str]) -> bool:
    """Whether the reply has more than half of the answer's stems, or half of them and the first, its head, is one."""
    said = sum(word in reply_stems for word in answer)
    return said * 2 > len(answer) or (said * 2 == len(answer) and bool(answer) and answer[0] in reply_stems)
