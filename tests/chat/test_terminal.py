"""The screen as a person sees it: keys in through prompt_toolkit, everything that is printed out."""

import io
import signal

import pytest
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from personable.chat.screen import TerminalScreen
from personable.chat.session import Session
from tests.chat.conftest import GREEDY
from tests.reply.memorised_run import OLEG, RITA, said

CTRL_C, CTRL_D = "\x03", "\x04"


@pytest.fixture
def typed(bot):
    """Types keys into a terminal 40 cells wide; gives the session and what was printed."""

    def type_keys(keys, persona=RITA):
        printed = io.StringIO()
        console = Console(file=printed, width=40, highlight=False)
        with create_pipe_input() as keyboard:
            keyboard.send_text(keys)
            screen = TerminalScreen(["Rita", "Oleg"], console=console, input=keyboard, output=DummyOutput())
            session = Session(bot, screen, persona, GREEDY, (RITA, OLEG))
            session.run()
        return session, printed.getvalue()

    return type_keys


@pytest.fixture
def interrupted(bot):
    """Sends this process a real SIGINT while the model computes the token of that number."""
    hooks = []

    def interrupt_at(number):
        calls = 0

        def count(*_):
            nonlocal calls
            calls += 1
            if calls == number:
                signal.raise_signal(signal.SIGINT)

        hooks.append(bot.base.model.transformer.h[1].register_forward_pre_hook(count))

    yield interrupt_at
    for hook in hooks:
        hook.remove()


def test_replies_commands_and_mistakes(typed):
    _, printed = typed("hi\rwhat do you do\r/undo\r/hlep\r\r" + CTRL_D)
    assert printed == (
        "Rita> hello there\n"
        "Rita> i sail boats\n"
        "taken back: what do you do\n"
        "there is no command /hlep. Did you mean \n"
        "/help? /help lists them all\n"
    )


def test_a_loaded_conversation_is_shown(typed, tmp_path):
    typed(f"hi\r/save {tmp_path}/a.jsonl\r{CTRL_D}")
    _, printed = typed(f"/load {tmp_path}/a.jsonl\r{CTRL_D}", persona=OLEG)
    assert printed.endswith("you> hi\nRita> hello there\n")


def test_control_c_at_the_prompt_tells_how_to_leave_and_drops_what_was_typed(typed):
    session, printed = typed("half a li" + CTRL_C + "hi\r" + CTRL_D)
    assert printed == "Ctrl-D or /quit leaves\nRita> hello there\n"
    assert session.conversation.turns[0].text == "hi"


def test_control_c_stops_a_reply_and_keeps_what_was_said(typed, interrupted):
    interrupted(6)
    session, printed = typed("hi\r" + CTRL_D)
    reply = session.conversation.turns[1].text
    assert 0 < len(reply) < len("hello there")
    assert "hello there".startswith(reply)
    assert printed == f"Rita> {reply} (cut)\n"


def test_after_control_c_the_conversation_goes_on(typed, interrupted):
    interrupted(6)
    session, printed = typed("hi\r/retry\rwhat do you do\r" + CTRL_D)
    assert printed.splitlines()[1:] == ["Rita> hello there", "Rita> i sail boats"]
    assert session.conversation.dialogue == said(RITA, "hi", "hello there", "what do you do", "i sail boats")


def test_control_c_before_the_first_word_keeps_the_line_and_adds_no_turn(typed, interrupted):
    interrupted(1)
    session, printed = typed("hi\r" + CTRL_D)
    assert printed == "Rita>  (cut)\n"
    assert session.conversation.dialogue == said(RITA, "hi")


def test_control_c_before_the_first_word_of_a_retry_keeps_the_former_reply(typed, interrupted, bot):
    calls_for_hello = 1 + len(bot.base.tokenizer(" hello there", add_special_tokens=False)["input_ids"])
    interrupted(calls_for_hello + 1)
    session, printed = typed("hi\r/retry\r" + CTRL_D)
    assert printed.splitlines()[1].endswith("(cut)")
    assert session.conversation.dialogue == said(RITA, "hi", "hello there")


def test_square_brackets_are_text(typed):
    _, printed = typed("hi\r/[bold]x\r" + CTRL_D)
    assert "there is no command /[bold]x" in printed
