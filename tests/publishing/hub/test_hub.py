"""Publishing against a Hub on loopback, whole or with faults."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from personable.base import load_base
from personable.errors import PublishError
from personable.publishing.hub import sending
from personable.publishing.hub.publishing import NotFit, Published, check_repo_id, prepare_run, send
from personable.publishing.hub.sending import Patience
from tests.publishing.hub.hub_state import TOKEN, Fault, Hub, Repository

HURRY = Patience(tries=3, first_wait_seconds=0.01, longest_wait_seconds=5, connect_seconds=5, stall_seconds=5)
NAME = "ada/rita"
# How huggingface_hub 2.4 hands a large file to its HTTP library.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw:DeprecationWarning")


def published(run: Path, hub: Hub, **options: Any) -> Published:
    return send(prepare_run(run, NAME), token=TOKEN, endpoint=hub.endpoint, patience=HURRY, **options)


def committed(hub: Hub) -> list[dict[str, bytes]]:
    """What each commit after the first holds."""
    return hub.model(NAME).commits[1:]


def test_everything_goes_up_in_one_commit(run: Path, hub: Hub) -> None:
    (run / "checkpoints").mkdir()
    (run / "notes.txt").write_text("mine", encoding="utf-8")
    done = published(run, hub)
    (files,) = committed(hub)
    sent = {file.name: file.content() for file in prepare_run(run, NAME).files}
    assert {name: files[name] for name in sent} == sent
    assert set(files) == set(sent) | {".gitattributes"}
    assert files["model.safetensors"] == (run / "model.safetensors").read_bytes()
    assert not hub.model(NAME).private
    assert done.url == f"{hub.endpoint}/ada/rita"
    assert done.weights_url == f"{done.url}/resolve/{hub.model(NAME).sha}/model.safetensors"
    assert done.changed
    assert not done.private


def test_what_was_published_is_a_base_again(run: Path, hub: Hub, tmp_path: Path) -> None:
    published(run, hub)
    (files,) = committed(hub)
    there = tmp_path / "downloaded"
    there.mkdir()
    for name, content in files.items():
        (there / name).write_bytes(content)
    there_again = load_base(there, device="cpu").model.state_dict()
    for name, weight in load_base(run, device="cpu").model.state_dict().items():
        assert weight.equal(there_again[name])


def test_no_file_on_the_hub_names_a_folder_of_this_machine(run: Path, hub: Hub) -> None:
    assert str(run.parent.parent.parent).encode() not in b"".join(f.content() for f in prepare_run(run, NAME).files)
    assert b"/" + run.parts[1].encode() + b"/" in (run / "recipe.yaml").read_bytes()  # there was something to take out


def test_sent_again_unchanged_nothing_happens(run: Path, hub: Hub) -> None:
    first = published(run, hub)
    again = published(run, hub)
    assert len(committed(hub)) == 1
    assert len(hub.received) == len(set(hub.received))
    assert not again.changed
    assert again.commit == first.commit


def test_only_what_has_changed_is_sent_again(run: Path, hub: Hub) -> None:
    published(run, hub)
    large = list(hub.received)
    card = run / "README.md"
    card.write_text(card.read_text(encoding="utf-8") + "\nMore.\n", encoding="utf-8")
    assert published(run, hub).changed
    before, after = committed(hub)
    assert {name for name in after if after[name] != before[name]} == {"README.md"}
    assert hub.received == large


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault("GET /api/whoami", status=500), id="500 when asked whose token it is"),
        pytest.param(Fault("POST /api/repos/create", status=503), id="503 when the repository is made"),
        pytest.param(Fault("POST /api/repos/create"), id="cut when the repository is made"),
        pytest.param(Fault("/commit/", status=500), id="500 on the commit"),
        pytest.param(Fault("/commit/", status=409, message="a commit has happened since"), id="409 on the commit"),
        pytest.param(Fault("/commit/", status=412, message="a commit has happened since"), id="412 on the commit"),
        pytest.param(Fault("/commit/", after_bytes=100), id="cut in the middle of the commit"),
        pytest.param(Fault("/commit/", status=429, headers={"Retry-After": "0"}), id="429 on the commit"),
        pytest.param(Fault("/commit/", done_first=True), id="the answer to the commit is lost"),
        pytest.param(Fault("/commit/", status=504, done_first=True), id="504 though the commit was done"),
        pytest.param(Fault("/commit/", status=500, times=2), id="500 twice"),
        pytest.param(Fault("PUT /lfs/", after_bytes=50_000), id="cut in the middle of a large file"),
        pytest.param(Fault("PUT /lfs/", status=500), id="500 on a large file"),
    ],
)
def test_what_passes_leaves_one_whole_commit(fault: Fault, run: Path, hub: Hub) -> None:
    hub.faults = [fault]
    published(run, hub)
    assert fault.times == 0
    (files,) = committed(hub)
    assert files["model.safetensors"] == (run / "model.safetensors").read_bytes()
    assert len(hub.received) == len(set(hub.received))


def test_a_hub_that_asks_to_wait_is_waited_for(
    run: Path, hub: Hub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.faults = [Fault("/commit/", status=429, headers={"Retry-After": "4"})]
    waits: list[float] = []
    monkeypatch.setattr(sending, "time", SimpleNamespace(sleep=waits.append))
    with caplog.at_level(logging.WARNING):
        published(run, hub)
    assert waits == [4]
    assert "the Hub answered 429 when asked to commit to ada/rita; trying again in 4 s" in caplog.text
    assert len(committed(hub)) == 1


def test_a_hub_that_asks_to_wait_too_long_is_not_waited_for(run: Path, hub: Hub) -> None:
    hub.faults = [Fault("/commit/", status=429, headers={"Retry-After": "3600"})]
    with pytest.raises(PublishError, match=r"answer 429.*wait 3600 seconds, then give the same command again"):
        published(run, hub)
    assert committed(hub) == []


def test_tries_are_bounded(run: Path, hub: Hub) -> None:
    hub.faults = [Fault("/commit/", status=500, times=1000, message="out of order")]
    with pytest.raises(PublishError, match=r"expected to commit to ada/rita .* found the answer 500: out of order"):
        published(run, hub)
    assert hub.count("/commit/") == HURRY.tries
    assert committed(hub) == []


def test_a_connection_that_stalls_counts_as_cut(run: Path, hub: Hub) -> None:
    release = threading.Event()
    hub.faults = [Fault("/api/whoami", wait=release, times=2)]
    patience = Patience(tries=2, first_wait_seconds=0.01, stall_seconds=0.2)
    with pytest.raises(PublishError, match=r"expected to know whose the token is .* found no connection"):
        send(prepare_run(run, NAME), token=TOKEN, endpoint=hub.endpoint, patience=patience)
    release.set()


def test_a_hub_that_is_not_there(run: Path) -> None:
    with pytest.raises(PublishError, match=r"found no connection to http://127\.0\.0\.1:9 .*same command again"):
        send(prepare_run(run, NAME), token=TOKEN, endpoint="http://127.0.0.1:9", patience=HURRY)


def test_a_token_that_the_hub_does_not_know(run: Path, hub: Hub) -> None:
    wrong = "hf_" + "wrongSecret" * 3
    with pytest.raises(PublishError, match=r"the answer 401: Invalid credentials.*Next: make a token") as raised:
        send(prepare_run(run, NAME), token=wrong, endpoint=hub.endpoint, patience=HURRY)
    assert wrong not in str(raised.value)
    assert hub.count("") == 1


def test_a_token_that_may_not_write_there(run: Path, hub: Hub) -> None:
    with pytest.raises(PublishError, match=r"the answer 403: You don't have the rights.*may write to strangers"):
        send(prepare_run(run, "strangers/rita"), token=TOKEN, endpoint=hub.endpoint, patience=HURRY)
    assert hub.repositories == {}


def test_no_token(run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(PublishError, match=r"expected a token .* found none. Next: .*HF_TOKEN"):
        send(prepare_run(run, NAME), endpoint=hub.endpoint)
    assert hub.requests == []


def test_a_token_pasted_with_a_second_line_is_not_shown(run: Path, hub: Hub) -> None:
    with pytest.raises(PublishError, match="one word of ASCII") as raised:
        send(prepare_run(run, NAME), token=f"{TOKEN}\n{TOKEN}", endpoint=hub.endpoint)
    assert TOKEN not in str(raised.value)


def test_a_token_that_the_hub_repeats_is_not_shown(run: Path, hub: Hub) -> None:
    hub.faults = [Fault("/commit/", status=400, message=f"bad token {TOKEN}")]
    with pytest.raises(PublishError, match=r"bad token \(token\)") as raised:
        published(run, hub)
    assert raised.value.__cause__ is None  # a traceback would print it


def test_offline(run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(PublishError, match=r"HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE set.*--dry-run"):
        published(run, hub)
    assert hub.requests == []


def test_private_means_private(run: Path, hub: Hub) -> None:
    assert published(run, hub, private=True).private
    assert hub.model(NAME).private


def test_nothing_private_goes_to_a_public_repository(run: Path, hub: Hub) -> None:
    hub.repositories["model", NAME] = Repository(private=False)
    with pytest.raises(PublishError, match="exists and is public; nothing was sent"):
        published(run, hub, private=True)
    assert committed(hub) == []
    assert hub.received == []


def test_a_tag_marks_the_commit(run: Path, hub: Hub) -> None:
    done = published(run, hub, tag="v1")
    assert hub.model(NAME).tags == {"v1": done.commit}
    assert published(run, hub, tag="v1").commit == done.commit
    (run / "README.md").write_text((run / "README.md").read_text("utf-8") + "\nMore.\n", encoding="utf-8")
    with pytest.raises(PublishError, match=r"expected no tag v1 .* The files are published \(commit .*another --tag"):
        published(run, hub, tag="v1")


def test_a_tag_whose_answer_was_lost(run: Path, hub: Hub) -> None:
    hub.faults = [Fault("/tag/", done_first=True)]
    assert hub.count("/tag/") == 0
    done = published(run, hub, tag="v1")
    assert hub.model(NAME).tags == {"v1": done.commit}


def test_a_proposal_changes_nothing_yet(run: Path, hub: Hub) -> None:
    hub.repositories["model", "strangers/rita"] = Repository(private=False)
    upload = prepare_run(run, "strangers/rita")
    done = send(upload, create_pr=True, token=TOKEN, endpoint=hub.endpoint, patience=HURRY)
    assert done.pull_request == f"{hub.endpoint}/strangers/rita/discussions/1"
    assert len(hub.model("strangers/rita").commits) == 1
    assert hub.model("strangers/rita").proposals[0]["README.md"] == (run / "README.md").read_bytes()


def test_a_proposal_whose_answer_was_lost_is_not_made_twice(run: Path, hub: Hub) -> None:
    hub.repositories["model", NAME] = Repository(private=False)
    hub.faults = [Fault("/commit/", done_first=True)]
    with pytest.raises(PublishError, match="found no connection"):
        published(run, hub, create_pr=True)
    assert len(hub.model(NAME).proposals) == 1


def test_a_hub_without_xet(run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    with pytest.raises(PublishError, match=r"xet-write-token.* Next: set HF_HUB_DISABLE_XET=1"):
        published(run, hub)
    assert committed(hub) == []


def test_a_run_that_is_not_fit_is_not_sent(run: Path, hub: Hub) -> None:
    (run / "README.md").unlink()
    (run / "chat_template.jinja").unlink()
    with pytest.raises(NotFit, match=r"2 reasons:\n.*chat_template.jinja: .*\n.*README.md: expected") as raised:
        published(run, hub)
    assert len(raised.value.problems) == 2
    assert hub.requests == []


@pytest.mark.parametrize("name", ["rita", "ada/", "ada/ri ta", "a/b/c", "ada/rita.git", "https://hf.co/a/b", "../a/b"])
def test_names_that_no_repository_has(name: str) -> None:
    with pytest.raises(PublishError, match="expected OWNER/NAME"):
        check_repo_id(name)


KILLED = """
import sys
from pathlib import Path
from personable.publishing.hub.contents import published_contents
from personable.publishing.hub.publishing import Upload, send
send(Upload("ada/rita", "model", published_contents(Path(sys.argv[1])).files))
"""


def test_killed_in_the_middle_it_goes_on_where_it_was(run: Path, hub: Hub) -> None:
    weights = hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()
    held, never = f"PUT /lfs/{weights}", threading.Event()
    hub.faults = [Fault(held, after_bytes=50_000, wait=never)]
    environment = {**os.environ, "HF_TOKEN": TOKEN, "HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(run)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    until = time.monotonic() + 120
    while not (hub.count(held) and hub.received):  # the other large file has arrived, this one is half way
        assert process.poll() is None, process.communicate()[0].decode()
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    said = process.communicate()[0].decode()
    never.set()
    assert TOKEN not in said
    arrived = list(hub.received)
    assert weights not in arrived
    assert committed(hub) == []
    published(run, hub)
    assert len(committed(hub)) == 1
    assert sorted(hub.received) == sorted([*arrived, weights])
