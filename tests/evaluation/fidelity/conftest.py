"""What tests of several metrics share."""

from __future__ import annotations

import pytest

from personable.reply import load
from tests.reply.memorised_run import write_memorised_run


@pytest.fixture(scope="session")
def memorised_run(tmp_path_factory):
    """The folder of a really trained run that knows a few conversations by heart."""
    return write_memorised_run(tmp_path_factory.mktemp("memorised"))


@pytest.fixture(scope="session")
def memorised(memorised_run):
    """The bot of that run."""
    return load(memorised_run)
