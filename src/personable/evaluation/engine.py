"""What evaluation asks of a model, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from personable.dialogue import Dialogue
from personable.reply import Sampling

OnProgress = Callable[[int, int], None]
"""Told (done, of how many) after each piece of work."""


def no_progress(done: int, total: int) -> None:
    """For callers that do not watch."""


class Engine(Protocol):
    """Anything that replies. LocalEngine also gives log-probabilities; a server behind a URL does not."""

    @property
    def about(self) -> dict[str, object]:
        """What it is, ready for JSON: `kind` (local or url), `name`, and for a local one `parameters` and
        `context_tokens`. Never an absolute path or a key."""

    def replies(
        self, histories: Sequence[Dialogue], sampling: Sampling, on_progress: OnProgress = no_progress
    ) -> list[str]:
        """The persona's next reply to each history, without white space around it; may be empty.

        Does not depend on the order or number of histories: with a seed, each is drawn from its own generator.
        """
