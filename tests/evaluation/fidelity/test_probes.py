"""Character regression tests: the file, and what is made of replies."""

from __future__ import annotations

from pathlib import Path

import pytest

from personable.errors import DataError
from personable.evaluation.fidelity.probes import ProbeSettings, read_probes, run_probes
from personable.evaluation.fidelity.probes import wrong_with as broken
from tests.evaluation.fidelity.scripted import Scripted, bot_engine

EXAMPLE = Path(__file__).parents[3] / "examples" / "probes.yaml"


def written(tmp_path, text):
    file = tmp_path / "probes.yaml"
    file.write_text(text, encoding="utf-8")
    return file


RITA = """
personas:
  - name: Rita
    facts: [i sail boats., i have a cat named tom.]
    probes:
"""


@pytest.mark.parametrize(
    ("condition", "reply", "why"),
    [
        ({"must_contain": "Tom"}, "it is TOM!", ""),
        ({"must_contain": "Tom"}, "tomorrow", "lacks 'Tom'"),
        ({"must_contain": ["cat", "Tom"]}, "a cat", "lacks 'Tom'"),
        ({"must_contain": "heron rock"}, "On Heron  Rock.", ""),
        ({"must_contain": "C++"}, "i write c++.", ""),
        ({"must_contain_any": ["cat", "Tom"]}, "a cat", ""),
        ({"must_contain_any": ["cat", "Tom"]}, "a dog", "lacks any of 'cat', 'Tom'"),
        ({"must_not_contain": ["dog", "bird"]}, "a dog", "contains 'dog'"),
        ({"must_not_contain": "dog"}, "dogma", ""),
        ({"must_match": r"tom|tim\b"}, "Timothy", r"does not match 'tom|tim\\b'"),
        ({"must_match": r"^i "}, "I do", ""),
        ({"max_words": 3}, "one two three", ""),
        ({"max_words": 3}, "one two three four", "has 4 words, at most 3 are allowed"),
        ({"must_contain": "x", "max_words": 1}, "a b", "lacks 'x'; has 2 words, at most 1 are allowed"),
    ],
)
def test_each_condition_says_what_is_wrong(condition, reply, why):
    assert broken(reply, ProbeSettings(say="hi", **condition)) == why


def test_lines_are_said_one_after_the_other_in_one_dialogue(tmp_path):
    probes = read_probes(
        written(
            tmp_path,
            RITA
            + "      - {say: [hello, pets], must_contain: second}\n"
            + "      - {say: who are you, must_contain: second}\n",
        )
    )
    engine = Scripted(lambda history: ("first", "second")[len(history.turns) // 2])
    two, one = run_probes(engine, probes)
    assert two.passed
    assert two.reply == "second"
    assert not one.passed
    assert one.why == "lacks 'second'"
    assert one.place == "personas.0.probes.1"
    longest = max(engine.asked, key=lambda history: len(history.turns))
    assert [turn.text for turn in longest.turns] == ["hello", "first", "pets"]
    assert longest.persona.name == "Rita"
    # The first lines of both are replied to together.
    assert len(engine.samplings) == 2


def test_an_empty_reply_leaves_no_turn_behind(tmp_path):
    probes = read_probes(written(tmp_path, RITA + "      - {say: [hello, again], must_contain: x}\n"))
    engine = Scripted(lambda history: "")
    (outcome,) = run_probes(engine, probes)
    assert outcome.reply == ""
    assert [turn.text for turn in engine.asked[-1].turns] == ["hello", "again"]


@pytest.mark.parametrize(("at_least", "passed"), [(0.6, True), (0.8, False)])
def test_a_share_of_the_times_is_enough(tmp_path, at_least, passed):
    probes = read_probes(
        written(
            tmp_path,
            "sampling: {temperature: 0.5, seed: 7}\n"
            + RITA
            + f"      - {{say: hi, must_contain: rita, times: 5, at_least: {at_least}}}\n",
        )
    )
    replies = iter(["rita", "who?", "Rita", "no", "rita!"])
    engine = Scripted(lambda history: next(replies))
    told = []
    (outcome,) = run_probes(engine, probes, lambda *each: told.append(each))
    assert (outcome.passed, outcome.times_passed, outcome.times) == (passed, 3, 5)
    assert outcome.reply == "who?"  # the first that failed
    assert outcome.why == "lacks 'rita'"
    assert [sampling.seed for sampling in engine.samplings] == [7, 8, 9, 10, 11]
    assert told == [(done, 5) for done in (1, 2, 3, 4, 5)]


def test_seven_tenths_of_ten_are_seven(tmp_path):
    text = "sampling: {temperature: 1}\n" + RITA + "      - {say: a, max_words: 1, times: 10, at_least: 0.7}\n"
    replies = iter(["one"] * 7 + ["two words"] * 3)
    (outcome,) = run_probes(Scripted(lambda history: next(replies)), read_probes(written(tmp_path, text)))
    assert outcome.passed


def test_a_persona_may_be_a_file(tmp_path):
    (tmp_path / "who.yaml").write_text("name: Otto\nfacts: [i ride   a bike.]\n", encoding="utf-8")
    (tmp_path / "who.json").write_text('{"facts": ["i row."]}', encoding="utf-8")
    text = """
personas:
  - {persona: who.yaml, probes: [{say: hi, max_words: 5}]}
  - {persona: who.json, probes: [{say: hi, max_words: 5}]}
"""
    first, second = read_probes(written(tmp_path, text)).probes
    assert (first.persona.name, first.persona.facts) == ("Otto", ("i ride a bike.",))
    assert second.persona.facts == ("i row.",)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            RITA + "      - {say: hi, must_contian: x}\n",
            "personas.0.probes.0.must_contian'; did you mean 'must_contain'",
        ),
        (RITA + "      - {say: hi, must_contain: x, frobnicate: 1}\n", "known: say, must_contain"),
        ("probes: []\n" + RITA + "      - {say: hi, max_words: 1}\n", "unknown key 'probes'"),
        ("sampling: {temprature: 1}\n" + RITA + "      - {say: hi, max_words: 1}\n", "did you mean 'temperature'"),
        ("sampling: {temperature: -1}\n" + RITA + "      - {say: hi, max_words: 1}\n", "found -1"),
        (RITA + "      - {say: hi}\n", "personas.0.probes.0: expected at least one condition"),
        (RITA + "      - {must_contain: x}\n", "personas.0.probes.0.say: field required"),
        (RITA + "      - {say: yes, must_contain: x}\n", "personas.0.probes.0.say: "),
        (RITA + "      - {say: hi, must_contain: 42}\n", "in quotes"),
        (RITA + "      - {say: hi, must_match: '('}\n", "expected a regular expression"),
        (RITA + "      - {say: hi, max_words: 0}\n", "personas.0.probes.0.max_words"),
        (RITA + "      - {say: hi, max_words: 1, at_least: 2}\n", "personas.0.probes.0.at_least"),
        (RITA + "      - {say: hi, max_words: 1, times: 3}\n", "add `sampling: {temperature: 0.7}`"),
        (RITA + "      - {say: ' ', max_words: 1}\n", "personas.0.probes.0.say"),
        ("personas: []\n", "personas: "),
        ("- a\n- b\n", "expected keys with values"),
        ("personas: [{name: x, probes: [{say: a, max_words: 1}]}]\n", "either `facts`"),
        ("personas: [{persona: gone.yaml, probes: [{say: a, max_words: 1}]}]\n", "gone.yaml"),
        ("personas: [{persona: a, facts: [b], probes: [{say: a, max_words: 1}]}]\n", "either `facts`"),
        ("personas: [\n", "expected YAML"),
    ],
)
def test_faults_of_the_file_are_named_with_their_place(tmp_path, text, complaint):
    file = written(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_probes(file)
    assert complaint in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.yaml, found none"):
        read_probes(tmp_path / "none.yaml")


def test_the_example_can_be_read():
    probes = read_probes(EXAMPLE)
    assert len(probes.probes) == 4
    assert probes.probes[0].persona.name == "Marit Solheim"
    assert not probes.sampling.greedy


def test_a_trained_model_passes_what_it_learnt_and_fails_what_it_did_not(memorised, tmp_path):
    engine = bot_engine(memorised)
    text = RITA + (
        "      - {say: [hi, what do you do], must_contain: sail boats}\n"
        "      - {say: [hi, what do you do], must_contain: bake bread}\n"
        "      - {say: [hi, what do you do, any pets], must_contain: [cat, tom], max_words: 6}\n"
    )
    outcomes = run_probes(engine, read_probes(written(tmp_path, text)))
    assert [outcome.passed for outcome in outcomes] == [True, False, True]
    assert outcomes[0].reply == "i sail boats"
