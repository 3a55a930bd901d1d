"""The formats a corpus can have, and how each is told from its content."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Format(StrEnum):
    """How dialogues are written down. The value is what `--format` takes."""

    PERSONABLE = "personable"
    """The canonical JSONL: what `personable data convert` writes."""
    CONVAI2 = "convai2"
    """ParlAI text of PersonaChat / ConvAI2: numbered lines, `utterance<TAB>reply`."""
    PERSONACHAT_JSON = "personachat-json"
    """`personality`, `utterances` with `history` and `candidates`; a list, JSONL, {"train": [...], "valid": [...]}."""
    PERSONA_ROWS = "persona-rows"
    """Rows of `persona_b`, `dialogue`, `reference`."""
    SYNTHETIC_PERSONA_CHAT = "synthetic-persona-chat"
    """CSV of `user 1 personas`, `user 2 personas`, `Best Generated Conversation`."""
    MESSAGES = "messages"
    """Chat `messages` with `role` and `content`; the persona is the system message."""
    TURNS = "turns"
    """`turns` as plain texts, the partner first; Multi-Session Chat adds `persona_user` and `persona_assistant`."""


SYNTHETIC_PERSONA_CHAT_COLUMNS = ("user 1 personas", "user 2 personas", "best generated conversation")


def format_of_record(record: Mapping[str, object]) -> Format | None:
    """The format whose keys a record has; None when it has those of none."""
    keys = {key.strip().casefold() for key in record}
    if "messages" in keys:
        return Format.MESSAGES
    if "utterances" in keys:
        return Format.PERSONACHAT_JSON
    if "persona_b" in keys or {"dialogue", "reference"} <= keys:
        return Format.PERSONA_ROWS
    if keys.issuperset(SYNTHETIC_PERSONA_CHAT_COLUMNS):
        return Format.SYNTHETIC_PERSONA_CHAT
    turns = record.get("turns")
    if isinstance(turns, list) and turns:
        return Format.TURNS if isinstance(turns[0], str) else Format.PERSONABLE
    return None
