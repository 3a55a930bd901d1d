"""An engine that says what a function tells it to: characters whose faults are known exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from personable.dialogue import Dialogue
from personable.evaluation.engine import OnProgress, no_progress
from personable.reply import Bot, Sampling


class Scripted:
    """Replies by a function of the history; remembers what it was asked, and with which sampling."""

    def __init__(self, reply: Callable[[Dialogue], str]) -> None:
        self._reply = reply
        self.asked: list[Dialogue] = []
        self.samplings: list[Sampling] = []

    @property
    def about(self) -> dict[str, object]:
        return {"kind": "scripted", "name": "script"}

    def replies(
        self, histories: Sequence[Dialogue], sampling: Sampling, on_progress: OnProgress = no_progress
    ) -> list[str]:
        self.asked += histories
        self.samplings.append(sampling)
        on_progress(len(histories), len(histories))
        return [self._reply(history) for history in histories]


def bot_engine(bot: Bot) -> Scripted:
    """A real model behind the protocol, one history at a time."""
    engine = Scripted(lambda history: bot.reply(history, engine.samplings[-1]))
    return engine
