"""What a checkpoint consists of, written down last of all: a folder whose manifest verifies is whole."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers.trainer import TRAINER_STATE_NAME

from personable.files import sha256_of

MANIFEST = "manifest.json"
"""In a checkpoint: name -> bytes and sha256 of every other file, also in folders, sorted by name."""

STAGING = ".saving-"
"""Begins the name of the folder in which a checkpoint is written, beside the finished ones."""

# Pickles that loaders fall back to where weights in safetensors are missing. No checkpoint of ours holds one.
_NEVER_OURS = re.compile(
    r"(pytorch_model|adapter_model)(-\d+-of-\d+)?\.bin|pytorch_model\.bin\.index\.json|training_args\.bin"
    r"|.*\.(pkl|pickle)"
)
# Written by torch.distributed.checkpoint for FSDP, and read back by it with a plain pickle.load.
_INDEX = ".metadata"


def seal(folder: Path) -> None:
    """Brings every file of a folder to the disk, then writes its manifest. Raises OSError."""
    files = _files(folder)
    for file in files:
        sync(file)
    entries = {file.relative_to(folder).as_posix(): _measured(file) for file in files}
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    sync(manifest)
    for inner in (*(path for path in folder.rglob("*") if path.is_dir()), folder):
        sync(inner)


def damage(folder: Path) -> str | None:
    """What speaks against using a checkpoint; None where its manifest names exactly the files that are there, as they
    are, and the state of training is among them. Reads every byte, runs none.
    """
    try:
        entries = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        expected = {name: (entry["bytes"], entry["sha256"]) for name, entry in entries.items()}
    except FileNotFoundError:
        return f"incomplete: no {MANIFEST}"
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return f"damaged: {MANIFEST}"
    present = {file.relative_to(folder).as_posix() for file in _files(folder)}
    for name, (size, checksum) in expected.items():
        file = folder / name
        if name not in present:
            return f"damaged: {name} is missing"
        if file.stat().st_size != size:
            return f"damaged: {name} has {file.stat().st_size} bytes in place of {size}"
        if sha256_of(file) != checksum:
            return f"damaged: {name}"
    if problem := _unsafe(folder):
        return problem
    if unnamed := sorted(present - expected.keys()):
        return f"damaged: {unnamed[0]} is not in {MANIFEST}"
    if TRAINER_STATE_NAME not in expected:
        return f"damaged: {TRAINER_STATE_NAME} is missing"
    return None if _is_state(folder / TRAINER_STATE_NAME) else f"damaged: {TRAINER_STATE_NAME} cannot be read"


def remove_leftovers(checkpoints: Path) -> None:
    """Deletes what a killed process had begun to write."""
    for leftover in checkpoints.glob(f"{STAGING}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def sync(path: Path) -> None:
    """Returns when a file, or a folder's list of names, is on the disk. Raises OSError."""
    if path.is_dir() and os.name != "posix":
        return  # Windows has no such call
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)


def _measured(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "sha256": sha256_of(file)}


def _is_state(file: Path) -> bool:
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return (
        isinstance(state, dict)
        and isinstance(state.get("global_step"), int)
        and isinstance(state.get("best_global_step"), int | None)
    )


def _unsafe(folder: Path) -> str | None:
    for file in _files(folder):
        if _NEVER_OURS.fullmatch(file.name):
            return f"refused: {file.relative_to(folder)} is a pickle, which could run anything"
        if file.name == _INDEX and not _names_tensors_only(file):
            return f"refused: {file.relative_to(folder)} names more than tensors"
    return None


class _IndexReader(pickle.Unpickler):
    """Knows the types that an index of sharded tensors consists of, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch.distributed.checkpoint.metadata" and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module:
                return found
        if (module, name) in (
            ("torch", "Size"),
            ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
            ("pathlib", "PosixPath"),  # where the shards lay when they were written
            ("pathlib._local", "PosixPath"),
            ("collections", "OrderedDict"),
            ("torch.serialization", "_get_layout"),
        ):
            return super().find_class(module, name)
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        raise pickle.UnpicklingError(f"{module}.{name}")


def _names_tensors_only(index: Path) -> bool:
    try:
        with index.open("rb") as stream:
            _IndexReader(stream).load()
    except Exception:  # a file made to harm may raise anything
        return False
    return True
