"""`personable data`, run as a process where exit codes and streams matter."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from personable.corpus import read_dialogues, write_dialogues
from personable.dialogue import Dialogue, Persona, Speaker, Turn

CORPUS = """\
1 your persona: i ski .
2 hello , you ?\tgood , thanks .
1 your persona: i cook .
2 what a day !\tit was long .
"""
COMMAND = [sys.executable, "-c", "import sys; sys.argv[0] = 'personable'; from personable.cli import main; main()"]


def personable(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, env=environment)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text(CORPUS)
    return path


def test_help_and_version_come_without_heavy_imports() -> None:
    code = (
        "import sys; from personable.cli import main\n"
        "sys.argv = ['personable', 'data', 'inspect', '--help']\n"
        "try: main()\n"
        "except SystemExit as leaving: assert leaving.code == 0\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pyarrow', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {sorted(heavy)}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Example: personable data inspect" in done.stdout
    assert personable("--version").stdout.startswith("personable ")


@pytest.mark.parametrize("command", ["inspect", "convert", "split"])
def test_every_help_shows_an_example(command: str) -> None:
    assert f"Example: personable data {command} " in personable("data", command, "--help").stdout


def test_inspect_prints_a_table(corpus: Path) -> None:
    done = personable("data", "inspect", corpus)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {line[:24].strip(): line[24:].strip() for line in done.stdout.splitlines()}
    assert rows["format"] == "convai2"
    assert rows["dialogues"] == "2"
    assert rows["turns per dialogue"] == "2 least, 2 median, 2 most"
    assert rows["problems"] == "0"


def test_inspect_json_is_the_same_for_programs(corpus: Path) -> None:
    found = json.loads(personable("data", "inspect", corpus, "--json").stdout)
    assert (found["format"], found["dialogues"], found["words"], found["problems"]) == ("convai2", 2, 4 * 4, [])
    assert found["words_per_reply"] == {"least": 4, "median": 4, "most": 4}


def test_inspect_lists_every_problem_and_fails_beyond_max_bad(corpus: Path) -> None:
    corpus.write_text(CORPUS + "1 no reply\n1 none here\n")
    done = personable("data", "inspect", corpus)
    assert done.returncode == 1
    assert f"{corpus}:5: expected utterance<TAB>reply" in done.stdout
    assert f"{corpus}:6: expected utterance<TAB>reply" in done.stdout
    assert done.stderr == (
        f"error: {corpus}: expected at most 0 bad records, found 2. Next: mend them, or allow them with --max-bad 2\n"
    )
    assert personable("data", "inspect", corpus, "--max-bad", "2").returncode == 0
    problems = json.loads(personable("data", "inspect", corpus, "--max-bad", "2", "--json").stdout)["problems"]
    assert [problem["line"] for problem in problems] == [5, 6]


def test_convert_writes_canonical_jsonl(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    done = personable("data", "convert", corpus, out, "--detokenise")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{out}: 2 dialogues\n", "")
    assert [each.turns[0].text for each in read_dialogues(out).dialogues] == ["hello, you?", "what a day!"]
    personable("data", "convert", corpus, out)
    assert read_dialogues(out).dialogues == read_dialogues(corpus).dialogues


def test_convert_stops_at_a_bad_record_and_leaves_nothing_half_done(corpus: Path, tmp_path: Path) -> None:
    corpus.write_text(CORPUS + "1 no reply\n")
    out = tmp_path / "out.jsonl"
    done = personable("data", "convert", corpus, out)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {corpus}:5: expected utterance<TAB>reply")
    assert done.stderr.endswith("Next: mend the record, or skip up to N bad ones with --max-bad N\n")
    assert not out.exists()
    done = personable("data", "convert", corpus, out, "--max-bad", "1")
    assert (done.returncode, done.stdout) == (0, f"{out}: 2 dialogues\n")
    assert done.stderr.startswith(f"warning: skipped {corpus}:5: expected")


def test_split_writes_both_parts(corpus: Path, tmp_path: Path) -> None:
    train, validation = tmp_path / "train.jsonl", tmp_path / "validation.jsonl"
    done = personable("data", "split", corpus, "--train", train, "--validation", validation, "--share", "0.5")
    assert (done.returncode, done.stdout) == (0, f"{train}: 1 dialogues\n{validation}: 1 dialogues\n")
    both = (*read_dialogues(train).dialogues, *read_dialogues(validation).dialogues)
    assert sorted(both, key=str) == sorted(read_dialogues(corpus).dialogues, key=str)


def test_split_says_what_it_left_out(tmp_path: Path) -> None:
    path = tmp_path / "chain.jsonl"
    ring = (
        Dialogue(Persona((f"I am {(n + 1) // 2 % 10}.",)), (Turn(Speaker.PERSONA, f"t{n}"),), conversation=f"c{n // 2}")
        for n in range(20)
    )
    write_dialogues(ring, path)
    done = personable(
        "data", "split", path, "--train", tmp_path / "t.jsonl", "--validation", tmp_path / "v.jsonl", "--share", "0.1"
    )
    assert done.returncode == 0
    assert done.stderr == "warning: left out 2 dialogues that share a conversation or a persona with both parts\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["data", "inspect"],
        ["data", "inspect", "x", "--format", "nonsense"],
        ["data", "inspect", "x", "--max-bad", "-1"],
        ["data", "split", "x", "--train", "a"],
        ["data", "split", "x", "--train", "a", "--validation", "b", "--share", "1.5"],
        ["data", "nonsense"],
        ["--nonsense"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    done = personable(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_a_path_with_brackets_is_printed_as_it_is(tmp_path: Path) -> None:
    done = personable("data", "inspect", tmp_path / "[red]absent.jsonl")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {tmp_path}/[red]absent.jsonl: no such file. Next: check the path\n"


def test_an_interrupt_exits_with_130_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("1 a\tb\n" * 1_000_000)
    running = subprocess.Popen(
        [*COMMAND, "data", "convert", str(corpus), str(tmp_path / "out.jsonl")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while len(list(tmp_path.iterdir())) == 1 and time.monotonic() < deadline:
        time.sleep(0.01)  # until it has begun to write
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=30)
    assert (running.returncode, "Traceback" in stderr) == (130, False)
    assert list(tmp_path.iterdir()) == [corpus]


def test_a_reader_that_leaves_early_causes_no_noise(corpus: Path) -> None:
    running = subprocess.Popen(
        [*COMMAND, "data", "inspect", str(corpus), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    assert running.stderr.read() == b""
    running.stderr.close()
    running.wait(timeout=10)


def test_inspect_counts_tokens_of_a_base(corpus: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, PreTrainedTokenizerFast

    words = ["<|endoftext|>", *sorted(set(CORPUS.split()))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "<|endoftext|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    base = tmp_path / "base"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=words[0], bos_token=words[0], unk_token=words[0]
    ).save_pretrained(base)
    GPT2Config(vocab_size=len(words), n_layer=1, n_head=1, n_embd=4).save_pretrained(base)
    done = personable("data", "inspect", corpus, "--base", base, "--json")
    assert json.loads(done.stdout)["tokens"] == 2 * 3 + 4 * 4
