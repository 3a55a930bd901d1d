"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from personable.corpus import Format

DataPath = Annotated[str, typer.Argument(help="A file, a folder, or a Hub data set owner/name or owner/name:split.")]
FormatOption = Annotated[Format | None, typer.Option("--format", help="How it is written down; found when not given.")]
DetokeniseOption = Annotated[
    bool,
    typer.Option("--detokenise/--no-detokenise", help="Take out the spaces a tokeniser put before punctuation."),
]
MaxBadOption = Annotated[int, typer.Option(min=0, help="How many damaged records may be skipped.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
