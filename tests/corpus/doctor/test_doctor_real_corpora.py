"""What the doctor finds in published corpora, against what their own notes say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from personable.corpus import Diagnosis, Kind, examine
from personable.corpus.doctor.private import Private, private_spans
from personable.corpus.doctor.sameness import Chain, Relation, within
from personable.corpus.reading import read_placed


def test_both_sides_of_every_convai2_conversation_are_recognised(corpora: Path) -> None:
    records = read_placed(corpora / "convai2" / "train_self_original_no_cands.txt.xz").records
    likenesses = list(within([Chain.of(placed.dialogue) for placed in records]))
    # 162 of the pairs differ by an apostrophe.
    assert {each.relation for each in likenesses} == {Relation.OTHER_SIDE}
    assert [(each.one, each.other) for each in likenesses] == [(n + 8_939, n) for n in range(8_939)]


@pytest.fixture(scope="module")
def valid(corpora: Path) -> Diagnosis:
    folder = corpora / "convai2"
    return examine(folder / "valid_self_original.txt.xz", other=folder / "sample_20_dialogues.txt")


def test_convai2_valid_is_tokenised_and_holds_the_sample(corpora: Path, valid: Diagnosis) -> None:
    assert valid.tokenisation.whole
    leaks = [finding for finding in valid.findings if finding.kind is Kind.LEAKED_CONVERSATION]
    assert [finding.index for finding in leaks] == list(range(20))
    assert valid.errors == tuple(leaks)


def test_lines_of_convai2_are_those_of_the_turns(corpora: Path) -> None:
    records = read_placed(corpora / "convai2" / "sample_20_dialogues.txt").records
    lines = (corpora / "convai2" / "sample_20_dialogues.txt").read_text("utf-8").split("\n")
    for placed in records:
        for number, turn in enumerate(placed.dialogue.turns):
            assert turn.text in lines[placed.place_of(number).line - 1]


def test_synthetic_persona_chat_has_blanks_and_both_sides_of_every_row(corpora: Path) -> None:
    counts = examine(corpora / "synthetic_persona_chat" / "Synthetic-Persona-Chat_valid.csv.xz").counts
    assert counts[Kind.BOTH_SIDES] == 1_000
    assert counts[Kind.PLACEHOLDER] > 1_300
    assert set(counts) == {Kind.BOTH_SIDES, Kind.PLACEHOLDER, Kind.UNGROUNDED}


def test_phone_numbers_of_booking_dialogues_are_found_and_times_and_prices_are_not(corpora: Path) -> None:
    records = read_placed(corpora / "dialogue_pretraining" / "schema_guided_dialogue.jsonl.xz").records[:3_000]
    texts = [turn.text for placed in records for turn in placed.dialogue.turns]
    found = {text: [span.sort for span in private_spans(text)] for text in texts}
    # "707-541-6359", where no 555 makes it an invented one
    american = [text for text in found if re.search(r"\b(?!\d{3}-555)[2-9]\d\d-[2-9]\d\d-\d{4}\b", text)]
    assert len(american) > 400
    assert all(found[text] == [Private.PHONE] for text in american)
    without_long_number = [text for text in found if not re.search(r"\+|\d\d\d[- )]+\d|\d{5}", text)]
    assert sum(any(map(str.isdigit, text)) for text in without_long_number) > 5_000
    assert not any(found[text] for text in without_long_number)
