"""Files that are there whole or not at all, and what tells whether they still are."""

from __future__ import annotations

import hashlib
from pathlib import Path


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file's content as hex digits. Raises OSError."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_whole(file: Path, text: str) -> Path:
    """Writes UTF-8 text so that at any moment either the old or the new content is there; returns the file.

    Line ends are written as they stand. What could not be finished leaves nothing behind. Raises OSError.
    """
    content = text.encode("utf-8")
    new = file.with_name(f"{file.name}.new")
    try:
        new.write_bytes(content)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
    return file
