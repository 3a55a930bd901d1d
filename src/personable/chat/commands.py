"""The lines of a chat that begin with a slash."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from personable.errors import ChatError


@dataclass(frozen=True, slots=True)
class Command:
    """One of them; `Session` has a method of the same name."""

    name: str
    argument: str
    """As shown in the help; empty for none."""
    help: str

    @property
    def usage(self) -> str:
        """Name and argument."""
        return f"{self.name} {self.argument}".rstrip()


COMMANDS = (
    Command("/persona", "[FILE|NAME]", "show the persona, or start anew with another"),
    Command("/retry", "", "another reply instead of the latest"),
    Command("/undo", "", "take back your latest line and the reply to it"),
    Command("/save", "[FILE]", "write the conversation to a file"),
    Command("/load", "FILE", "go on with a saved conversation"),
    Command("/seed", "[N|off]", "show the seed, fix it, or draw every reply anew"),
    Command("/help", "", "this list"),
    Command("/quit", "", "leave, as Ctrl-D does"),
)


def parse_command(line: str) -> tuple[Command, str]:
    """The command of a line that begins with a slash, and its argument, which may be empty.

    Raises ChatError, with the nearest name, for a command that does not exist, and for an argument too many or too few.
    """
    name, _, argument = line.partition(" ")
    command = next((each for each in COMMANDS if each.name == name), None)
    if command is None:
        nearest = get_close_matches(name, [each.name for each in COMMANDS], n=1, cutoff=0.5)
        meant = f"Did you mean {nearest[0]}? " if nearest else ""
        raise ChatError(f"there is no command {name}. {meant}/help lists them all")
    argument = argument.strip()
    if argument and not command.argument:
        raise ChatError(f"expected {command.name} alone, found {line!r}")
    if not argument and command.argument and not command.argument.startswith("["):
        raise ChatError(f"expected {command.usage}, found {command.name} alone")
    return command, argument


def help_text() -> str:
    """A line for each command."""
    width = max(len(command.usage) for command in COMMANDS)
    return "\n".join(f"{command.usage:<{width}}  {command.help}" for command in COMMANDS)
