"""Folders of prepared data that are kept between runs: whole or not there, checked before use, gone when unused.

They lie in $XDG_CACHE_HOME/personable/prepared (by default ~/.cache/personable/prepared) and may be deleted at any
time. What no run has used for 30 days is deleted when something new is kept.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personable.errors import DataError
from personable.files import sha256_of
from personable.smollm2 import cache_folder

log = logging.getLogger(__name__)

DAYS_KEPT = 30
"""Without being used."""
_ABOUT = "about.json"
_MAKING = "making-"
_DAYS_MAKING = 2
"""After which a folder that is still being made is taken for what a killed process left."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Folder:
    """A folder whose content is whole."""

    path: Path
    about: Mapping[str, Any]
    """What its maker noted."""

    def damage(self) -> str | None:
        """What is wrong with a file, None where all are as they were written. Reads every byte."""
        for name, expected in self.about["files"].items():
            try:
                found = sha256_of(self.path / name)
            except OSError as error:
                return f"{name}: {error.strerror}"
            if found != expected:
                return f"{name} has changed"
        return None


Make = Callable[[Path], dict[str, Any]]
"""Writes the files into a folder and returns what to note about them: how many `dialogues`, and more."""


def prepared_folder() -> Path:
    """Where prepared data is kept. Raises OSError where there is no home directory, nor an XDG_CACHE_HOME."""
    try:
        return cache_folder() / "prepared"
    except RuntimeError as error:  # as in a container, with a user id that nobody knows
        raise FileNotFoundError(errno.ENOENT, "no home directory is known") from error


def _shown() -> Path | str:
    try:
        return prepared_folder()
    except OSError:
        return "~/.cache/personable"


def find(name: str) -> Folder | None:
    """What is kept under a name; None where there is nothing, or nothing that can be read."""
    try:
        path = prepared_folder() / name
        about = json.loads((path / _ABOUT).read_text(encoding="utf-8"))
        if not isinstance(about["files"], dict):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    with suppress(OSError):  # a cache that can only be read is as good
        os.utime(path / _ABOUT)
    return Folder(path, about)


def whole(name: str) -> Folder | None:
    """What is kept under a name, if none of its files is damaged. Says so where one is."""
    folder = find(name)
    if folder and (damage := folder.damage()):
        log.warning("prepared data in %s is damaged (%s): it is prepared again", folder.path, damage)
        return None
    return folder


def keep(name: str, make: Make) -> Folder:
    """Makes a folder and keeps it under a name, in place of what is there.

    Where the cache cannot be written, the folder is a temporary one that goes with this process, and a warning says so.
    Raises DataError where that cannot be written either, and what `make` raises.
    """
    try:
        prepared_folder().mkdir(parents=True, exist_ok=True)
        _delete_unused()
        return _kept(name, make)
    except OSError as error:
        log.warning(
            "prepared data cannot be kept in %s (%s): a temporary folder is used, and the next run prepares it again. "
            "Next: make room there, or point XDG_CACHE_HOME elsewhere",
            _shown(),
            error.strerror or error,
        )
    return _elsewhere(make)


def temporary(make: Make) -> Folder:
    """Makes a folder that goes when nothing refers to it any more, in the cache if possible: /tmp may be memory.

    Raises DataError where neither can be written, and what `make` raises.
    """
    try:
        prepared_folder().mkdir(parents=True, exist_ok=True)
        return _temporary(make, prepared_folder())
    except OSError:
        return _elsewhere(make)


def _elsewhere(make: Make) -> Folder:
    try:
        return _temporary(make, None)
    except OSError as error:
        raise DataError(
            f"expected to be able to write prepared data to {_shown()} or {tempfile.gettempdir()}, found: "
            f"{error.strerror or error}. Next: make room there, or point XDG_CACHE_HOME or TMPDIR elsewhere."
        ) from error


def _kept(name: str, make: Make) -> Folder:
    making = Path(tempfile.mkdtemp(dir=prepared_folder(), prefix=_MAKING))
    try:
        about = _made(making, make)
        return _in_place(making, prepared_folder() / name) or Folder(prepared_folder() / name, about)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _in_place(making: Path, kept: Path) -> Folder | None:
    """Moves a made folder to where it is kept, unless another process was faster: then what that one made."""
    with suppress(OSError):  # a folder that is not empty is not replaced
        making.replace(kept)
        return None
    if other := whole(kept.name):
        return other
    discarded = Path(tempfile.mkdtemp(dir=kept.parent, prefix=_MAKING))
    kept.replace(discarded)
    making.replace(kept)
    shutil.rmtree(discarded, ignore_errors=True)
    return None


def _temporary(make: Make, within: Path | None) -> Folder:
    path = Path(tempfile.mkdtemp(dir=within, prefix=_MAKING if within else "personable-"))
    try:
        folder = Folder(path, _made(path, make))
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    weakref.finalize(folder, _remove, path, os.getpid())
    return folder


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:  # not from a process that was forked to load data
        shutil.rmtree(path, ignore_errors=True)


def _made(path: Path, make: Make) -> dict[str, Any]:
    started = time.monotonic()
    about = make(path)
    size = sum(file.stat().st_size for file in path.iterdir())
    log.info("%d dialogues prepared in %.1f s, %.1f MB", about["dialogues"], time.monotonic() - started, size / 1e6)
    about["files"] = {file.name: sha256_of(file) for file in sorted(path.iterdir())}
    (path / _ABOUT).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
    path.chmod(0o755)  # as any other folder; that of a temporary one is for its owner alone
    return about


def _delete_unused() -> None:
    now = time.time()
    for folder in prepared_folder().iterdir():
        making = folder.name.startswith(_MAKING)
        last_used = folder if making else folder / _ABOUT
        with suppress(OSError):
            if now - last_used.stat().st_mtime > 86400 * (_DAYS_MAKING if making else DAYS_KEPT):
                shutil.rmtree(folder)
