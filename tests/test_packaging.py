"""What `make` installs is pinned, whole and what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PINS = [line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ASKED_FOR = [
    *PROJECT["project"]["dependencies"],
    *(each for extra in PROJECT["project"]["optional-dependencies"].values() for each in extra),
    *PROJECT["dependency-groups"]["dev"],
    *PROJECT["build-system"]["requires"],
]


def test_every_line_pins_one_package_from_the_index() -> None:
    names = [canonicalize_name(name) for name, _ in PINS]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[0-9][0-9.]*[0-9]", version) for _, version in PINS)


def test_pins_are_in_order() -> None:
    names = [name.lower() for name, _ in PINS]
    assert names == sorted(names)


@pytest.mark.parametrize("asked", ASKED_FOR)
def test_every_dependency_is_pinned_to_a_version_it_allows(asked: str) -> None:
    requirement = Requirement(asked)
    pins = {canonicalize_name(name): version for name, version in PINS}
    assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])
