"""The bytes and lines of a file, plain or compressed; what goes wrong on the way becomes a DataError."""

from __future__ import annotations

import gzip
import lzma
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path
from typing import BinaryIO, cast

from personable.errors import DataError

_XZ, _GZIP = b"\xfd7zXZ\x00", b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


def _decompressing(path: Path, magic: bytes) -> BinaryIO:
    if magic == _XZ:
        return cast(BinaryIO, lzma.LZMAFile(path))
    return cast(BinaryIO, gzip.GzipFile(path)) if magic.startswith(_GZIP) else path.open("rb")


class Kind(Enum):
    """What a path names."""

    ABSENT = auto()
    FILE = auto()
    FOLDER = auto()
    OTHER = auto()
    """A pipe, a device, a socket."""


def kind_of(path: Path) -> Kind:
    """What is at a path. Raises DataError where the system does not say (a folder that is closed, a name too long)."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return Kind.ABSENT
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if stat.S_ISREG(mode):
        return Kind.FILE
    return Kind.FOLDER if stat.S_ISDIR(mode) else Kind.OTHER


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file for reading bytes, decompressed if it is .xz or .gz (told by its first bytes, not by its name).

    Raises DataError for a file that is not there, may not be read, is cut off or is damaged, also while reading.
    """
    try:
        with path.open("rb") as plain:
            magic = plain.read(len(_XZ))
        with _decompressing(path, magic) as file:
            yield file
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file. Next: check the path") from error
    except EOFError as error:
        raise DataError(
            f"{path}: the compressed file ends too early: expected its end mark, found the end of the file. "
            "Next: copy or download it again"
        ) from error
    except (lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the compressed data is damaged ({error}). Next: copy or download it again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def head_of(path: Path, size: int = 65536) -> bytes:
    """The first bytes of a file after decompression, without a byte order mark. Raises DataError as `opened` does.

    Also for a file with nothing in it and for UTF-16, since no format here can be either.
    """
    with opened(path) as file:
        head = file.read(size)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: expected UTF-8, found UTF-16. Next: save it as UTF-8")
    head = head.removeprefix(_BOM)
    if not head.strip():
        raise DataError(f"{path}: expected dialogues, found {'an empty file' if not head else 'only white space'}")
    return head


def bytes_of(path: Path) -> bytes:
    """The whole file after decompression, without a byte order mark. Raises DataError as `opened` does."""
    with opened(path) as file:
        return file.read().removeprefix(_BOM)


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, bytes with their line end) for each line; a byte order mark is taken off.

    Lines end at a line feed only: U+2028 and the like may stand inside a text. Raises DataError as `opened` does.
    """
    with opened(path) as file:
        for number, line in enumerate(file, start=1):
            yield number, line.removeprefix(_BOM) if number == 1 else line
