"""Where a chat is shown: a terminal, or a pipe with a line out for every line in."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.output import Output
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from personable.chat.commands import COMMANDS
from personable.dialogue import Dialogue, Speaker

YOU = "you"


class Screen(Protocol):
    """What a session needs of the place where it is shown."""

    interactive: bool
    """Whether a person sits in front of it: only then an interrupt stops a reply instead of the chat."""

    def ask(self) -> str | None:
        """The next line typed, without its end; None when there are no more. Raises KeyboardInterrupt."""

    def begin_reply(self, name: str) -> None:
        """A reply by the persona of that name follows."""

    def show(self, piece: str) -> None:
        """Some text of a reply."""

    def end_reply(self, mark: str = "") -> None:
        """The reply is over; mark says what is odd about it."""

    def answer(self, text: str) -> None:
        """What a command has to say, in one line or more."""

    def refuse(self, text: str) -> None:
        """Why a line could not be done."""

    def hint(self, text: str) -> None:
        """Something worth knowing that nobody asked for."""

    def recall(self, dialogue: Dialogue) -> None:
        """A conversation that was had before."""

    def blank(self) -> None:
        """Nothing was typed."""

    def busy(self, text: str) -> AbstractContextManager[object]:
        """Shows that something takes a while."""


class PlainScreen:
    """Lines in, lines out, no colour: for every line read exactly one is written. Hints go to another stream."""

    interactive = False

    def __init__(self, lines: TextIO, out: TextIO, hints: TextIO) -> None:
        self._lines, self._out, self._hints = lines, out, hints
        self._reply: list[str] = []

    def ask(self) -> str | None:
        line = self._lines.readline()
        return line.rstrip("\r\n") if line else None

    def begin_reply(self, name: str) -> None:
        self._reply = []

    def show(self, piece: str) -> None:
        self._reply.append(piece)

    def end_reply(self, mark: str = "") -> None:
        self._write(" ".join(part for part in ("".join(self._reply), mark) if part))

    def answer(self, text: str) -> None:
        self._write(" | ".join(text.splitlines()))

    def refuse(self, text: str) -> None:
        self._write(f"error: {text}")

    def hint(self, text: str) -> None:
        print(printable(text), file=self._hints, flush=True)

    def recall(self, dialogue: Dialogue) -> None:
        pass

    def blank(self) -> None:
        self._write("")

    def busy(self, text: str) -> AbstractContextManager[object]:
        return nullcontext()

    def _write(self, text: str) -> None:
        # `split` takes out every character that some reader may call a line end, not only "\n".
        print(printable(" ".join(text.split())), file=self._out, flush=True)


class TerminalScreen:
    """A prompt with history and completion, and replies that appear as they are made."""

    interactive = True

    def __init__(
        self,
        persona_names: Sequence[str] = (),
        *,
        console: Console | None = None,
        input: Input | None = None,
        output: Output | None = None,
    ) -> None:
        self._console = console or Console(highlight=False)
        self._prompt: PromptSession[str] = PromptSession(
            history=InMemoryHistory(),
            completer=CommandCompleter(persona_names),
            reserve_space_for_menu=5,
            input=input,
            output=output,
        )
        self._flow = WordFlow(self._console.width)

    def ask(self) -> str | None:
        try:
            return self._prompt.prompt(FormattedText([("bold ansicyan", f"{YOU}> ")]))
        except EOFError:
            return None

    def begin_reply(self, name: str) -> None:
        label = f"{printable(name)}> "
        self._stream(label, "bold magenta")
        self._flow = WordFlow(self._console.width, cell_len(label))

    def show(self, piece: str) -> None:
        self._stream(self._flow.take(printable(piece)))

    def end_reply(self, mark: str = "") -> None:
        self._stream(self._flow.rest())
        self._stream(self._flow.take(f" {mark}") + self._flow.rest(), "dim")
        self._print("")

    def answer(self, text: str) -> None:
        self._print(text, "green")

    def refuse(self, text: str) -> None:
        self._print(text, "red")

    def hint(self, text: str) -> None:
        self._print(text, "dim")

    def recall(self, dialogue: Dialogue) -> None:
        for turn in dialogue.turns:
            theirs = turn.speaker is Speaker.PARTNER
            self._stream(f"{YOU if theirs else name_of(dialogue)}> ", "cyan" if theirs else "magenta")
            self._print(turn.text)

    def blank(self) -> None:
        pass

    def busy(self, text: str) -> AbstractContextManager[object]:
        return self._console.status(Text(text, "dim"))

    def _stream(self, text: str, style: str = "") -> None:
        self._console.print(Text(printable(text), style), end="", soft_wrap=True)

    def _print(self, text: str, style: str = "") -> None:
        # As Text, so that square brackets are not taken for markup.
        self._console.print(Text(printable(text), style))


class WordFlow:
    """Breaks streamed text between words instead of inside them; a word is given out once it is whole."""

    def __init__(self, width: int, column: int = 0) -> None:
        self._width, self._column = width, column
        self._gap, self._word = "", ""

    def take(self, text: str) -> str:
        """What can be written now of this text and what was held back before."""
        ready = ""
        for letter in text:
            if not letter.isspace():
                self._word += letter
                continue
            ready += self.rest()
            if letter == "\n":
                ready, self._column, self._gap = ready + "\n", 0, ""
            else:
                self._gap += " "
        return ready

    def rest(self) -> str:
        """The word held back, on a new line where it would cross the edge."""
        if not self._word:
            return ""
        word, gap, self._word, self._gap = self._word, self._gap, "", ""
        size = cell_len(gap) + cell_len(word)
        if gap and self._column + size > self._width:
            self._column = cell_len(word)
            return "\n" + word
        self._column += size
        return gap + word


class CommandCompleter(Completer):
    """Commands at the start of a line, then names and files for those that take them."""

    def __init__(self, persona_names: Sequence[str] = ()) -> None:
        self._persona_names = persona_names
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Nothing for a line that is no command."""
        typed = document.text_before_cursor
        if not typed.startswith("/"):
            return
        name, space, argument = typed.partition(" ")
        if not space:
            for command in COMMANDS:
                if command.name.startswith(name):
                    yield Completion(command.name, -len(name), display_meta=command.help)
            return
        if name == "/persona":
            for persona_name in self._persona_names:
                if persona_name.casefold().startswith(argument.casefold()):
                    yield Completion(persona_name, -len(argument))
        if name in ("/persona", "/save", "/load"):
            yield from self._paths.get_completions(Document(argument), complete_event)


def name_of(dialogue: Dialogue) -> str:
    """What to call who replies."""
    return dialogue.persona.name or "bot"


def printable(text: str) -> str:
    """Text without control characters other than line ends and tabs: a reply must not steer the terminal."""
    return "".join(letter for letter in text if letter in "\n\t" or unicodedata.category(letter) != "Cc")
