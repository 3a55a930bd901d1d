"""Sources of dialogues -> one canonical line a dialogue in an Arrow file, read once and kept."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from datasets import Dataset, Features, Value, concatenate_datasets
from datasets.arrow_writer import ArrowWriter

import personable.corpus
from personable.corpus import Format, iter_dialogues
from personable.corpus.canonical import canonical_line, parse_canonical
from personable.corpus.detokenising import detokenised
from personable.corpus.places import Place
from personable.corpus.reading import files_of
from personable.dialogue import Dialogue
from personable.errors import BadRecord, DataError
from personable.files import sha256_of
from personable.training import kept
from personable.training.workers import mapped

log = logging.getLogger(__name__)

LINE = "line"
"""The only column: a dialogue as its canonical line."""
_COLUMNS = Features({LINE: Value("string")})
_LINES_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Source:
    """A path or Hub id and how it is read: the arguments of `read_dialogues`."""

    path: str | Path
    format: Format | None = None
    detokenise: bool = False
    max_bad: int = 0


@dataclass(slots=True)
class Corpus:
    """What a source holds."""

    key: str
    """Equal for equal dialogues, read in the same way."""
    problems: tuple[BadRecord, ...]
    """The records that were skipped."""
    _folder: kept.Folder
    _again: Callable[[], kept.Folder] | None
    """Reads the source once more, where what was kept is damaged."""

    def lines(self) -> Dataset:
        """Its dialogues as canonical lines, mapped from the file."""
        if self._again:
            self._folder = kept.whole(self._folder.path.name) or self._again()
            self._again = None
        files = [str(self._folder.path / file) for file in self._folder.about["files"]]
        return concatenate_datasets([Dataset.from_file(file) for file in files])


def read_corpus(source: Source) -> Corpus:
    """Reads a source, or finds what was kept of an earlier reading of the same content.

    A Hub data set is read anew each time, since only its content tells whether it has changed.
    Raises BadRecord and DataError as `read_dialogues` does.
    """
    local = files_of(source.path)
    files, split = local or ((), None)
    key = _key(source, files, split)

    def make(folder: Path) -> dict[str, Any]:
        return _write(source, files, folder)

    if not key:
        folder = kept.temporary(make)
        key = _digest([folder.about["sha256"], source.detokenise, code_of(personable.corpus)])
        return Corpus(key, _problems(folder, files), folder, None)
    name = f"dialogues-{key}"
    found = kept.find(name)
    folder = found or kept.keep(name, make)
    return Corpus(key, _problems(folder, files), folder, (lambda: kept.keep(name, make)) if found else None)


def code_of(*modules: ModuleType) -> str:
    """A digest of the source of modules or packages: what they made is not taken for what they make now."""
    digest = hashlib.sha256()
    for module in modules:
        file = Path(str(module.__file__))
        for part in sorted(file.parent.glob("*.py")) if file.name == "__init__.py" else [file]:
            digest.update(part.read_bytes())
    return digest.hexdigest()


def _key(source: Source, files: Iterable[Path], split: str | None) -> str | None:
    """None where the content is not known before it is read."""
    try:
        contents = [sha256_of(file) for file in files]
    except OSError:  # reading says better what is wrong
        return None
    if not contents:
        return None
    return _digest([contents, split, source.format, source.detokenise, source.max_bad, code_of(personable.corpus)])


def _digest(values: list[Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]


def _write(source: Source, files: tuple[Path, ...], folder: Path) -> dict[str, Any]:
    problems: list[BadRecord] = []
    dialogues = iter_dialogues(source.path, format=source.format, max_bad=source.max_bad, on_problem=problems.append)
    read, started = folder / "read.arrow", time.monotonic()
    count, digest = _write_lines(map(canonical_line, dialogues), read)
    log.info("%d dialogues read in %.1f s", count, time.monotonic() - started)
    if not count:
        raise problems[0] if problems else DataError(f"{source.path}: expected dialogues, found none")
    if source.detokenise:  # it takes longer than reading, and needs no order
        lines = Dataset.from_file(str(read))
        mapped(lines, _detokenised, into=_COLUMNS, file=folder / "dialogues.arrow", what="detokenised")
        read.unlink()
    names = [str(file) for file in files]
    noted = [
        [names.index(each.path) if each.path in names else each.path, each.line, each.expected, each.found]
        for each in problems
    ]
    return {"dialogues": count, "sha256": digest, "problems": noted}


def _write_lines(lines: Iterator[str], file: Path) -> tuple[int, str]:
    """How many, and their SHA-256."""
    digest, count = hashlib.sha256(), 0
    with ArrowWriter(path=str(file), features=_COLUMNS) as writer:
        for batch in _batches(lines):
            digest.update("\n".join([*batch, ""]).encode("utf-8"))
            writer.write_batch({LINE: batch})
            count += len(batch)
        writer.finalize()
    return count, digest.hexdigest()


def _detokenised(lines: dict[str, list[str]]) -> dict[str, list[str]]:
    return {LINE: [canonical_line(detokenised(dialogue_of(line))) for line in lines[LINE]]}


def dialogue_of(line: str) -> Dialogue:
    """The dialogue of a canonical line."""
    return parse_canonical(Place("a prepared dialogue", 1), json.loads(line))[0]


def _batches(lines: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(lines, _LINES_AT_ONCE)):
        yield batch


def _problems(folder: kept.Folder, files: tuple[Path, ...]) -> tuple[BadRecord, ...]:
    """The same content may lie under another name by now."""
    return tuple(
        BadRecord(files[file] if isinstance(file, int) else file, line, expected=expected, found=found)
        for file, line, expected, found in folder.about["problems"]
    )
