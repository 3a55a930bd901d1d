import signal

import pytest

from personable.chat.screen import printable
from personable.dialogue import Dialogue, Persona, Speaker, Turn
from tests.chat.conftest import GREEDY, WILD
from tests.reply.memorised_run import CONTEXT_TOKENS, OLEG, RITA, said


def test_a_line_in_is_a_line_out(pipe):
    session, lines, hints = pipe("hi", "what do you do", "any pets")
    assert lines == ["hello there", "i sail boats", "a cat named tom 😀"]
    assert session.conversation.dialogue == said(
        RITA, "hi", "hello there", "what do you do", "i sail boats", "any pets", "a cat named tom 😀"
    )
    assert hints == ""
    assert not session.failed


def test_a_blank_line_in_is_a_blank_line_out_and_no_turn(pipe):
    session, lines, _ = pipe("hi", "  ", "what do you do")
    assert lines == ["hello there", "", "i sail boats"]
    assert len(session.conversation.turns) == 4


def test_every_kind_of_line_gives_exactly_one(pipe, tmp_path):
    chat = tmp_path / "chat.jsonl"
    given = [
        "/persona", "/help", "hi", "/retry", f"/save {chat}", "/undo", "/undo", "/retry", "/seed", "/seed 3",
        "/seed off", "/seed -1", "/nonsense", f"/load {chat}", "/load", "/save", "/persona oleg", "/persona nobody",
        "", "/help me", f"/save {tmp_path}", "/quit",
    ]  # fmt: skip
    _, lines, _ = pipe(*given)
    assert len(lines) == len(given)


def test_nothing_is_read_after_quit(pipe):
    session, lines, _ = pipe("/quit", "hi")
    assert lines == ["bye"]
    assert session.conversation.turns == ()


def test_an_unknown_command_is_named_with_the_nearest_and_not_sent_to_the_model(pipe):
    session, lines, _ = pipe("/retyr", "/xyz", "/")
    assert lines == [
        "error: there is no command /retyr. Did you mean /retry? /help lists them all",
        "error: there is no command /xyz. /help lists them all",
        "error: there is no command /. /help lists them all",
    ]
    assert session.conversation.turns == ()


def test_help_tells_every_command(pipe):
    _, [line], _ = pipe("/help")
    assert line.startswith("/persona [FILE|NAME] show the persona, or start anew with another | /retry another reply")


def test_undo_takes_back_the_latest_exchange(pipe):
    session, lines, _ = pipe("hi", "what do you do", "/undo", "any pets", "/undo", "/undo", "/undo")
    assert lines[2] == "taken back: what do you do"
    assert lines[4:] == ["taken back: any pets", "taken back: hi", "error: nothing to undo: you have said nothing yet"]
    assert session.conversation.turns == ()


def test_a_retry_replaces_the_reply_and_leaves_no_trace(pipe):
    session, [first, second, third], _ = pipe("hi", "/retry", "/retry", sampling=WILD)
    assert len({first, second, third}) > 1
    spoken = [turn.text for turn in session.conversation.turns]
    assert spoken[0] == "hi"
    assert printable(" ".join(spoken[1].split())) == third
    assert len(spoken) == 2


def test_a_seeded_chat_is_told_again_word_for_word(pipe):
    given = ("hi", "/retry", "what do you do", "/retry")
    assert pipe(*given, sampling=WILD)[1] == pipe(*given, sampling=WILD)[1]
    assert pipe(*given, sampling=WILD)[1] != pipe(*given, sampling=WILD.but(seed=8))[1]


def test_a_seed_set_during_the_chat_is_that_seed(pipe):
    _, lines, _ = pipe("/seed 7", "hi", "/seed off", "/seed", "/seed seven", sampling=WILD.but(seed=1))
    assert lines[1] == pipe("hi", sampling=WILD)[1][0]
    assert lines[0] == "seed 7"
    assert lines[2:4] == ["no seed: every reply is drawn anew"] * 2
    assert lines[4] == "error: expected /seed with a whole number or off, found 'seven'"


def test_a_greedy_retry_explains_why_nothing_changes(pipe):
    _, lines, hints = pipe("hi", "/retry")
    assert lines == ["hello there", "hello there"]
    assert "temperature 0" in hints


def test_a_chat_is_saved_and_taken_up_again(pipe, tmp_path):
    chat = tmp_path / "chat.jsonl"
    _, lines, _ = pipe("hi", f"/save {chat}", "what do you do", "/save")
    assert lines[1] == f"saved 2 turns to {chat}"
    assert lines[3] == f"saved 4 turns to {chat}"
    session, lines, _ = pipe(f"/load {chat}", "any pets", persona=OLEG)
    assert lines == [f"loaded 4 turns from {chat}", "a cat named tom 😀"]
    assert session.conversation.persona == RITA


def test_saving_never_writes_over_a_file_of_somebody_else(pipe, tmp_path):
    other = tmp_path / "train.jsonl"
    other.write_text("precious")
    _, lines, _ = pipe("hi", f"/save {other}")
    assert lines[1] == f"error: {other} is already there. Next: choose another name"
    assert other.read_text() == "precious"


def test_loading_a_corpus_does_not_let_save_overwrite_it(pipe, tmp_path):
    corpus = tmp_path / "two.jsonl"
    pipe("hi", f"/save {tmp_path / 'one.jsonl'}")
    corpus.write_text((tmp_path / "one.jsonl").read_text() * 2)
    _, lines, _ = pipe(f"/load {corpus}", "/save")
    assert lines == [
        f"loaded 2 turns from {corpus}, the first of 2 dialogues",
        "error: expected /save FILE, found /save alone",
    ]


@pytest.mark.parametrize("command", ["/persona", "/save", "/load"])
@pytest.mark.parametrize(
    ("path", "found"),
    [
        (
            "i am somebody " * 40,
            "found 'i am somebody i am somebody i am somebody i am somebody i...': File name too long",
        ),
        ("a" * 300 + ".jsonl", "File name too long"),
        ("~nobody-of-that-name", "found '~nobody-of-that-name': Could not determine home directory."),
        ("~nobody-of-that-name/a.jsonl", "Could not determine home directory."),
        ("a\0b.jsonl", "embedded null byte"),
        ("circle", "found 'circle': Too many levels of symbolic links"),
    ],
)
def test_a_path_that_cannot_be_is_refused_and_the_chat_goes_on(pipe, tmp_path, monkeypatch, command, path, found):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "circle").symlink_to("circle")
    session, lines, _ = pipe("hi", f"{command} {path}", "what do you do")
    assert lines[0] == "hello there"
    assert lines[1].startswith("error: expected a path, found ")
    assert found in lines[1]
    assert lines[2] == "i sail boats"
    assert len(session.conversation.turns) == 4


def test_a_tilde_is_the_home_of_whoever_types_it(pipe, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "sue.txt").write_text("i swim.")
    session, lines, _ = pipe("hi", "/save ~/chat.jsonl", "/persona ~/sue.txt", "/load ~/chat.jsonl")
    assert lines[1] == f"saved 2 turns to {tmp_path / 'chat.jsonl'}"
    assert lines[2] == "a new conversation with | a persona without a name | i swim."
    assert session.conversation.persona == RITA


def test_another_persona_starts_anew(pipe, tmp_path):
    (tmp_path / "sue.yaml").write_text("name: Sue\nfacts: [i swim.]")
    session, lines, _ = pipe("hi", "/persona OLEG", "hi", "/persona")
    assert lines[1:] == [
        "a new conversation with | Oleg | i bake bread.",
        "good day",
        "Oleg | i bake bread. | others: Rita, Oleg",
    ]
    session, lines, _ = pipe("hi", f"/persona {tmp_path / 'sue.yaml'}")
    assert session.conversation.dialogue == Dialogue(Persona(("i swim.",), "Sue"))


def test_a_line_too_long_for_the_context_is_refused_and_does_not_spoil_the_next(pipe):
    session, lines, _ = pipe("hi", "pets " * CONTEXT_TOKENS, "what do you do")
    assert lines[0] == "hello there"
    assert lines[1].startswith("error: expected persona and last partner turn to fit")
    assert lines[2] == "i sail boats"
    assert session.failed


def test_turns_that_no_longer_fit_are_told_on_the_side(pipe):
    _, lines, hints = pipe(*["what do you do"] * 14)
    assert len(lines) == 14
    assert "the oldest turn no longer fit" in hints or "turns no longer fit" in hints


def test_an_empty_reply_is_shown_as_none_and_is_no_turn(pipe, bot):
    """Greedily, and with a head that finds the end of a turn likeliest, the reply is empty."""
    end = bot.base.tokenizer.eos_token_id

    def end_at_once(_module, _inputs, output):
        output.logits[..., end] = 1e4
        return output

    hook = bot.base.model.register_forward_hook(end_at_once)
    try:
        session, lines, _ = pipe("hi", "/retry")
    finally:
        hook.remove()
    assert lines == ["(no answer)", "(no answer)"]
    assert session.conversation.turns == (Turn(Speaker.PARTNER, "hi"),)


def test_a_broken_paste_is_no_crash(pipe):
    session, [line], _ = pipe("hi \ud83d", sampling=GREEDY)
    assert line
    assert session.conversation.turns[0].text == "hi ?"


def test_piped_an_interrupt_ends_the_chat(pipe, bot):
    hook = bot.base.model.register_forward_pre_hook(lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with pytest.raises(KeyboardInterrupt):
            pipe("hi")
    finally:
        hook.remove()
