from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personable.corpus import Format, fingerprint, read_dialogues, write_dialogues
from personable.dialogue import Dialogue, Persona, Speaker, Turn
from personable.errors import BadRecord, DataError
from tests.corpus.strategies import dialogues

HELLO = Dialogue(
    Persona(("I ski.",), "Ann"),
    (Turn(Speaker.PARTNER, "Hé!"), Turn(Speaker.PERSONA, "Hi.", ("No.", "Hi."))),
    conversation="7",
)
HELLO_LINE = (
    '{"conversation": "7", "persona": {"name": "Ann", "facts": ["I ski."]}, '
    '"turns": [{"speaker": "partner", "text": "Hé!"}, '
    '{"speaker": "persona", "text": "Hi.", "candidates": ["No.", "Hi."]}]}\n'
)


@pytest.fixture(autouse=True, scope="module")
def _no_garbage_collected_in_deep_recursion():
    """Some records here are nested to the limit, where what other tests left cannot be reported on."""
    gc.disable()
    yield
    gc.enable()


def test_keys_stand_in_their_order_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "out.jsonl"
    assert write_dialogues([HELLO, Dialogue(turns=(Turn(Speaker.PERSONA, "Hi."),))], path) == 2
    assert path.read_text("utf-8") == HELLO_LINE + '{"turns": [{"speaker": "persona", "text": "Hi."}]}\n'


@given(st.lists(dialogues, min_size=1, max_size=4))
def test_writing_and_reading_is_the_identity(tmp_path_factory: pytest.TempPathFactory, given: list[Dialogue]) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip.jsonl"
    assert write_dialogues(given, path) == len(given)
    reading = read_dialogues(path)
    assert (reading.format, reading.problems, list(reading.dialogues)) == (Format.PERSONABLE, (), given)
    before = path.read_bytes()
    write_dialogues(reading.dialogues, path)
    assert path.read_bytes() == before


def test_fingerprint_is_the_hash_of_the_written_file(tmp_path: Path) -> None:
    import hashlib

    write_dialogues([HELLO, HELLO], tmp_path / "out.jsonl")
    assert fingerprint([HELLO, HELLO]) == hashlib.sha256((tmp_path / "out.jsonl").read_bytes()).hexdigest()
    assert fingerprint([HELLO]) != fingerprint([HELLO, HELLO])


@pytest.mark.parametrize(
    ("record", "expected", "found"),
    [
        ({"turns": [], "persona": {}}, "at least one turn", "without turns"),
        ({"turn": []}, "conversation, persona", "'turn'; did you mean 'turns'?"),
        ({"turns": [{"speaker": "persona", "txt": "a"}]}, "in turns[0]", "'txt'; did you mean 'text'?"),
        ({"turns": [{"speaker": "persona", "text": "a"}], "persona": {"fact": []}}, "in persona", "mean 'facts'?"),
        ({"turns": [{"speaker": "user", "text": "a"}]}, '"partner" or "persona"', "'user'"),
        ({"turns": [{"speaker": [], "text": "a"}]}, '"partner" or "persona"', "list"),
        ({"turns": [{"speaker": "persona", "text": " "}]}, "text in turns[0].text", "white space"),
        ({"turns": [{"speaker": "persona"}]}, "text in turns[0].text", "None"),
        ({"turns": [{"speaker": "persona", "text": "a", "candidates": ["b"]}]}, "the true reply 'a'", "1 others"),
        ({"turns": [{"speaker": "persona", "text": "a"}], "persona": {"facts": [1]}}, "persona.facts[0]", "int 1"),
        ({"turns": [{"speaker": "persona", "text": "\ud800"}]}, "UTF-8 text", "\\ud800"),
        ({"turns": [{"speaker": "persona", "text": "a\x00"}]}, "text in turns[0].text", "NUL"),
        (["turns"], "a JSON object", "list"),
    ],
)
def test_a_damaged_record_says_what_is_wrong(tmp_path: Path, record: object, expected: str, found: str) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text(HELLO_LINE + json.dumps(record) + "\n", "utf-8")
    with pytest.raises(BadRecord) as caught:
        read_dialogues(path)
    assert caught.value.line == 2
    assert expected in caught.value.expected
    assert found in caught.value.found
    assert read_dialogues(path, max_bad=1).dialogues == (HELLO,)


@pytest.mark.parametrize("line", ["{", '{"turns": [', "[" * 100_000, '{"a": ' + "9" * 5_000 + "}", "nonsense"])
def test_a_line_that_is_no_json_spoils_itself_only(tmp_path: Path, line: str) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text(HELLO_LINE + line + "\n" + HELLO_LINE, "utf-8")
    reading = read_dialogues(path, max_bad=1)
    assert reading.dialogues == (HELLO, HELLO)
    assert reading.problems[0].line == 2


def test_a_damaged_first_line_does_not_hide_the_format(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"conversation": "7", "turns\n' + HELLO_LINE, "utf-8")
    assert read_dialogues(path, max_bad=1).format is Format.PERSONABLE


@pytest.mark.parametrize(
    "unreadable",
    [
        Dialogue(),
        Dialogue(turns=(Turn(Speaker.PERSONA, " "),)),
        Dialogue(turns=(Turn(Speaker.PERSONA, "a", ("b",)),)),
        Dialogue(Persona(("",)), (Turn(Speaker.PERSONA, "a"),)),
        Dialogue(turns=(Turn(Speaker.PERSONA, "\ud800"),)),
    ],
)
def test_nothing_is_written_that_could_not_be_read_back(tmp_path: Path, unreadable: Dialogue) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("before")
    with pytest.raises(BadRecord):
        write_dialogues([HELLO, unreadable], path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_writing_no_dialogue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found none"):
        write_dialogues([], tmp_path / "out.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_a_file_can_be_rewritten_from_itself(tmp_path: Path) -> None:
    from personable.corpus import iter_dialogues

    path = tmp_path / "corpus.jsonl"
    write_dialogues([HELLO], path)
    assert write_dialogues(iter_dialogues(path), path) == 1
    assert path.read_text("utf-8") == HELLO_LINE


def test_a_device_is_never_replaced() -> None:
    with pytest.raises(DataError, match="found a folder or device"):
        write_dialogues([HELLO], "/dev/null")
    assert Path("/dev/null").is_char_device()
