"""Confidence intervals: by hand, and by how often they hold a known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from personable.evaluation import bootstrap
from personable.evaluation.bootstrap import difference, score
from personable.evaluation.metric import Better, Measured, Metric, Sums, Tally, ratio

METRIC = Metric("m", "a mean", "Mean.", Better.HIGHER, "this test")


def measured(sums: object, jackknife: Sums | None = None) -> Measured:
    rows = np.array(sums, dtype=np.float64)
    return Measured(METRIC, Tally(rows, ratio(), jackknife=jackknife), 1, "things")


def means(values: Sums) -> Measured:
    """One value for each dialogue; the metric is their mean."""
    return measured(np.stack((values, np.ones_like(values)), axis=1))


def test_the_value_is_the_ratio_of_the_sums() -> None:
    found = score(measured([[1, 2], [5, 2], [0, 4]] * 4))
    assert found.value == pytest.approx(6 / 8)
    assert found.interval_method == "bootstrap over dialogues"


def test_equal_dialogues_are_no_proof() -> None:
    found = score(measured([[0, 4]] * 20))
    assert (found.value, found.interval, found.interval_method) == (0, None, "")


def test_ten_dialogues_by_hand() -> None:
    # One 1 among ten: a resample holds it Binomial(10, 1/10) times, 0 with probability 0.35 and up to 3 with 0.987.
    interval = score(measured([[1, 1]] + [[0, 1]] * 9)).interval
    assert interval == pytest.approx((0, 0.3))


def test_a_dialogue_counts_as_much_as_it_holds() -> None:
    # Either one drawn twice, or both: 0/100, 1/101, 1/1.
    values = np.unique(ratio()(bootstrap._weights(2, 0) @ np.array([[0.0, 100.0], [1.0, 1.0]])))
    np.testing.assert_allclose(values, [0, 1 / 101, 1])


def test_every_resample_has_as_many_dialogues() -> None:
    weights = bootstrap._weights(7, 3)
    assert weights.shape == (bootstrap.RESAMPLES, 7)
    assert (weights.sum(axis=1) == 7).all()
    # Each of 7 dialogues is expected once; over 1,000 resamples the mean of a Binomial(7, 1/7) is within 0.15.
    assert np.abs(weights.mean(axis=0) - 1).max() < 0.15


def test_the_seed_decides_the_interval() -> None:
    one = means(np.random.default_rng(0).exponential(size=30))
    assert score(one, seed=1) == score(one, seed=1)
    assert score(one, seed=1).interval != score(one, seed=2).interval
    assert score(one, seed=1).value == score(one, seed=2).value


@pytest.mark.parametrize("sums", [[[3, 4]], [[1, 4], [3, 4]] * 4, np.zeros((0, 2))])
def test_fewer_than_ten_dialogues_have_no_interval(sums: object) -> None:
    found = score(measured(sums))
    assert (found.interval, found.interval_method) == (None, "")


def test_nothing_counted_is_nan_without_an_interval() -> None:
    found = score(measured([[0, 0], [0, 0]]))
    assert math.isnan(found.value)
    assert (found.interval, found.interval_method) == (None, "")


def test_the_interval_holds_a_known_mean_19_times_in_20() -> None:
    draw = np.random.default_rng(0)
    runs = 400
    held = 0
    for _ in range(runs):
        interval = score(means(draw.normal(5, 2, size=60))).interval
        assert interval is not None
        held += interval[0] <= 5 <= interval[1]
    # Of 60 values a percentile bootstrap holds about 94 %; four standard errors of 400 runs are 4.7 points.
    assert 0.90 <= held / runs <= 0.985


def test_the_interval_is_as_wide_as_the_standard_error_says() -> None:
    values = np.random.default_rng(1).normal(size=400)
    interval = score(means(values)).interval
    assert interval is not None
    expected = 2 * 1.96 * values.std() / math.sqrt(400)
    assert interval[1] - interval[0] == pytest.approx(expected, rel=0.1)


def test_replies_of_a_dialogue_are_drawn_together() -> None:
    # Ten equal replies in each of 40 dialogues know no more than 40 replies.
    values = np.random.default_rng(2).normal(size=40)
    tenfold = measured(np.stack((10 * values, np.full(40, 10.0)), axis=1))
    assert score(tenfold).interval == pytest.approx(score(means(values)).interval)


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.array([1.0, 2.0, 4.0, 9.0] * 4)
    without = (values.sum() - values) / 15
    found = score(measured([[values.sum(), 16]], without))
    error = values.std(ddof=1) / 4
    assert found.interval == pytest.approx((4 - 1.959964 * error, 4 + 1.959964 * error), abs=1e-5)
    assert found.interval_method == "jackknife over dialogues"


@pytest.mark.parametrize("without", [[], [0.5], [math.nan, 0.5]])
def test_a_jackknife_that_cannot_be_had(without: list[float]) -> None:
    found = score(measured([[1, 2]], np.array(without)))
    assert (found.value, found.interval, found.interval_method) == (0.5, None, "")


def test_a_system_does_not_differ_from_itself() -> None:
    one = means(np.random.default_rng(0).normal(size=20))
    found = difference(one, one)
    assert (found.value, found.interval, found.real) == (0, (0, 0), False)


def test_a_difference_on_every_dialogue_is_real_however_much_dialogues_vary() -> None:
    values = np.random.default_rng(0).normal(0, 100, size=50)
    first, second = means(values), means(values + 1)
    found = difference(first, second)
    assert found.value == pytest.approx(1)
    assert found.interval == pytest.approx((1, 1))
    assert found.real
    assert difference(second, first).value == pytest.approx(-1)
    # Their own intervals overlap almost wholly: only pairing shows it.
    low, high = score(first).interval or (0, 0)
    assert high - low > 20


def test_a_difference_holds_the_truth_and_seldom_sees_what_is_not_there() -> None:
    draw = np.random.default_rng(3)
    runs, false_alarms, held = 300, 0, 0
    for _ in range(runs):
        shared = draw.normal(size=60)
        first = means(shared + draw.normal(0, 0.5, size=60))
        false_alarms += difference(first, means(shared + draw.normal(0, 0.5, size=60))).real
        interval = difference(first, means(shared + 0.3 + draw.normal(0, 0.5, size=60))).interval
        assert interval is not None
        held += interval[0] <= 0.3 <= interval[1]
    assert false_alarms / runs <= 0.11
    assert 0.89 <= held / runs <= 0.99


def test_a_difference_of_jackknives_is_paired() -> None:
    values = np.array([1.0, 2.0, 4.0, 9.0])
    first = measured([[16, 4]], (16 - values) / 3)
    second = measured([[20, 4]], (20 - (values + 1)) / 3)
    found = difference(first, second)
    assert found.interval == pytest.approx((1, 1))
    assert found.real


def test_one_dialogue_has_no_interval_of_a_difference() -> None:
    for without in (None, np.array([0.5])):
        found = difference(measured([[1, 2]], without), measured([[2, 2]], without))
        assert (found.value, found.interval, found.real) == (0.5, None, False)


def test_systems_must_have_met_the_same_dialogues() -> None:
    with pytest.raises(ValueError, match="m: measured on 2 dialogues and on 3"):
        difference(means(np.zeros(2)), means(np.zeros(3)))
    with pytest.raises(ValueError, match="m: measured on 2 dialogues and on 3"):
        difference(measured([[1, 2]], np.zeros(2)), measured([[1, 2]], np.zeros(3)))
