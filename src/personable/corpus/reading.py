"""Files to dialogues: finds the format, runs its reader, and keeps count of what cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from personable.corpus.canonical import parse_canonical
from personable.corpus.convai2 import read_convai2
from personable.corpus.detokenising import detokenised
from personable.corpus.formats import Format, format_of_record
from personable.corpus.hub import hub_rows, is_hub_id
from personable.corpus.messages import parse_messages
from personable.corpus.opening import Kind, head_of, kind_of
from personable.corpus.persona_rows import read_persona_rows
from personable.corpus.personachat_json import parse_personachat
from personable.corpus.places import Place, Placed, shown
from personable.corpus.plain_turns import parse_turns
from personable.corpus.rows import Container, FoundRow, Row, container_of, rows_of
from personable.corpus.synthetic_persona_chat import parse_synthetic
from personable.dialogue import Dialogue
from personable.errors import BadRecord, DataError

_Found = Placed | BadRecord
_Parse = Callable[[Place, Mapping[str, object]], list[Dialogue]]

_PARSERS: dict[Format, _Parse] = {
    Format.PERSONABLE: parse_canonical,
    Format.PERSONACHAT_JSON: parse_personachat,
    Format.SYNTHETIC_PERSONA_CHAT: parse_synthetic,
    Format.MESSAGES: parse_messages,
    Format.TURNS: parse_turns,
}
_ENDINGS = (".jsonl", ".json", ".csv", ".txt", ".parquet")
_COMPRESSED = (".xz", ".gz")
# A damaged beginning must not hide the format; a file whose first hundred records are all damaged has none.
_RECORDS_TO_LOOK_AT = 100


@dataclass(frozen=True)
class Reading:
    """What a path held."""

    dialogues: tuple[Dialogue, ...]
    format: Format
    problems: tuple[BadRecord, ...] = ()
    """The records that were skipped, in order; at most `max_bad`."""


def read_dialogues(
    path: str | Path, *, format: Format | None = None, detokenise: bool = False, max_bad: int = 0
) -> Reading:
    """Every dialogue of a file, of a folder of files, or of a Hub data set `owner/name` or `owner/name:split`.

    format      how the dialogues are written down; found from the content when None.
    detokenise  take out the spaces a tokeniser put before punctuation: for training; benchmarks need the raw text.
    max_bad     how many damaged records may be skipped; the next one is raised.

    Of a JSON file {"train": [...], "valid": [...]} one list is read with `file.json:valid`, all without.
    Raises BadRecord for a damaged record, DataError for a file that cannot be used or holds no dialogue.
    """
    sources = _sources_of(path, format)
    problems: list[BadRecord] = []
    found = chain.from_iterable(source.found() for source in sources)
    dialogues = tuple(_tolerated(found, detokenise, max_bad, problems.append))
    if not dialogues and problems:
        raise problems[0]
    if not dialogues:
        raise DataError(f"{path}: expected dialogues, found none")
    return Reading(dialogues, sources[0].format, tuple(problems))


@dataclass(frozen=True)
class PlacedReading:
    """What a path held, each dialogue with its place."""

    records: tuple[Placed, ...]
    format: Format
    problems: tuple[BadRecord, ...]
    """Every record that cannot be used, in order."""


def read_placed(path: str | Path, *, format: Format | None = None) -> PlacedReading:
    """Every dialogue that can be read, with its place; damaged records are listed, however many.

    Raises DataError for a file that cannot be used or holds no record at all.
    """
    sources = _sources_of(path, format)
    records: list[Placed] = []
    problems: list[BadRecord] = []
    for each in chain.from_iterable(source.found() for source in sources):
        if isinstance(each, Placed):
            records.append(each)
        else:
            problems.append(each)
    if not records and not problems:
        raise DataError(f"{path}: expected dialogues, found none")
    return PlacedReading(tuple(records), sources[0].format, tuple(problems))


def iter_dialogues(
    path: str | Path,
    *,
    format: Format | None = None,
    detokenise: bool = False,
    max_bad: int = 0,
    on_problem: Callable[[BadRecord], None] = lambda problem: None,
) -> Iterator[Dialogue]:
    """The dialogues of `read_dialogues` one by one, holding one record at a time where the format allows.

    Persona rows are held whole (a later row may continue an earlier one), and so is the text of a JSON list.
    `on_problem` is told each record that is skipped. Raises as `read_dialogues` does, but nothing for no dialogue.
    """
    found = chain.from_iterable(source.found() for source in _sources_of(path, format))
    return _tolerated(found, detokenise, max_bad, on_problem)


def files_of(path: str | Path) -> tuple[tuple[Path, ...], str | None] | None:
    """The files that `read_dialogues` reads for a path, in order, and the split that is asked for; None for the Hub.

    Nothing says that a file is there. Raises DataError for what can be no path, and for a pipe or device.
    """
    local, split = _local(path)
    if local is None:
        return None
    return (tuple(_data_files(local)) if local.is_dir() else (local,)), split


def _tolerated(
    found: Iterable[_Found], detokenise: bool, max_bad: int, on_problem: Callable[[BadRecord], None]
) -> Iterator[Dialogue]:
    skipped = 0
    for each in found:
        if isinstance(each, Placed):
            yield detokenised(each.dialogue) if detokenise else each.dialogue
        elif skipped < max_bad:
            skipped += 1
            on_problem(each)
        else:
            raise each


@dataclass(frozen=True)
class _Source:
    """One file or data set with its format."""

    name: str
    format: Format
    found: Callable[[], Iterator[_Found]]


def _sources_of(path: str | Path, format: Format | None) -> list[_Source]:
    local, split = _local(path)
    if local is None:
        return [_hub_source(str(path), format)]
    if not local.is_dir():
        return [_file_source(local, format, split)]
    sources = [_file_source(file, format, None) for file in _data_files(local)]
    if not sources:
        raise DataError(f"{local}: expected files ending in {', '.join(_ENDINGS)} (or .xz, .gz), found none")
    for other in sources[1:]:
        if other.format is not sources[0].format:
            raise DataError(
                f"{local}: expected files of one format, found {sources[0].name} ({sources[0].format}) and "
                f"{other.name} ({other.format}). Next: give the files one by one"
            )
    return sources


def _local(path: str | Path) -> tuple[Path | None, str | None]:
    """(the file or folder, the split asked for); no file where a Hub data set must be meant."""
    as_given = str(path)
    if not as_given or "\x00" in as_given:
        raise DataError(f"expected a path, found {as_given!r}")
    if (kind := kind_of(Path(path))) is Kind.OTHER:
        # The beginning is read more than once, and what is read from a pipe is gone.
        raise DataError(f"{path}: expected a file or folder, found a pipe or device. Next: write it to a file first")
    if kind is not Kind.ABSENT:
        return Path(path), None
    before, colon, split = as_given.rpartition(":")
    if colon and kind_of(Path(before)) is Kind.FILE:
        return Path(before), split
    return (None, None) if is_hub_id(as_given) else (Path(path), None)


def _data_files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.iterdir()) if file.is_file() and _ending_of(file) in _ENDINGS]


def _ending_of(file: Path) -> str:
    plain = file.with_suffix("") if file.suffix.lower() in _COMPRESSED else file
    return "" if file.name.startswith(".") else plain.suffix.lower()


def _file_source(path: Path, format: Format | None, split: str | None) -> _Source:
    container = container_of(path)
    if format is Format.CONVAI2 or (format is None and container is Container.NUMBERED_TEXT):
        return _Source(str(path), Format.CONVAI2, lambda: read_convai2(path))
    if container in (None, Container.NUMBERED_TEXT):
        if format is None:
            raise DataError(
                f"{path}: expected one of the formats {', '.join(Format)}, found text that begins with "
                f"{shown(head_of(path)[:60].decode('utf-8', errors='replace'))}. Next: name it with --format"
            )
        container = Container.CSV if format in (Format.SYNTHETIC_PERSONA_CHAT, Format.PERSONA_ROWS) else Container.JSON
    kind = container
    assert kind is not None
    known = format or _format_of_rows(str(path), rows_of(path, kind, split))
    return _Source(str(path), known, lambda: _dialogues_of(known, rows_of(path, kind, split)))


def _hub_source(hub_id: str, format: Format | None) -> _Source:
    rows = hub_rows(hub_id)
    first = list(islice(rows, _RECORDS_TO_LOOK_AT))
    known = format or _format_of_rows(hub_id, first)
    return _Source(hub_id, known, lambda: _dialogues_of(known, chain(first, rows)))


def _format_of_rows(name: str, rows: Iterable[FoundRow]) -> Format:
    """The format of the first row that has the keys of one. Raises the first problem if no row could be read."""
    problem, keys = None, ""
    for row in islice(rows, _RECORDS_TO_LOOK_AT):
        if isinstance(row, BadRecord):
            problem = problem or row
        elif (format := format_of_record(row.values)) is not None:
            return format
        else:
            keys = keys or ", ".join(map(str, row.values))
    if problem is not None and not keys:
        raise problem
    raise DataError(
        f"{name}: expected the keys of one of the formats {', '.join(Format)}, found "
        f"{shown(keys) if keys else 'no record'}. Next: name it with --format"
    )


def _dialogues_of(format: Format, rows: Iterable[FoundRow]) -> Iterator[_Found]:
    if format is Format.PERSONA_ROWS:
        yield from read_persona_rows(rows)
        return
    parse = _PARSERS[format]
    for row in rows:
        try:
            if isinstance(row, Row):
                yield from (Placed(row.place, each) for each in parse(row.place, row.values))
            else:
                yield row
        except BadRecord as problem:
            yield problem
