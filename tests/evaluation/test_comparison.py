"""Two evaluations side by side: what of them can be compared, and what the difference is."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from personable.base import Base
from personable.dialogue import Dialogue, Persona, Speaker
from personable.errors import DataError
from personable.evaluation import Evaluation, LocalEngine, Part, Settings, Subject, compare, evaluate
from personable.evaluation.bootstrap import Difference
from personable.evaluation.comparison import ComparedMetric, same_tokens
from personable.evaluation.metric import Better, Measured, Metric, Score, Tally, ratio
from personable.reply import Sampling
from tests.evaluation.engines import BASES
from tests.tiny import tiny_gpt2

SAID = ("hi, who are you?", "i am ada.", "what do you do?", "i teach italian.", "any pets?", "i keep bees, no dog.")
QUICK = Settings(
    parts=frozenset(Part) - {Part.NLI},
    sampling=Sampling(temperature=0, top_p=1, max_reply_tokens=6),
    fact_questions=6,
    role_probes=4,
    order_dialogues=3,
)


def dialogues() -> tuple[Dialogue, ...]:
    """Of growing length, so that a small context holds only some of them whole."""
    found = []
    for count in (2, 4, 6):
        one = Dialogue(Persona(("my name is ada.", "i keep bees.", f"i have {count} dogs.")))
        for place, text in enumerate(SAID[:count]):
            one = one.then((Speaker.PARTNER, Speaker.PERSONA)[place % 2], text)
        found.append(one)
    return tuple(found)


def evaluated(base: Base, *, fingerprint: str = "same", settings: Settings = QUICK) -> Evaluation:
    return evaluate(LocalEngine(base), Subject(dialogues(), {"name": "x", "fingerprint": fingerprint}), settings)


@pytest.fixture(scope="module")
def gpt2() -> Evaluation:
    return evaluated(BASES["gpt2"])


@pytest.fixture(scope="module")
def llama() -> Evaluation:
    return evaluated(BASES["llama"])


def test_an_evaluation_does_not_differ_from_itself(gpt2) -> None:
    compared = compare(gpt2, gpt2)
    assert [each.metric.key for each in compared] == list(gpt2.report.scores)
    for each in compared:
        assert each.first is each.second
        assert each.difference.value == 0 or math.isnan(each.first.value), each.metric.key
        assert each.difference.interval in (None, (0, 0)), each.metric.key
        assert not each.difference.real
        assert each.better == ""
    assert any(each.difference.interval for each in compared)


def test_differences_are_those_of_the_scores(gpt2, llama) -> None:
    forth = {each.metric.key: each for each in compare(gpt2, llama)}
    back = {each.metric.key: each for each in compare(llama, gpt2)}
    assert {"perplexity", "bits_per_byte", "hits_1", "f1", "fact_recall", "role_swaps", "order_spread"} <= set(forth)
    assert set(forth) == set(back) == set(gpt2.report.scores)
    for key, each in forth.items():
        a, b = gpt2.report.scores[key], llama.report.scores[key]
        assert (each.first, each.second) == (a, b)
        assert each.difference.value == pytest.approx(b.value - a.value, nan_ok=True)
        assert back[key].difference.value == pytest.approx(a.value - b.value, nan_ok=True)
        assert each.difference.real == back[key].difference.real
    assert forth["bits_per_byte"].difference.value != 0
    better = {key: each.better for key, each in forth.items()}
    swapped = {"first": "second", "second": "first", "": ""}
    assert {key: swapped[each.better] for key, each in back.items()} == better


def test_other_dialogues_are_not_compared(gpt2) -> None:
    other = replace(gpt2, report=replace(gpt2.report, data={**gpt2.report.data, "fingerprint": "other"}))
    with pytest.raises(DataError, match="expected two evaluations of the same dialogues"):
        compare(gpt2, other)


def test_perplexity_per_token_needs_one_vocabulary(gpt2) -> None:
    chatml = evaluated(BASES["llama chatml"])
    assert chatml.report.engine["vocabulary"] != gpt2.report.engine["vocabulary"]
    assert not same_tokens(gpt2.report, chatml.report)
    keys = {each.metric.key for each in compare(gpt2, chatml)}
    assert "perplexity" in gpt2.report.scores
    assert "perplexity" in chatml.report.scores
    assert "perplexity" not in keys
    assert {"bits_per_byte", "word_perplexity", "f1"} <= keys


def test_what_only_one_side_measured_is_left_out(gpt2) -> None:
    few = evaluated(BASES["llama"], settings=replace(QUICK, parts=frozenset({Part.ROLES, Part.PERPLEXITY})))
    assert [each.metric.key for each in compare(gpt2, few)] == [
        "perplexity",
        "word_perplexity",
        "bits_per_byte",
        "role_swaps",
    ]


def test_a_smaller_context_can_be_compared(gpt2) -> None:
    """It holds fewer of the dialogues whole, which are what the order of facts is tried on."""
    base = BASES["gpt2"]
    small = evaluated(Base(tiny_gpt2(base.tokenizer, positions=64), base.tokenizer, 64, "small"))
    assert small.report.scores["order_spread"].count < gpt2.report.scores["order_spread"].count
    assert {"bits_per_byte", "f1", "fact_recall"} <= {each.metric.key for each in compare(gpt2, small)}


def test_other_settings_can_be_compared(gpt2) -> None:
    """Another seed asks other personas; what was asked of others is no pair."""
    other = evaluated(BASES["gpt2"], settings=replace(QUICK, seed=1, fact_questions=1, role_probes=1))
    assert "f1" in {each.metric.key for each in compare(gpt2, other)}


@pytest.mark.parametrize("rises", [True, False])
@pytest.mark.parametrize("direction", list(Better))
def test_better_is_said_only_of_what_has_a_direction(direction, rises) -> None:
    metric = Metric("x", "X", "", direction, "")
    score = Score(1.0, None, "", 1, "replies")
    value = 1.0 if rises else -1.0
    real = ComparedMetric(metric, score, score, Difference(value, (value - 0.5, value + 0.5)))
    unsure = ComparedMetric(metric, score, score, Difference(value, (value - 2, value + 2)))
    expected = "" if direction is Better.NEITHER else "second" if rises is (direction is Better.HIGHER) else "first"
    assert (real.better, unsure.better) == (expected, "")


def test_records_are_json_even_where_there_is_no_value(gpt2, llama) -> None:
    nothing = Measured(
        Metric("hollow", "Hollow", "0 of 0", Better.HIGHER, ""), Tally(np.zeros((3, 2)), ratio()), 0, "replies"
    )

    def with_nothing(one: Evaluation) -> Evaluation:
        report = one.report
        added = replace(
            report,
            metrics={**report.metrics, "hollow": nothing.metric},
            scores={**report.scores, "hollow": Score(math.nan, None, "", 0, "replies")},
        )
        return Evaluation(added, {**one.measured, "hollow": nothing})

    records = [each.record() for each in compare(with_nothing(gpt2), with_nothing(llama))]
    written = json.loads(json.dumps(records, allow_nan=False))
    assert written[-1] == {
        "metric": "hollow",
        "first": None,
        "second": None,
        "difference": {"value": None, "interval": None},
        "real": False,
        "better": "",
    }
    bits = next(each for each in written if each["metric"] == "bits_per_byte")
    assert bits["second"] - bits["first"] == pytest.approx(bits["difference"]["value"])
    assert len(bits["difference"]["interval"]) == 2
