"""What nobody means to publish: keys, personal data, folders of one's own machine. Found in the text of files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from personable.corpus.doctor.private import Private, hint, private_spans

_KEY = re.compile(
    r"\bhf_[A-Za-z0-9]{20,}"
    r"|\bsk-[A-Za-z0-9_-]{20,}"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{30,}"
    r"|\bglpat-[A-Za-z0-9_-]{20,}"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|\bAIza[0-9A-Za-z_-]{35}"
    r"|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"
)
# Addresses that stand for nobody (RFC 2606), and pictures for dense screens such as logo@2x.png.
_NOBODY = re.compile(
    r"@(?:[\w-]+\.)*(?:example\.(?:com|net|org)|test|example|invalid|png|jpe?g|svg|webp)$", re.IGNORECASE
)
# Not after a word or a slash: there it is part of a web address.
_LOCAL_PATH = re.compile(
    r"(?<![\w./:~-])/(?:home|Users|root|mnt|media|tmp|var|opt|srv|work|workspace|scratch|data|content|private|Volumes"
    r"|kaggle|nfs|gpfs|lustre)/[^\s\"'`<>()\[\]{},;]+"
    r"|\b[A-Za-z]:[\\/]{1,2}(?:Users|Documents and Settings|home)[\\/][^\s\"'`<>()\[\]{},;]+"
    r"|\bfile://[^\s\"'`<>()\[\]{},;]+"
)
_SHOWN_OF_A_KEY = 6


@dataclass(frozen=True, slots=True)
class Disclosure:
    """Something in a file that should not leave the machine."""

    kind: str
    """key, personal data or local path."""
    where: str
    """The line of a text, or the place of a value in JSON and YAML such as `training.json: recipe.run`."""
    shown: str
    """What was found; of keys and personal data only a little of it."""


def disclosures(name: str, content: bytes) -> Iterator[Disclosure]:
    """Everything found in a file, in order.

    name: tells JSON, JSON lines and YAML from other text. Personal data is looked for in what programs wrote, where
    it comes from dialogues; in a model card or a licence it is how its author wants to be reached.
    Raises ValueError for damaged JSON or YAML.
    """
    suffix = Path(name).suffix
    by_an_author = suffix == ".md" or name.startswith("LICENSE")
    for where, text in _texts(name, content):
        for match in _KEY.finditer(text):
            yield Disclosure("key", where, f"{match[0][:_SHOWN_OF_A_KEY]}...")
        for match in _LOCAL_PATH.finditer(text):
            yield Disclosure("local path", where, match[0])
        if not by_an_author:
            yield from _personal(where, text, only_addresses=suffix == ".html")


def _personal(where: str, text: str, *, only_addresses: bool) -> Iterator[Disclosure]:
    # A page has drawings in it, whose coordinates look like phone numbers.
    for span in private_spans(text):
        wanted = span.sort is Private.EMAIL or not only_addresses
        if wanted and not _NOBODY.search(text[span.start : span.end]):
            yield Disclosure("personal data", where, hint(text, span))


def _texts(name: str, content: bytes) -> Iterator[tuple[str, str]]:
    suffix = Path(name).suffix
    text = content.decode("utf-8")
    if suffix == ".json":
        yield from _strings(json.loads(text), f"{name}:")
    elif suffix == ".jsonl":
        for number, line in enumerate(text.splitlines(), start=1):
            yield from _strings(json.loads(line), f"{name}:{number}:")
    elif suffix in (".yaml", ".yml"):
        try:
            yield from _strings(yaml.safe_load(text), f"{name}:")
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error
    else:
        for number, line in enumerate(text.splitlines(), start=1):
            yield f"{name}:{number}", line


def _strings(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, each in value.items():
            # A key may hold as much as a value.
            yield where, str(key)
            yield from _strings(each, f"{where}.{key}" if where[-1] != ":" else f"{where} {key}")
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from _strings(each, f"{where}[{place}]" if where[-1] != ":" else f"{where} [{place}]")
    elif isinstance(value, str):
        yield where, value
