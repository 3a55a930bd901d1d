import pytest

from personable.reply import load
from tests.reply.memorised_run import write_memorised_run


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    return write_memorised_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def loaded(run):
    return load(run)
