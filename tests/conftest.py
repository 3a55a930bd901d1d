"""What tests of several stages share."""

from __future__ import annotations

import os
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
