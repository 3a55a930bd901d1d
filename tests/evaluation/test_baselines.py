"""What trivial systems reply, and what they score on real dialogues."""

from __future__ import annotations

from pathlib import Path

import pytest

from personable.corpus import read_dialogues
from personable.dialogue import Dialogue, Persona, Speaker, Turn
from personable.evaluation.baselines import CONSTANT, TrivialSystem, trivial_systems
from personable.evaluation.exchanges import Exchange, exchanges_of
from personable.evaluation.texts import text_metrics

NAMES = ["human reply", "constant string", "echo of the partner", "copy of a persona fact"]
FROM_TRAINING, OF_OTHERS = "random training reply", "random reply of other dialogues"


def by_name(systems: list[TrivialSystem]) -> dict[str, TrivialSystem]:
    return {system.name: system for system in systems}


@pytest.fixture
def asked() -> list[Exchange]:
    first = Dialogue(Persona(("i fly .", "i swim .")))
    for said, reply in (("hi", "hello"), ("how are you ?", "fine .")):
        first = first.then(Speaker.PARTNER, said).then(Speaker.PERSONA, reply)
    second = Dialogue(turns=(Turn(Speaker.PERSONA, "good day"), Turn(Speaker.PARTNER, "oh")))
    return exchanges_of([first, second.then(Speaker.PERSONA, "yes"), Dialogue().then(Speaker.PERSONA, "hm")])


def test_the_replies_of_each_system(asked: list[Exchange]) -> None:
    systems = trivial_systems(asked)
    assert [system.name for system in systems] == [*NAMES, OF_OTHERS]
    found = by_name(systems)
    assert found["human reply"].replies == ["hello", "fine .", "good day", "yes", "hm"]
    assert found["constant string"].replies == [CONSTANT] * 5
    assert found["echo of the partner"].replies == ["hi", "how are you ?", "", "oh", ""]
    assert found["copy of a persona fact"].replies == ["i fly .", "i fly .", "", "", ""]


def test_a_random_reply_is_of_another_dialogue_and_any_of_them(asked: list[Exchange]) -> None:
    drawn = {place: set[str]() for place in range(len(asked))}
    for seed in range(200):
        for place, reply in enumerate(by_name(trivial_systems(asked, seed=seed))[OF_OTHERS].replies):
            drawn[place].add(reply)
    of_first, of_second, of_third = {"hello", "fine ."}, {"good day", "yes"}, {"hm"}
    others = [of_second | of_third] * 2 + [of_first | of_third] * 2 + [of_first | of_second]
    assert [drawn[place] for place in range(5)] == others


def test_a_random_reply_is_of_another_dialogue_in_any_order(asked: list[Exchange]) -> None:
    mixed = [asked[place] for place in (3, 0, 4, 2, 1)]
    own = {one.reference: one.dialogue for one in asked}
    for seed in range(50):
        replies = by_name(trivial_systems(mixed, seed=seed))[OF_OTHERS].replies
        assert all(own[reply] != one.dialogue for one, reply in zip(mixed, replies, strict=True))


def test_training_replies_are_drawn_from_with_the_seed(asked: list[Exchange]) -> None:
    pool = [f"reply {number}" for number in range(1000)]
    found = by_name(trivial_systems(asked, training_replies=pool, seed=1))
    assert list(found) == [*NAMES, FROM_TRAINING]
    replies = found[FROM_TRAINING].replies
    assert set(replies) <= set(pool)
    assert len(set(replies)) == 5
    assert replies == by_name(trivial_systems(asked, training_replies=pool, seed=1))[FROM_TRAINING].replies
    assert replies != by_name(trivial_systems(asked, training_replies=pool, seed=2))[FROM_TRAINING].replies
    assert "1,000 training replies (seed 1)" in found[FROM_TRAINING].description


def test_a_single_dialogue_has_no_others_to_draw_from(asked: list[Exchange]) -> None:
    assert [system.name for system in trivial_systems(asked[:2])] == NAMES


def test_nothing_asked_is_nothing_replied() -> None:
    assert [system.replies for system in trivial_systems([])] == [[], [], [], []]


# The first 500 dialogues of ConvAI2's validation file, its text as it stands (punctuation spaced off).
# Known values of the whole file (1,000 dialogues, 7,801 replies): echo F1 13.9, first fact F1 12.6, a constant string
# F1 21.2 (another string; this one was climbed for), human Distinct-1 5.4 and Distinct-2 36.4 (they fall with size, so
# half the replies give more), 11.9 words, 28.8 % with a question mark, 1.5 % with five words in a row of a fact.
COLUMNS = (
    *("f1", "bleu4", "distinct_1", "distinct_2", "mean_words", "question_rate"),
    *("repetition_within", "repetition_across", "persona_copy", "empty_replies"),
)
ON_CONVAI2 = {
    "human reply": (100.00, 100.00, 7.73, 44.00, 11.94, 29.66, 0.08, 0.10, 1.38, 0.00),
    "constant string": (22.94, 0.07, 0.02, 0.03, 11.00, 0.00, 0.00, 87.20, 0.00, 0.00),
    "echo of the partner": (13.94, 1.37, 7.69, 43.52, 11.60, 32.30, 0.03, 0.08, 0.05, 0.00),
    "copy of a persona fact": (12.58, 1.33, 3.04, 6.02, 6.61, 0.00, 0.00, 87.20, 78.09, 0.00),
    "random reply of other dialogues": (9.28, 0.31, 6.15, 30.79, 12.03, 30.30, 0.06, 0.05, 0.00, 0.00),
}


def test_scores_on_convai2(corpora: Path) -> None:
    folder = corpora / "convai2"
    asked = exchanges_of(list(read_dialogues(folder / "valid_self_original.txt.xz").dialogues))
    assert len(asked) == 3907
    found = {}
    for system in trivial_systems(asked):
        measured = text_metrics(asked, system.replies).measured
        assert tuple(one.metric.key for one in measured) == COLUMNS
        found[system.name] = tuple(round(one.tally.value, 2) for one in measured)
    assert found == ON_CONVAI2
