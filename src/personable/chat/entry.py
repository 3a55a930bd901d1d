"""`personable chat`: a run, a persona, and whoever sits in front of it or pipes into it."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from personable.base import is_local, quiet_transformers
from personable.chat.paths import typed_path
from personable.chat.personas import bundled_personas, names_of, read_persona
from personable.chat.screen import PlainScreen, Screen, TerminalScreen
from personable.chat.session import Session, described
from personable.dialogue import Persona
from personable.encoding.layout import cuts_not_logged
from personable.reply import Bot, Sampling, load


def chat(
    run: str | Path = "starter",
    *,
    persona: str | Path | None = None,
    facts: Sequence[str] = (),
    name: str = "",
    settings: Mapping[str, float | None] | None = None,
) -> bool:
    """A chat on standard input and output until it is left; False if some reply failed.

    persona: a file, see `read_persona`.   facts: said of the persona as well, or instead of a file.
    settings: of `Sampling`, in place of the run's own; None leaves one as it is.

    Without persona and facts, the first persona of the bundled dialogues replies.
    Raises BaseNotFound, BadBase or DataError for a run or persona that cannot be used, RecipeError for a bad setting.
    """
    Sampling().but(**(settings or {}))  # what is wrong here is told before a model is loaded
    who = chosen_persona(persona, facts, name)
    bundled = bundled_personas()
    screen = _screen_for_standard_streams(names_of(bundled))
    bot = _loaded(run, screen)
    session = Session(bot, screen, who, bot.sampling.but(**(settings or {})), bundled)
    if screen.interactive:
        screen.answer(described(who))
        screen.hint("/help lists the commands, Ctrl-C stops a reply, Ctrl-D leaves")
    with cuts_not_logged():  # the session says it on the screen
        session.run()
    return not session.failed


def chosen_persona(file: str | Path | None, facts: Sequence[str], name: str) -> Persona:
    """The persona of a file, of facts, or of both together; without either, the first of those that come along."""
    if file is not None:
        read = read_persona(typed_path(str(file)))
        return Persona((*read.facts, *_sentences(facts)), name or read.name)
    if _sentences(facts):
        return Persona(_sentences(facts), name)
    first = bundled_personas()[0]
    return Persona(first.facts, name or first.name)


def _loaded(run: str | Path, screen: Screen) -> Bot:
    if not is_local(run):
        return load(run)  # it may have to be downloaded, which shows bars of its own
    with screen.busy(f"loading {run}"), quiet_transformers():
        return load(run)


def _sentences(facts: Sequence[str]) -> tuple[str, ...]:
    return tuple(fact.strip() for fact in facts if fact.strip())


def _screen_for_standard_streams(persona_names: Sequence[str]) -> Screen:
    if sys.stdin.isatty() and sys.stdout.isatty():
        return TerminalScreen(persona_names)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A byte that is no text in this locale, or a character that it lacks, must not end the chat.
            stream.reconfigure(errors="replace")
    return PlainScreen(sys.stdin, sys.stdout, sys.stderr)
