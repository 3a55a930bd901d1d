"""A dialogue made visible."""

from __future__ import annotations

import json

import pytest

from personable import Dialogue, Persona, Speaker
from personable.cli import app
from personable.corpus import write_dialogues
from personable.encoding import Budget, encode_dialogue
from personable.encoding.show import shown
from tests.tiny import tiny_base, tiny_tokenizer

DIALOGUE = Dialogue(Persona(("I am Ada.",))).then(Speaker.PARTNER, "Hi.").then(Speaker.PERSONA, "Hello 🙂!")
END = "<|endoftext|>"


def test_learnt_text_stands_between_brackets_where_there_is_no_colour() -> None:
    tokenizer = tiny_tokenizer()
    text = shown(encode_dialogue(DIALOGUE, tokenizer, Budget(256)), tokenizer, colour=False)
    assert text.plain == f"I am Ada.{END}You: Hi.{END}Me:⟦ Hello 🙂!{END}⟧"


def test_learnt_text_is_green_where_there_is() -> None:
    tokenizer = tiny_tokenizer()
    text = shown(encode_dialogue(DIALOGUE, tokenizer, Budget(256)), tokenizer, colour=True)
    green = [text.plain[span.start : span.end] for span in text.spans if "green" in str(span.style)]
    assert green == [f" Hello 🙂!{END}"]


@pytest.fixture
def arguments(tmp_path):
    write_dialogues([DIALOGUE], tmp_path / "one.jsonl")
    return ["data", "show", str(tmp_path / "one.jsonl"), "--base", str(tiny_base(tmp_path / "base"))]


def test_data_show_prints_json_for_programs(arguments, capsys) -> None:
    app([*arguments, "--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    encoded = encode_dialogue(DIALOGUE, tiny_tokenizer(), Budget(256))
    assert found == {
        "input_ids": list(encoded.input_ids),
        "learn_mask": list(encoded.learn_mask),
        "dropped_turns": 0,
        "cut_facts": [],
    }


def test_data_show_prints_the_dialogue_and_counts_on_stderr(arguments, capsys) -> None:
    app(arguments, standalone_mode=False)
    out, err = capsys.readouterr()
    assert f"Me:⟦ Hello 🙂!{END}⟧" in out
    assert "0 turns dropped" in err
