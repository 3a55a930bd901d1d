"""What it takes no model to reach, as evaluation.json has it among its details."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CHANCE = "chance"
TOKEN_FREQUENCY = "token frequency"
PERSONA_OVERLAP = "persona word overlap"
_RANKERS = (CHANCE, PERSONA_OVERLAP)


def blind_scores(record: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """A metric's key -> values by name, for perplexity and ranking; only what is there and is a number."""
    details, found = _mapping(record.get("details")), dict[str, dict[str, Any]]()
    found["perplexity"] = {
        TOKEN_FREQUENCY: _mapping(details.get("perplexity")).get("unigram_perplexity"),
        CHANCE: _mapping(record.get("engine")).get("vocabulary"),
    }
    rankers = _mapping(_mapping(details.get("ranking")).get("baselines"))
    for name in _RANKERS:
        for key, value in _mapping(rankers.get(name)).items():
            found.setdefault(key, {})[name] = value
    return {
        key: {name: float(value) for name, value in values.items() if _is_number(value)}
        for key, values in found.items()
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
