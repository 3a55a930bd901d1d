"""What the README says works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from personable.cli import app
from personable.training import read_recipe

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(tmp_path, monkeypatch, capsys) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    out = capsys.readouterr().out
    before, after = (float(number) for number in re.search(r"([\d.]+) -> ([\d.]+)", out).groups())  # type: ignore[union-attr]
    assert after < before
    assert (tmp_path / "runs" / "mine" / "model.safetensors").is_file()


def test_every_file_it_names_is_there() -> None:
    named = set(re.findall(r"(?:recipes|benchmarks|tools|docs|src)/[\w./-]+\w", README))
    assert len(named) > 10
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("line", sorted(set(re.findall(r"^personable .*", README, flags=re.MULTILINE))))
def test_every_command_is_understood(line: str, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # long option names would be cut short
    words = line.split("#")[0].split()[1:]
    verbs = words[: 2 if words[0] == "data" else 1]
    app([*verbs, "--help"], standalone_mode=False)
    usage = capsys.readouterr().out
    for option in (word for word in words if word.startswith("--")):
        assert option in usage
    for recipe in (word for word in words if word.startswith("recipes/")):
        read_recipe(ROOT / recipe)
