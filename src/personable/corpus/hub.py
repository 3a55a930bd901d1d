"""The rows of a data set on the Hugging Face Hub, through `datasets`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from personable.corpus.places import Place
from personable.corpus.rows import Row
from personable.errors import DataError

_HUB_ID = re.compile(r"(?P<name>[\w-][\w.-]*/[\w-][\w.-]*?)(?::(?P<split>[\w.-]+))?", re.ASCII)
_FILE_ENDINGS = (".jsonl", ".json", ".csv", ".txt", ".parquet", ".xz", ".gz")


def is_hub_id(path: str) -> bool:
    """Whether a path that is not on this machine can be meant as `owner/name` or `owner/name:split`."""
    return _HUB_ID.fullmatch(path) is not None and not path.lower().endswith(_FILE_ENDINGS)


def hub_rows(hub_id: str) -> Iterator[Row]:
    """The rows of a split; without a split named, of `train` or of the only one there is.

    A data set that was loaded once is read from the cache. Raises DataError saying what was tried.
    """
    match = _HUB_ID.fullmatch(hub_id)
    if match is None:
        raise DataError(f"{hub_id!r}: expected owner/name or owner/name:split")
    for number, values in enumerate(_load(match["name"], match["split"], hub_id), start=1):
        yield Row(Place(hub_id, number), dict(values))


def _load(name: str, split: str | None, hub_id: str) -> Iterator[dict[str, object]]:
    import datasets

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        loaded = datasets.load_dataset(name)
    # `datasets` lets errors of many libraries through (HTTP, files, Arrow, its own), and all mean the same here.
    except Exception as error:
        raise DataError(
            f"{hub_id}: there is no such file or folder, and the data set {name!r} could not be loaded from the Hub: "
            f"{type(error).__name__}: {error}. "
            "Next: check the name and the network, or download the file and give its path"
        ) from error
    wanted = split or ("train" if "train" in loaded or len(loaded) != 1 else next(iter(loaded)))
    if wanted not in loaded:
        raise DataError(
            f"{hub_id}: expected one of the splits {', '.join(loaded)}, found {wanted!r}. Next: give {name}:SPLIT"
        )
    yield from loaded[wanted]
