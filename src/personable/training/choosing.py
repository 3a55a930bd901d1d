"""Which dialogues of what was read make up a part of a run's data."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, Value, concatenate_datasets
from numpy.typing import NDArray

from personable.corpus.splitting import Places, Ties, persona_key, split_places, ties_of
from personable.training.corpora import LINE, Corpus, dialogue_of
from personable.training.workers import mapped

_TIES = Features({name: Value("uint64") for name in Ties.__slots__})


class Side(StrEnum):
    """Of a corpus that is cut in two."""

    TRAIN = "train"
    VALIDATION = "validation"


@dataclass
class Cut:
    """Corpora as one, cut as `split_dialogues` cuts them."""

    corpora: tuple[Corpus, ...]
    share: float
    seed: int

    @cached_property
    def places(self) -> Places:
        """Where the dialogues of the parts stand. Raises DataError where they cannot be cut."""
        lines = _lines(self.corpora)
        ties = mapped(lines, _ties, into=_TIES, file=None, what="compared")
        return split_places(
            np.stack([ties.data.column(name).to_numpy() for name in Ties.__slots__], axis=1),
            lambda: (
                persona_key(dialogue.persona) for batch in line_batches(lines) for dialogue in map(dialogue_of, batch)
            ),
            validation_share=self.share,
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """The dialogues of one part."""

    corpora: tuple[Corpus, ...]
    most: int | None
    """A sample of so many where there are more."""
    seed: int
    """Of the sample."""
    cut: Cut | None = None
    """Where the part is one side of what was read."""
    side: Side = Side.TRAIN

    @property
    def key(self) -> dict[str, Any]:
        """Equal for choices of the same dialogues."""
        cut = [self.cut.share, self.cut.seed, self.side] if self.cut else None
        sample = [self.most, self.seed] if self.most is not None else None
        return {"corpora": [corpus.key for corpus in self.corpora], "cut": cut, "sample": sample}

    def lines(self) -> Dataset:
        """The dialogues as canonical lines, in their order. Raises DataError where they cannot be cut in two."""
        lines = _lines(self.corpora)
        places = self._places(len(lines))
        return lines if places is None else lines.select(places, keep_in_memory=True)

    def warnings(self) -> list[str]:
        """What a user is told about the choice."""
        if not self.cut or self.side is not Side.TRAIN or not len(self.cut.places.left_out):
            return []
        places = self.cut.places
        left_out = len(places.left_out)
        return [
            f"left out {left_out} of {len(places.train) + len(places.validation) + left_out} dialogues that share a "
            "conversation or a persona with both training and validation"
        ]

    def _places(self, count: int) -> NDArray[np.int64] | None:
        """None for all of them."""
        places = None
        if self.cut:
            places = self.cut.places.train if self.side is Side.TRAIN else self.cut.places.validation
            count = len(places)
        if self.most is None or self.most >= count:
            return places
        sample = np.array(random.Random(self.seed).sample(range(count), self.most))
        return sample if places is None else places[sample]


def line_batches(lines: Dataset) -> Iterator[list[str]]:
    """The lines, a thousand at a time."""
    for table in lines.with_format("arrow").iter(1000):
        yield table.column(LINE).to_pylist()


def _lines(corpora: Iterable[Corpus]) -> Dataset:
    return concatenate_datasets([corpus.lines() for corpus in corpora])


def _ties(lines: dict[str, list[str]]) -> pa.Table:
    rows = [asdict(ties_of(dialogue_of(line))) for line in lines[LINE]]
    return pa.Table.from_pylist(rows, schema=_TIES.arrow_schema)
