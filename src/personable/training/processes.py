"""The processes of one training job, as torchrun, `accelerate launch`, Slurm or Ray start them.

Each process runs the whole of `personable.training.train`; the main one alone writes and speaks.
"""

from __future__ import annotations

import logging
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list

from personable.errors import RecipeError

_SHARED_WITHIN_SECONDS = 30.0
"""For what one machine wrote to be seen by the others: a network file system may keep old listings for a while."""


def told_by_main(value: Any) -> Any:
    """The main process's `value`, in every process; all have to call it."""
    return broadcast_object_list([value])[0]


@contextmanager
def main_alone_speaks() -> Iterator[None]:
    """Within it, the other processes log and warn of nothing; errors still come through."""
    if os.environ.get("RANK", "0") == "0":
        yield
        return
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def await_shared(written: Path) -> None:
    """What the main process wrote has to be seen by all, since all read checkpoints. Raises RecipeError."""
    patience = time.monotonic() + _SHARED_WITHIN_SECONDS
    while not written.exists():
        if time.monotonic() > patience:
            raise RecipeError(
                f"expected the run folder {written.parent} on a file system that all machines of the job share, found "
                f"on {socket.gethostname()} nothing of what the main process wrote there. Next: choose another --run."
            )
        time.sleep(0.1)
