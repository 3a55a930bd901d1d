"""Questions from facts, and what counts as an answer."""

from __future__ import annotations

import re
from typing import Any

import pytest

from personable.corpus import read_dialogues
from personable.dialogue import Persona
from personable.evaluation.fidelity.content_words import affirmed_stems, content_stems, stems, words
from personable.evaluation.fidelity.fact_questions import is_covered, probes_of
from personable.evaluation.fidelity.facts import (
    FACT_RECALL,
    FACT_RECALL_EVERY_WORDING,
    FACT_RECALL_WITHOUT_PERSONA,
    METRICS,
    fact_questions,
    fact_recall,
    measured_recall,
    score_answers,
)
from personable.reply import Sampling
from tests.evaluation.fidelity.scripted import Scripted, bot_engine

GREEDY = Sampling(temperature=0)


def asked_about(fact):
    """The first wording for a fact, its kind, and the answers as stems."""
    (probe,) = probes_of(Persona((fact,)))
    return probe.questions[0].text, probe.kind, probe.questions[0].answers


@pytest.mark.parametrize(
    ("fact", "question", "answers"),
    [
        ("i have a cat named tom.", "what is your cat's name?", {("tom",)}),
        ("my favorite color is blue.", "what is your favorite color?", {("blu",)}),
        ("mickey mouse is my favorite character.", "what is your favorite character?", {("mous", "mickei")}),
        ("i work as a nurse.", "what do you do for a living?", {("nurs",)}),
        ("i'm a plumber.", "what do you do for a living?", {("plumb",)}),
        ("I live in Ohio.", "Where do you live?", {("ohio",)}),
        ("my name is sarah", "what is your name?", {("sarah",)}),
        ("i am thirty years old", "how old are you?", {("30",)}),
        ("i have two brothers", "how many brothers do you have?", {("2",)}),
        ("i have one sister.", "how many sisters do you have?", {("1",)}),
        ("i like to ski", "what do you like to do?", {("ski",)}),
        ("i love pizza and sushi.", "what do you like?", {("pizza",), ("sushi",)}),
        ("i drive a ford pinto.", "what do you drive?", {("pinto", "ford")}),
        ("i am from texas.", "where are you from?", {("texa",)}),
        ("i am a vegetarian.", "do you follow a special diet?", {("vegetarian",)}),
        ("my mother is a dentist.", "what does your mother do for a living?", {("dentist",)}),
        ("my parents were teachers.", "what do your parents do for a living?", {("teach",)}),
        ("i've brown curly hair.", "what does your hair look like?", {("curli", "brown")}),
        ("i'm terrified of scorpions.", "what are you afraid of?", {("scorpion",)}),
        ("i do not drink soda.", "what do you never drink?", {("soda",)}),
        ("I dislike elevators, so I always take the stairs.", "What do you dislike?", {("elevator",)}),
        ("i grew up on a farm.", "where did you grow up?", {("farm",)}),
        ("i ' m a librarian .", "what do you do for a living?", {("librarian",)}),
    ],
)
def test_a_fact_becomes_a_question_that_it_answers(fact, question, answers):
    text, _, found = asked_about(fact)
    assert text == question
    assert set(found) == answers


def test_every_fact_is_asked_in_three_ways():
    for fact in (
        "i have a cat named tom.",
        "i am from texas.",
        "my name is sarah",
        "i have two dogs.",
        "i hate school.",
    ):
        (probe,) = probes_of(Persona((fact,)))
        assert len({question.text for question in probe.questions}) >= 3


def test_names_keep_their_capitals_in_a_question():
    text, _, _ = asked_about("My favorite Beatles song is Yesterday.")
    assert text == "What is your favorite Beatles song?"


def test_no_answer_is_in_its_question():
    for fact in (
        "my favorite food is mexican food.",
        "i am a construction worker.",
        "my favourite music is country music.",
    ):
        (probe,) = probes_of(Persona((fact,)))
        for question in probe.questions:
            assert not any(word in stems(question.text) for answer in question.answers for word in answer)


@pytest.mark.parametrize("fact", ["i feel old.", "they are constantly on my back.", "my favorite band is the who.", ""])
def test_facts_without_a_pattern_or_a_content_word_are_left_out(fact):
    assert not is_covered(fact)


def test_an_open_question_is_answered_by_any_fact_of_its_kind():
    probes = probes_of(Persona(("i like tacos.", "i love horses.", "i am from ohio.")))
    likes = [probe for probe in probes if probe.kind == "like"]
    assert len(likes) == 1
    assert set(likes[0].questions[0].answers) == {("taco",), ("hors",)}


@pytest.mark.parametrize(
    ("fact", "reply", "right"),
    [
        ("i have a cat named tom.", "His name is Tom!", True),
        ("i have a cat named tom.", "what is your cat's name?", False),  # an echo
        ("i have a cat named tom.", "i have a cat.", False),
        ("i have two brothers", "I have 2 of them.", True),
        ("i have two brothers", "i have three brothers.", False),
        ("i have two brothers", "how many brothers do you have?", False),
        ("i am 22 years old", "i am twenty two", True),
        ("i like riding horses.", "I rode a horse today.", True),
        ("i am a teacher.", "i teach children", True),
        ("i am a teacher.", "i'm not a teacher", False),
        ("i have a dog.", "no, i do not have a dog", False),
        ("i have a dog.", "no cats, but a dog", True),
        ("i do not like fish.", "i don't like fish", True),  # here the denial is the answer
        ("i love pizza and sushi.", "sushi, mostly", True),
        ("i am a swim coach at my local pool.", "i work as a coach", False),  # one word of four
        ("i am a swim coach at my local pool.", "i am a swim coach", True),
        ("i enjoy coloring books.", "my favorite color is red", False),  # half of it, without the noun
        ("i enjoy coloring books.", "books are great", True),
        ("my name is Marit Solheim.", "I am Marit.", True),
        ("I live in Ohio.", "", False),
    ],
)
def test_an_answer_names_the_value(fact, reply, right):
    (probe,) = probes_of(Persona((fact,)))
    assert score_answers(probe.questions[:1], [reply]) == [right]


PETS = Persona(("i have a cat named tom.", "i live in ohio.", "i feel old."))
WORK = Persona(("i work as a nurse.", "my favorite color is blue."))


def knows_only_colours(history):
    facts = " ".join(history.persona.facts)
    if "color" in history.turns[-1].text:
        return "blue" if "blue" in facts else "red"
    return "i do not know"


def test_recall_counts_questions_and_facts_by_hand():
    group = fact_recall(Scripted(knows_only_colours), [PETS, WORK, PETS], GREEDY, seed=1)
    details: Any = group.details
    by_key = {measured.metric.key: measured for measured in group.measured}
    # Four facts can be asked about, three ways each; those about the colour are answered.
    assert by_key["fact_recall"].count == 12
    assert by_key["fact_recall"].tally.value == pytest.approx(100 * 3 / 12)
    assert by_key["fact_recall"].tally.sums.tolist() == [[0, 6], [3, 6]]
    assert by_key["fact_recall_every_wording"].tally.value == pytest.approx(100 * 1 / 4)
    assert by_key["fact_recall_without_persona"].tally.value == 0
    assert details["facts"] == 5
    assert details["facts_with_a_question"] == 4
    assert details["by_kind"]["favourite"] == {"questions": 3, "right": 3, "percent": 100.0}
    assert len(details["right"]) == 3


def test_guessing_shows_in_the_control():
    engine = Scripted(lambda history: "a nurse")
    group = fact_recall(engine, [WORK], GREEDY, seed=1)
    with_persona, _, without = (measured.tally.value for measured in group.measured)
    assert with_persona == without == 50
    assert sum(not history.persona.facts for history in engine.asked) == len(engine.asked) / 2
    assert all(len(history.turns) == 1 for history in engine.asked)


def test_a_question_is_answered_in_every_wording_or_not():
    group = fact_recall(
        Scripted(lambda history: "nurse" if "job" in history.turns[-1].text else ""), [WORK], GREEDY, seed=1
    )
    assert group.measured[0].tally.value == pytest.approx(100 / 6)
    assert group.measured[1].tally.value == 0


def test_the_sample_is_seeded_and_keeps_the_limit():
    personas = [Persona((f"my name is {name}.", "i like tea.")) for name in ("ann", "bob", "cid", "dan", "eve")]
    questions = fact_questions(personas, seed=3, limit=7)
    assert len(questions) == 7
    assert questions == fact_questions(personas, seed=3, limit=7)
    assert questions != fact_questions(personas, seed=4, limit=7)
    engine = Scripted(lambda history: "")
    fact_recall(engine, personas, GREEDY, seed=3, limit=7)
    assert [history.turns[-1].text for history in engine.asked[:7]] == [question.text for question in questions]


def test_without_a_usable_fact_nothing_is_measured():
    group = fact_recall(Scripted(lambda history: ""), [Persona(("i feel old.",))], GREEDY, seed=0)
    assert not group.measured
    assert {each.metric for each in group.not_measured} == set(METRICS)


def test_progress_runs_over_both_passes():
    seen = []
    fact_recall(Scripted(lambda history: ""), [WORK], GREEDY, seed=0, on_progress=lambda *told: seen.append(told))
    assert seen == [(6, 12), (12, 12)]


def test_a_trained_model_is_scored_by_its_real_replies(memorised):
    engine = bot_engine(memorised)
    rita = Persona(("i sail boats.", "i have a cat named tom."), name="Rita")
    group = fact_recall(engine, [rita], Sampling(temperature=0, max_reply_tokens=12), seed=0)
    replies = [engine._reply(history) for history in engine.asked]
    assert group.measured[0].count == len(replies) / 2
    # The metric is what its own rule says of the model's real replies.
    questions = fact_questions([rita], seed=0)
    assert measured_recall(questions, replies[: len(questions)]).tally.value == group.measured[0].tally.value


def test_words_are_compared_without_inflection():
    assert words("I'm twenty-two, she's 5cats") == ["i", "am", "22", "she", "is", "5", "cats"]
    for same in (
        *("horses horse", "baking bakes baked", "teacher teaches taught", "seeing sees see", "running runner ran"),
        *("children kids", "studies study studying", "movie film", "colour color", "dancing dance"),
    ):
        assert len(set(stems(same))) == 1, same
    for other in ("butter but", "son song", "cat cattle", "soccer sock"):
        assert len(set(stems(other))) == 2, other
    assert content_stems("I would like to have some of the cats, please") == ("cat",)
    assert affirmed_stems("i do not have cats. dogs!") >= {"dog"}
    assert "cat" not in affirmed_stems("i do not have cats. dogs!")


def test_most_facts_of_convai2_have_a_question(corpora):
    dialogues = read_dialogues(corpora / "convai2" / "valid_self_original.txt.xz").dialogues
    facts = [fact for persona in dict.fromkeys(one.persona for one in dialogues) for fact in persona.facts]
    covered = sum(map(is_covered, facts))
    assert covered / len(facts) > 0.78
    probes = [probe for one in dialogues[:60] for probe in probes_of(one.persona)]
    for probe in probes:
        for question in probe.questions:
            assert re.fullmatch(r"[a-z0-9' ,-]+[.?](?: [a-z0-9' ,-]+[.?])?", question.text), question.text
            assert score_answers([question], [question.text]) == [False]
            assert question.may_deny or score_answers([question], [probe.fact]) == [True], probe.fact


def test_definitions_say_what_they_are():
    assert FACT_RECALL.highest == FACT_RECALL_EVERY_WORDING.highest == FACT_RECALL_WITHOUT_PERSONA.highest == 100
    assert len({metric.key for metric in METRICS}) == len(METRICS)
