"""The page: its files, and a chat with it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from personable.dialogue import Dialogue, Persona, Speaker
from personable.errors import PublishError
from personable.publishing.hub.contents import PublishedFile
from personable.publishing.hub.publishing import send
from personable.publishing.hub.space import GRADIO_VERSION, TEMPLATES, prepare_space, space_files, write_space
from personable.reply import load
from tests.publishing.hub.hub_state import TOKEN, Hub, Repository
from tests.publishing.hub.test_hub import HURRY
from tests.reply.memorised_run import RITA, write_memorised_run

ROOT = Path(__file__).resolve().parents[3]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())


def files_of(repo_id: str) -> dict[str, str]:
    return {file.name: file.content().decode() for file in space_files(repo_id)}


def test_the_hub_learns_how_to_run_it() -> None:
    files = files_of("ada/rita")
    settings = yaml.safe_load(files["README.md"].split("---")[1])
    assert settings["sdk"] == "gradio"
    assert settings["sdk_version"] == GRADIO_VERSION == PINS["gradio"]
    assert settings["app_file"] in files
    assert settings["models"] == ["ada/rita"]
    assert settings["title"] == "rita"


def test_requirements_are_those_it_is_tested_with() -> None:
    pins = re.findall(r"^([\w-]+)==(.+)$", files_of("ada/rita")["requirements.txt"], re.MULTILINE)
    assert dict(pins) == {name: PINS[name] for name in ("torch", "transformers")}


def test_no_slot_stays_open() -> None:
    text = "".join(files_of("ada/rita").values())
    assert not re.search(r"OWNER|TITLE|GRADIO_VERSION", text)
    assert 'os.environ.get("MODEL", "ada/rita")' in text


@pytest.mark.parametrize("name", ["TITLE-bot", "GRADIO_VERSION", "123", "no", "1e5", "a: b"])
def test_any_name_is_the_title_as_it_stands(name: str) -> None:
    files = files_of(f"ada/{name}")
    settings = yaml.safe_load(files["README.md"].split("---\n")[1])
    assert settings["title"] == name
    assert f"[ada/{name}](https://huggingface.co/ada/{name})" in files["README.md"]
    assert f'os.environ.get("MODEL", "ada/{name}")' in files["app.py"]


def test_a_page_is_written_whole_or_not_at_all(trained_once: Path, tmp_path: Path) -> None:
    upload = prepare_space(trained_once, "ada/rita")
    first, *others = upload.files
    changed = PublishedFile(first.name, b"changed")
    broken = replace(upload, files=(changed, *others[:-1], PublishedFile(others[-1].name, tmp_path / "gone")))
    with pytest.raises(PublishError, match=r"to write .*page, found: No such file.* --out"):
        write_space(broken, tmp_path / "page")
    assert list(tmp_path.iterdir()) == []
    folder = write_space(upload, tmp_path / "page")
    with pytest.raises(PublishError, match="to write"):
        write_space(broken, folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {f.name: f.content() for f in upload.files}
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PublishError, match=r"to write .*file/page, found: "):
        write_space(upload, tmp_path / "file" / "page")


def test_the_folder_of_somebody_else_is_left_alone(trained_once: Path, tmp_path: Path) -> None:
    upload = prepare_space(trained_once, "ada/rita")
    folder = write_space(upload, tmp_path / "page")
    write_space(upload, folder)  # once more is no harm
    (folder / "mine.py").write_text("", encoding="utf-8")
    with pytest.raises(PublishError, match=r"found mine\.py in .*--out"):
        write_space(upload, folder)


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="expected a finished run"):
        prepare_space(tmp_path, "ada/rita")


def test_the_page_is_committed_once_the_weights_are_there(trained_once: Path, hub: Hub) -> None:
    upload = prepare_space(trained_once, "ada/rita")

    def publish() -> str:
        return send(upload, token=TOKEN, endpoint=hub.endpoint, patience=HURRY).url

    with pytest.raises(PublishError, match=r"expected the model ada/rita.*personable publish RUN ada/rita"):
        publish()
    hub.repositories["model", "ada/rita"] = Repository(private=False)
    assert publish() == f"{hub.endpoint}/spaces/ada/rita"
    files = hub.repositories["space", "ada/rita"].head
    assert files["app.py"] == (TEMPLATES / "app.py").read_bytes().replace(b"OWNER/NAME", b"ada/rita")
    assert hub.model("ada/rita").commits == [hub.model("ada/rita").head]


@contextmanager
def running_page(folder: Path, run: Path) -> Iterator[str]:
    """The address of the page, started as on a Space."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("PYTHONPATH")},
        "MODEL": str(run),
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=folder, env=environment, stdout=output, stderr=output
        )
    try:
        until = time.monotonic() + 180
        while "Running on local URL" not in log.read_text(encoding="utf-8"):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < until, log.read_text(encoding="utf-8")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def greedy_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that knows Rita's lines and always says what is likeliest."""
    run = tmp_path_factory.mktemp("greedy")
    write_memorised_run(run)
    file = run / "generation_config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    kept = {key: value for key, value in settings.items() if key not in ("temperature", "top_p")}
    file.write_text(json.dumps(kept | {"do_sample": False}), encoding="utf-8")
    return run


def test_the_page_says_what_personable_says(greedy_run: Path, tmp_path: Path) -> None:
    from gradio_client import Client

    bot = load(greedy_run)
    long = "what do you do " * 14  # two of these are more than the model can read
    said = ["hi", "what do you do", "any pets", long, "hi", long, "any pets"]
    folder = tmp_path / "page"
    folder.mkdir()
    for file in space_files("ada/rita"):
        (folder / file.name).write_bytes(file.content())
    dialogue = Dialogue(RITA)
    with running_page(folder, greedy_run) as address:
        client: Any = Client(address, verbose=False)
        dropped = 0
        for text in said:
            dialogue = dialogue.then(Speaker.PARTNER, text)
            pieces = list(bot.stream_reply(dialogue))
            own, dropped = "".join(piece.text for piece in pieces), max(dropped, pieces[-1].dropped_turns)
            assert client.predict(message=text, facts="\n".join(RITA.facts), api_name="/chat") == (own or "...")
            dialogue = dialogue.then(Speaker.PERSONA, own) if own else dialogue
        assert dropped > 0
        assert "i sail boats" in [turn.text for turn in dialogue.turns]

        client.reset_session()
        job = client.submit(message="what do you do", facts="i bake bread.", api_name="/chat")
        final = job.result()
        baker = replace(dialogue, persona=Persona(("i bake bread.",)), turns=()).then(Speaker.PARTNER, "what do you do")
        assert final == bot.reply(baker)
        grown = list(job)
        assert len(grown) > 1
        assert all(later.startswith(earlier) for earlier, later in pairwise(grown))
