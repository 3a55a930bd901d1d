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
        typer.Option("--licence", "--license", help="Of the weights, such as mit, not the recipe's; remembered."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a README.md that was written or changed by hand.")
    ] = False,
) -> None:
    """Write the model card of a run from what it recorded."""
    with working("writing"):
        from personable.errors import PublishError
        from personable.publishing.card.lineage import hub_licence
        from personable.publishing.card.writing import (
            check_repo,
            earlier_licence,
            read_run,
            stated_licence,
            write_card,
        )
        from personable.publishing.hub.contents import typed_run

        try:
            if repo is not None:
                check_repo(repo)
        except PublishError as error:
            raise typer.BadParameter(str(error), param_hint="--repo") from error
        kept = None if licence else earlier_licence(run)
        file = write_card(run, repo=repo, licence=licence, overwrite=overwrite)
        records = read_run(run)
    print(file)
    stated = licence or kept or stated_licence(records)
    if kept:
        say(f"licence {kept}, as in the card before; --licence states another")
    identifier = hub_licence(stated) if stated else {}
    if (altered := identifier.get("license_name")) and altered != stated:
        say(f"the Hub knows no licence {stated!r}: the metadata says license other, license_name {altered}")
    if not stated:
        say("no licence is stated for the weights, so the card names none. Next: --licence mit, or what fits")
    if records.evaluation is None:
        typed = typed_run(run)
        say(f"not evaluated yet. Next: personable evaluate {typed} --data PATH, then personable card {typed} again")
