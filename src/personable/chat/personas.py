"""Personas from files that people write by hand, and those that come with Personable."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from personable import starter
from personable.chat.paths import typed_path
from personable.corpus import iter_dialogues
from personable.dialogue import Persona
from personable.errors import DataError

_EXPECTED = "a persona: {name: ..., facts: [one sentence each, ...]} in YAML or JSON, or text with a fact per line"


def read_persona(path: Path) -> Persona:
    """The persona of a file; how it is written down follows from its ending.

    .yaml .yml .json    a mapping with `facts` and, if wanted, `name`; or a list of facts
    .jsonl              dialogues: the persona of the first one
    anything else       text, a fact per line; blank lines and lines that begin with # are left out

    Raises DataError for a file that is none of these.
    """
    if path.suffix.lower() == ".jsonl":
        return _some_facts(_first_persona(path), path)
    text = _text_of(path)
    if path.suffix.lower() == ".json":
        return _some_facts(_persona_of(_parsed_json(text, path), path), path)
    if path.suffix.lower() in (".yaml", ".yml"):
        return _some_facts(_persona_of(_parsed_yaml(text, path), path), path)
    lines = (line.strip() for line in text.splitlines())
    return _some_facts(Persona(tuple(line for line in lines if line and not line.startswith("#"))), path)


@cache
def bundled_personas() -> tuple[Persona, ...]:
    """The personas of the sample dialogues, each once, in order."""
    return tuple(dict.fromkeys(dialogue.persona for dialogue in iter_dialogues(starter.TRAIN)))


def find_persona(name_or_path: str, among: Sequence[Persona]) -> Persona:
    """The persona of that name, else of that file, else the only one whose name begins so.

    Raises DataError for none of these, with the names there are unless it cannot be a path at all.
    """
    wanted = name_or_path.casefold()
    for persona in among:
        if persona.name and persona.name.casefold() == wanted:
            return persona
    path = typed_path(name_or_path)
    if path.exists():
        return read_persona(path)
    begin_so = [persona for persona in among if persona.name.casefold().startswith(wanted)]
    if len(begin_so) == 1:
        return begin_so[0]
    names = ", ".join(names_of(among)) or "none"
    raise DataError(f"expected a persona file or one of the names that come along ({names}), found {name_or_path!r}")


def names_of(personas: Sequence[Persona]) -> list[str]:
    """The names that can be asked for, in order."""
    return [persona.name for persona in personas if persona.name]


def _first_persona(path: Path) -> Persona:
    if not path.is_file():
        raise DataError(f"{path}: expected {_EXPECTED}, found no such file")
    for dialogue in iter_dialogues(path):
        return dialogue.persona
    raise DataError(f"{path}: expected a dialogue with a persona, found nothing")


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{path}: expected {_EXPECTED}, found no such file") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected {_EXPECTED}, found bytes that are no UTF-8 text") from error
    except OSError as error:
        raise DataError(f"{path}: expected {_EXPECTED}, found: {error.strerror or error}") from error


def _parsed_json(text: str, path: Path) -> object:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path}: expected {_EXPECTED}, found broken JSON: {error}") from error


def _parsed_yaml(text: str, path: Path) -> object:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise DataError(f"{path}: expected {_EXPECTED}, found broken YAML: {problem}") from error


def _persona_of(value: Any, path: Path) -> Persona:
    if isinstance(value, list):
        value = {"facts": value}
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected {_EXPECTED}, found {_shown(value)}")
    if isinstance(value.get("persona"), dict):
        value = value["persona"]  # a dialogue, of which only the persona is wanted
    unknown = [key for key in value if key not in ("name", "facts")]
    if unknown or "facts" not in value:
        raise DataError(f"{path}: expected {_EXPECTED}, found the keys {', '.join(map(str, value)) or 'of nothing'}")
    return Persona(_facts_of(value["facts"], path), _name_of(value.get("name"), path))


def _facts_of(value: object, path: Path) -> tuple[str, ...]:
    facts: Any = value.splitlines() if isinstance(value, str) else value
    if not isinstance(facts, list):
        raise DataError(f"{path}: expected facts to be a list of sentences, found {_shown(value)}")
    for number, fact in enumerate(facts, start=1):
        if not isinstance(fact, str):
            raise DataError(
                f"{path}: expected fact {number} to be a sentence, found {_shown(fact)}. "
                "Next: put it in quotes (YAML reads yes, 42 and 'a: b' as something else)"
            )
    return tuple(" ".join(fact.split()) for fact in facts if fact.strip())


def _name_of(value: object, path: Path) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"{path}: expected name to be text, found {_shown(value)}. Next: put it in quotes")
    return " ".join(value.split())


def _some_facts(persona: Persona, path: Path) -> Persona:
    if not persona.facts:
        raise DataError(f"{path}: expected {_EXPECTED}, found no fact")
    return persona


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
