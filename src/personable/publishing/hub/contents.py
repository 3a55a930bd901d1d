"""What of a run folder is published, and how the rest is named.

A list of what belongs to a run decides, not a list of what does not: nobody's notes, data or checkpoints get onto the
Hub because a pattern forgot them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import yaml

from personable.errors import BaseNotFound

CARD = "README.md"
RECORD = "training.json"
"""As `personable.training` names it, which takes seconds to import."""

_BELONGS = re.compile(
    r"config\.json|generation_config\.json|chat_template\.jinja"
    r"|model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json"
    r"|tokenizer\.json|tokenizer_config\.json|vocab\.(json|txt)|merges\.txt|special_tokens_map\.json"
    r"|added_tokens\.json|spiece\.model|tokenizer\.model"
    r"|README\.md|LICENSE[\w.-]*|training\.json|recipe\.yaml|metrics\.jsonl|loss\.png|evaluation\.(json|html)"
    r"|[\w.-]+\.gguf|([\w.-]+\.)?Modelfile"
)
# Our own records of a run; they name folders of the machine that wrote them.
_RECORDS = (RECORD, "recipe.yaml", "evaluation.json")
# What stands under these in a record was said by somebody, and is no path even if it looks like one.
_SAID = frozenset({"samples", "details", "persona", "facts", "turns", "text", "reply", "reference", "chat_template"})
_IN_DETAILS = "classifier"  # the folder or Hub id of the classifier that was asked


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """One file as the Hub gets it."""

    name: str
    source: Path | bytes
    """Where it lies, or what it holds where that differs from the file in the run."""

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    @property
    def shortened(self) -> bool:
        """Whether local folders were taken out."""
        return isinstance(self.source, bytes)

    def content(self) -> bytes:
        """All of it."""
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()


@dataclass(frozen=True, slots=True)
class Contents:
    """A run folder, sorted into what is published and what stays."""

    files: tuple[PublishedFile, ...]
    left_out: tuple[str, ...]
    """Names, with a slash after a folder's."""

    @property
    def size(self) -> int:
        """Of what is published, in bytes."""
        return sum(file.size for file in self.files)


def published_contents(run: Path) -> Contents:
    """What of the run is published, by name. Raises BaseNotFound where there is no folder."""
    check_folder(run)
    entries = sorted(run.iterdir(), key=lambda entry: entry.name)
    chosen = [entry for entry in entries if entry.is_file() and _BELONGS.fullmatch(entry.name)]
    rest = [entry for entry in entries if entry not in chosen]
    return Contents(
        tuple(PublishedFile(entry.name, _shortened(entry)) for entry in chosen),
        tuple(f"{entry.name}/" if entry.is_dir() else entry.name for entry in rest),
    )


def check_folder(run: Path) -> None:
    """Raises BaseNotFound where there is no folder; `starter` is a folder here, not the bundled model."""
    if run.is_dir():
        return
    bundled = " The model bundled with Personable, which other commands call so, has a card of its own."
    raise BaseNotFound(
        f"expected a run folder, found {'a file' if run.exists() else 'no such folder'} at {typed_run(run)}."
        f"{bundled if str(run) == 'starter' else ''} Next: name a folder that `personable train` wrote."
    )


def typed_run(run: Path) -> str:
    """How a run folder is typed in a command; `starter` alone would be the bundled model."""
    return "./starter" if str(run) == "starter" else str(run)


def is_finished(run: Path) -> bool:
    """Whether training came to its end in this folder."""
    from personable.base import UNFINISHED  # imports torch

    return not (run / UNFINISHED).exists() and (run / RECORD).is_file() and (run / "config.json").is_file()


def _shortened(file: Path) -> Path | bytes:
    """The file, or its content with last names in place of absolute paths where a record of ours holds any."""
    if file.name not in _RECORDS:
        return file
    write: Callable[[Any], str]
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".yaml":
            value, write = yaml.safe_load(text), _as_yaml
        else:
            value, write = json.loads(text), _as_json
    except (ValueError, yaml.YAMLError):
        return file  # damaged; the checks will say so
    short = _with_last_names(value)
    return file if short == value else write(short).encode()


def _as_yaml(value: Any) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _with_last_names(value: Any, *, said: bool = False) -> Any:
    if isinstance(value, dict):
        return {
            key: _with_last_names(each, said=(said or key in _SAID) and key != _IN_DETAILS)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_with_last_names(each, said=said) for each in value]
    if isinstance(value, str) and not said and "\n" not in value:
        # "/me" and "/s" are words; C:/me is not.
        for kind, least_parts in ((PurePosixPath, 3), (PureWindowsPath, 2)):
            path = kind(value)
            if path.is_absolute() and path.name and len(path.parts) >= least_parts:
                return path.name
    return value
