"""A run folder to publish: a tiny model that was really trained, and an evaluation.json of a real Report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from personable.dialogue import Persona, Speaker, Turn
from personable.evaluation.metric import Better, Metric, Score
from personable.evaluation.report import Baseline, Report, Sample
from personable.training import train
from tests.tiny import tiny_base
from tests.training.small import small_recipe, write_data

METRICS = {
    metric.key: metric
    for metric in (
        Metric("perplexity", "reply perplexity", "exp of the mean loss per token of reply and turn end.", Better.LOWER,
               "Jelinek et al. 1977", tokenisation="the model's own tokens", lowest=1),
        Metric("f1", "ParlAI F1", "Overlap of words with the data's reply.", Better.HIGHER, "ParlAI", highest=100,
               tokenisation="lower-cased words", unit="%"),
        Metric("question_rate", "replies with a question", "Share of replies with a question mark.", Better.NEITHER,
               "Personable", highest=100, unit="%"),
        Metric("contradiction_rate", "contradictions", "Replies that contradict a fact.", Better.LOWER, "Personable",
               highest=100, unit="%"),
    )
}  # fmt: skip
BEES = Persona(("i keep bees.", "my number is 20."))


def sample_run(folder: Path, *, evaluated: bool = True, also: dict[str, Any] | None = None) -> Path:
    """A finished run in `folder`/run, trained in about a second. also: more settings of its recipe."""
    base, data = tiny_base(folder / "base"), write_data(folder / "data")
    run = folder / "run"
    train(small_recipe(base, data, run, also=also))
    if evaluated:
        sample_report().write(run)
    return run


def trained_once(factory: pytest.TempPathFactory) -> Path:
    """A sample run for everybody who only looks at it."""
    return _trained_in(factory.getbasetemp())


@cache
def _trained_in(folder: Path) -> Path:
    return sample_run(folder / "sample-run")


def fresh_run(factory: pytest.TempPathFactory, folder: Path) -> Path:
    """A sample run to change: a copy, named rita."""
    return Path(shutil.copytree(trained_once(factory), folder / "rita", ignore=shutil.ignore_patterns("tensorboard")))


def sample_report(**changes: Any) -> Report:
    """An evaluation in which a constant string has the better F1, and whose numbers are told apart easily."""
    told: dict[str, Any] = {
        "created": "2026-11-22T12:00:00+00:00",
        "engine": {"kind": "local", "name": "runs/run", "parameters": 42_624, "context_tokens": 256},
        "data": {
            "name": "valid_self_original.txt.xz", "format": "convai2", "fingerprint": "9d1ddb71", "detokenised": False,
            "dialogues": 53, "replies": 417, "limit": None,
        },
        "decoding": {"method": "greedy", "temperature": 0, "max_reply_tokens": 80},
        "seed": 7,
        "resamples": 1000,
        "confidence": 0.95,
        "metrics": METRICS,
        "scores": {
            "perplexity": Score(318.4567, (301.2345, 333.9876), "bootstrap over dialogues", 5123, "tokens"),
            "f1": Score(16.0912, (15.7123, 16.4456), "bootstrap over dialogues", 417, "replies"),
            "question_rate": Score(31.1751, None, "", 417, "replies"),
        },
        "baselines": {
            "constant string": Baseline("The same words each time.", {"f1": Score(21.2345, None, "", 417, "replies")}),
            "human reply": Baseline("The data's own.", {"question_rate": Score(28.8123, None, "", 417, "replies")}),
        },
        "not_measured": {"contradiction_rate": "no NLI classifier was given (--nli)"},
        "details": {},
        "samples": (
            Sample("drawn at random", BEES, (Turn(Speaker.PARTNER, "hello there"),), "i keep bees."),
            Sample("worst by ParlAI F1", BEES, (Turn(Speaker.PARTNER, "what do you do?"),), "blue", "i keep bees.",
                   "F1 0.0"),
        ),
        "seconds": {"total": 60.1},
        "peak_memory_bytes": 812_345_678,
        "versions": {"personable": "0.1.0"},
        "hardware": {"processor": "one", "cores": 1},
    }  # fmt: skip
    return Report(**{**told, **changes})


def change_record(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Rewrites training.json."""
    file = run / "training.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    change(record)
    file.write_text(json.dumps(record), encoding="utf-8")


def headings(card: str) -> list[str]:
    """The titles of a card's sections, as a Markdown parser finds them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(ModelCard(card).text)
    return [
        tokens[place + 1].content
        for place, token in enumerate(tokens)
        if token.type == "heading_open" and token.tag == "h2"
    ]


def section(card: str, title: str) -> str:
    """What stands under a title."""
    return card.split(f"\n## {title}\n")[1].split("\n## ")[0]


SECTIONS = [
    "Model description",
    "Architecture",
    "Base model and its pre-training data",
    "Fine-tuning data",
    "Library",
    "Intended use and out-of-scope use",
    "Choice of LLM",
    "Choice of fine-tuning method",
    "Justifications",
    "Training curve",
    "Evaluation",
    "Limitations and failures",
    "How to use",
    "Weights",
    "Licence",
    "Citation",
]
"""Those of a model card, in order; Weights only where a Hub id is known."""
