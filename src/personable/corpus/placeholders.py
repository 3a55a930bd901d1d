"""Blanks that a text generator left and nobody filled in: "[User 1's name]", "[your city]"."""

from __future__ import annotations

import re

_PLACEHOLDER = re.compile(
    r"\[(?=[^\[\]]{1,40}(?<![.!?])\])"  # a sentence in brackets is a stage direction
    r"(?:[^\[\]]*\b(?:user(?=[\d_' \]])|user ?_?[12ab]|user_?names?|names?\b|your\b|insert\b)[^\[\]]*"
    r"|(?:current |home)?(?:city|town|place|location|country|state|number|link|university|school|age|company|date))\]"
    r"|\{\{ ?(?:user|char|name) ?\}\}|<(?:user|char|your|insert)\b[^<>]{0,30}>",
    re.IGNORECASE,
)


def placeholder_in(text: str) -> str:
    """The first blank in a text; empty without one."""
    if "[" not in text and "{" not in text and "<" not in text:
        return ""
    match = _PLACEHOLDER.search(text)
    return match[0] if match else ""
