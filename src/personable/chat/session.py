"""A chat from its first line to its last: what is typed, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from personable.chat.commands import help_text, parse_command
from personable.chat.conversation import Conversation, load_conversation, save_conversation
from personable.chat.paths import typed_path
from personable.chat.personas import find_persona, names_of
from personable.chat.screen import Screen, name_of
from personable.dialogue import Dialogue, Persona
from personable.errors import ChatError, PersonableError
from personable.reply import Bot, Piece, Sampling


class Session:
    """A bot, a conversation with it and the screen that shows it."""

    def __init__(
        self, bot: Bot, screen: Screen, persona: Persona, sampling: Sampling, bundled: Sequence[Persona] = ()
    ) -> None:
        """bundled: the personas that /persona finds by name."""
        self.bot, self.screen, self.sampling, self.bundled = bot, screen, sampling, bundled
        self.conversation = Conversation(Dialogue(persona))
        self.failed = False
        """Whether a reply could not be made."""
        self._file: Path | None = None
        self._told = Piece("")
        self._left = False
        self._commands: dict[str, Callable[[str], None]] = {
            "/persona": self.persona,
            "/retry": self.retry,
            "/undo": self.undo,
            "/save": self.save,
            "/load": self.load,
            "/seed": self.seed,
            "/help": self.help,
            "/quit": self.quit,
        }

    def run(self) -> None:
        """Takes lines until there are no more."""
        while not self._left:
            try:
                line = self.screen.ask()
                if line is None:
                    return
                self.take(line)
            except KeyboardInterrupt:
                if not self.screen.interactive:
                    raise
                self.screen.hint("Ctrl-D or /quit leaves")

    def take(self, line: str) -> None:
        """Does what one line asks for; what cannot be done is said on the screen."""
        # Half of a surrogate pair, as a broken paste leaves it, is text that no tokenizer takes.
        line = line.encode("utf-8", "replace").decode("utf-8").strip()
        if not line:
            self.screen.blank()
        elif line.startswith("/"):
            self._obey(line)
        else:
            heard = self.conversation.heard(line)
            self._reply(heard, if_silent=heard)

    def _obey(self, line: str) -> None:
        try:
            command, argument = parse_command(line)
            self._commands[command.name](argument)
        except PersonableError as error:
            self.screen.refuse(str(error))

    def _reply(self, asked: Conversation, *, if_silent: Conversation) -> None:
        """Streams the reply to a conversation and goes on with both; without a word, with if_silent.

        A reply that fails leaves the conversation as it was: a line too long for the context must not spoil the next.
        """
        said: list[str] = []
        mark = ""
        try:
            self.screen.begin_reply(name_of(asked.dialogue))
            with closing(self.bot.stream_reply(asked.dialogue, self._sampling_for(asked))) as pieces:
                for piece in pieces:
                    said.append(piece.text)
                    self.screen.show(piece.text)
        except KeyboardInterrupt:
            if not self.screen.interactive:
                raise
            mark, piece = "(cut)", Piece("")
        except PersonableError as error:
            self.failed = True
            self.screen.refuse(str(error))
            return
        text = "".join(said)
        self.conversation = asked.answered(text) if text else if_silent
        self.screen.end_reply(mark if text or mark else "(no answer)")
        self._tell_what_was_left_out(piece)

    def _sampling_for(self, asked: Conversation) -> Sampling:
        """The session's, with the seed moved on for every retry: the same seed would give the same reply."""
        if self.sampling.seed is None:
            return self.sampling
        return self.sampling.but(seed=(self.sampling.seed + asked.retries) % 2**63)

    def _tell_what_was_left_out(self, last: Piece) -> None:
        if last.dropped_turns not in (0, self._told.dropped_turns):
            turns = "turn" if last.dropped_turns == 1 else f"{last.dropped_turns} turns"
            self.screen.hint(f"(the oldest {turns} no longer fit and went unread)")
        if last.cut_facts and last.cut_facts != self._told.cut_facts:
            self.screen.hint(f"(the persona is too long; unread: {' '.join(last.cut_facts)})")
        if last.finish_reason:
            self._told = last

    def persona(self, name_or_path: str) -> None:
        """Shows the persona, or starts a new conversation with another. Raises DataError if it cannot be found."""
        if name_or_path:
            self.conversation = Conversation(Dialogue(find_persona(name_or_path, self.bundled)))
            self._file = None
            self.screen.answer("a new conversation with\n" + described(self.conversation.persona))
        else:
            names = names_of(self.bundled)
            others = f"\nothers: {', '.join(names)}" if names else ""
            self.screen.answer(described(self.conversation.persona) + others)

    def retry(self, _: str = "") -> None:
        """Puts another reply in place of the latest. Raises ChatError while there is nothing to answer."""
        before = self.conversation
        asked = before.awaiting_another_reply()
        self._reply(asked, if_silent=Conversation(before.dialogue, asked.retries))
        if self.sampling.greedy and self.conversation.turns == before.turns:
            self.screen.hint("(the same again: at temperature 0 chance plays no part)")

    def undo(self, _: str = "") -> None:
        """Takes back the latest exchange. Raises ChatError if there is none."""
        undone = self.conversation.undone()
        taken_back = self.conversation.turns[len(undone.turns)]
        self.conversation = undone
        self.screen.answer(f"taken back: {taken_back.text}")

    def save(self, path: str) -> None:
        """Writes the conversation, without a path where it was written or read last.

        Raises ChatError rather than write over a file that this chat has not written or read, DataError where
        it cannot be written.
        """
        file = typed_path(path) if path else self._file
        if file is None:
            raise ChatError("expected /save FILE, found /save alone")
        if file != self._file and file.exists():
            raise ChatError(f"{file} is already there. Next: choose another name")
        save_conversation(self.conversation, file)
        self._file = file
        self.screen.answer(f"saved {_counted(self.conversation)} to {file}")

    def load(self, path: str) -> None:
        """Goes on with a saved conversation. Raises ChatError or DataError for a file that holds none."""
        file = typed_path(path)
        loaded, dialogues = load_conversation(file)
        self.conversation, self._file = loaded, file if dialogues == 1 else None
        first = "" if dialogues == 1 else f", the first of {dialogues} dialogues"
        self.screen.answer(f"loaded {_counted(loaded)} from {file}{first}")
        self.screen.recall(loaded.dialogue)

    def seed(self, value: str) -> None:
        """Shows or sets the seed. Raises ChatError or RecipeError for something that is no seed."""
        if value == "off":
            self.sampling = replace(self.sampling, seed=None)
        elif value.isascii() and value.isdecimal():
            self.sampling = self.sampling.but(seed=int(value))
        elif value:
            raise ChatError(f"expected /seed with a whole number or off, found {value!r}")
        seed = self.sampling.seed
        self.screen.answer("no seed: every reply is drawn anew" if seed is None else f"seed {seed}")

    def help(self, _: str = "") -> None:
        """Lists the commands."""
        self.screen.answer(help_text())

    def quit(self, _: str = "") -> None:
        """Ends the session after this line."""
        self.screen.answer("bye")
        self._left = True


def described(persona: Persona) -> str:
    """The name and the facts of a persona, one a line."""
    head = persona.name or "a persona without a name"
    return "\n".join([head, *(f"  {fact}" for fact in persona.facts)]) if persona.facts else f"{head}, without facts"


def _counted(conversation: Conversation) -> str:
    count = len(conversation.turns)
    return "1 turn" if count == 1 else f"{count} turns"
