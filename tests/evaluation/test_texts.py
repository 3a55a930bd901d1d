"""Text metrics worked out by hand, and BLEU against sacrebleu's own command line."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU

from personable.corpus import read_dialogues
from personable.dialogue import Dialogue, Persona, Speaker, Turn
from personable.evaluation import texts
from personable.evaluation.bootstrap import score
from personable.evaluation.exchanges import Exchange, exchanges_of
from personable.evaluation.metric import Better, Measured, Metric
from personable.evaluation.texts import text_metrics
from personable.evaluation.words import ngrams, spaced_words

KEYS = (
    *("f1", "bleu4", "distinct_1", "distinct_2", "mean_words", "question_rate"),
    *("repetition_within", "repetition_across", "persona_copy", "empty_replies"),
)
FACTS = ("i am a nurse in the city of rome.", "i like dogs.")


def exchange(dialogue: int = 0, reference: str = "i like it .", facts: tuple[str, ...] = FACTS) -> Exchange:
    history = Dialogue(Persona(facts), (Turn(Speaker.PARTNER, "hello there"),))
    return Exchange(dialogue, history, reference)


def exchanges(*dialogues: int) -> list[Exchange]:
    return [exchange(dialogue) for dialogue in dialogues]


def value(measured: Measured) -> float:
    return measured.tally.value


def test_f1_is_the_mean_over_replies_and_its_rows_are_dialogues() -> None:
    asked = [exchange(3, "i love cats"), exchange(7, "i love cats"), exchange(7, "rain")]
    found = texts.f1(asked, ["i love cats", "i love dogs", "sun"])
    np.testing.assert_allclose(found.tally.sums, np.array([[100, 1], [200 / 3, 2]]))
    assert value(found) == pytest.approx((100 + 200 / 3 + 0) / 3)
    assert (found.count, found.counted) == (3, "replies")


def test_distinct_counts_over_all_replies() -> None:
    found = texts.distinct_1(exchanges(0, 0, 1), ["I like cats", "i like", "dogs dogs"])
    assert value(found) == pytest.approx(100 * 4 / 7)
    assert found.count == 7


def test_distinct_2_pairs_do_not_reach_across_replies() -> None:
    # i like, like cats; i like; dogs dogs
    found = texts.distinct_2(exchanges(0, 0, 1), ["i like cats", "i like", "dogs dogs"])
    assert value(found) == pytest.approx(100 * 3 / 4)
    assert found.count == 4


def test_distinct_without_a_dialogue_by_hand() -> None:
    # Without dialogue 0: dogs dogs, i -> 2 of 3. Without 1: i like cats -> 3 of 3. Without 2: i like cats dogs of 5.
    found = texts.distinct_1(exchanges(0, 1, 2), ["i like cats", "dogs dogs", "i"])
    assert found.tally.jackknife is not None
    np.testing.assert_allclose(found.tally.jackknife, [100 * 2 / 3, 100 * 3 / 4, 100 * 4 / 5])


@pytest.mark.parametrize("n", [1, 2])
def test_distinct_without_a_dialogue_equals_counting_again(n: int) -> None:
    draw = random.Random(n)
    asked = exchanges(*(draw.randrange(12) for _ in range(60)))
    replies = [" ".join(draw.choices("abcdefghijklmnop", k=draw.randrange(7))) for _ in asked]
    found = (texts.distinct_1, texts.distinct_2)[n - 1](asked, replies)
    again = []
    for dialogue in sorted({one.dialogue for one in asked}):
        left = [reply for one, reply in zip(asked, replies, strict=True) if one.dialogue != dialogue]
        grams = [gram for reply in left for gram in ngrams(spaced_words(reply), n)]
        again.append(100 * len(set(grams)) / len(grams))
    assert found.tally.jackknife is not None
    np.testing.assert_allclose(found.tally.jackknife, again)
    interval = score(found).interval
    assert interval is not None
    assert interval[0] < value(found) < interval[1]
    assert score(found).interval_method == "jackknife over dialogues"


def test_mean_words_and_question_rate() -> None:
    replies = ["hi !", "how are you?", "", "what"]
    assert value(texts.mean_words(exchanges(0, 0, 1, 1), replies)) == (2 + 3 + 0 + 1) / 4
    assert value(texts.question_rate(exchanges(0, 0, 1, 1), replies)) == 25


def test_repetition_within_a_reply_counts_what_occurred_before() -> None:
    # Reply 1: i like it | like it i | it i like | i like it (again). Reply 2: no no no, again twice. Reply 3 has none.
    found = texts.repetition_within(exchanges(0, 1, 1), ["i like it i like it", "No no no no no", "i like"])
    assert value(found) == pytest.approx(100 * (1 + 2) / (4 + 3))
    assert found.count == 7


def test_repetition_within_does_not_look_across_replies() -> None:
    assert value(texts.repetition_within(exchanges(0, 0), ["i like it", "i like it"])) == 0


def test_a_repeated_reply_is_one_given_before_in_its_dialogue() -> None:
    replies = ["I like it .", "i like it!", "i like it", "no", "i like it"]
    found = texts.repetition_across(exchanges(0, 0, 1, 1, 0), replies)
    np.testing.assert_allclose(found.tally.sums, [[200, 3], [0, 2]])
    assert value(found) == 40


@pytest.mark.parametrize(
    ("reply", "copied"),
    [
        ("well I am a nurse in the city !", True),  # i am nurse in city
        ("yes , nurse in city of rome", True),
        ("i am a nurse in town", False),  # four words of it
        ("city rome of nurse i am in", False),
        ("i like dogs .", False),  # a fact of three words
        # The end of one fact and the beginning of the next are not five words of a fact.
        ("city of rome i like", False),
        ("", False),
    ],
)
def test_persona_copy_is_five_words_in_a_row_of_a_fact(reply: str, copied: bool) -> None:
    assert value(texts.persona_copy([exchange()], [reply])) == (100 if copied else 0)


def test_persona_copy_is_over_replies_with_a_persona() -> None:
    asked = [exchange(0), exchange(0), exchange(1, facts=())]
    found = texts.persona_copy(asked, [FACTS[0], "no", FACTS[0]])
    assert value(found) == 50
    assert (found.count, found.counted) == (2, "replies with a persona")


def test_data_without_personas_has_no_persona_copy_and_says_so() -> None:
    group = text_metrics([exchange(facts=()), exchange(1, facts=())], ["yes", "no"])
    assert "persona_copy" not in [found.metric.key for found in group.measured]
    assert [(found.metric.key, found.reason) for found in group.not_measured] == [
        ("persona_copy", "no dialogue has a persona")
    ]


def test_empty_replies_are_counted() -> None:
    assert value(texts.empty_replies(exchanges(0, 0, 1, 1), ["", " \n", ".", "a"])) == 50


@pytest.mark.parametrize(("replies", "f1", "words"), [(["", ""], 0.0, 0.0), (["i like it", ""], 50.0, 1.5)])
def test_empty_replies_are_scored(replies: list[str], f1: float, words: float) -> None:
    found = {one.metric.key: one for one in text_metrics(exchanges(0, 1), replies).measured}
    assert tuple(found) == KEYS
    assert value(found["f1"]) == f1
    assert value(found["mean_words"]) == words
    assert value(found["bleu4"]) == 0
    for one in found.values():
        score(one)


def test_no_replies_at_all_are_nan_without_an_interval() -> None:
    for found in text_metrics([], []).measured:
        scored = score(found)
        assert math.isnan(scored.value), found.metric.key
        assert (scored.interval, scored.interval_method, scored.count) == (None, "", 0)


def test_one_dialogue_has_values_but_no_interval() -> None:
    for found in text_metrics(exchanges(0, 0), ["i like it .", "yes i like it very much"]).measured:
        scored = score(found)
        assert math.isfinite(scored.value), found.metric.key
        assert scored.interval is None


def test_every_exchange_needs_a_reply() -> None:
    with pytest.raises(ValueError, match="expected a reply to each of 2 exchanges, found 1"):
        text_metrics(exchanges(0, 1), ["yes"])
    with pytest.raises(ValueError, match="cannot reshape"):
        texts.mean_words(exchanges(0, 1), ["yes"])


METRICS = [found.metric for found in text_metrics([], []).measured]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.key)
def test_a_metric_says_what_it_is(metric: Metric) -> None:
    assert metric.definition.endswith(".") or "signature" in metric.definition
    assert metric.source
    assert metric.unit
    assert metric.lowest == 0
    assert metric.highest == (None if metric.key == "mean_words" else 100)
    neither = {"mean_words", "question_rate"}
    lower = {"repetition_within", "repetition_across", "persona_copy", "empty_replies"}
    expected = Better.NEITHER if metric.key in neither else Better.LOWER if metric.key in lower else Better.HIGHER
    assert metric.better is expected


REFERENCES = [
    "i am a nurse , and i work at night .",
    "that's great ! do you have any pets ?",
    "no , i'm not much of a dog person .",
    "My dog Rex is 3.5 years old .",
    "hello",
    "i love to read books about the sea .",
]
NEAR = [
    "i am a nurse , and you ?",
    "that's great ! do you have any dogs at home ?",
    "",
    "my dog rex is 3.5 years old .",
    "hello there",
    "i love to read books .",
]
WITHOUT_FOUR_IN_A_ROW = ["i work .", "pets ? great !", "a dog person", "years old rex", "hi", "the sea , books"]
NOTHING_SHARED = ["zzz yyy xxx www"] * 6
TOO_SHORT = ["i am", "do you", "no", "my dog", "hello", "i love"]


@pytest.mark.parametrize("replies", [NEAR, WITHOUT_FOUR_IN_A_ROW, NOTHING_SHARED, TOO_SHORT])
def test_bleu_equals_sacrebleus_command_line(tmp_path: Path, replies: list[str]) -> None:
    asked = [exchange(place // 2, reference) for place, reference in enumerate(REFERENCES)]
    found = texts.bleu4(asked, replies)
    printed = sacrebleu_command(tmp_path, REFERENCES, replies)
    assert value(found) == pytest.approx(printed["score"], abs=5e-7)
    assert found.metric.definition.endswith(printed["signature"])


def test_bleu_of_real_replies_equals_sacrebleus_command_line(corpora: Path, tmp_path: Path) -> None:
    asked = exchanges_of(list(read_dialogues(corpora / "convai2" / "valid_self_original.txt.xz").dialogues))
    replies = [one.said for one in asked]
    printed = sacrebleu_command(tmp_path, [one.reference for one in asked], replies)
    assert value(texts.bleu4(asked, replies)) == pytest.approx(printed["score"], abs=5e-7)


def sacrebleu_command(folder: Path, references: Sequence[str], replies: Sequence[str]) -> dict[str, Any]:
    """What `python -m sacrebleu` prints for two files of these lines, with six decimals."""
    for name, lines in (("references", references), ("replies", replies)):
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", "references", "-i", "replies", "-m", "bleu", "-w", "6", "--force"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    printed: dict[str, Any] = json.loads(ran.stdout)
    return printed


def test_bleu_of_many_totals_equals_sacrebleu_on_each() -> None:
    draw = random.Random(0)
    totals = []
    for _ in range(300):
        words = draw.randrange(12)
        possible = [max(0, words - n) for n in range(4)]
        matched = [0, 0, 0, 0]
        for n in range(4):
            most = min(possible[n], matched[n - 1] if n else possible[n])
            matched[n] = draw.randint(0, most)
        totals.append([words, draw.randrange(1, 12), *matched, *possible])
    expected = [BLEU.compute_bleu(row[2:6], row[6:10], row[0], row[1], smooth_method="exp").score for row in totals]
    combine = texts.bleu4([], []).tally.combine
    assert max(expected) > 50
    assert sum(one == 0 for one in expected) > 50
    np.testing.assert_allclose(combine(np.array(totals, dtype=float)), expected, atol=1e-9)
    np.testing.assert_allclose(combine(np.array(totals, dtype=float).reshape(3, 100, 10)).ravel(), expected, atol=1e-9)
