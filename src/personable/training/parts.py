"""The data of a recipe -> what is learnt from and what is held out, as token ids."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tokenizers
import transformers
from accelerate import PartialState
from datasets import Dataset, concatenate_datasets

import personable.dialogue
import personable.encoding
from personable import starter
from personable.training import kept, prepared, windows
from personable.training.choosing import Choice, Cut, Side, line_batches
from personable.training.corpora import Corpus, Source, code_of, read_corpus
from personable.training.layout import Layout
from personable.training.prepared import COLUMNS, Prepared, encode_lines
from personable.training.recipe import DataSettings, Recipe
from personable.training.workers import mapped

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """The two parts of a run's data."""

    train: Prepared
    validation: Prepared


def read_parts(recipe: Recipe, layout: Layout, *, seed: int) -> Parts:
    """Reads and encodes a recipe's data, or finds what an earlier run made of the same content (see `kept`).

    What was skipped, left out or cut is logged. Of the processes on a machine one prepares while the others wait, for
    `training.ddp_timeout` seconds at most. Raises BadRecord and DataError as `read_dialogues` and `split_dialogues` do,
    BadBase for a template that cannot be learnt from.
    """
    processes = PartialState()
    with processes.local_main_process_first():
        tell = log.warning if processes.is_local_main_process else log.debug
        train, validation = _choices(recipe.data, seed, tell)
        identity = _identity(layout)
        parts = Parts(_prepared(train, layout, identity), _prepared(validation, layout, identity))
        for warning in (*parts.train.warnings, *parts.validation.warnings):
            tell("%s", warning)
    return parts


def _choices(data: DataSettings, seed: int, tell: Any) -> tuple[Choice, Choice]:
    def read(sources: Sequence[str], bundled: Path) -> tuple[Corpus, ...]:
        found = []
        for source in sources:
            path, format = (bundled, None) if source == "starter" else (source, data.format)
            corpus = read_corpus(Source(path, format, data.detokenise, data.max_bad))
            for problem in corpus.problems:
                tell("skipped: %s", problem)
            found.append(corpus)
        return tuple(found)

    train = read(data.train, starter.TRAIN)
    if data.validation:
        validation = read(data.validation, starter.VALIDATION)
        return (
            Choice(train, data.max_dialogues, seed),
            Choice(validation, data.max_validation_dialogues, seed),
        )
    cut = Cut(train, data.validation_share, seed)
    return (
        Choice(train, data.max_dialogues, seed, cut, Side.TRAIN),
        Choice(train, data.max_validation_dialogues, seed, cut, Side.VALIDATION),
    )


def _prepared(choice: Choice, layout: Layout, identity: Sequence[Any]) -> Prepared:
    def make(folder: Path) -> dict[str, Any]:
        lines = choice.lines()
        mapped(lines, encode_lines, into=COLUMNS, file=folder / "windows.arrow", what="encoded", layout=layout)
        return {"dialogues": len(lines), "fingerprint": _fingerprint(lines), "warnings": choice.warnings()}

    key = json.dumps([choice.key, identity])
    name = f"windows-{hashlib.sha256(key.encode()).hexdigest()[:32]}"
    folder = kept.whole(name) or kept.keep(name, make)
    rows = concatenate_datasets([Dataset.from_file(str(folder.path / file)) for file in folder.about["files"]])
    about = folder.about
    return Prepared(
        rows,
        dialogues=about["dialogues"],
        fingerprint=about["fingerprint"],
        layout=layout,
        warnings=about["warnings"],
        folder=folder,
    )


def _fingerprint(lines: Dataset) -> str:
    """What `personable.corpus.fingerprint` gives for them."""
    digest = hashlib.sha256()
    for batch in line_batches(lines):
        digest.update("\n".join([*batch, ""]).encode("utf-8"))
    return digest.hexdigest()


def _identity(layout: Layout) -> list[Any]:
    """All that the token ids of a dialogue depend on beside the dialogue."""
    tokenizer = layout.tokenizer
    tokenizer("")  # an earlier call may have left truncation or padding set, which would be part of its content
    return [
        hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest(),
        tokenizer.chat_template,
        {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        tokenizer.all_special_tokens,
        asdict(layout.budget),
        layout.learn_partner,
        [transformers.__version__, tokenizers.__version__],
        code_of(personable.encoding, personable.dialogue, prepared, windows),
    ]
