"""evaluation.json: everything that was measured, with what a reader needs to trust or repeat it.

    {
      "format": 1,
      "created": "2026-11-22T12:00:00+00:00",
      "engine": {"kind": "local", "name": "runs/rita", "parameters": 17867008, "context_tokens": 512, ...},
      "data": {"name": "valid_self_original.txt.xz", "split": "", "format": "convai2", "fingerprint": "9d1d...",
               "detokenised": false, "dialogues": 500, "replies": 3907, "limit": null},
      "decoding": {"method": "greedy", "temperature": 0, ..., "max_reply_tokens": 80},
      "seed": 0,
      "resamples": 1000, "confidence": 0.95,
      "metrics": {"f1": {"name": "ParlAI F1", "definition": "...", "tokenisation": "...", "lowest": 0, "highest": 100,
                         "unit": "%", "better": "higher", "source": "..."}, ...},
      "scores": {"f1": {"value": 16.1, "interval": [15.7, 16.4], "interval_method": "bootstrap over dialogues",
                        "count": 3907, "counted": "replies"}, ...},
      "baselines": {"constant string": {"description": "...", "scores": {"f1": {...}, ...}}, ...},
      "not_measured": {"contradiction_rate": "no NLI classifier was given (--nli)", ...},
      "details": {"facts": {...}, "nli": {...}, ...},
      "samples": [{"kind": "worst by ParlAI F1", "persona": ["..."], "turns": [{"speaker": "partner", "text": "..."}],
                   "reply": "...", "reference": "...", "note": "F1 0.0"}, ...],
      "seconds": {"perplexity": 12.3, ..., "total": 60.1},
      "peak_memory_bytes": 123, "versions": {...}, "hardware": {...}
    }

`metrics` defines every key of `scores`, `baselines` and `not_measured`.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from personable.dialogue import Persona, Turn
from personable.errors import DataError
from personable.evaluation.metric import Metric, Score
from personable.files import write_whole

EVALUATION = "evaluation.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """A reply to look at."""

    kind: str
    """Why it was picked, such as `worst by ParlAI F1` or `drawn at random`."""
    persona: Persona
    turns: tuple[Turn, ...]
    """The history."""
    reply: str
    reference: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A trivial system on the same data."""

    description: str
    scores: dict[str, Score] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """One evaluation; `metrics` defines every key used elsewhere."""

    created: str
    engine: dict[str, object]
    data: dict[str, object]
    decoding: dict[str, object]
    seed: int
    resamples: int
    confidence: float
    metrics: dict[str, Metric]
    scores: dict[str, Score]
    baselines: dict[str, Baseline]
    not_measured: dict[str, str]
    details: dict[str, object]
    samples: tuple[Sample, ...]
    seconds: dict[str, float]
    peak_memory_bytes: int | None
    versions: dict[str, str]
    hardware: dict[str, object]

    def record(self) -> dict[str, Any]:
        """What evaluation.json holds; numbers that are not finite become null."""
        found = {"format": FORMAT, **asdict(self)}
        for metric in found["metrics"].values():
            metric.pop("key")
        found["samples"] = [_sample_record(sample) for sample in self.samples]
        cleaned: dict[str, Any] = finite(found)
        return cleaned

    def write(self, folder: Path) -> Path:
        """Writes evaluation.json, whole or not at all, and returns where."""
        return write_whole(folder / EVALUATION, json.dumps(self.record(), ensure_ascii=False, indent=2) + "\n")


def read_record(file: Path) -> dict[str, Any]:
    """The content of an evaluation.json. Raises DataError for a file that is none."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"expected {file}, found no such file. Next: personable evaluate writes it.") from None
    except ValueError as error:
        raise DataError(f"{file}: expected JSON, found {error}. Next: run personable evaluate again.") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        found = record.get("format") if isinstance(record, dict) else type(record).__name__
        raise DataError(
            f"{file}: expected an evaluation of format {FORMAT}, found {found!r}. Next: run personable evaluate again."
        )
    return record


def _sample_record(sample: Sample) -> dict[str, Any]:
    return {
        "kind": sample.kind,
        "persona": list(sample.persona.facts),
        "turns": [{"speaker": turn.speaker.value, "text": turn.text} for turn in sample.turns],
        "reply": sample.reply,
        "reference": sample.reference,
        "note": sample.note,
    }


def finite(value: Any) -> Any:
    """A value for JSON, with null for numbers that are not finite."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
