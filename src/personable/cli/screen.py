"""What commands print: results on stdout, messages and progress on stderr."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(message: str, *, label: str = "") -> None:
    """A message for people, on stderr; the label ("error", "warning") stands before it in colour."""
    from rich.console import Console
    from rich.text import Text

    colour = {"error": "bold red", "warning": "yellow"}.get(label, "bold")
    prefix = Text(f"{label}: ", style=colour) if label else Text()
    Console(stderr=True, highlight=False).print(prefix + Text(message), soft_wrap=True)


_MAIN_FIRST_SECONDS = 10.0


def is_main() -> bool:
    """False in all but one of the processes that a launcher such as torchrun starts for one command."""
    return os.environ.get("RANK", "0") == "0"


def complain(message: str) -> None:
    """An error, on stderr.

    What one process of a job runs into, most run into. The main one speaks first; its end makes the launcher end the
    others, who therefore speak only of what they alone have met.
    """
    if not is_main():
        time.sleep(_MAIN_FIRST_SECONDS)
        message = f"process {os.environ['RANK']} on {socket.gethostname()}: {message}"
    say(message, label="error")


def print_json(value: object) -> None:
    """A result for programs, on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


@contextmanager
def working(message: str) -> Iterator[None]:
    """Shows on stderr that something goes on, on a terminal only."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(message):
        yield


def forget_stdout() -> None:
    """Whoever read the output has left; without this the interpreter would complain when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
