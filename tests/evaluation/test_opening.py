"""What is measured, as a user names it: where its evaluation goes, how it replies, on which dialogues."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import GenerationConfig

from personable import corpus, starter
from personable.base import Base
from personable.errors import BadRecord, BaseNotFound, DataError, RecipeError
from personable.evaluation import LocalEngine, UrlEngine
from personable.evaluation.opening import ELSEWHERE, Target, decoding_of, folders_of, read_subject
from tests.tiny import tiny_base, tiny_gpt2, tiny_tokenizer

URL = "http://localhost:8000/v1"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def engine_of(**asked) -> LocalEngine:
    tokenizer = tiny_tokenizer()
    model = tiny_gpt2(tokenizer)
    model.generation_config = GenerationConfig(**asked)
    return LocalEngine(Base(model, tokenizer, 256, "tiny"))


def test_a_run_keeps_its_own_evaluation(here) -> None:
    (here / "runs" / "rita").mkdir(parents=True)
    assert Target("runs/rita").folder() == Path("runs/rita")
    assert Target(str(here / "runs" / "rita")).folder() == here / "runs" / "rita"


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (Target("starter"), "starter"),
        (Target("microsoft/DialoGPT-medium"), "microsoft-DialoGPT-medium"),
        (Target("gpt-4.1 mini", URL), "gpt-4.1-mini"),
        (Target("org/team/model:latest", URL), "org-team-model-latest"),
        (Target("../../etc/passwd", URL), "etc-passwd"),
        (Target("..", URL), "model"),
        (Target("/", URL), "model"),
        (Target("starter", URL), "starter"),
    ],
)
def test_what_is_no_run_goes_elsewhere(target, name) -> None:
    assert target.folder() == ELSEWHERE / name


def test_what_lies_here_under_the_name_of_the_starter_or_a_served_model_is_left_alone(here) -> None:
    for name in ("starter", "served"):
        (here / name).mkdir()
    assert Target("starter").folder() == ELSEWHERE / "starter"
    assert Target("served", URL).folder() == ELSEWHERE / "served"


def test_a_file_goes_by_its_name_without_ending(here) -> None:
    (here / "deep").mkdir()
    (here / "deep" / "rita.q8.gguf").write_bytes(b"GGUF")
    assert Target("deep/rita.q8.gguf").folder() == ELSEWHERE / "rita.q8"


def test_targets_open_as_engines(here) -> None:
    local = Target(str(tiny_base(here / "tiny"))).open(batch_size=3)
    assert isinstance(local, LocalEngine)
    assert local.batch_size == 3
    assert local.about["name"] == "tiny"
    served = Target("some/model", URL).open(batch_size=3)
    assert isinstance(served, UrlEngine)
    assert served.about == {"kind": "url", "name": "some/model", "url": URL}
    with pytest.raises(BaseNotFound):
        Target("./nothing-here").open()


@pytest.mark.parametrize("out", [None, Path("out")])
def test_two_runs_of_one_name_have_two_folders(here, out) -> None:
    for parent in "xy":
        (here / parent / "rita").mkdir(parents=True)
    folders = folders_of([Target("x/rita"), Target("y/rita")], out)
    expected = [Path("x/rita"), Path("y/rita")] if out is None else [out / "rita", out / "rita-2"]
    assert folders == expected
    assert not Path("out").exists(), "trying leaves nothing behind"
    assert not any(file for parent in "xy" for file in (here / parent / "rita").iterdir())


@pytest.mark.parametrize("first", [".", ".."])
def test_runs_that_are_named_by_dots_stay_inside_out(here, monkeypatch, first) -> None:
    """Such as `personable evaluate . ../starter-run --out DIR`."""
    (here / "run" / "inner").mkdir(parents=True)
    monkeypatch.chdir(here / "run" / "inner")
    out = here / "out"
    folders = folders_of([Target(first), Target("starter")], out)
    assert len({folder.resolve() for folder in folders}) == 2
    for folder in folders:
        assert folder.resolve().parent == out


def test_one_target_takes_out_as_it_stands(here) -> None:
    assert folders_of([Target("starter")], Path("a/b")) == [Path("a/b")]
    assert not (here / "a").exists(), "made when there is something to write"
    assert not ELSEWHERE.exists()


@pytest.mark.parametrize("inner", ["", "/deeper"])
def test_a_file_in_the_place_of_a_folder_is_explained(here, inner) -> None:
    (here / "taken").write_text("mine")
    with pytest.raises(DataError, match=r"expected to be able to write an evaluation into taken.* Next: another --out"):
        folders_of([Target("starter")], Path(f"taken{inner}"))
    assert (here / "taken").read_text() == "mine"


def test_greedy_is_greedy_whatever_the_run_asks_for() -> None:
    engine = engine_of(do_sample=True, temperature=0.9, top_p=0.8, top_k=7, repetition_penalty=1.3, max_new_tokens=24)
    greedy = decoding_of(engine, own=False)
    assert greedy.greedy
    assert (greedy.top_p, greedy.top_k, greedy.min_p, greedy.repetition_penalty) == (1, 0, 0, 1)
    assert greedy.max_reply_tokens == 24
    own = decoding_of(engine, own=True)
    assert (own.temperature, own.top_p, own.top_k, own.repetition_penalty) == (0.9, 0.8, 7, 1.3)
    assert own.max_reply_tokens == 24


def test_replies_have_to_leave_room_for_a_dialogue() -> None:
    engine = engine_of(max_new_tokens=1000)
    assert decoding_of(engine, own=False).max_reply_tokens == 128
    assert decoding_of(engine, own=False, max_reply_tokens=255).max_reply_tokens == 255
    with pytest.raises(RecipeError, match=r"shorter than the context of 256 tokens, found 256\. Next: a lower --max"):
        decoding_of(engine, own=False, max_reply_tokens=256)


def test_a_server_is_asked_greedily_with_any_length() -> None:
    sampling = decoding_of(UrlEngine(URL, "m"), own=False, max_reply_tokens=5000)
    assert (sampling.temperature, sampling.top_p, sampling.max_reply_tokens) == (0, 1, 5000)


def test_dialogues_are_described_for_a_reader_elsewhere() -> None:
    file = str(starter.VALIDATION)
    whole, few = read_subject(file), read_subject(file, limit=3, seed=1)
    assert whole.about == {
        "name": "validation.jsonl",
        "split": "",
        "format": "personable",
        "fingerprint": corpus.fingerprint(whole.dialogues),
        "detokenised": False,
        "limit": None,
        "dialogues_in_file": len(whole.dialogues),
    }
    assert len(few.dialogues) == few.about["limit"] == 3
    assert set(few.dialogues) < set(whole.dialogues)
    assert few.about["dialogues_in_file"] == len(whole.dialogues)
    assert few.about["fingerprint"] == corpus.fingerprint(few.dialogues) != whole.about["fingerprint"]
    assert read_subject(file, limit=3, seed=1) == few
    assert read_subject(file, limit=3, seed=2).dialogues != few.dialogues


@pytest.mark.parametrize("name", ["few.jsonl", "few:test.jsonl"])
def test_a_file_has_no_split(here, name) -> None:
    (here / name).write_bytes(starter.VALIDATION.read_bytes())
    about = read_subject(name).about
    assert (about["name"], about["split"]) == (name, "")


def test_bad_records_are_told_of_or_refused(here) -> None:
    (here / "bad.jsonl").write_bytes(b'{"turns": 3}\n' + starter.VALIDATION.read_bytes())
    seen: list[BadRecord] = []
    found = read_subject("bad.jsonl", max_bad=1, on_problem=seen.append)
    assert [problem.line for problem in seen] == [1]
    assert len(found.dialogues) == len(read_subject(str(starter.VALIDATION)).dialogues)
    with pytest.raises(DataError, match=r"bad\.jsonl:1"):
        read_subject("bad.jsonl")
    with pytest.raises(DataError, match=r"nowhere\.jsonl"):
        read_subject("nowhere.jsonl")
