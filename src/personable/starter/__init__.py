"""The bundled base model (a small DialoGPT) and sample dialogues, as package data. Paths only."""

from pathlib import Path

_HERE = Path(__file__).parent

MODEL = _HERE / "model"
"""A run folder: the starter's weights, tokenizer and model card."""
TRAIN = _HERE / "dialogues" / "train.jsonl"
"""Sample dialogues to learn from, canonical JSONL."""
VALIDATION = _HERE / "dialogues" / "validation.jsonl"
"""Sample dialogues with the same personas, held out."""
