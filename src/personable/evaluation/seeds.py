"""A seed of its own for every reply of an evaluation."""

from __future__ import annotations

import hashlib
import secrets

from personable.dialogue import Dialogue

_BITS = 31  # what every server that takes a seed can hold


def seed_of(history: Dialogue, seed: int | None) -> int:
    """The seed for the reply to this history: from what was said, not from its place, so that a reply stays the same
    whatever else is evaluated with it. Equal histories get equal seeds. None draws a new one."""
    if seed is None:
        return secrets.randbits(_BITS)
    said = (seed, history.persona.facts, tuple((turn.speaker.value, turn.text) for turn in history.turns))
    digest = hashlib.blake2b(repr(said).encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - _BITS)
