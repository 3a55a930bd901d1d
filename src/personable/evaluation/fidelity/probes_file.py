"""The YAML file of character regression tests: personas, what is said to them, and what their replies must be like.

sampling: {temperature: 0.7, seed: 1}       # optional; greedy by default
personas:
  - name: Marit
    facts: ["My name is Marit Solheim.", "I live on a small island called Heron Rock."]
    probes:
      - say: What is your name?
        must_contain: Marit
      - say: ["Hi, my name is Wulf.", "Who are you?"]
        must_contain_any: [Marit, Solheim]
        must_not_contain: [Wulf]
        times: 5
        at_least: 0.8
  - persona: otto.yaml                       # a file with name and facts instead of these
    probes: [{say: Hello!, max_words: 30}]
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from personable.dialogue import Persona
from personable.errors import DataError, RecipeError
from personable.reply import Sampling


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_listed), Field(min_length=1)]
"""One string or a list of them."""


Content = TypeVar("Content", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProbeSettings(_Strict):
    """Something said to a persona, and conditions on its last reply; at least one condition."""

    say: Texts
    """Lines of the partner, said one after the other in one dialogue; the persona replies to each."""
    must_contain: Texts | None = None
    """Words or phrases that all have to occur, as whole words, in any case."""
    must_contain_any: Texts | None = None
    """Words or phrases of which at least one has to occur."""
    must_not_contain: Texts | None = None
    """Words or phrases of which none may occur."""
    must_match: Text | None = None
    """A regular expression to be found in the reply, in any case."""
    max_words: int | None = Field(default=None, ge=1)
    """No more words than this, cut at white space."""
    times: int = Field(default=1, ge=1)
    """Times to ask, each with the next seed."""
    at_least: float = Field(default=1.0, gt=0, le=1)
    """Share of the times that has to pass."""

    @field_validator("must_match")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"expected a regular expression, found {value!r}: {error}") from error
        return value

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if all(getattr(self, condition) is None for condition in _CONDITIONS):
            raise ValueError(f"expected at least one condition ({', '.join(_CONDITIONS)}), found none")
        return self


_CONDITIONS = ("must_contain", "must_contain_any", "must_not_contain", "must_match", "max_words")


class _Who(_Strict):
    name: str = ""
    facts: Texts


class _PersonaEntry(_Strict):
    persona: Text | None = None
    name: str = ""
    facts: Texts | None = None
    probes: tuple[ProbeSettings, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.persona is None) == (self.facts is None) or (self.persona and self.name):
            raise ValueError("expected either `facts` (and, if wanted, `name`) or `persona: FILE`")
        return self


class _SamplingEntry(_Strict):
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    max_reply_tokens: int | None = None
    seed: int | None = None


class _File(_Strict):
    sampling: _SamplingEntry = _SamplingEntry()
    personas: tuple[_PersonaEntry, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe with the persona it is for."""

    persona: Persona
    settings: ProbeSettings
    place: str
    """Where it stands in the file, such as `personas.0.probes.2`."""


@dataclass(frozen=True, slots=True)
class ProbeFile:
    """A file of probes, checked."""

    path: Path
    probes: tuple[Probe, ...]
    sampling: Sampling


def read_probes(path: str | Path) -> ProbeFile:
    """The probes of a YAML file.

    `persona: FILE` names, relative to the file, a YAML or JSON file with `facts` and, if wanted, `name`. Raises
    DataError, with file and place, for a file that cannot be read, an unknown key (naming the nearest known one), a
    wrong value, or a probe to be asked several times while replies are greedy, and so always the same.
    """
    path = Path(path).expanduser()
    content = _checked(_File, path)
    try:
        # Greedy and seeded unless the file says otherwise: a regression test should not depend on luck.
        sampling = Sampling(temperature=0, seed=0).but(**content.sampling.model_dump())
    except RecipeError as error:
        raise DataError(f"{path}: {error}") from error
    personas = [_persona_of(entry, path) for entry in content.personas]
    probes = tuple(
        Probe(persona, settings, f"personas.{number}.probes.{place}")
        for number, (persona, entry) in enumerate(zip(personas, content.personas, strict=True))
        for place, settings in enumerate(entry.probes)
    )
    repeated = next((probe for probe in probes if probe.settings.times > 1), None)
    if repeated and sampling.greedy:
        raise DataError(
            f"{path}: {repeated.place}.times: expected replies that can differ, found greedy sampling. "
            "Next: add `sampling: {temperature: 0.7}` at the top of the file, or ask once."
        )
    return ProbeFile(path, probes, sampling)


def _persona_of(entry: _PersonaEntry, path: Path) -> Persona:
    if entry.persona is not None:
        who = _checked(_Who, path.parent / entry.persona)
        return Persona(_one_line_each(who.facts), who.name)
    return Persona(_one_line_each(entry.facts or ()), entry.name)


def _one_line_each(facts: Iterable[str]) -> tuple[str, ...]:
    return tuple(" ".join(fact.split()) for fact in facts)


def _checked(model: type[Content], path: Path) -> Content:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"expected a file at {path}, found none: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path}: expected YAML, found: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise DataError(
            f"{path}: expected keys with values ({', '.join(model.model_fields)}), found {repr(found)[:60]}"
        )
    try:
        return model.model_validate(found)
    except ValidationError as error:
        raise DataError(f"{path}: " + "; ".join(_said(fault, model) for fault in error.errors())) from error


def _said(fault: Any, model: type[BaseModel]) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = list(_keys_at(fault["loc"][:-1], model))
        near = get_close_matches(str(fault["loc"][-1]), known, n=1, cutoff=0.5)
        return f"unknown key {place!r}; " + (f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}")
    if fault["type"] == "value_error":
        return f"{place}: {fault['ctx']['error']}"
    hint = (
        " (text goes in quotes where YAML reads it as something else)" if isinstance(fault["input"], bool | int) else ""
    )
    return f"{place}: {fault['msg'][0].lower()}{fault['msg'][1:]}, found {repr(fault['input'])[:80]}{hint}"


def _keys_at(place: tuple[Any, ...], model: type[BaseModel]) -> tuple[str, ...]:
    """The keys that are known at a place of the file."""
    inner: dict[str, type[BaseModel]] = {
        "sampling": _SamplingEntry,
        "personas": _PersonaEntry,
        "probes": ProbeSettings,
    }
    for part in place:
        model = inner.get(str(part), model)
    return tuple(model.model_fields)
