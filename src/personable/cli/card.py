"""`personable card`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from personable.cli.screen import say, working


def card(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    repo: Annotated[str | None, typer.Option(help="The Hub id OWNER/NAME its weights have or will have.")] = None,
    licence: Annotated[
        str | None,
        typer.Option("--licence", "--license", help="Of the weights, such as mit, in place of the recipe's."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a README.md that was written or changed by hand.")
    ] = False,
) -> None:
    """Write the model card of a run from what it recorded."""
    with working("writing"):
        from personable.publishing.card.writing import read_run, stated_licence, write_card

        file = write_card(run, repo=repo, licence=licence, overwrite=overwrite)
        records = read_run(run)
    print(file)
    if not (licence or stated_licence(records)):
        say("no licence is stated for the weights, so the card names none. Next: --licence mit, or what fits")
    if records.evaluation is None:
        say(f"not evaluated yet. Next: personable evaluate {run} --data PATH, then personable card {run} again")
