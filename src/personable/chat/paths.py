"""Paths as people type them into a chat."""

from __future__ import annotations

from pathlib import Path

from personable.errors import DataError


def typed_path(text: str) -> Path:
    """The path, with ~ and ~somebody written out; there may or may not be something.

    Raises DataError where the system will not say whether there is (a name too long, a folder that is closed), and for
    the home of nobody.
    """
    try:
        path = Path(text).expanduser()
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return path
    except OSError as error:
        raise DataError(f"expected a path, found {_shown(text)}: {error.strerror or error}") from error
    except (RuntimeError, ValueError) as error:  # no such home; a NUL character
        raise DataError(f"expected a path, found {_shown(text)}: {error}") from error
    return path


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
