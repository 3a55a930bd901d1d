"""A function over the rows of a data set, on every core where there are enough rows for that."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
from datasets import Dataset, Features

log = logging.getLogger(__name__)

BYTES_PER_PROCESS = 2_000_000
"""Below this, starting a process takes longer than it saves."""
MOST_PROCESSES = 16
"""Each takes a few hundred MB at most; with more of them, reading and writing would be what takes time."""
_ROWS_WITH_PROGRESS = 20_000
_PARALLEL = "TOKENIZERS_PARALLELISM"


def mapped(
    data: Dataset, function: Callable[..., Any], *, into: Features, file: Path | None, what: str, **arguments: Any
) -> Dataset:
    """What `function` makes of the rows: a batch of columns in, a batch of columns or a table with the columns `into`
    out, with any number of rows. The order is that of the rows, whatever the number of processes.

    file: where the rows go, with the numbers of the processes put before the ending where there are several; in memory
    where None.   what: shown beside the progress bar, on a terminal.
    """

    def run(processes: int) -> Dataset:
        started = time.monotonic()
        found = data.map(
            function,
            batched=True,
            batch_size=500,
            remove_columns=data.column_names,
            features=into,
            fn_kwargs=arguments,
            num_proc=processes if processes > 1 else None,
            cache_file_name=str(file) if file else None,
            keep_in_memory=file is None,
            load_from_cache_file=False,
            new_fingerprint="0" * 16,  # nothing is looked up by it; finding one would mean to pickle the tokenizer
            desc=what,
        )
        log.info("%d dialogues %s in %.1f s, %d at once", len(data), what, time.monotonic() - started, processes)
        return found

    with _quiet(bar=len(data) >= _ROWS_WITH_PROGRESS and sys.stderr.isatty()), _environment_kept():
        processes = max(min(_cores(), MOST_PROCESSES, _size(data) // BYTES_PER_PROCESS), 1)
        try:
            return run(processes)
        except RuntimeError as error:
            if processes < 2 or "abruptly died" not in str(error):
                raise
        log.warning(
            "while dialogues were being %s a process was killed, for want of memory perhaps: one goes on alone", what
        )
        for unfinished in file.parent.glob("tmp*") if file else ():
            unfinished.unlink()
        return run(1)


def _size(data: Dataset) -> int:
    """Bytes of the rows, of which a selection is taken to have its share."""
    return int(data.data.nbytes / max(len(data.data), 1) * len(data))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _quiet(*, bar: bool) -> Iterator[None]:
    """Within it, `datasets` shows no progress bar, unless wanted; and forking beside threads is not warned of."""
    shown = not datasets.are_progress_bars_disabled()
    with warnings.catch_warnings():
        # What runs in the processes uses neither the threads of torch nor, told so, those of tokenizers.
        warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)
        if shown and not bar:
            datasets.disable_progress_bars()
        try:
            yield
        finally:
            if shown and not bar:
                datasets.enable_progress_bars()


@contextmanager
def _environment_kept() -> Iterator[None]:
    """`datasets` switches the threads of tokenizers off for the processes it starts, and leaves them off."""
    environment, before = os.environ, os.environ.get(_PARALLEL)
    try:
        yield
    finally:
        os.environ = environment  # noqa: B003  the very object that was there: `datasets` leaves a copy of it
        if before is None:
            os.environ.pop(_PARALLEL, None)
        else:
            os.environ[_PARALLEL] = before
