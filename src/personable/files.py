"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path


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
