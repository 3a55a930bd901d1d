"""Fine-tune DialoGPT on persona dialogues, measure it, talk with it."""

from personable.dialogue import Dialogue, Persona, Speaker, Turn

__all__ = ["Dialogue", "Persona", "Speaker", "Turn"]
