"""From any readable corpus to canonical files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from personable.corpus.canonical import write_dialogues
from personable.corpus.formats import Format
from personable.corpus.reading import iter_dialogues
from personable.corpus.splitting import Split, split_dialogues
from personable.errors import BadRecord, DataError


def convert(
    path: str | Path,
    out: str | Path,
    *,
    format: Format | None = None,
    detokenise: bool = False,
    max_bad: int = 0,
    on_problem: Callable[[BadRecord], None] = lambda problem: None,
) -> int:
    """Writes what `path` holds as canonical JSONL and returns how many dialogues. Raises as reading and writing do."""
    return write_dialogues(
        iter_dialogues(path, format=format, detokenise=detokenise, max_bad=max_bad, on_problem=on_problem), out
    )


def split(
    path: str | Path,
    train: str | Path,
    validation: str | Path,
    *,
    validation_share: float,
    seed: int,
    format: Format | None = None,
    detokenise: bool = False,
    max_bad: int = 0,
    on_problem: Callable[[BadRecord], None] = lambda problem: None,
) -> Split:
    """Cuts what `path` holds as `split_dialogues` does, writes both parts as canonical JSONL and returns them."""
    if Path(train).absolute() == Path(validation).absolute():
        raise DataError(f"expected two files to write, found {train} twice")
    parts = split_dialogues(
        iter_dialogues(path, format=format, detokenise=detokenise, max_bad=max_bad, on_problem=on_problem),
        validation_share=validation_share,
        seed=seed,
    )
    write_dialogues(parts.train, train)
    write_dialogues(parts.validation, validation)
    return parts
