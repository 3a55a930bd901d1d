from pathlib import Path

import pytest

from personable.training import train
from tests.tiny import tiny_base
from tests.training.small import BY_EPOCH, uneven_recipe, write_data


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def unbroken_uneven(base, data, tmp_path_factory) -> Path:
    """Runs of `uneven_recipe`, evaluated and saved by steps and by epochs."""
    folder = tmp_path_factory.mktemp("unbroken")
    train(uneven_recipe(base, data, folder / "steps"))
    train(uneven_recipe(base, data, folder / "epoch", **BY_EPOCH))
    return folder
