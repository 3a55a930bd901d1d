"""Replies picked for people to look at: some by chance alone, and the worst of each kind."""

from __future__ import annotations

from personable.dialogue import Dialogue, Persona, Speaker
from personable.evaluation.exchanges import Exchange
from personable.evaluation.samples import AT_RANDOM, OF_EACH_FAULT, pick_samples

RITA = Persona(("i sail small boats on the lake.", "i have a cat."), name="Rita")
RANDOM = "drawn at random"
F1 = "worst by ParlAI F1 (the longest without a word in common)"
REPEATS = "repeats itself most"
COPIES = "copies the persona most"
NOTHING = "says nothing"


def exchanges(count: int = 12) -> list[Exchange]:
    return [
        Exchange(place, Dialogue(RITA).then(Speaker.PARTNER, f"question {place}"), f"good answer {place}")
        for place in range(count)
    ]


def good_replies(count: int = 12) -> list[str]:
    return [f"good answer {place}" for place in range(count)]


def of_kind(kind, replies, asked=None):
    return [each for each in pick_samples(asked or exchanges(), replies) if each.kind == kind]


def test_good_replies_have_no_faults() -> None:
    picked = pick_samples(exchanges(), good_replies())
    assert [each.kind for each in picked] == [RANDOM] * AT_RANDOM


def test_a_sample_says_where_it_is_from() -> None:
    for each in pick_samples(exchanges(), good_replies()):
        place = int(each.reply.split()[-1])
        assert each.persona == RITA
        assert [turn.text for turn in each.turns] == [f"question {place}"]
        assert each.reply == each.reference == f"good answer {place}"
        assert each.note == ""


def test_the_random_ones_do_not_depend_on_what_was_replied() -> None:
    def drawn(replies, seed=0):
        return [each.reference for each in pick_samples(exchanges(), replies, seed=seed) if each.kind == RANDOM]

    expected = drawn(good_replies())
    assert len(set(expected)) == AT_RANDOM
    assert drawn([""] * 12) == drawn(["a b a b a b a b"] * 12) == expected
    assert drawn(good_replies(), seed=1) != expected


def test_fewer_replies_than_samples() -> None:
    assert len(pick_samples(exchanges(2), good_replies(2))) == 2
    assert pick_samples([], []) == ()


def test_nothing_in_common_is_worst_where_it_is_longest() -> None:
    replies = good_replies()
    replies[3] = "quite other words"
    replies[7] = "quite other words and many more of them"
    replies[9] = "quite other words but a few"
    replies[10] = "hm"
    found = of_kind(F1, replies)
    assert [each.reply for each in found] == [replies[7], replies[9], replies[3]]
    assert {each.note for each in found} == {"F1 0.0"}


def test_repeating_itself() -> None:
    replies = good_replies()
    replies[2] = "good answer 2 good answer 2"
    replies[5] = "good good good good good good"
    found = of_kind(REPEATS, replies)
    assert [each.reply for each in found] == [replies[5], replies[2]]
    assert found[0].note == "3 of 4 runs of three words said before in the same reply"
    assert found[1].note == "1 of 4 runs of three words said before in the same reply"


def test_copying_the_persona() -> None:
    replies = good_replies()
    replies[1] = "good answer: i sail small boats on rivers"
    replies[4] = "good answer: I sail small boats on the lake!"
    replies[6] = "good answer: i sail small boats"  # four words may be chance
    replies[8] = "good answer: i have a cat"  # as short as the fact
    found = of_kind(COPIES, replies)
    assert [each.reply for each in found] == [replies[4], replies[1]]
    assert [int(each.note.split()[0]) for each in found] == [2, 1]


def test_saying_nothing() -> None:
    replies = good_replies()
    replies[11] = " \n"
    found = of_kind(NOTHING, replies)
    assert [(each.reference, each.note) for each in found] == [("good answer 11", "empty")]
    assert of_kind(F1, replies) == [], "what is empty is no long reply beside the point"


def test_a_reply_stands_once_among_the_faults_of_a_kind() -> None:
    again = [
        "Up and up and up and up and up!",
        "up and up and up and up and up",
        "up and up and up and up and the up .",
    ]
    others = ["on and on and on and on", "so and so and so and", "go and go and go"]
    found = of_kind(REPEATS, [*again, *others, *good_replies()[6:]])
    assert len(found) == OF_EACH_FAULT
    assert sum(each.reply in again for each in found) == 1
    assert [each.reply for each in found if each.reply not in again] == others[:2], "the next worst take their places"
    assert len(of_kind(NOTHING, [""] * 12)) == 1


def test_faults_of_one_size_are_drawn_by_the_seed() -> None:
    replies = [""] * 12
    picked = [
        tuple(each.reference for each in pick_samples(exchanges(), replies, seed=seed) if each.kind == NOTHING)
        for seed in (0, 0, 1, 2)
    ]
    assert picked[0] == picked[1]
    assert len(set(picked)) > 1
