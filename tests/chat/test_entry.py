"""The verb itself, from the command line to the last line."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import pytest
from typer.testing import CliRunner, Result

from personable.chat.personas import bundled_personas
from personable.cli import app
from personable.errors import PersonableError

GREEDY = ["--temperature", "0", "--repetition-penalty", "1"]
RITA = ["--fact", "i sail boats.", "--fact", "i have a cat named tom.", "--name", "Rita"]


def piped(arguments: Sequence[object], lines: Sequence[str]) -> Result:
    return CliRunner().invoke(app, ["chat", *map(str, arguments)], input="".join(f"{line}\n" for line in lines))


def test_lines_in_lines_out_exit_0(run):
    result = piped([run, *RITA, *GREEDY], ["hi", "what do you do"])
    assert (result.stdout, result.stderr, result.exit_code) == ("hello there\ni sail boats\n", "", 0)


def test_the_persona_may_come_from_a_file(run, tmp_path):
    (tmp_path / "oleg.txt").write_text("i bake bread.\n")
    result = piped([run, "--persona", tmp_path / "oleg.txt", *GREEDY], ["hi"])
    assert result.stdout == "good day\n"


def test_settings_reach_the_reply(run):
    def replies(*arguments: str) -> str:
        return piped([run, *RITA, *arguments], ["hi", "what do you do", "any pets"]).stdout

    hot = ["--temperature", "3", "--top-p", "1", "--max-reply-tokens", "12"]
    assert replies(*hot, "--seed", "1") == replies(*hot, "--seed", "1") != replies(*hot, "--seed", "2")
    assert replies(*GREEDY, "--max-reply-tokens", "1").splitlines()[0] == "h"
    assert replies(*hot, "--top-k", "1", "--repetition-penalty", "1") == replies(*GREEDY)
    assert replies(*hot, "--min-p", "1", "--repetition-penalty", "1") == replies(*GREEDY)


def test_without_a_persona_the_first_that_comes_along_replies(run):
    first, *_ = bundled_personas()
    result = piped([run, *GREEDY], ["/persona"])
    assert all(" ".join(fact.split()) in result.stdout for fact in first.facts)


def test_the_starter_replies_where_no_run_is_named():
    result = piped(["--seed", "1"], ["hi, how are you?"])
    assert len(result.stdout.splitlines()) == 1
    assert result.stdout.strip()
    assert result.exit_code == 0


def test_a_reply_that_failed_shows_in_the_exit_code(run):
    result = piped([run, *RITA, *GREEDY], ["pets " * 300, "hi"])
    assert result.stdout.splitlines()[1] == "hello there"
    assert result.exit_code == 1


@pytest.mark.parametrize(
    "arguments", [["nowhere/../at-all/"], ["--temperature", "-1"], ["--persona", "none.yaml"], ["--top-p", "2"]]
)
def test_what_cannot_be_used_is_an_error_and_not_a_crash(arguments):
    assert isinstance(piped(arguments, ["hi"]).exception, PersonableError)


def test_help_tells_what_to_type():
    text = piped(["--help"], []).output
    assert "personable chat runs/rita" in text
    assert all(option in text for option in ("--persona", "--fact", "--name", "--seed", "--temperature"))


def test_on_a_real_terminal(run):
    """A pseudo-terminal: prompt, reply in colour, Ctrl-C at the prompt, Ctrl-D to leave."""
    with TerminalProgram(["chat", str(run), *RITA, *GREEDY]) as program:
        program.wait_for("you> ")
        program.type("hi\r")
        program.wait_for("hello there")
        program.wait_for("you> ")
        program.type("\x03")
        program.wait_for("Ctrl-D or /quit leaves")
        program.wait_for("you> ")
        program.type("\x04")
        assert program.exit_code() == 0
        assert "Loading weights" not in program.seen


class TerminalProgram:
    """The command line in a terminal of its own."""

    def __init__(self, arguments: list[str]) -> None:
        self._ours, theirs = pty.openpty()
        code = "from personable.cli import main; main()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = ""
        self._at = 0

    def __enter__(self) -> "TerminalProgram":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def wait_for(self, text: str) -> None:
        """Reads on until text was printed after what was waited for before."""
        self._read_until(lambda: text in self.seen[self._at :], f"{text!r}")
        self._at = self.seen.index(text, self._at) + len(text)

    def exit_code(self) -> int:
        self._read_until(lambda: self._process.poll() is not None, "the end")
        return self._process.wait()

    def _read_until(self, done: Callable[[], bool], what: str, timeout_seconds: float = 90) -> None:
        end = time.monotonic() + timeout_seconds
        while not done():
            assert time.monotonic() < end, f"waited for {what}, saw {self.seen!r}"
            if select.select([self._ours], [], [], 0.1)[0]:
                try:
                    data = os.read(self._ours, 65536)
                except OSError:  # the other side was closed
                    continue
                if b"\x1b[6n" in data:  # prompt_toolkit asks where the cursor is
                    os.write(self._ours, b"\x1b[1;1R")
                self.seen += re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>])", "", data.decode("utf-8", "replace"))
