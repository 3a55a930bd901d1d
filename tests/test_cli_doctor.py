"""`personable data doctor`, run as a process where exit codes and streams matter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from personable.cli.app import app
from personable.corpus import read_dialogues
from tests.test_cli_data import personable

SOUND = """\
1 your persona: i ski .
2 your persona: i have cats .
3 hello , what do you do all day ?\ti ski , mostly , in the high mountains .
4 how many pets are at home ?\tjust the two cats and nobody else there .
"""
COPY = SOUND
LABEL = "1 your persona: i cook .\n2 hi\ti cook .\n3 what ?\tyou : hi\n"
CALL = "1 your persona: i cook .\n2 your number ?\ti cook at 415 - 286 - 4371 .\n"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text(SOUND + COPY + LABEL + CALL)
    return path


def test_help_says_what_fails_and_shows_an_example() -> None:
    shown = " ".join(personable("data", "doctor", "--help").stdout.split())
    assert "Example: personable data doctor " in shown
    assert "Exits with 1 if there are findings of severity error" in shown


def test_a_corpus_with_an_error_fails_and_shows_each_place(corpus: Path) -> None:
    done = personable("data", "doctor", corpus)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {corpus}: expected no errors, found 1 (1 speaks-for-partner). "
        "Next: mend them, or let --fix OUT mend what it can\n"
    )
    lines = done.stdout.splitlines()
    assert lines[0] == f"{corpus}: 4 dialogues (convai2), 7 replies, 7 partner turns"
    assert [line.split()[:3] for line in lines[1:5]] == [
        ["error", "1", "speaks-for-partner"],
        ["warning", "1", "duplicate"],
        ["warning", "1", "phone"],
        ["warning", "1", "tokenised"],
    ]
    assert f"  {corpus}:11 (turn 4): 'you : hi'" in lines
    assert f"  {corpus}:5: the same persona and the same 4 turns: 'hello , what do you do all day ?'" in done.stdout
    assert "415" not in done.stdout
    assert "not checked: leaks: no other corpus was given (--other)" in lines
    assert "not checked: contradictions between replies and facts: no NLI classifier was given (--nli)" in lines


def test_warnings_alone_do_not_fail(corpus: Path) -> None:
    corpus.write_text(SOUND + COPY)
    done = personable("data", "doctor", corpus)
    assert (done.returncode, done.stderr) == (0, "")


def test_json_holds_every_finding(corpus: Path) -> None:
    done = personable("data", "doctor", corpus, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert (found["dialogues"], found["replies"], found["mended"]) == (4, 7, None)
    assert found["counts"] == {
        "error": {"speaks-for-partner": 1},
        "warning": {"duplicate": 1, "phone": 1, "tokenised": 1},
        "note": {},
    }
    assert len(found["not_checked"]) == 2
    duplicate = next(each for each in found["findings"] if each["kind"] == "duplicate")
    assert (duplicate["line"], duplicate["index"], duplicate["turn"]) == (5, 1, None)
    assert duplicate["like"] == {"path": str(corpus), "line": 1}
    phone = next(each for each in found["findings"] if each["kind"] == "phone")
    assert (phone["line"], phone["turn"], phone["severity"]) == (13, 2, "warning")


def test_fix_writes_what_can_be_mended(corpus: Path, tmp_path: Path) -> None:
    other, out = tmp_path / "other.txt", tmp_path / "out.jsonl"
    other.write_text(LABEL.replace("i cook .\n2", "i bake .\n2"))
    done = personable("data", "doctor", corpus, "--other", other, "--fix", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-5:] == [
        f"{out}: 2 dialogues",
        "  taken out: 1 leaked-conversation, 1 duplicate",
        "  masked: 1 phone",
        "  detokenised: spacing mended; capitals are still missing",
        "  left as it was: nothing",
    ]
    sound, call = read_dialogues(out).dialogues
    assert sound.turns[0].text == "hello, what do you do all day?"
    assert call.turns[1].text == "i cook at [phone]."


def test_fix_fails_if_errors_are_left(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    done = personable("data", "doctor", corpus, "--fix", out, "--json")
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {out}: expected no errors, found 1 (1 speaks-for-partner). Next: mend them by hand\n"
    )
    assert json.loads(done.stdout)["mended"] == {
        "out": str(out),
        "dialogues": 3,
        "removed": {"duplicate": 1},
        "masked": {"phone": 1},
        "detokenised": True,
        "capitals_missing": True,
        "left": {"speaks-for-partner": 1},
    }


def test_fix_never_writes_over_what_is_read(corpus: Path) -> None:
    before = corpus.read_bytes()
    done = personable("data", "doctor", corpus, "--fix", corpus)
    assert done.returncode == 1
    assert done.stderr.endswith(f"found what is read ({corpus}). Next: name another file\n")
    assert corpus.read_bytes() == before


def test_a_classifier_is_asked_about_contradictions(corpus: Path, tmp_path: Path) -> None:
    """A real classifier that takes every pair for a contradiction."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", *sorted({*SOUND.split()})]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    folder = tmp_path / "nli"
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    labels = {0: "entailment", 1: "neutral", 2: "contradiction"}
    size = {"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 4}
    model = BertForSequenceClassification(BertConfig(vocab_size=len(words), id2label=labels, **size))
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([0.0, 0.0, 1.0]))
    model.save_pretrained(folder)
    corpus.write_text(SOUND)

    done = CliRunner().invoke(app, ["data", "doctor", str(corpus), "--nli", str(folder), "--json"])
    found = json.loads(done.stdout)

    # The reply about cats does not speak of its speaker.
    contradicted = [each for each in found["findings"] if each["kind"] == "contradicted"]
    assert [(each["line"], each["turn"]) for each in contradicted] == [(3, 2)]
    assert contradicted[0]["found"] == "'i ski , mostly , in the high mountains .' against the fact 'i ski .'"
    assert found["not_checked"] == ["leaks: no other corpus was given (--other)"]
