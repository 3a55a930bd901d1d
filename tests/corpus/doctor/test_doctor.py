"""What the doctor finds, and where."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from personable.corpus import Diagnosis, Finding, Kind, Severity, examine, write_dialogues
from personable.dialogue import Dialogue, Persona, Speaker, Turn

ANN = Persona(("I ski in the Alps.", "I have two cats."))
BOB = Persona(("I bake bread.", "My name is Bob."))
TALK = (
    "Hello there, what did you do all weekend?",
    "I went skiing with my brother, the snow was great.",
    "Lucky you! I had to bake forty loaves of bread for a fair.",
    "Forty! My cats would eat them all if they could.",
    "Mine too, but I own a parrot and no cats at all.",
    "A parrot that eats bread, now I have heard everything.",
)


def told(texts: Sequence[str], persona: Persona = ANN, *, first: Speaker = Speaker.PARTNER) -> Dialogue:
    """A dialogue in which speakers alternate."""
    second = Speaker.PERSONA if first is Speaker.PARTNER else Speaker.PARTNER
    return Dialogue(persona, tuple(Turn((first, second)[number % 2], text) for number, text in enumerate(texts)))


def corpus(path: Path, *dialogues: Dialogue) -> Path:
    write_dialogues(dialogues, path)
    return path


def diagnosis_of(folder: Path, *dialogues: Dialogue, other: Sequence[Dialogue] = ()) -> Diagnosis:
    beside = corpus(folder / "other.jsonl", *other) if other else None
    return examine(corpus(folder / "corpus.jsonl", *dialogues), other=beside)


def places(diagnosis: Diagnosis, kind: Kind) -> list[tuple[int, int | None]]:
    """(line of the finding, line of its counterpart) for each finding of a kind."""
    return [(each.line, each.like.line if each.like else None) for each in of_kind(diagnosis, kind)]


def of_kind(diagnosis: Diagnosis, kind: Kind) -> list[Finding]:
    return [finding for finding in diagnosis.findings if finding.kind is kind]


def kinds(diagnosis: Diagnosis) -> set[Kind]:
    return set(diagnosis.counts)


def test_a_sound_corpus_has_no_findings_and_says_what_was_not_checked(tmp_path: Path) -> None:
    diagnosis = diagnosis_of(tmp_path, told(TALK), told(["Nice weather.", "For my cats, yes.", "Why?", "They ski."]))
    assert diagnosis.findings == ()
    assert (diagnosis.dialogues, diagnosis.replies, diagnosis.partner_turns) == (2, 3 + 2, 3 + 2)
    assert diagnosis.not_checked == (
        "leaks: no other corpus was given (--other)",
        "contradictions between replies and facts: no NLI classifier was given (--nli)",
    )


def test_the_same_conversation_leaks_whatever_its_case_apostrophes_and_spacing(tmp_path: Path) -> None:
    noisy = [text.upper().replace("!", " !").replace(",", " ,") for text in TALK]
    diagnosis = diagnosis_of(tmp_path, told(["Hi.", "Cats!"]), told(TALK), other=[told(noisy, BOB)])
    assert places(diagnosis, Kind.LEAKED_CONVERSATION) == [(2, 1)]
    assert diagnosis.errors == tuple(of_kind(diagnosis, Kind.LEAKED_CONVERSATION))
    assert diagnosis.errors[0].index == 1


def test_the_other_side_of_a_conversation_leaks_even_if_it_is_one_turn_shorter(tmp_path: Path) -> None:
    other_side = told(TALK[:5], BOB, first=Speaker.PERSONA)
    diagnosis = diagnosis_of(tmp_path, told(TALK), other=[other_side])
    assert places(diagnosis, Kind.LEAKED_CONVERSATION) == [(1, 1)]
    assert "the same first 5 turns, seen from the other side" in diagnosis.findings[0].found
    assert places(diagnosis_of(tmp_path, other_side, other=[told(TALK)]), Kind.LEAKED_CONVERSATION) == [(1, 1)]


@pytest.mark.parametrize(("here", "there"), [(TALK, TALK[:4]), (TALK[:4], TALK)])
def test_a_dialogue_that_begins_one_of_the_other_corpus_leaks(
    tmp_path: Path, here: Sequence[str], there: Sequence[str]
) -> None:
    diagnosis = diagnosis_of(tmp_path, told(here), other=[told(there, BOB)])
    assert places(diagnosis, Kind.LEAKED_BEGINNING) == [(1, 1)]
    assert "the 4 turns of one are the first of the other" in diagnosis.findings[0].found


def test_conversations_that_part_after_six_turns_leak(tmp_path: Path) -> None:
    here, there = told([*TALK, "Bye!", "See you."]), told([*TALK, "Really?", "Yes."], BOB)
    assert places(diagnosis_of(tmp_path, here, other=[there]), Kind.LEAKED_BEGINNING) == [(1, 1)]


def test_a_short_greeting_in_both_corpora_is_no_leak_unless_the_persona_is_the_same(tmp_path: Path) -> None:
    here, longer = told(["Hi!", "Hi, how are you?"]), ["Hi!", "Hi, how are you?", "Fine.", "My cats are too."]
    assert Kind.LEAKED_BEGINNING not in kinds(diagnosis_of(tmp_path, here, other=[told(longer, BOB)]))
    assert places(diagnosis_of(tmp_path, here, other=[told(longer, ANN)]), Kind.LEAKED_BEGINNING) == [(1, 1)]


def test_greetings_alone_make_no_common_conversation_however_many(tmp_path: Path) -> None:
    greetings = ["Hi!", "Hi!", "How are you?", "Good, you?", "Good.", "Great."]
    here, there = told([*greetings, "I ski."]), told([*greetings, "I bake."], BOB)
    assert Kind.LEAKED_BEGINNING not in kinds(diagnosis_of(tmp_path, here, other=[there]))


def test_a_persona_that_replies_in_both_corpora_is_one_finding(tmp_path: Path) -> None:
    shuffled = Persona(("i have two cats", "i ski in the alps"))
    mine = [told(["a", "cats"]), told(["b", "cats"]), told(["c", "bread"], BOB)]
    diagnosis = diagnosis_of(tmp_path, *mine, other=[told(["d", "cats"], shuffled)])
    assert places(diagnosis, Kind.LEAKED_PERSONA) == [(1, 1)]
    assert of_kind(diagnosis, Kind.LEAKED_PERSONA)[0].found == "2 dialogues here and 1 there: 'I ski in the Alps.'"
    assert diagnosis.errors == ()


def test_a_partner_persona_is_no_leak(tmp_path: Path) -> None:
    partnered = Dialogue(BOB, told(["d", "bread"]).turns, partner_persona=ANN)
    assert Kind.LEAKED_PERSONA not in kinds(diagnosis_of(tmp_path, told(["a", "cats"]), other=[partnered]))


def test_every_copy_but_the_first_is_a_duplicate(tmp_path: Path) -> None:
    loud = told([text.upper() for text in TALK])
    diagnosis = diagnosis_of(tmp_path, told(TALK), told(["x", "cats"]), loud, told(TALK))
    assert places(diagnosis, Kind.DUPLICATE) == [(3, 1), (4, 1)]
    assert kinds(diagnosis) == {Kind.DUPLICATE}


def test_the_same_turns_with_another_persona_are_a_near_duplicate(tmp_path: Path) -> None:
    diagnosis = diagnosis_of(tmp_path, told(TALK), told(TALK, Persona(("My cats ski.",))))
    assert places(diagnosis, Kind.NEAR_DUPLICATE) == [(2, 1)]
    assert "with another persona" in diagnosis.findings[0].found


def test_rows_that_are_beginnings_of_one_conversation_are_found_in_any_order(tmp_path: Path) -> None:
    rows = [told(TALK[:4]), told(TALK), told(TALK[:2])]
    diagnosis = diagnosis_of(tmp_path, *rows)
    assert [line for line, _ in places(diagnosis, Kind.BEGINNING)] == [1, 3]
    assert {like for _, like in places(diagnosis, Kind.BEGINNING)} <= {1, 2}
    assert kinds(diagnosis) == {Kind.BEGINNING, Kind.UNGROUNDED} or kinds(diagnosis) == {Kind.BEGINNING}


def test_near_duplicates_survive_some_changed_words_and_others_are_not_taken_for_one(tmp_path: Path) -> None:
    changed = [*TALK[:3], "Forty! My dogs would eat them all if they could.", *TALK[4:]]
    unlike = [text.replace("bread", "cake").replace("I ", "we ").replace("the", "some") for text in TALK]
    diagnosis = diagnosis_of(tmp_path, told(TALK), told(changed), told(["Other talk?", "Cats."]), told(unlike[::-1]))
    assert places(diagnosis, Kind.NEAR_DUPLICATE) == [(2, 1)]
    # 10 + 10 + 14 + 10 + 11 + 9 words are 61 runs of four; "cats" stands in three of them.
    assert "of all runs of four words are in both" in of_kind(diagnosis, Kind.NEAR_DUPLICATE)[0].found


def test_a_near_duplicate_in_the_other_corpus_is_a_warning(tmp_path: Path) -> None:
    changed = [TALK[0].replace("weekend", "week"), *TALK[1:]]
    diagnosis = diagnosis_of(tmp_path, told(TALK), other=[told(changed, BOB)])
    assert places(diagnosis, Kind.LEAKED_NEARLY) == [(1, 1)]
    assert diagnosis.errors == ()


def test_both_sides_of_a_conversation_are_a_note_not_a_duplicate(tmp_path: Path) -> None:
    diagnosis = diagnosis_of(tmp_path, told(TALK), told(TALK[:5], BOB, first=Speaker.PERSONA))
    assert places(diagnosis, Kind.BOTH_SIDES) == [(2, 1)]
    assert {kind.severity for kind in diagnosis.counts} == {Severity.NOTE}


@pytest.mark.parametrize(
    "reply",
    [
        "I have cats. User: how many?",
        "I like cats. Person A: me too",
        "User 1: hi\nUser 2: hello",
        "You: hi! I ski.",
        "I ski.\nYou: where?",
        "Bob: I bake bread.",
        "bob : i bake bread .",
        "**User:** hi",
    ],
)
def test_labels_in_replies_are_found(tmp_path: Path, reply: str) -> None:
    persona = Persona((*BOB.facts, *ANN.facts))
    diagnosis = diagnosis_of(tmp_path, told(["Hi.", "Bread.", "And?", reply], persona))
    if reply == "I have cats. User: how many?":  # "user:" within a line may be anything, such as a list
        assert Kind.SPEAKS_FOR_PARTNER not in kinds(diagnosis)
    else:
        assert [finding.turn for finding in of_kind(diagnosis, Kind.SPEAKS_FOR_PARTNER)] == [4]


@pytest.mark.parametrize(
    "reply",
    [
        "I have one question for you: do you ski?",
        "To confirm: two cats.",
        "You: )",
        "It is 5:30 here.",
        "D: are you skiing?",
        "Bobby: is that a name?",
        "Person of the year: my cat.",
    ],
)
def test_other_colons_are_no_labels(tmp_path: Path, reply: str) -> None:
    diagnosis = diagnosis_of(tmp_path, told(["User: I may write this.", reply], Persona((*BOB.facts, *ANN.facts))))
    assert Kind.SPEAKS_FOR_PARTNER not in kinds(diagnosis)


def test_the_name_of_a_persona_is_a_label_too(tmp_path: Path) -> None:
    named = Persona(ANN.facts, "Ann Lee")
    diagnosis = diagnosis_of(tmp_path, told(["Hi.", "Ann Lee: I ski."], named))
    assert [finding.turn for finding in of_kind(diagnosis, Kind.SPEAKS_FOR_PARTNER)] == [2]


def test_single_turns_are_named_by_number(tmp_path: Path) -> None:
    dialogue = Dialogue(
        ANN,
        (
            Turn(Speaker.PARTNER, "Hi, I'm [User 1's name]."),
            Turn(Speaker.PERSONA, "I ski."),
            Turn(Speaker.PERSONA, "word " * 251),
            Turn(Speaker.PARTNER, "What a fucking long text [sighs]."),
        ),
    )
    diagnosis = diagnosis_of(tmp_path, dialogue)
    turns = {kind: [finding.turn for finding in of_kind(diagnosis, kind)] for kind in diagnosis.counts}
    assert turns == {Kind.PLACEHOLDER: [1], Kind.TWICE_IN_A_ROW: [3], Kind.LONG_TURN: [3], Kind.PROFANITY: [4]}
    assert (diagnosis.profane(Speaker.PERSONA), diagnosis.profane(Speaker.PARTNER)) == (0, 1)


def test_personas_that_are_not_heard_or_not_there_are_notes(tmp_path: Path) -> None:
    mute = told(["Hi.", "Hello.", "And you?", "Fine, thanks."])
    bare = told(["Hi.", "Hello!"], Persona())
    diagnosis = diagnosis_of(tmp_path, told(["Cats?", "Skiing."]), mute, bare)
    assert places(diagnosis, Kind.UNGROUNDED) == [(2, None)]
    assert places(diagnosis, Kind.NO_PERSONA) == [(3, None)]


def test_a_corpus_without_any_persona_is_one_note(tmp_path: Path) -> None:
    diagnosis = diagnosis_of(tmp_path, *(told([f"Question {n}?", "Yes."], Persona()) for n in range(5)))
    assert [finding.found for finding in of_kind(diagnosis, Kind.NO_PERSONA)] == ["none of 5 dialogues has one"]


def test_speakers_are_taken_for_swapped_where_the_partner_tells_the_facts(tmp_path: Path) -> None:
    right = [told([f"Day {n}?", f"I went skiing {n} times."]) for n in range(20)]
    swapped = [told([f"I went skiing {n} times.", f"Nice {n}!"]) for n in range(20)]
    assert Kind.SPEAKERS_SWAPPED not in kinds(diagnosis_of(tmp_path, *right))
    assert len(of_kind(diagnosis_of(tmp_path, *swapped), Kind.SPEAKERS_SWAPPED)) == 1
    assert Kind.SPEAKERS_SWAPPED not in kinds(diagnosis_of(tmp_path, *swapped[:5], *right[:15]))


def test_contradictions_are_asked_of_the_classifier_given(tmp_path: Path) -> None:
    path = corpus(
        tmp_path / "corpus.jsonl",
        told(["Pets?", "No, I hate all cats.", "Oh?", "Do you ski?", "No.", "I do ski every single day."]),
    )
    asked: list[tuple[str, str]] = []

    def contradicts(pairs: list[tuple[str, str]]) -> list[bool]:
        asked.extend(pairs)
        return ["cats" in fact and "hate" in reply for fact, reply in pairs]

    diagnosis = examine(path, contradicts=contradicts)
    # The question says nothing of its speaker and is not asked about.
    assert asked == [
        (fact, reply) for reply in ("No, I hate all cats.", "I do ski every single day.") for fact in ANN.facts
    ]
    assert [(each.turn, each.found) for each in of_kind(diagnosis, Kind.CONTRADICTED)] == [
        (2, "'No, I hate all cats.' against the fact 'I have two cats.'")
    ]
    assert diagnosis.not_checked == ("leaks: no other corpus was given (--other)",)


def test_only_so_many_pairs_are_asked_about_and_the_rest_is_said(tmp_path: Path) -> None:
    path = corpus(tmp_path / "corpus.jsonl", *(told(["Hm?", f"I ski {n} times a day."]) for n in range(10)))
    asked: list[tuple[str, str]] = []

    def contradicts(pairs: list[tuple[str, str]]) -> list[bool]:
        asked.extend(pairs)
        return [False] * len(pairs)

    diagnosis = examine(path, contradicts=contradicts, most_pairs=8)
    assert [reply for _, reply in asked[::2]] == [f"I ski {n} times a day." for n in (0, 3, 6, 9)]
    assert diagnosis.not_checked[-1].startswith("contradictions in 12 of 20 pairs of fact and reply")


def test_tokenised_text_is_one_finding_with_its_share(tmp_path: Path) -> None:
    spaced = told(["hello , you ?", "i ' m skiing .", "ok", "my cats don ' t ski ."])
    diagnosis = diagnosis_of(tmp_path, spaced)
    assert [finding.found for finding in of_kind(diagnosis, Kind.TOKENISED)] == [
        "75% of 4 turns have punctuation spaced off, 100% have no capital: 'hello , you ?'"
    ]
    assert diagnosis.tokenisation.whole
    mixed = diagnosis_of(tmp_path, spaced, told(["Hello, you?", "I'm skiing.", "OK", "My cats don't ski."], BOB))
    assert Kind.TOKENISED in kinds(mixed)
    assert not mixed.tokenisation.whole


def test_records_that_cannot_be_read_are_errors_with_their_line(tmp_path: Path) -> None:
    path = corpus(tmp_path / "corpus.jsonl", told(TALK))
    empty = {"turns": [{"speaker": "partner", "text": "Hi."}, {"speaker": "persona", "text": "  "}]}
    path.write_text(path.read_text() + "not json\n" + json.dumps(empty) + "\n")
    diagnosis = examine(path)
    assert [(each.kind, each.line, each.index) for each in diagnosis.errors] == [
        (Kind.UNREADABLE, 2, None),
        (Kind.UNREADABLE, 3, None),
    ]
    assert "expected text in turns[1].text, found 'nothing but white space'" in diagnosis.errors[1].found
    assert diagnosis.dialogues == 1


def test_a_turn_has_its_own_line_where_the_format_gives_it_one(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text(
        "1 your persona: i have cats .\n2 hi\tcats !\n\n3 and ?\tyou : hi\n1 your persona: i ski .\n2 a\tski , shit !\n"
    )
    diagnosis = examine(path)
    assert [(each.line, each.turn, each.index) for each in of_kind(diagnosis, Kind.SPEAKS_FOR_PARTNER)] == [(4, 4, 0)]
    assert [(each.line, each.turn, each.index) for each in of_kind(diagnosis, Kind.PROFANITY)] == [(6, 2, 1)]
    assert of_kind(diagnosis, Kind.PROFANITY)[0].found == "persona: s***"


def test_findings_come_worst_first(tmp_path: Path) -> None:
    diagnosis = diagnosis_of(tmp_path, told(TALK), told(TALK), told(["Oh shit.", "You: cats"]), told(["Hi", "Fine."]))
    severities = [finding.kind.severity for finding in diagnosis.findings]
    assert severities == sorted(severities, key=list(Severity).index)
    assert set(severities) == set(Severity)


def test_a_thousand_copies_take_no_time_for_pairs(tmp_path: Path) -> None:
    copies = [told([*TALK, f"And this is number {n}."]) for n in range(1000)]
    diagnosis = diagnosis_of(tmp_path, *copies)
    assert places(diagnosis, Kind.NEAR_DUPLICATE) == [(line, 1) for line in range(2, 1001)]
