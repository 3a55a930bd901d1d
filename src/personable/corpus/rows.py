"""Files of records (JSONL, JSON, CSV, Parquet) as rows with their places; a damaged row comes as a BadRecord."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from personable.corpus.formats import format_of_record
from personable.corpus.opening import bytes_of, head_of, numbered_lines, opened
from personable.corpus.places import Place, shown
from personable.errors import BadRecord, DataError


class Container(StrEnum):
    """What kind of file holds the records, whatever their format."""

    JSON = "JSON"
    CSV = "CSV"
    PARQUET = "Parquet"
    NUMBERED_TEXT = "numbered text"


@dataclass(frozen=True, slots=True)
class Row:
    """One record as it stands in the file: its place and its named values."""

    place: Place
    values: dict[str, object]


FoundRow = Row | BadRecord

_NUMBERED_LINE = re.compile(rb"^[0-9]+ (?:your persona: |partner's persona: |[^\t\r\n]*\t)", re.MULTILINE)
_RECORD_LINE = re.compile(rb"^[ \t]*[{\[]", re.MULTILINE)
_SPLITS = ("train", "valid", "validation", "test")
_WRAPPER = re.compile(r'\{\s*(?:$|"(?:train|valid|validation|test)"\s*:\s*(?:\[|$))')


def container_of(path: Path) -> Container | None:
    """The kind of file, told from its beginning; None when it is none. Raises DataError if it cannot be read."""
    head = head_of(path)
    if head.startswith(b"PAR1"):
        return Container.PARQUET
    if head.lstrip()[:1] in (b"{", b"["):
        return Container.JSON
    first_line = head.lstrip().split(b"\n", 1)[0].decode("utf-8", errors="replace")
    if format_of_record(dict.fromkeys(first_line.replace('"', "").strip().split(","))):
        return Container.CSV
    if _NUMBERED_LINE.search(head):
        return Container.NUMBERED_TEXT
    return Container.JSON if _RECORD_LINE.search(head) else None


def rows_of(path: Path, container: Container, split: str | None = None) -> Iterator[FoundRow]:
    """Every record of a file in order. `split` picks one list of a {"train": [...], "valid": [...]} file.

    Raises DataError where the file as a whole cannot be read on.
    """
    if container is Container.PARQUET:
        yield from parquet_rows(path)
    elif container is Container.CSV:
        yield from csv_rows(path)
    elif _is_one_document(path):
        yield from document_rows(path, split)
    else:
        yield from json_lines(path)


def json_lines(path: Path) -> Iterator[FoundRow]:
    """One JSON object a line; blank lines are passed over."""
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        place = Place(str(path), number)
        try:
            values = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            yield not_utf8(place, error)
        except (ValueError, RecursionError) as error:
            yield place.problem("a JSON object", f"{error or 'nesting too deep'} in {shown(_beginning(line))}")
        else:
            yield _row(place, values)


def _beginning(line: bytes) -> str:
    return line[:80].decode("utf-8", errors="replace").strip()


def not_utf8(place: Place, error: UnicodeDecodeError) -> BadRecord:
    """The problem of a line that does not decode, naming the first byte at fault."""
    found = error.object[error.start]
    return place.problem("UTF-8 text", f"byte 0x{found:02x} at position {error.start} of the line")


def _row(place: Place, values: object) -> FoundRow:
    if isinstance(values, dict):
        return Row(place, values)
    return place.problem("a JSON object", shown(values))


def _is_one_document(path: Path) -> bool:
    """Whether a JSON file is one value over all its lines: a list, {"train": [...]}, or a record printed over lines."""
    first = head_of(path).lstrip().split(b"\n", 1)[0].decode("utf-8", errors="replace").strip()
    return first.startswith("[") or _WRAPPER.match(first) is not None


def document_rows(path: Path, split: str | None = None) -> Iterator[FoundRow]:
    """The records of a file that is one JSON value, each with the line it starts on.

    Raises DataError at the first place that is not JSON, since nothing after it can be told apart.
    """
    try:
        document = bytes_of(path).decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: expected UTF-8 text, found byte 0x{error.object[error.start]:02x}") from error
    scanner = _Scanner(str(path), document)
    if scanner.peek() == "[":
        yield from scanner.items()
    else:
        yield from scanner.wrapped_items(split)
    scanner.end()


class _Scanner:
    """Walks one JSON text value by value, keeping count of lines."""

    def __init__(self, path: str, document: str) -> None:
        self._path, self._document = path, document
        self._at, self._counted, self._line = 0, 0, 1
        self._decoder = json.JSONDecoder()

    def _place(self) -> Place:
        self._line += self._document.count("\n", self._counted, self._at)
        self._counted = self._at
        return Place(self._path, self._line)

    def _stop(self, expected: str) -> DataError:
        found = self._document[self._at : self._at + 40]
        line = self._place().line
        return DataError(f"{self._path}:{line}: expected {expected}, found {shown(found) if found else 'its end'}")

    def peek(self) -> str:
        while self._document[self._at : self._at + 1] in (" ", "\t", "\n", "\r"):
            self._at += 1
        return self._document[self._at : self._at + 1]

    def _take(self, char: str) -> None:
        if self.peek() != char:
            raise self._stop(f"JSON with {char!r} here")
        self._at += 1

    def _value(self) -> object:
        self.peek()
        try:
            value, end = self._decoder.raw_decode(self._document, self._at)
        except (ValueError, RecursionError) as error:
            raise self._stop(f"a JSON value ({error or 'nesting too deep'})") from error
        self._counted, self._line = self._at, self._place().line
        self._at = end
        return value

    def items(self) -> Iterator[FoundRow]:
        """The items of the list that starts here."""
        self._take("[")
        while self.peek() != "]":
            place = self._place()
            yield _row(place, self._value())
            if self.peek() != "]":
                self._take(",")
        self._take("]")

    def wrapped_items(self, split: str | None) -> Iterator[FoundRow]:
        """The records of {"train": [...], "valid": [...]}; an object with other keys is itself one record."""
        start, place = self._at, self._place()
        self._take("{")
        seen = []
        while self.peek() != "}":
            key = self._value()
            self._take(":")
            if key not in _SPLITS or self.peek() != "[":
                self._at = start
                yield _row(place, self._value())
                return
            seen.append(key)
            if split in (None, key):
                yield from self.items()
            else:
                self._value()
            if self.peek() != "}":
                self._take(",")
        self._take("}")
        if split is not None and split not in seen:
            raise DataError(f"{self._path}: expected a list {split!r}, found {', '.join(map(str, seen)) or 'none'}")

    def end(self) -> None:
        """Raises DataError if anything follows."""
        if self.peek():
            raise self._stop("the end of the JSON text")


def csv_rows(path: Path) -> Iterator[FoundRow]:
    """The rows of a CSV file under its header, each with the line it starts on."""
    # A conversation in one cell can pass the default limit of 131,072 characters; every platform takes 2**31-1.
    csv.field_size_limit(2**31 - 1)
    lines = (line.decode("utf-8", errors="surrogateescape") for _, line in numbered_lines(path))
    reader = csv.reader(lines)
    header: list[str] | None = None
    while True:
        place = Place(str(path), reader.line_num + 1)
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield place.problem("a CSV row", str(error))
            continue
        if not cells:
            continue
        if header is None:
            header = cells
        elif len(cells) != len(header):
            yield place.problem(f"{len(header)} columns as in the header", f"{len(cells)} columns")
        else:
            yield Row(place, dict(zip(header, cells, strict=True)))


def parquet_rows(path: Path) -> Iterator[FoundRow]:
    """The rows of a Parquet file; the line of a place is the row number from 1."""
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with opened(path) as file:
            for batch in pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=1024):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(Place(str(path), number), values)
    except (pyarrow.ArrowException, ValueError, KeyError) as error:
        raise DataError(f"{path}: the Parquet file is damaged after row {number}: {error}") from error
