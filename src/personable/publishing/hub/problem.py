"""One reason against publishing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a run that should be mended before others get it."""

    file: str
    """Name in the run, with the line or the key where there is one."""
    expected: str
    found: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.file}: expected {self.expected}, found {self.found}. Next: {self.next_step}."
