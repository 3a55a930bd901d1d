"""Text for a model card that stays text: whatever a data set, a reply or a folder name holds, it cannot become
Markdown, HTML or another line."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from personable.publishing.card.lineage import last_name

# What Markdown of any flavour, HTML, KaTeX or a table would take for more than a character.
_SPECIAL = re.compile(r"[\\`*\[\]<>|~&$]|(?<![^\W_])_|_(?![^\W_])")
_NAMED = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_LINK = re.compile(r"(?<=:)//|(?i:(?<=\bwww)\.)|(?<=[\w.+-])@(?=[\w-]+\.)")
_FOLDERS = re.compile(r"(?<![\w./:~-])(?:/[\w.@+-]+){2,}|\b[A-Za-z]:[\\/][^\s'\"]+")

_TURNING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def plain(value: object) -> str:
    """One line without control characters, and without those that turn the direction of reading."""
    kept = "".join(" " if unicodedata.category(each) in ("Cc", "Zl", "Zp") else each for each in str(value))
    return " ".join("".join(each for each in kept if unicodedata.bidirectional(each) not in _TURNING).split())


def text(value: object) -> str:
    """The value as inline Markdown that shows exactly it."""
    escaped = _SPECIAL.sub(lambda found: _NAMED.get(found[0], f"&#{ord(found[0])};"), plain(value))
    return _LINK.sub(lambda found: "".join(f"&#{ord(each)};" for each in found[0]), escaped)  # no link nobody wrote


def code(value: object) -> str:
    """The value as inline code; by an HTML tag, since a backtick or a pipe in it would end a Markdown span."""
    return f"<code>{text(value)}</code>"


def told(value: object) -> str:
    """A sentence as `text`, with the last name in place of an absolute path."""
    return text(_FOLDERS.sub(lambda found: last_name(found[0]), str(value)))


def fenced(content: str, language: str = "") -> str:
    """A code block that nothing in it can end."""
    longest = max((len(run) for run in re.findall(r"`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{content.strip(chr(10))}\n{fence}"


def setting(value: Any) -> str:
    """A setting as YAML would have it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
