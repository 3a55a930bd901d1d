"""Weights as small safetensors files: tensors larger than a shard are cut by rows, and joined again when read.

transformers shards between tensors only; the embedding of a GPT-2 vocabulary alone is over what a shard may hold here.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from personable.errors import BadBase

PATTERN = "shard-*.safetensors"
_PIECE = re.compile(r"(?P<name>.+)\.rows-from-(?P<row>\d+)")


def write_shards(weights: dict[str, Tensor], folder: Path, *, shard_bytes: int) -> list[Path]:
    """Files of at most `shard_bytes` of tensor data each (a header of a few KB comes on top), in order."""
    shards: list[dict[str, Tensor]] = [{}]
    free = shard_bytes
    for name, tensor in weights.items():
        rows_per_piece = max(shard_bytes // (tensor[0].nbytes if tensor.dim() else tensor.nbytes), 1)
        pieces = (
            {name: tensor}
            if tensor.nbytes <= shard_bytes
            else {
                f"{name}.rows-from-{at}": tensor[at : at + rows_per_piece]
                for at in range(0, len(tensor), rows_per_piece)
            }
        )
        for piece_name, piece in pieces.items():
            if piece.nbytes > free:
                shards.append({})
                free = shard_bytes
            shards[-1][piece_name] = piece.contiguous().clone()
            free -= piece.nbytes
    paths = [folder / f"shard-{number:02d}.safetensors" for number in range(1, len(shards) + 1)]
    for path, shard in zip(paths, shards, strict=True):
        save_file(shard, path, metadata={"format": "pt"})
    return paths


def read_shards(folder: Path) -> dict[str, Tensor]:
    """The weights that `write_shards` wrote. Raises BadBase when a file or a piece is missing or damaged."""
    pieces: dict[str, Tensor] = {}
    for path in sorted(folder.glob(PATTERN)):
        try:
            pieces |= load_file(path)
        except (SafetensorError, OSError) as error:
            raise BadBase(f"expected a safetensors file, found a damaged one: {path} ({error}).") from error
    weights: dict[str, Tensor] = {}
    cut: dict[str, list[tuple[int, Tensor]]] = {}
    for name, tensor in pieces.items():
        if match := _PIECE.fullmatch(name):
            cut.setdefault(match["name"], []).append((int(match["row"]), tensor))
        else:
            weights[name] = tensor
    for name, parts in cut.items():
        parts.sort(key=lambda part: part[0])
        expected = 0
        for row, tensor in parts:
            if row != expected:
                raise BadBase(f"expected rows of {name} from {expected} in {folder}, found {row}: a shard is missing.")
            expected += len(tensor)
        weights[name] = torch.cat([tensor for _, tensor in parts])
    return weights
