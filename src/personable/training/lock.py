"""One training process, or one group of them, in a run folder at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from accelerate import PartialState
from filelock import FileLock, Timeout

from personable.errors import RecipeError
from personable.training.processes import told_by_main

LOCK = "training.lock"
"""Lies in a run folder while a process trains there. The system lets go of it when that process dies."""


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Within it, no other job trains in the folder; all processes of a job have to enter it, and the main one locks.

    A folder that was not there is made for it, and goes where nothing else was written. Raises RecipeError in all.
    """
    if not PartialState().is_main_process:
        _raise(told_by_main(None))
        yield
        return
    made = not run.exists()
    lock = FileLock(run / LOCK)
    problem = _problem(run, lock)
    try:
        _raise(told_by_main(problem))
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):  # Windows: once it is released
                (run / LOCK).unlink()
            lock.release()
        if made:
            with suppress(OSError):  # not empty: there is a run
                run.rmdir()


def _problem(run: Path, lock: FileLock) -> str | None:
    if run.exists() and not run.is_dir():
        return None  # looking at the folder says it better
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        return (
            f"expected to be alone in the run folder, found that another process is training in {run}. "
            "Next: wait for it, or end it, or choose another --run."
        )
    except OSError as error:
        return f"expected to be able to write the run folder {run}, found: {error.strerror or error}."
    return None


def _raise(problem: str | None) -> None:
    if problem:
        raise RecipeError(problem)
