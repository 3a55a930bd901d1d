import json

import pytest

from personable.chat.conversation import Conversation, load_conversation, save_conversation
from personable.dialogue import Dialogue, Speaker, Turn
from personable.errors import ChatError, DataError
from tests.reply.memorised_run import RITA, said

PARTNER, PERSONA = Speaker.PARTNER, Speaker.PERSONA


def conversation(*texts: str) -> Conversation:
    return Conversation(said(RITA, *texts))


def test_lines_and_replies_are_added_in_order():
    grown = Conversation(Dialogue(RITA)).heard("hi").answered("hello").heard("so?")
    assert grown.turns == (Turn(PARTNER, "hi"), Turn(PERSONA, "hello"), Turn(PARTNER, "so?"))
    assert grown.persona == RITA


def test_another_reply_is_asked_for_without_a_trace_of_the_first():
    again = conversation("hi", "hello").awaiting_another_reply()
    assert again.dialogue == said(RITA, "hi")
    assert (again.retries, again.answered("hey").awaiting_another_reply().retries) == (1, 2)
    assert again.answered("hey").dialogue == said(RITA, "hi", "hey")


def test_a_line_without_reply_can_be_answered_again():
    assert conversation("hi").awaiting_another_reply().dialogue == said(RITA, "hi")


def test_a_new_line_forgets_the_retries():
    assert conversation("hi", "hello").awaiting_another_reply().answered("hey").heard("so?").retries == 0


def test_undo_takes_back_line_and_reply():
    assert conversation("hi", "hello", "so?", "well").undone().dialogue == said(RITA, "hi", "hello")
    assert conversation("hi", "hello", "so?").undone().dialogue == said(RITA, "hi", "hello")


def test_there_is_nothing_to_undo_or_retry_before_the_partner_has_spoken():
    opening = Conversation(Dialogue(RITA, (Turn(PERSONA, "hello"),)))
    for early in (Conversation(), opening):
        with pytest.raises(ChatError, match="nothing"):
            early.undone()
        with pytest.raises(ChatError, match="nothing"):
            early.awaiting_another_reply()


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / "new folder" / "chat.jsonl"
    spoken = conversation("hi", "hello 😀", "so?")
    save_conversation(spoken, path)
    assert json.loads(path.read_text(encoding="utf-8"))["persona"] == {"name": "Rita", "facts": list(RITA.facts)}
    assert load_conversation(path) == (spoken, 1)


def test_an_empty_conversation_is_not_saved(tmp_path):
    with pytest.raises(ChatError, match="nothing to save"):
        save_conversation(Conversation(), tmp_path / "chat.jsonl")
    assert not list(tmp_path.iterdir())


def test_what_is_no_conversation_is_not_loaded(tmp_path):
    with pytest.raises(ChatError, match="no file"):
        load_conversation(tmp_path / "owner" / "name")
    (tmp_path / "other.jsonl").write_text('{"talk": 3}\n')
    with pytest.raises(DataError, match=r"other\.jsonl:1"):
        load_conversation(tmp_path / "other.jsonl")
