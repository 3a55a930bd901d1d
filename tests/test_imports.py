"""Imports go one way: each part of the package uses itself and what stands before it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import personable

PACKAGE = Path(personable.__file__).parent
ORDER = (
    *("dialogue", "errors", "files", "starter", "corpus", "encoding", "shards", "smollm2", "pre_tokenizers", "base"),
    *("provenance", "training", "reply", "evaluation", "publishing", "chat", "demo", "cli"),
)
WITHOUT_TORCH = ("dialogue", "errors", "starter", "corpus")
STRANGERS = (("training", "reply"), ("reply", "training"))


def part_of(file: Path) -> str:
    """The part a file belongs to: `corpus` for corpus/rows.py, `cli` for cli.py, "" for the package's own __init__."""
    first = file.relative_to(PACKAGE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imported(file: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, as dotted names."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            assert node.module is not None
            if node.module == "personable":
                yield from (f"personable.{alias.name}" for alias in node.names)
            else:
                yield node.module


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_up_the_order_only(file: Path) -> None:
    part = part_of(file)
    used = {name.split(".")[1] for name in imported(file) if name.startswith("personable.")}
    if part == "":
        assert used <= {"dialogue", "errors"}
        return
    assert part in ORDER, f"{part} has no place in the order yet"
    allowed = set(ORDER[: ORDER.index(part) + 1])
    assert used <= allowed, f"{part} may not import {sorted(used - allowed)}"
    assert not any((part, other) in STRANGERS for other in used)


@pytest.mark.parametrize("part", WITHOUT_TORCH)
def test_data_never_waits_for_torch(part: str) -> None:
    files = [file for file in FILES if part_of(file) == part]
    assert files
    heavy = {name for file in files for name in imported(file) if name.split(".")[0] in {"torch", "transformers"}}
    assert heavy == set()
