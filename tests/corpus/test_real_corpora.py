"""Counts of published corpora, as their own notes give them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from personable.corpus import Format, Reading, read_dialogues, split_dialogues
from personable.corpus.splitting import persona_key
from personable.dialogue import Dialogue, Speaker


@pytest.fixture(scope="module")
def train(corpora: Path) -> Reading:
    return read_dialogues(corpora / "convai2" / "train_self_original_no_cands.txt.xz")


def test_convai2_train_has_its_dialogues_and_replies(train: Reading) -> None:
    assert train.format is Format.CONVAI2
    assert len(train.dialogues) == 17_878
    assert sum(len(each.replies) for each in train.dialogues) == 131_266
    assert all(3 <= len(each.persona.facts) <= 5 for each in train.dialogues)
    assert not any("__SILENCE__" in turn.text for each in train.dialogues for turn in each.turns)


def test_convai2_train_counts_its_words(train: Reading) -> None:
    words = sum(len(turn.text.split()) for each in train.dialogues for turn in each.turns)
    assert words == 2_909_554


def test_the_two_sides_of_every_convai2_conversation_share_their_key_and_nobody_else_does(train: Reading) -> None:
    first, second = train.dialogues[:8_939], train.dialogues[8_939:]
    assert [each.conversation for each in first] == [each.conversation for each in second]
    assert len({each.conversation for each in first}) == 8_939


def test_the_second_side_of_a_convai2_conversation_begins_with_the_persona(train: Reading) -> None:
    assert {each.turns[0].speaker for each in train.dialogues[:8_939]} == {Speaker.PARTNER}
    assert {each.turns[0].speaker for each in train.dialogues[8_939:]} == {Speaker.PERSONA}
    assert train.dialogues[0].turns[0].text == train.dialogues[8_939].turns[0].text


def test_convai2_both_swaps_the_personas_with_the_sides(corpora: Path, train: Reading) -> None:
    both = read_dialogues(corpora / "convai2" / "train_both_original_no_cands.txt.xz").dialogues
    assert [each.turns for each in both] == [each.turns for each in train.dialogues]
    first, second = both[:8_939], both[8_939:]
    same = sum(
        len(one.partner_persona.facts) == len(other.persona.facts) for one, other in zip(first, second, strict=True)
    )
    assert same > 8_900  # in a few the two sides of the file list a different number of facts
    assert max(len(each.partner_persona.facts) for each in both) <= 6
    assert not any(fact.startswith("partner's persona") for each in both for fact in each.persona.facts)


def test_convai2_train_splits_without_leaving_anything_out(train: Reading) -> None:
    split = split_dialogues(train.dialogues, validation_share=0.1, seed=0)
    assert (len(split.train), len(split.validation), split.left_out) == (16_090, 1_788, ())
    assert_apart(split.train, split.validation)


@pytest.mark.parametrize("name", ["valid_self_original", "valid_self_revised"])
def test_convai2_valid_ranks_20_candidates_with_the_reply_last(corpora: Path, name: str) -> None:
    dialogues = read_dialogues(corpora / "convai2" / f"{name}.txt.xz").dialogues
    replies = [reply for each in dialogues for reply in each.replies]
    assert (len(dialogues), len(replies)) == (500, 3_907)
    assert {len(reply.candidates) for reply in replies} == {20}
    assert all(reply.candidates[-1] == reply.text for reply in replies)
    assert sum(len(turn.text.split()) for each in dialogues for turn in each.turns) == 91_994


def test_convai2_files_of_the_same_dialogues_agree(corpora: Path) -> None:
    folder = corpora / "convai2"
    original = read_dialogues(folder / "valid_self_original.txt.xz").dialogues
    revised = read_dialogues(folder / "valid_self_revised.txt.xz").dialogues
    both = read_dialogues(folder / "valid_both_original_no_cands.txt.xz").dialogues
    sample = read_dialogues(folder / "sample_20_dialogues.txt").dialogues
    assert sample == original[:20]
    assert [each.persona for each in both] == [each.persona for each in original]
    assert [each.turns for each in revised] == [each.turns for each in original]
    assert [each.persona for each in revised] != [each.persona for each in original]
    assert all(each.partner_persona.facts for each in both)


@pytest.mark.parametrize(
    ("name", "rows", "empty_rows"),
    [
        ("Synthetic-Persona-Chat_valid", 1_000, 0),
        ("Synthetic-Persona-Chat_test", 968, 1),
        ("Synthetic-Persona-Chat_train", 8_902, 0),
        ("New-Persona-New-Conversations", 11_001, 0),
    ],
)
def test_synthetic_persona_chat_gives_two_sides_of_every_row(
    corpora: Path, name: str, rows: int, empty_rows: int
) -> None:
    dialogues = read_dialogues(corpora / "synthetic_persona_chat" / f"{name}.csv.xz").dialogues
    assert len(dialogues) == 2 * (rows - empty_rows)
    second, first = dialogues[::2], dialogues[1::2]
    assert [each.conversation for each in first] == [each.conversation for each in second]
    assert [each.persona for each in first] == [each.partner_persona for each in second]
    texts = [[turn.text for turn in each.turns] for each in first]
    assert texts == [[turn.text for turn in each.turns] for each in second]
    assert all(one.speaker is not two.speaker for each in first for one, two in zip(each.turns, each.turns[1:]))  # noqa: B905


def test_synthetic_persona_chat_splits_through_its_personas(corpora: Path) -> None:
    dialogues = read_dialogues(corpora / "synthetic_persona_chat" / "Synthetic-Persona-Chat_valid.csv.xz").dialogues
    split = split_dialogues(dialogues, validation_share=0.1, seed=0)
    assert len(split.train) + len(split.validation) + len(split.left_out) == 2_000
    assert 200 <= len(split.validation) <= 230
    assert 0 < len(split.left_out) <= len(split.validation)
    assert_apart(split.train, split.validation)


@pytest.mark.parametrize(
    ("name", "dialogues", "turns"),
    [
        ("casino", 1_030, 11_859),
        ("chatterbot_corpus_english", 374, 998),
        ("wizard_of_internet_valid_test", 1_019, 10_694),
    ],
)
def test_plain_turns_are_all_read(corpora: Path, name: str, dialogues: int, turns: int) -> None:
    reading = read_dialogues(corpora / "dialogue_pretraining" / f"{name}.jsonl.xz")
    assert reading.format is Format.TURNS
    assert (len(reading.dialogues), sum(len(each.turns) for each in reading.dialogues)) == (dialogues, turns)


def test_sessions_of_multi_session_chat_share_their_conversation(corpora: Path) -> None:
    dialogues = read_dialogues(corpora / "msc" / "msc_sessions_2to5_valid_test.jsonl.xz").dialogues
    sessions = Counter(each.conversation for each in dialogues)
    assert (len(dialogues), sum(len(each.turns) for each in dialogues)) == (3_096, 36_224)
    assert (len(sessions), set(sessions.values())) == (774, {4})
    assert dialogues[0].partner_persona.facts[0] == "I own a Jeep."


def assert_apart(train: tuple[Dialogue, ...], validation: tuple[Dialogue, ...]) -> None:
    assert {each.conversation for each in train}.isdisjoint(each.conversation for each in validation)
    assert {persona_key(each.persona) for each in train}.isdisjoint(persona_key(each.persona) for each in validation)
