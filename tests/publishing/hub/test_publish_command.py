"""`personable publish` as somebody types it."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from personable.cli.publish import publish
from personable.errors import BaseNotFound, PublishError
from personable.publishing.hub.publishing import NotFit, prepare_run, send
from tests.publishing.hub.hub_state import TOKEN, Fault, Hub, Repository
from tests.publishing.hub.test_hub import HURRY

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw:DeprecationWarning")
Typed = Callable[..., Any]


@pytest.fixture
def typed(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Runs the command against the hub; a PersonableError is the result's exception."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    app = typer.Typer()
    app.command()(publish)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_dry_run_says_what_would_happen_and_touches_no_network(typed: Typed, run: Path, hub: Hub) -> None:
    (run / "notes.txt").write_text("mine", encoding="utf-8")
    result = typed(run, "ada/rita", "--dry-run")
    assert result.exit_code == 0, result.exception
    lines = result.stdout.splitlines()
    assert any(line.split() == ["model.safetensors", "184.0", "kB"] for line in lines)
    assert "left out: notes.txt, tensorboard/" in lines
    assert "sent with file names in place of local paths: recipe.yaml, training.json" in lines
    assert f"to: {hub.endpoint}/ada/rita" in lines
    assert any(line.startswith("visibility: public, everybody can see") for line in lines)
    assert lines[-1] == "dry run: nothing was sent"
    assert hub.requests == []


def test_the_links_are_printed_last(typed: Typed, run: Path, hub: Hub) -> None:
    result = typed(run, "ada/rita", "--tag", "v1", "--private")
    assert result.exit_code == 0, result.exception
    sha = hub.model("ada/rita").sha
    assert result.stdout.splitlines()[-2:] == [
        f"published (private, commit {sha[:12]}, tag v1): {hub.endpoint}/ada/rita",
        f"weights: {hub.endpoint}/ada/rita/resolve/{sha}/model.safetensors",
    ]
    assert "nothing to send: the Hub holds exactly these files" in typed(run, "ada/rita", "--private").stdout


def test_json_is_all_that_a_program_reads(typed: Typed, run: Path, hub: Hub) -> None:
    planned = json.loads(typed(run, "ada/rita", "--json", "--dry-run").stdout)
    done = json.loads(typed(run, "ada/rita", "--json").stdout)
    assert not planned["sent"]
    assert done["sent"]
    assert done["files"] == planned["files"]
    assert done["commit"] == hub.model("ada/rita").sha
    assert {file["name"] for file in done["files"]} <= set(hub.model("ada/rita").head)


def test_every_problem_is_said_at_once(typed: Typed, run: Path, hub: Hub) -> None:
    (run / "README.md").unlink()
    (run / "chat_template.jinja").unlink()
    result = typed(run, "ada/rita", "--json")
    assert isinstance(result.exception, NotFit)
    problems = json.loads(result.stdout)["problems"]
    assert [problem["file"] for problem in problems] == ["chat_template.jinja", "README.md"]
    assert all(problem["expected"] and problem["found"] and problem["next_step"] for problem in problems)
    assert hub.requests == []


def test_proposals(typed: Typed, run: Path, hub: Hub) -> None:
    hub.repositories["model", "ada/rita"] = Repository(private=False)
    assert typed(run, "ada/rita", "--create-pr", "--tag", "v1").exit_code == 2
    assert typed(run, "ada/rita", "--create-pr", "--private").exit_code == 2
    assert hub.requests == []
    result = typed(run, "ada/rita", "--create-pr")
    assert f"proposed: {hub.endpoint}/ada/rita/discussions/1" in result.stdout


def test_a_page_to_try_at_home(typed: Typed, run: Path, hub: Hub) -> None:
    assert typed(run, "ada/rita", "--out", "x").exit_code == 2
    result = typed(run, "ada/rita", "--space", "--dry-run")
    assert result.exit_code == 0, result.exception
    folder = run.parent / "rita-space"
    assert f"The page is in {folder}" in result.stdout
    assert {file.name for file in folder.iterdir()} == {"README.md", "app.py", "persona.txt", "requirements.txt"}
    assert hub.requests == []


def test_a_page_for_everybody(typed: Typed, run: Path, hub: Hub) -> None:
    hub.repositories["model", "ada/rita"] = Repository(private=False)
    result = typed(run, "ada/rita", "--space")
    assert result.stdout.splitlines()[-1].endswith(f"): {hub.endpoint}/spaces/ada/rita")
    assert not (run.parent / "rita-space").exists()


@pytest.mark.parametrize("name", ["rita", "ada/ri ta"])
def test_a_name_that_cannot_be(typed: Typed, run: Path, name: str) -> None:
    result = typed(run, name)
    assert result.exit_code == 2
    assert "expected OWNER/NAME" in result.stderr


@pytest.mark.parametrize("what", [[], ["--space"]])
def test_the_bundled_starter_is_not_published(
    typed: Typed, what: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = typed("starter", "ada/rita", *what)
    assert isinstance(result.exception, BaseNotFound)
    assert "no such folder at ./starter. The model bundled with Personable" in str(result.exception)


FAULTS: list[Any] = [
    *(Fault("/commit/", status=status, message=f"no: {TOKEN}", times=9) for status in (400, 401, 403, 404, 413, 500)),
    Fault("/commit/", times=9),
    Fault("/api/whoami", status=401),
    Fault("/preupload/", status=403),
    Fault("PUT /lfs/", status=403, message=TOKEN, times=9),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.pattern} {fault.status}")
def test_the_token_is_shown_nowhere(
    fault: Fault, run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    hub.faults = [fault]
    monkeypatch.setattr("huggingface_hub.constants.HF_DEBUG", True)
    library = logging.getLogger("huggingface_hub")
    library.addHandler(caplog.handler)  # it does not pass its messages on
    library.setLevel(logging.DEBUG)
    try:
        with pytest.raises(PublishError) as raised:
            send(prepare_run(run, "ada/rita"), token=TOKEN, endpoint=hub.endpoint, patience=HURRY)
    finally:
        library.removeHandler(caplog.handler)
        library.setLevel(logging.WARNING)
    shown = "".join(traceback.format_exception(raised.value)) + caplog.text + "".join(capfd.readouterr())
    assert "curl" in shown  # everything is shown
    assert TOKEN not in shown
    assert "X-Amz-Signature" not in shown
    assert "Next:" in str(raised.value)
