import io
from collections.abc import Sequence

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from rich.cells import cell_len

from personable.chat.commands import COMMANDS
from personable.chat.screen import CommandCompleter, PlainScreen, WordFlow, printable
from personable.chat.session import Session


def flowed(text: str, width: int, column: int = 0, size: int = 1) -> str:
    flow = WordFlow(width, column)
    return "".join(flow.take(text[at : at + size]) for at in range(0, len(text), size)) + flow.rest()


def test_lines_break_between_words():
    assert flowed("one two three four", 9) == "one two\nthree\nfour"


def test_a_line_may_be_filled_to_the_edge():
    assert flowed("abc def ghi", 7) == "abc def\nghi"


def test_what_stands_before_counts():
    assert flowed("one two", 10, column=5) == "one\ntwo"


def test_line_ends_in_the_text_are_kept():
    assert flowed("one\ntwo three", 9) == "one\ntwo three"


def test_a_word_longer_than_the_line_is_left_to_the_terminal():
    assert flowed("a bbbbbbbb c", 5) == "a\nbbbbbbbb\nc"


def test_wide_characters_take_two_cells():
    assert cell_len("猫猫") == 4
    assert flowed("猫猫 猫", 6) == "猫猫\n猫"


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_the_size_of_pieces_makes_no_difference(size):
    text = "some words  of a longer\n\nreply, as they may come"
    assert flowed(text, 12, size=size) == flowed(text, 12)


def test_a_word_is_given_out_as_soon_as_it_is_whole():
    flow = WordFlow(80)
    assert [flow.take(piece) for piece in ("hel", "lo", " th", "ere ")] == ["", "", "hello", " there"]


def test_a_reply_cannot_steer_the_terminal():
    assert printable("a\x1b[2Jb\rc\x07\x9b1m\n\td") == "a[2Jbc1m\n\td"


def completions(text: str, names: Sequence[str] = ()) -> list[str]:
    found = CommandCompleter(names).get_completions(Document(text), CompleteEvent())
    return [text[: len(text) + one.start_position] + one.text for one in found]


def test_commands_and_names_are_completed():
    assert completions("/re") == ["/retry"]
    assert len(completions("/")) == len(COMMANDS)
    assert completions("/persona ri", ["Rita", "Oleg"])[0] == "/persona Rita"
    assert completions("hello /re") == []
    assert completions("/seed 1") == []


def test_files_are_completed(tmp_path):
    (tmp_path / "talk.jsonl").touch()
    assert completions(f"/load {tmp_path}/ta") == [f"/load {tmp_path}/talk.jsonl"]


def test_a_line_out_is_one_line_whatever_is_in_it():
    out = io.StringIO()
    screen = PlainScreen(io.StringIO(), out, io.StringIO())
    screen.begin_reply("Rita")
    for piece in ("one\n", "two\u2028three\r\x0b", "\x85four\x1b[31m"):
        screen.show(piece)
    screen.end_reply("(cut)")
    assert out.getvalue() == "one two three four[31m (cut)\n"


def test_every_command_has_a_method():
    assert all(callable(getattr(Session, command.name.removeprefix("/"))) for command in COMMANDS)
