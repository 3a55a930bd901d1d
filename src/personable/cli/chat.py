"""`personable chat`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from personable.cli.screen import working


def chat(
    run: Annotated[str, typer.Argument(help="`starter` (the bundled model), a run folder or a Hub id.")] = "starter",
    persona: Annotated[
        Path | None, typer.Option(help="YAML or JSON with name and facts, text with a fact a line, or dialogues.")
    ] = None,
    fact: Annotated[list[str] | None, typer.Option(help="A sentence about the persona; may be given often.")] = None,
    name: Annotated[str, typer.Option(help="What the screen calls the persona.")] = "",
    temperature: Annotated[float | None, typer.Option(help="Lower is more predictable, 0 is not random.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw from the likeliest tokens of this total.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Draw from this many of the likeliest tokens; 0 from all.")] = None,
    min_p: Annotated[float | None, typer.Option(help="Leave out tokens below this part of the likeliest.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="Above 1 avoids what was said before.")] = None,
    max_reply_tokens: Annotated[int | None, typer.Option(help="Cut replies here.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed and lines, the same replies.")] = None,
) -> None:
    """Talk with a run: on a terminal with commands such as /retry and /save, in a pipe a line out for each line in.

    Settings not given are the run's own. Without --persona and --fact, a persona of the bundled dialogues replies.
    """
    with working("starting"):  # importing torch takes seconds
        from personable.chat import chat as start_chat

    settings = {
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "max_reply_tokens": max_reply_tokens,
        "seed": seed,
    }
    if not start_chat(run, persona=persona, facts=fact or (), name=name, settings=settings):
        raise typer.Exit(1)
