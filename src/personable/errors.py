"""Every exception raised on purpose.

    PersonableError             what a user can cause and mend; its text is shown as it stands, without a traceback
    ├── DataError               a data file or record that cannot be used
    │   └── BadRecord           one record; carries file, line, expected, found
    ├── RecipeError             a setting that does not exist or does not fit
    ├── BaseNotFound            a base or run that is not there or cannot be reached
    ├── BadBase                 a base or run that is there but cannot be used
    ├── EncodingError           a dialogue that cannot be laid out within the context
    ├── ChatError               a line of a chat that cannot be done as things stand
    ├── TrainingStopped         training that ended without a finished run
    ├── ServerError             a model behind a URL that cannot be reached, refuses, or answers nonsense
    ├── PublishError            a run that may not be published, or that the Hub did not take
    └── MissingExtra            an optional dependency that is not installed

    KeyboardInterrupt
    └── Interrupted             a signal that ended training; carries which

Exit codes are the command line's affair: any PersonableError ends a command with 1, Interrupted with 128 + the signal.
"""

from __future__ import annotations

from pathlib import Path


class PersonableError(Exception):
    """Something a user can cause and mend."""


class DataError(PersonableError):
    """A data file that cannot be used."""


class BadRecord(DataError):
    """One record that cannot be used: where it is, what was expected, what was found."""

    def __init__(self, path: str | Path, line: int, *, expected: str, found: str) -> None:
        self.path, self.line, self.expected, self.found = str(path), line, expected, found
        super().__init__(f"{path}:{line}: expected {expected}, found {found}")


class RecipeError(PersonableError):
    """A setting that does not exist or does not fit."""


class BaseNotFound(PersonableError):
    """A base or run that is not there or cannot be reached."""


class BadBase(PersonableError):
    """A base or run that is there but cannot be used."""


class EncodingError(PersonableError):
    """A dialogue that cannot be laid out within the context."""


class ChatError(PersonableError):
    """A line of a chat that cannot be done as things stand."""


class TrainingStopped(PersonableError):
    """Training that ended without a finished run."""


class Interrupted(KeyboardInterrupt):
    """A signal ended training; the text says what is saved and how to go on."""

    def __init__(self, signum: int, message: str) -> None:
        self.signum = signum
        super().__init__(message)


class ServerError(PersonableError):
    """A model behind a URL that cannot be reached, refuses, or answers nonsense."""


class PublishError(PersonableError):
    """A run that may not be published, or that the Hub did not take."""


class MissingExtra(PersonableError):
    """An optional dependency that is not installed."""

    def __init__(self, package: str, extra: str, need: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(
            f"{need} needs the package {package!r}, which is not installed. Next: pip install 'personable[{extra}]'"
        )
