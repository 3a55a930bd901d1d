"""What tests of several stages share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_BESIDE_THE_REPOSITORY = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real corpora: PERSONABLE_TEST_DATA, or one beside the repository; skips where there is none."""
    folder = Path(os.environ.get("PERSONABLE_TEST_DATA", _BESIDE_THE_REPOSITORY))
    if not (folder / "convai2").is_dir():
        pytest.skip(f"no corpora in {folder}; set PERSONABLE_TEST_DATA to a folder with convai2/ in it")
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What training prepares is kept in a folder of this test run, not in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
