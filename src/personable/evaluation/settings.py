"""What to measure, on what, and how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from personable.dialogue import Dialogue
from personable.evaluation.engine import OnProgress
from personable.reply import Sampling

OnStage = Callable[[str], OnProgress]
"""Told the name of each part as it begins; answers whom to tell of its progress."""


class Part(StrEnum):
    """What can be measured, each by itself."""

    PERPLEXITY = "perplexity"
    RANKING = "ranking"
    GENERATION = "generation"
    FACTS = "facts"
    ROLES = "roles"
    NLI = "nli"
    ORDER = "order"


@dataclass(frozen=True, slots=True)
class Subject:
    """The dialogues that a system is measured on."""

    dialogues: tuple[Dialogue, ...]
    about: dict[str, object]
    """Where they are from, ready for JSON: name, format, split, fingerprint, limit, detokenised."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to measure."""

    parts: frozenset[Part] = frozenset(Part)
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0))
    """How replies are decoded; greedy where not said otherwise."""
    seed: int = 0
    """Decides the order of candidates, which questions are asked, and resampling."""
    training_replies: Sequence[str] | None = None
    """What the baseline "random training reply" draws from; None where the training data is not at hand."""
    fact_questions: int = 200
    """At most so many are asked."""
    role_probes: int = 200
    """At most so many are made."""
    order_dialogues: int = 50
    """At most so many are read in several orders."""
