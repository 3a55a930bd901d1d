"""`personable evaluate` as a user runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from personable import starter
from personable.cli import main
from personable.cli.evaluate import PARTS
from personable.evaluation import Part
from personable.evaluation.report import read_record
from tests.tiny import tiny_base

QUICK = ["--max-reply-tokens", "4", "--limit", "3"]
TALK = ["--metrics", "perplexity,generation"]


def command(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with any warning an error and no network."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "evaluate", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def here(monkeypatch, capsys, tmp_path) -> Callable[..., tuple[int, str, str]]:
    """The same in this process, which saves the seconds of importing torch: exit code, stdout, stderr."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["personable", "evaluate", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def made_once(tmp_path_factory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def run_folder(made_once, tmp_path) -> Path:
    return Path(shutil.copytree(made_once, tmp_path / "runs" / "rita"))


@pytest.fixture
def data(tmp_path) -> Path:
    """Short dialogues: the beginnings of bundled ones."""
    file = tmp_path / "few.jsonl"
    lines = []
    for line in starter.VALIDATION.read_text(encoding="utf-8").splitlines()[:4]:
        record = json.loads(line)
        record["persona"]["facts"], record["turns"] = record["persona"]["facts"][:1], record["turns"][:4]
        lines.append(json.dumps(record))
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


@pytest.fixture
def half_a_character() -> Iterator[str]:
    """The URL of a real server that always says the first half of an emoji, as a reply cut short may."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer = json.dumps({"choices": [{"message": {"content": "hello \ud83d"}}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_the_parts_named_in_the_help_are_all_there_are() -> None:
    assert list(PARTS) == [part.value for part in Part]


def test_help_is_instant() -> None:
    done = command(
        "import sys; from personable.cli import main\n"
        "try: main()\n"
        "except SystemExit as exit_: assert not exit_.code\n"
        "heavy = {'torch', 'transformers', 'numpy', 'matplotlib', 'sacrebleu'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)",
        "--help",
    )
    assert done.returncode == 0, done.stderr
    assert "--metrics" in done.stdout
    assert ", ".join(PARTS[:2]) in " ".join(done.stdout.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["RUN"], "--data"),
        (["--data", "DATA"], "RUN"),
        (["RUN", "RUN", "RUN", "--data", "DATA"], "found 3"),
        (["--url", "http://localhost:1/v1", "--data", "DATA"], "--model"),
        (["RUN", "--url", "http://localhost:1/v1", "--model", "m", "--data", "DATA"], "no RUN"),
        (["RUN", "--model", "m", "--data", "DATA"], "--url"),
        (["--url", "http://localhost:1/v1", "--model", "m", "--decoding", "own", "--data", "DATA"], "--decoding"),
        (["RUN", "--data", "DATA", "--metrics", "perplexity,bleu"], "found 'bleu'"),
        (["RUN", "--data", "DATA", "--metrics", ""], "found ''"),
        (["RUN", "--data", "DATA", "--limit", "0"], "--limit"),
        (["RUN", "--data", "DATA", "--decoding", "beam"], "'greedy', 'own'"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what(here, data, tmp_path, arguments: list[str], said: str) -> None:
    code, out, err = here(*[{"DATA": data, "RUN": tmp_path / "rita"}.get(each, each) for each in arguments])
    assert (code, out) == (2, "")
    assert said in err
    assert sorted(tmp_path.iterdir()) == [data], "nothing was written"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["RUN", "--data", "nowhere.jsonl"], "nowhere.jsonl"),
        (["./nowhere", "--data", "DATA"], "nowhere"),
        (["RUN", "--data", "DATA", "--out", "DATA"], "another --out"),
        (["RUN", "--data", "DATA", "--max-reply-tokens", "256"], "--max-reply-tokens"),
        (["RUN", "--probes", "nowhere.yaml"], "nowhere.yaml"),
        (["RUN", "--data", "DATA", "--nli", "./nowhere"], "nowhere"),
        (["RUN", "--data", "DATA", "--training-data", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_failures_exit_with_1_and_say_what(here, run_folder, data, arguments: list[str], said: str) -> None:
    code, out, err = here(*[{"DATA": data, "RUN": run_folder}.get(each, each) for each in arguments])
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert said in err
    assert not (run_folder / "evaluation.json").exists()


def test_scores_go_to_stdout_and_where_they_are_to_stderr(run_folder, data) -> None:
    done = command("from personable.cli import main; main()", run_folder, "--data", data, *TALK, *QUICK)
    assert done.returncode == 0, done.stderr
    assert "Perplexity" in done.stdout
    assert "ParlAI F1" in done.stdout
    assert "Hits@1" not in done.stdout
    assert f"written: {run_folder}" in done.stderr
    assert str(run_folder) not in done.stdout
    assert "Warning" not in done.stderr
    record = read_record(run_folder / "evaluation.json")
    assert record["data"]["dialogues"] == record["data"]["limit"] == 3
    assert record["data"]["dialogues_in_file"] == 4
    assert record["decoding"]["max_reply_tokens"] == 4
    assert set(record["baselines"]) >= {"human reply", "constant string"}
    assert "perplexity" in record["scores"]
    assert "<html" in (run_folder / "evaluation.html").read_text(encoding="utf-8")


def test_json_is_what_was_written(here, run_folder, data, tmp_path) -> None:
    out = tmp_path / "out"
    code, printed, err = here(run_folder, "--data", data, "--out", out, *TALK, *QUICK, "--json", "--seed", "5")
    assert code == 0, err
    record = json.loads(printed)
    assert record == json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    assert record["seed"] == record["decoding"]["seed"] == 5
    assert not (run_folder / "evaluation.json").exists()


def test_own_decoding_and_training_data(here, run_folder, data) -> None:
    code, printed, err = here(
        run_folder, "--data", data, *QUICK, "--metrics", "generation", "--decoding", "own", "--training-data", data,
        "--json",
    )  # fmt: skip
    assert code == 0, err
    record = json.loads(printed)
    assert record["decoding"]["method"] == "sampling"
    assert record["decoding"]["seed"] == 0
    assert "8 training replies" in record["baselines"]["random training reply"]["description"]
    assert record["not_measured"] == {}


def test_two_runs_are_compared(here, run_folder, data, tmp_path) -> None:
    other = tiny_base(tmp_path / "other" / "rita", seed=1)
    code, printed, err = here(run_folder, other, "--data", data, *TALK, *QUICK)
    assert code == 0, err
    assert "B − A" in printed
    assert "A: rita\nB: rita\n" in printed
    folders = [run_folder, other, Path("evaluations/comparison")]
    assert [line.removeprefix("written: ") for line in err.splitlines() if "written: " in line] == [
        str(folders[0]), str(folders[1]), str(folders[2] / "comparison.html"),
    ]  # fmt: skip
    for folder in folders[:2]:
        read_record(folder / "evaluation.json")
    assert "<html" in (tmp_path / folders[2] / "comparison.html").read_text(encoding="utf-8")

    out = tmp_path / "out"
    code, printed, err = here(run_folder, other, "--data", data, *TALK, *QUICK, "--out", out, "--json")
    assert code == 0, err
    found = json.loads(printed)
    assert set(found) == {"evaluations", "comparison"}
    for place, name in enumerate(("rita", "rita-2")):
        assert found["evaluations"][place] == read_record(out / name / "evaluation.json")
    for each in found["comparison"]:
        scores = [one["scores"][each["metric"]]["value"] for one in found["evaluations"]]
        assert [each["first"], each["second"]] == scores
    assert (out / "comparison.html").is_file()


def write_probes(file: Path, **condition: object) -> Path:
    probes = [{"say": "hi", "max_words": 50}, {"say": ["hi", "who are you?"], **condition}]
    personas = [{"name": "Rita", "facts": ["i sail."], "probes": probes}]
    file.write_text(yaml.safe_dump({"sampling": {"max_reply_tokens": 8}, "personas": personas}))
    return file


def test_probes_decide_the_exit_code(here, run_folder, tmp_path) -> None:
    probes = write_probes(tmp_path / "probes.yaml", must_contain="Heron Rock")
    code, out, err = here(run_folder, "--probes", probes)
    assert code == 1
    assert out.splitlines()[-1] == "1 of 2 probes passed"
    assert "FAILED  personas.0.probes.1  hi / who are you?" in out
    assert "lacks 'Heron Rock'" in out
    assert "error" not in err

    code, out, err = here(run_folder, "--probes", write_probes(probes, must_not_contain="Heron Rock"))
    assert code == 0, err
    assert out.splitlines()[-1] == "2 of 2 probes passed"
    assert not (run_folder / "evaluation.json").exists()
    assert not (tmp_path / "evaluations").exists()


def test_probes_beside_data(here, run_folder, data, tmp_path) -> None:
    probes = write_probes(tmp_path / "probes.yaml", must_contain="Heron Rock")
    code, printed, _ = here(run_folder, "--probes", probes, "--data", data, *QUICK, "--metrics", "perplexity", "--json")
    assert code == 1
    found = json.loads(printed)
    assert [outcome["passed"] for outcome in found["probes"]] == [True, False]
    assert found["evaluations"] == [read_record(run_folder / "evaluation.json")]


@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["table", "json"])
def test_a_server_may_send_half_a_character(here, half_a_character, data, tmp_path, as_json) -> None:
    probes, out = write_probes(tmp_path / "probes.yaml", must_contain="hello"), tmp_path / "out"
    code, printed, err = here(
        *("--url", half_a_character, "--model", "m", "--data", data, "--metrics", "generation,order"),
        *("--probes", probes, "--out", out, *as_json),
    )
    assert code == 0, err
    assert "hello" in printed


def test_a_server_gets_no_number_that_needs_log_probabilities(here, half_a_character, data, tmp_path) -> None:
    code, printed, err = here(
        *("--url", half_a_character, "--model", "org/m", "--data", data, "--metrics", "perplexity,ranking,facts"),
    )
    assert code == 0, err
    record = read_record(tmp_path / "evaluations" / "org-m" / "evaluation.json")
    assert record["engine"] == {"kind": "url", "name": "org/m", "url": half_a_character}
    assert set(record["scores"]) == {"fact_recall", "fact_recall_every_wording", "fact_recall_without_persona"}
    for key in ("perplexity", "hits_1"):
        assert record["not_measured"][key].startswith("not available")
    assert "not available" in printed
