"""Rows: full, of one number in every epoch, dealt out without remainder."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personable.base import load_tokenizer
from personable.corpus import iter_dialogues
from personable.encoding import Budget
from personable.encoding.batches import RowCollator, pad_id_of
from personable.errors import DataError
from personable.training.layout import Layout
from personable.training.prepared import prepared_of
from personable.training.rows import RowPlan, check_shared, plan_rows

LENGTHS = st.lists(st.integers(1, 64), min_size=1, max_size=120).map(lambda each: np.array(each, dtype=np.int32))


def rows(plan: RowPlan, *, seed: int = 0, epoch: int = 0) -> list[list[int]]:
    return [plan.row(number, seed=seed, epoch=epoch).tolist() for number in range(len(plan))]


@settings(max_examples=150, deadline=None)
@given(LENGTHS, st.booleans(), st.integers(1, 4), st.integers(1, 4))
def test_every_dialogue_has_one_place_and_no_row_is_too_long(lengths, packed, batch_rows, accumulation) -> None:
    plan = plan_rows(lengths, 64, packed=packed, batch_rows=batch_rows, accumulation=accumulation)
    for epoch in range(3):
        found = rows(plan, epoch=epoch)
        assert Counter(index for row in found for index in row) == Counter(range(len(lengths)))
        for row in found:
            assert row
            taken = lengths[row]
            assert (taken.sum() if packed else len(row) * taken.max()) <= 64
        assert sorted(plan.order(seed=1, epoch=epoch)) == list(range(len(plan)))
    step = batch_rows * accumulation
    assert len(plan) % step == 0 or len(lengths) < -(-len(plan) // step) * step


def test_best_fit_by_hand() -> None:
    """64 is full; 40 takes 24, the best fit, and leaves nothing; 30 + 30 leave 4."""
    plan = plan_rows(np.array([30, 24, 64, 40, 4, 30], dtype=np.int32), 64, packed=True)
    assert sorted(sorted(plan.lengths[row].tolist()) for row in rows(plan)) == [[4, 30, 30], [24, 40], [64]]


def test_a_plan_is_the_same_for_equal_steps_however_they_are_shared() -> None:
    lengths = np.random.default_rng(0).integers(20, 200, 500).astype(np.int32)
    one = plan_rows(lengths, 256, packed=True, batch_rows=2, accumulation=8)
    other = plan_rows(lengths, 256, packed=True, batch_rows=4, accumulation=4)
    assert rows(one, epoch=3) == rows(other, epoch=3)
    assert len(one) % 16 == 0


def test_epochs_differ_in_order_and_among_equally_long_dialogues() -> None:
    lengths = np.repeat(np.array([50, 60, 70], dtype=np.int32), 40)
    plan = plan_rows(lengths, 256, packed=True)
    first, second, again, other_seed = (
        rows(plan, epoch=0),
        rows(plan, epoch=1),
        rows(plan, epoch=0),
        rows(plan, seed=1),
    )
    assert first == again
    assert first != second
    assert first != other_seed
    assert [lengths[row].tolist() for row in first] == [lengths[row].tolist() for row in second]
    orders = [plan.order(seed=0, epoch=epoch).tolist() for epoch in range(2)]
    assert orders[0] != orders[1]


def test_rows_are_not_drawn_from_long_to_short() -> None:
    """Batches in order of length are what gives a training curve teeth."""
    lengths = np.random.default_rng(0).integers(20, 256, 2000).astype(np.int32)
    for packed in (True, False):
        plan = plan_rows(lengths, 256, packed=packed)
        found = rows(plan)
        longest = [lengths[found[row]].max() for row in plan.order(seed=0, epoch=0)]
        assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.15


def test_too_few_dialogues_for_the_processes_are_refused() -> None:
    plan = plan_rows(np.array([10, 10, 10], dtype=np.int32), 64, packed=True, batch_rows=4)
    with pytest.raises(DataError, match=r"at least 4 training dialogues for 2 processes, found 3.*fewer processes"):
        check_shared(plan, 4, 2, "training")
    check_shared(plan, 4, 1, "training")


def test_real_dialogues_fill_their_rows(corpora: Path) -> None:
    """As far as whole dialogues of 250 tokens can: four to a row of 1,024. The tensors hold no padding at all."""
    dialogues = list(iter_dialogues(corpora / "convai2" / "train_self_original_no_cands.txt.xz"))
    tokenizer = load_tokenizer("starter")
    prepared = prepared_of(random.Random(0).sample(dialogues, 1000), Layout(tokenizer, Budget(1024, 128)))
    plan = plan_rows(prepared.lengths, 1024, packed=True)
    assert plan.fill(1024) > 0.94
    assert plan_rows(prepared.lengths, 4096, packed=True).fill(4096) > 0.97
    row = plan.row(3, seed=0, epoch=0)
    batch = RowCollator(pad_id_of(tokenizer), packed=True)([[prepared.encoded(index) for index in row.tolist()]])
    assert batch["input_ids"].shape == (1, prepared.lengths[row].sum())
