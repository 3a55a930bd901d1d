"""Progress with time left, on stderr: a bar for each stage on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_EVERY_SECONDS = 30


@contextmanager
def stages() -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """Gives a function that begins a stage of a name and answers whom to tell (done, of how many)."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda name: _lines(name, console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=console) as bar:

        def begin(name: str) -> Callable[[int, int], None]:
            task = bar.add_task(name, total=None)

            def tell(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            return tell

        yield begin


def _lines(name: str, console: Console) -> Callable[[int, int], None]:
    console.print(name)
    began = last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _LINE_EVERY_SECONDS or not done:
            return
        last = now
        left = (now - began) / done * (total - done)
        console.print(f"{name}: {done} of {total}, {_duration(left)} left")

    return tell


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
