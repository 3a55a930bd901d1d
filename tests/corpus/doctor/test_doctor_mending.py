"""What is mended, what is left, and that nothing is overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from personable.corpus import Kind, examine, mend, read_dialogues, write_dialogues
from personable.dialogue import Dialogue, Persona, Speaker, Turn
from personable.errors import DataError
from tests.corpus.doctor.test_doctor import ANN, BOB, TALK, corpus, told


def test_copies_beginnings_and_leaks_go_and_the_rest_stays(tmp_path: Path) -> None:
    kept = told(["Do you have pets?", "Two cats, and they ski.", "[name]!", "You: cats"])
    leaked = told(["Where do you live, if I may ask?", "In the Alps, with my cats.", "Lovely there!", "It is, indeed."])
    path = corpus(tmp_path / "corpus.jsonl", told(TALK[:4]), told(TALK), leaked, kept, told(TALK))
    with path.open("a") as file:
        file.write("not json\n")
    other = corpus(tmp_path / "other.jsonl", Dialogue(BOB, leaked.turns))
    before = path.read_bytes(), other.read_bytes()

    mending = mend(examine(path, other=other), tmp_path / "out.jsonl")

    assert read_dialogues(tmp_path / "out.jsonl").dialogues == (told(TALK), kept)
    assert mending.dialogues == 2
    assert mending.removed == {
        Kind.UNREADABLE: 1,
        Kind.LEAKED_CONVERSATION: 1,
        Kind.DUPLICATE: 1,
        Kind.BEGINNING: 1,
    }
    assert mending.left_counts == {Kind.SPEAKS_FOR_PARTNER: 1, Kind.PLACEHOLDER: 1}
    assert [finding.kind for finding in mending.errors_left] == [Kind.SPEAKS_FOR_PARTNER]
    assert (path.read_bytes(), other.read_bytes()) == before


def test_personal_data_is_masked_in_facts_turns_and_candidates(tmp_path: Path) -> None:
    reply = "My cats answer 415-286-4371."
    dialogue = Dialogue(
        Persona(("I have cats.", "Write to ann@example.org.")),
        (Turn(Speaker.PARTNER, "4111 1111 1111 1111"), Turn(Speaker.PERSONA, reply, ("No.", reply))),
        Persona(("Mine is bob@example.org.",)),
    )
    mending = mend(examine(corpus(tmp_path / "corpus.jsonl", dialogue)), tmp_path / "out.jsonl")
    masked = "My cats answer [phone]."
    assert read_dialogues(tmp_path / "out.jsonl").dialogues == (
        Dialogue(
            Persona(("I have cats.", "Write to [e-mail].")),
            (Turn(Speaker.PARTNER, "[card]"), Turn(Speaker.PERSONA, masked, ("No.", masked))),
            Persona(("Mine is [e-mail].",)),
        ),
    )
    assert mending.masked == {Kind.CARD: 1, Kind.EMAIL: 2, Kind.PHONE: 1}
    assert mending.left == ()


def test_text_is_joined_only_where_the_whole_corpus_is_tokenised(tmp_path: Path) -> None:
    spaced = told(["hello , you ?", "i ' m skiing .", "ok .", "my cats don ' t ski ."])
    mending = mend(examine(corpus(tmp_path / "corpus.jsonl", spaced)), tmp_path / "out.jsonl")
    (joined,) = read_dialogues(tmp_path / "out.jsonl").dialogues
    assert [turn.text for turn in joined.turns] == ["hello, you?", "i'm skiing.", "ok.", "my cats don't ski."]
    assert (mending.detokenised, mending.capitals_missing, mending.left) == (True, True, ())

    mixed = corpus(tmp_path / "mixed.jsonl", spaced, told(["Hello.", "Cats.", "OK.", "My cats ski in the Alps."]))
    mending = mend(examine(mixed), tmp_path / "out.jsonl")
    assert read_dialogues(tmp_path / "out.jsonl").dialogues[0] == spaced
    assert (mending.detokenised, mending.left_counts) == (False, {Kind.TOKENISED: 1})
    assert not mending.capitals_missing


def test_the_mended_corpus_has_none_of_what_was_mended(tmp_path: Path) -> None:
    call = told(["Your number?", "It's 415-286-4371, ask for my cats."])
    path = corpus(tmp_path / "corpus.jsonl", told(TALK[:4]), told(TALK), told(TALK), call)
    mend(examine(path), tmp_path / "out.jsonl")
    assert examine(tmp_path / "out.jsonl").findings == ()


def test_what_is_read_is_never_written(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    corpus(folder / "corpus.jsonl", told(TALK))
    other = corpus(tmp_path / "other.jsonl", told(["Hi", "Cats"], BOB))
    link = tmp_path / "link.jsonl"
    link.symlink_to(other)
    for out in (folder / "new.jsonl", folder / "corpus.jsonl", other, link):
        with pytest.raises(DataError, match="expected a new file, found what is read"):
            mend(examine(folder, other=other), out)
    assert [each.name for each in folder.iterdir()] == ["corpus.jsonl"]


def test_nothing_is_written_if_nothing_would_be_left(tmp_path: Path) -> None:
    path = corpus(tmp_path / "corpus.jsonl", told(TALK, ANN))
    write_dialogues([told(TALK, BOB)], tmp_path / "other.jsonl")
    with pytest.raises(DataError, match="found none; nothing was written"):
        mend(examine(path, other=tmp_path / "other.jsonl"), tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
