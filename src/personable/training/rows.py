"""Which dialogues go through the model together: rows, each at most as many tokens as the context has.

The shape of the rows is found once, from lengths alone. Which of the equally long dialogues stands where, and the order
of the rows, is drawn anew for each epoch; so epochs differ and yet have the same number of steps.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from personable.errors import DataError

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class RowPlan:
    """Rows over dialogues of given lengths."""

    lengths: NDArray[np.int32]
    """Tokens of each dialogue."""
    ranks: Ints
    """Row after row, the dialogues in it: each by its rank from the longest, 0, to the shortest."""
    bounds: Ints
    """(rows + 1,): row r holds ranks[bounds[r]:bounds[r + 1]]."""

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def fill(self, row_tokens: int) -> float:
        """Part of the rows' room that dialogues take, between 0 and 1."""
        return float(self.lengths.sum()) / (len(self) * row_tokens)

    def row(self, number: int, *, seed: int, epoch: int) -> Ints:
        """Indices of the dialogues in a row in that epoch; the longest first."""
        return _by_rank(self, seed, epoch)[self.ranks[self.bounds[number] : self.bounds[number + 1]]]

    def order(self, *, seed: int, epoch: int) -> Ints:
        """The numbers of all rows in the order in which an epoch takes them."""
        order: Ints = _generator(seed, epoch, 1).permutation(len(self))
        return order


@lru_cache(maxsize=4)
def _by_rank(plan: RowPlan, seed: int, epoch: int) -> Ints:
    """The dialogue of each rank: from longest to shortest, ties by lot."""
    lots = _generator(seed, epoch, 0).random(len(plan.lengths))
    return np.lexsort((lots, -plan.lengths))


def _generator(*key: int) -> np.random.Generator:
    return np.random.default_rng([part & 0xFFFFFFFF for part in key])


def plan_rows(
    lengths: NDArray[np.int32], row_tokens: int, *, packed: bool, batch_rows: int = 1, accumulation: int = 1
) -> RowPlan:
    """Rows for dialogues of these lengths, none longer than `row_tokens`.

    packed: dialogues lie end to end, and find their rows by best fit, longest first (Johnson 1974); a row takes
    no more tokens than its dialogues have, so room left over costs nothing. Otherwise they are padded to the longest of
    their row, and rows hold dialogues of like length, with padding at most `row_tokens`.
    batch_rows: rows of one micro-batch over all processes.   accumulation: micro-batches of an optimiser step.
    The number of rows is a multiple of both together, for which some rows are halved: every step has as many rows, and
    no process gets a row that another has too. Where dialogues are too few for that, it is a multiple of `batch_rows`.
    Raises DataError where they are too few even for that and there are several processes to share them.
    """
    descending = -np.sort(-lengths.astype(np.int64))
    row_of = _best_fit(descending, row_tokens) if packed else _alike(descending, row_tokens)
    rows = int(row_of.max()) + 1 if len(row_of) else 0
    wanted = _round_up(rows, batch_rows * accumulation)
    if wanted > len(lengths):
        wanted = _round_up(rows, batch_rows)
    if wanted > len(lengths):
        wanted = rows
    row_of = _halved(row_of, descending, rows, wanted - rows)
    ranks = np.argsort(row_of, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(row_of, minlength=wanted))])
    return RowPlan(lengths, ranks, bounds)


def check_shared(plan: RowPlan, batch_rows: int, processes: int, name: str) -> None:
    """Raises DataError where the rows cannot be dealt out so that each process has as many and none twice."""
    if processes > 1 and len(plan) % batch_rows:
        raise DataError(
            f"expected at least {batch_rows} {name} dialogues for {processes} processes, found {len(plan.lengths)}. "
            "Next: start fewer processes, or lower the batch size."
        )


def _round_up(number: int, unit: int) -> int:
    return -(-number // unit) * unit


def _best_fit(descending: Ints, capacity: int) -> Ints:
    """The row of each: the fullest that has room, or a new one."""
    rows_with: list[list[int]] = [[] for _ in range(capacity + 1)]  # by room left
    some_with = 0  # bit r: rows with room for r tokens are there
    row_of = np.empty(len(descending), dtype=np.int64)
    rows = 0
    for rank, length in enumerate(descending.tolist()):
        fitting = some_with >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = rows_with[room].pop()
            if not rows_with[room]:
                some_with ^= 1 << room
        else:
            row, room = rows, capacity
            rows += 1
        row_of[rank] = row
        left = room - length
        rows_with[left].append(row)
        some_with |= 1 << left
    return row_of


def _alike(descending: Ints, capacity: int) -> Ints:
    """The row of each: neighbours in length, as many as fit when all are padded to the first."""
    row_of = np.empty(len(descending), dtype=np.int64)
    start, row = 0, 0
    while start < len(descending):
        count = max(capacity // int(descending[start]), 1)
        row_of[start : start + count] = row
        start, row = start + count, row + 1
    return row_of


def _halved(row_of: Ints, descending: Ints, rows: int, times: int) -> Ints:
    """The same with `times` more rows: the one with most tokens gives every other dialogue to a new one."""
    if not times:
        return row_of
    members: list[list[int]] = [[] for _ in range(rows)]
    for rank, row in enumerate(row_of.tolist()):
        members[row].append(rank)
    tokens = np.bincount(row_of, weights=descending, minlength=rows)
    heap = [(-int(tokens[row]), row) for row in range(rows) if len(members[row]) > 1]
    heapq.heapify(heap)
    row_of = row_of.copy()
    for new in range(rows, rows + times):
        _, row = heapq.heappop(heap)
        members.append(members[row][1::2])
        members[row] = members[row][::2]
        row_of[members[new]] = new
        for half in (row, new):
            if len(members[half]) > 1:
                heapq.heappush(heap, (-int(descending[members[half]].sum()), half))
    return row_of
