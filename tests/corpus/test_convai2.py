from __future__ import annotations

from pathlib import Path

import pytest

from personable.corpus import Format, iter_dialogues, read_dialogues
from personable.dialogue import Dialogue, Persona, Speaker, Turn
from personable.errors import BadRecord, DataError

BOTH_SIDES_WITH_CANDIDATES = """\
1 your persona: i have four sisters.
2 your persona: i love iced tea , really.
3 partner's persona: i win at everything, i pedal with partner's hands.
4 hello , how are you ?\ti am good .\t\tno way !|i am good .
5 nice .\tyes .\t\tyes .|never
1 __SILENCE__\thello , how are you ?
2 i am good .\tnice .
"""


def read(tmp_path: Path, content: str | bytes, max_bad: int = 0) -> tuple[Dialogue, ...]:
    path = tmp_path / "corpus.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_dialogues(path, format=Format.CONVAI2, max_bad=max_bad).dialogues


def test_both_personas_candidates_and_silence(tmp_path: Path) -> None:
    first, second = read(tmp_path, BOTH_SIDES_WITH_CANDIDATES)
    assert first.persona == Persona(("i have four sisters.", "i love iced tea , really."))
    assert first.partner_persona == Persona(("i win at everything, i pedal with partner's hands.",))
    assert first.turns == (
        Turn(Speaker.PARTNER, "hello , how are you ?"),
        Turn(Speaker.PERSONA, "i am good .", ("no way !", "i am good .")),
        Turn(Speaker.PARTNER, "nice ."),
        Turn(Speaker.PERSONA, "yes .", ("yes .", "never")),
    )
    assert second.persona == Persona()
    assert [turn.speaker for turn in second.turns] == [Speaker.PERSONA, Speaker.PARTNER, Speaker.PERSONA]


def test_format_is_found_from_the_text(tmp_path: Path) -> None:
    path = tmp_path / "anything.dat"
    path.write_text(BOTH_SIDES_WITH_CANDIDATES)
    assert read_dialogues(path).format is Format.CONVAI2


def test_two_sides_with_and_without_an_apostrophe_are_one_conversation(tmp_path: Path) -> None:
    one, other = read(
        tmp_path,
        "1 a\tb\n2 i cant\td\n3 e\tf\n4 g\th\n" + "1 __SILENCE__\tA\n2 b\ti can't\n3 d\te\n4 f\tg\n5 h\tone more\n",
    )
    assert one.conversation == other.conversation != ""


def test_line_ends_byte_order_mark_and_blank_lines_do_not_matter(tmp_path: Path) -> None:
    windows = b"\xef\xbb\xbf" + BOTH_SIDES_WITH_CANDIDATES.replace("\n", "\r\n").encode() + b"\r\n\r\n"
    assert read(tmp_path, windows) == read(tmp_path, BOTH_SIDES_WITH_CANDIDATES)


def test_a_line_separator_inside_a_text_is_no_line_end(tmp_path: Path) -> None:
    assert read(tmp_path, "1 a\u2028b\x85c\td\n")[0].turns[0].text == "a\u2028b\x85c"


@pytest.mark.parametrize(
    ("content", "line", "expected", "found"),
    [
        ("1 a\tb\n3 c\td\n", 2, "line number 2", "3"),
        ("2 a\tb\n", 1, "line number 1", "2"),
        ("1 a\tb\n2 no tab\n", 2, "<TAB>reply", "1 field"),
        ("1 a\tb\t\tc|b\textra\n", 1, "candidates", "5 field"),
        ("1 a\tb\t\tc|d\n", 1, "the true reply 'b'", "2 others"),
        ("1 a\t \n", 1, "text in the reply", "white space"),
        ("1 \tb\n", 1, "text in the utterance", "empty"),
        ("1 your persona: x.\n", 1, "at least one turn", "without turns"),
        ("1 your persona: \n2 a\tb\n", 1, "text in your persona", "empty"),
        ("1 a\tb\n2 your persona: x.\n", 2, "a turn", "your persona line"),
        ("1 a\tb\n2 __SILENCE__\tc\n", 2, "an utterance", "__SILENCE__"),
        ("1 a\tb\nno number\n", 2, "starts with its number", "no number"),
        (b"1 a\tb\n2 \xff\td\n", 2, "UTF-8", "byte 0xff at position 2"),
        ("1 a\x00\tb\n", 1, "text in the utterance", "NUL"),
    ],
)
def test_a_damaged_dialogue_is_named_with_its_line(
    tmp_path: Path, content: str | bytes, line: int, expected: str, found: str
) -> None:
    with pytest.raises(BadRecord) as caught:
        read(tmp_path, content)
    assert caught.value.line == line
    assert expected in caught.value.expected
    assert found in caught.value.found
    assert str(caught.value).startswith(f"{tmp_path / 'corpus.txt'}:{line}: expected ")


def test_a_damaged_dialogue_never_loses_the_good_ones(tmp_path: Path) -> None:
    content = "1 a\tb\n" + "1 c\td\n5 e\tf\n6 g\th\n" + "1 i\tj\n"
    path = tmp_path / "corpus.txt"
    path.write_text(content)
    reading = read_dialogues(path, max_bad=1)
    assert [each.turns[0].text for each in reading.dialogues] == ["a", "i"]
    assert [problem.line for problem in reading.problems] == [3]


def test_one_more_bad_dialogue_than_allowed_stops_the_reading(tmp_path: Path) -> None:
    with pytest.raises(BadRecord) as caught:
        read(tmp_path, "1 x\n1 y\n1 a\tb\n", max_bad=1)
    assert caught.value.line == 2


def test_iterating_tells_each_problem_and_yields_before_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("1 a\tb\n1 x\n1 c\td\n1 y\n")
    problems: list[BadRecord] = []
    dialogues = iter_dialogues(path, max_bad=1, on_problem=problems.append)
    assert next(dialogues).turns[0].text == "a"
    assert problems == []
    assert next(dialogues).turns[0].text == "c"
    assert [problem.line for problem in problems] == [2]
    with pytest.raises(BadRecord):
        next(dialogues)


def test_reading_for_training_joins_punctuation_and_reading_for_numbers_does_not(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text(BOTH_SIDES_WITH_CANDIDATES)
    joined, raw = (read_dialogues(path, detokenise=choice).dialogues[0] for choice in (True, False))
    assert joined.persona.facts[1] == "i love iced tea, really."
    assert joined.turns[1] == Turn(Speaker.PERSONA, "i am good.", ("no way!", "i am good."))
    assert raw.turns[1].text == "i am good ."
    assert joined.conversation == raw.conversation


def test_a_file_without_usable_dialogue_shows_its_first_problem(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"corpus\.txt:1: expected"):
        read(tmp_path, "1 x\n1 y\n", max_bad=9)
