"""The numbers that stand first: what each is read beside, and when that is a warning."""

from __future__ import annotations

import pytest

from personable.evaluation.page.headline import highlights
from personable.evaluation.page.score_rows import score_rows
from personable.evaluation.report import read_record
from tests.evaluation.page.sample_report import METRICS, sample_report


@pytest.fixture
def record(tmp_path):
    """The content of an evaluation.json, as read back."""
    return read_record(sample_report().write(tmp_path))


def test_a_lead_within_the_interval_is_no_clear_lead(record) -> None:
    record["baselines"]["constant string"]["scores"]["f1"]["value"] = 16.0
    f1 = next(each for each in highlights(score_rows(record)) if each.name == "ParlAI F1")
    assert (f1.verdict, f1.warning) == (
        "No clear lead over a trivial system: constant string, 16.0\N{NO-BREAK SPACE}%.",
        True,
    )
    record["baselines"]["constant string"]["scores"]["f1"]["value"] = 5.0
    f1 = next(each for each in highlights(score_rows(record)) if each.name == "ParlAI F1")
    assert f1.verdict == "Best trivial system: echo of the partner, 13.9\N{NO-BREAK SPACE}%."
    assert not f1.warning


def card(record, name):
    return next(each for each in highlights(score_rows(record)) if each.name == name)


def test_a_mark_takes_more_than_a_better_value(record) -> None:
    constant = record["baselines"]["constant string"]["scores"]["f1"]
    own = record["scores"]["f1"]

    def marked() -> bool:
        row = next(row for row in score_rows(record).all if row.metric.key == "f1")
        return row.beaten_by("constant string")

    constant["value"] = 16.4
    assert not marked(), "above the value, within the interval of 15.71 to 16.44"
    assert card(record, "ParlAI F1").verdict.startswith("No clear lead over a trivial system: constant string")
    constant["value"] = 16.5
    assert marked()
    constant["value"], own["interval"] = 16.2, None
    assert marked()
    assert card(record, "ParlAI F1").verdict.startswith("A trivial system does better: constant string")


def test_perplexity_is_read_beside_the_frequency_of_tokens(record) -> None:
    knowing = "nowing only how often each token occurs"
    assert card(record, "Reply perplexity").verdict == f"K{knowing}: 264."
    found = record["details"]["perplexity"]
    for unigram, said in ((18.5, f"No clear lead over k{knowing} (18.50)."), (4.2, f"Worse than k{knowing} (4.20).")):
        found["unigram_perplexity"] = unigram
        perplexity = card(record, "Reply perplexity")
        assert (perplexity.verdict, perplexity.warning) == (said, True)
    record["scores"]["perplexity"] |= {"value": 60_000.0, "interval": None}
    del found["unigram_perplexity"]
    assert card(record, "Reply perplexity").verdict == "No better than chance (50,257)."


@pytest.mark.parametrize(
    ("value", "interval", "said", "warning"),
    [
        (4.0, [2.0, 6.0], "No better than chance (5.00 %).", True),
        (5.0, None, "No better than chance (5.00 %).", True),
        (6.0, [4.0, 8.0], "No clear lead over chance (5.00 %).", True),
        (12.0, [10.0, 14.0], "A trivial system does better: persona word overlap, 20.4 %.", True),
        (41.0, [39.0, 43.0], "Best trivial system: persona word overlap, 20.4 %.", False),
    ],
)
def test_ranking_is_read_beside_chance(record, value, interval, said, warning) -> None:
    record["scores"]["hits_1"] |= {"value": value, "interval": interval}
    hits = card(record, "Hits@1")
    assert (hits.verdict.replace("\N{NO-BREAK SPACE}", " "), hits.warning) == (said, warning)


def test_no_faults_are_no_merit_where_a_constant_string_makes_none(record) -> None:
    record["baselines"]["constant string"]["scores"]["role_swaps"] = {"value": 0.0}
    assert card(record, "Role swaps").verdict == ""
    record["scores"]["role_swaps"]["value"] = 0.0
    swaps = card(record, "Role swaps")
    assert (swaps.verdict, swaps.warning) == ("A constant string scores the same.", False)


def test_variety_is_read_beside_people(record) -> None:
    variety = card(record, "Distinct-2")
    row = next(row for row in score_rows(record).all if row.metric.key == "distinct_2")
    assert not row.beaten_by_any, "the echo is text of people"
    assert (variety.verdict, variety.warning) == ("Human replies: 36.40\N{NO-BREAK SPACE}%.", False)


def test_only_what_needs_no_formula_stands_first(tmp_path) -> None:
    kept = frozenset({"word_perplexity", "bits_per_byte", "bleu4"})
    record = read_record(sample_report(without=frozenset(METRICS) - kept).write(tmp_path))
    assert highlights(score_rows(record)) == []
