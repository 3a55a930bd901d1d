from __future__ import annotations

import pytest
import torch

from personable.errors import BadBase
from personable.shards import read_shards, write_shards


def weights() -> dict[str, torch.Tensor]:
    return {
        "embedding": torch.arange(1000, dtype=torch.float32).view(100, 10).bfloat16(),
        "bias": torch.ones(7),
        "scalar": torch.tensor(3.0),
        "matrix": torch.randn(20, 5),
    }


def test_what_is_read_is_what_was_written_and_no_shard_is_too_large(tmp_path) -> None:
    paths = write_shards(weights(), tmp_path, shard_bytes=600)
    torch.manual_seed(0)
    assert len(paths) > 3
    assert max(path.stat().st_size for path in paths) < 600 + 1000  # the header comes on top
    read = read_shards(tmp_path)
    assert set(read) == set(weights())
    assert torch.equal(read["embedding"], weights()["embedding"])
    assert read["embedding"].dtype == torch.bfloat16


def test_a_missing_shard_is_noticed(tmp_path) -> None:
    paths = write_shards(weights(), tmp_path, shard_bytes=600)
    paths[1].unlink()
    with pytest.raises(BadBase, match="a shard is missing"):
        read_shards(tmp_path)


def test_a_damaged_shard_is_named(tmp_path) -> None:
    paths = write_shards(weights(), tmp_path, shard_bytes=600)
    paths[0].write_bytes(b"nonsense")
    with pytest.raises(BadBase, match=paths[0].name):
        read_shards(tmp_path)
