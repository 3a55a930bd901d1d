"""Whether a model card is one that the Hub takes and that leaves nothing blank."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from personable.publishing.hub.contents import typed_run
from personable.publishing.hub.problem import Problem

_WANTED = {"license": "such as apache-2.0", "library_name": "transformers", "pipeline_tag": "text-generation"}
_BLANK = re.compile(r"\[?more information needed\]?", re.IGNORECASE)


def card_problems(card: Path) -> Iterator[Problem]:
    """Why the Hub, or a reader of it, would not be content with this model card."""
    from huggingface_hub import ModelCard

    run = typed_run(card.parent)
    write = f"personable card {run} writes it"
    if not card.is_file():
        yield Problem(card.name, "a model card", "no such file", write)
        return
    try:
        content = card.read_text(encoding="utf-8")
        data = ModelCard(content).data.to_dict()
    except (ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        yield Problem(card.name, "metadata in YAML between two lines of ---", said, write)
        return
    for key, example in _WANTED.items():
        if not data.get(key):
            stated = f"personable card {run} --licence LICENCE" if key == "license" else write
            yield Problem(card.name, f"{key} in the metadata, {example}", "none", f"add it, or: {stated}")
    if data.get("license") == "other" and not data.get("license_name"):
        yield Problem(
            card.name,
            "license_name in the metadata, which says what license: other is",
            "none",
            f"add it, or: personable card {run} --licence LICENCE",
        )
    for number, line in enumerate(content.splitlines(), start=1):
        if blank := _BLANK.search(line):
            yield Problem(f"{card.name}:{number}", "an answer", repr(blank[0]), "write it, or take the section out")
