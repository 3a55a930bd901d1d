"""A finished run and a Hub."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.publishing.finished_run import write_finished_run
from tests.publishing.hub.hub_server import running_hub
from tests.publishing.hub.hub_state import Hub


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that no test may change."""
    return write_finished_run(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def run(trained_once: Path, tmp_path: Path) -> Path:
    """A run of one's own."""
    return Path(shutil.copytree(trained_once, tmp_path / "rita"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub on loopback, for a client that uploads by LFS."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with running_hub() as hub:
        yield hub
