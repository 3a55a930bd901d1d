"""Strong language in English, by a short list of words that are hardly ever meant otherwise."""

from __future__ import annotations

import re

# Left out on purpose: mild words (damn, hell, crap) and those with a plain sense (dick, cock, pussy, balls, queer).
_SWEARWORDS = (
    "(?:mother)?fuck(?:s|ed|er|ers|ing|in|face|wit|up|ups|off)?",
    "(?:bull|horse)?shit(?:s|ty|ting|head|hole|show|faced|load)?",
    "(?:ass|arse)holes?",
    "dumbass(?:es)?",
    "jackass(?:es)?",
    "bitch(?:es|ing|y)?",
    "bastards?",
    "cunts?",
    "dickheads?",
    "cocksuckers?",
    "wank(?:er|ers|ing)",
    "twats?",
    "sluts?",
    "whores?",
    "nigg(?:er|ers|a|as)",
    "fagg?ots?",
    "retard(?:s|ed)",
    "goddamn(?:ed)?",
)
_SWEARWORD = re.compile(rf"\b(?:{'|'.join(_SWEARWORDS)})\b", re.IGNORECASE)


def swearword_in(text: str) -> str:
    """The first swearword of a text; empty without one."""
    match = _SWEARWORD.search(text)
    return match[0] if match else ""
