"""A few dialogues and a recipe over them, for runs that take a second."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from personable.base import load_base
from personable.corpus import read_dialogues, write_dialogues
from personable.dialogue import Dialogue, Persona, Speaker
from personable.encoding import Budget
from personable.encoding.batches import Collator, pad_id_of
from personable.encoding.likelihood import reply_surprise
from personable.errors import Interrupted
from personable.training import Recipe, make_recipe, train
from personable.training.layout import Layout
from personable.training.prepared import prepared_of
from personable.training.record import MetricsFile

FACTS = ["i am ada.", "i keep bees.", "i have a dog.", "the sea is calm.", "i teach italian."]
SAID = [
    "hello there",
    "how are you today?",
    "i have a dog",
    "what do you do?",
    "fine, thanks",
    "i keep bees. good night!",
]


def spoken(number: int, turns: int) -> Dialogue:
    """A dialogue of so many turns; another number, other words, a persona of its own."""
    dialogue = Dialogue(Persona((*FACTS[number % 3 :], f"my number is {number}.")), conversation=f"talk {number}")
    for place in range(turns):
        text = " ".join([SAID[(number * 5 + place) % len(SAID)]] * (1 + number % 3))
        dialogue = dialogue.then(Speaker.PERSONA if place % 2 else Speaker.PARTNER, text)
    return dialogue


TRAIN = [spoken(number, turns) for number, turns in enumerate([2, 8, 2, 6, 2, 4, 2, 7])]
VALIDATION = [spoken(number, turns) for number, turns in ((20, 4), (21, 2), (22, 6))]


def write_data(folder: Path) -> Path:
    """train.jsonl and validation.jsonl in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_dialogues(TRAIN, folder / "train.jsonl")
    write_dialogues(VALIDATION, folder / "validation.jsonl")
    return folder


def settings(base: Path, data: Path, run: Path, **training: Any) -> dict[str, Any]:
    """What a recipe file would say: rows of two dialogues, four steps an epoch, evaluated and saved every two steps."""
    every_two = {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2}
    return {
        "base": str(base),
        "run": str(run),
        "data": {"train": str(data / "train.jsonl"), "validation": str(data / "validation.jsonl")},
        "training": {
            "max_steps": 4,
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": 1,
            "learning_rate": 1e-2,
            "logging_steps": 1,
            "bf16": False,  # on by default where the processor computes it; results here are compared bit by bit
            **every_two,
            **training,
        },
    }


def small_recipe(base: Path, data: Path, run: Path, *, also: dict[str, Any] | None = None, **training: Any) -> Recipe:
    """The recipe of `settings`, with other settings on top."""
    return make_recipe({**settings(base, data, run, **training), **(also or {})})


def rows(run: Path, key: str) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl that hold a key."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if key in row]


def record_of(run: Path) -> dict[str, Any]:
    """training.json."""
    record: dict[str, Any] = json.loads((run / "training.json").read_text(encoding="utf-8"))
    return record


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    """The weights of a run."""
    weights: dict[str, torch.Tensor] = load_base(run, device="cpu").model.state_dict()
    return weights


def same_weights(one: Path, other: Path) -> bool:
    """True where two runs hold bit-equal weights."""
    left, right = weights_of(one), weights_of(other)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def measured(run: Path, data: Path) -> float:
    """Validation reply perplexity of a run's weights, by the evaluation code, one dialogue at a time."""
    base = load_base(run, device="cpu")
    dialogues = read_dialogues(data / "validation.jsonl").dialogues
    prepared = prepared_of(dialogues, Layout(base.tokenizer, Budget(base.context_tokens, 64)))
    collate = Collator(pad_id_of(base.tokenizer))
    return reply_surprise(base.model, [collate([prepared.encoded(place)]) for place in range(len(prepared))]).perplexity


BY_EPOCH = {"eval_strategy": "epoch", "save_strategy": "epoch", "eval_steps": None, "save_steps": 500}


def uneven_recipe(base: Path, data: Path, run: Path, **training: Any) -> Recipe:
    """Two micro-batches a step, two steps an epoch, losses logged every third step: nothing ends where another does."""
    uneven = {"max_steps": 7, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 1, "logging_steps": 3}
    return small_recipe(base, data, run, also={"dropout": 0.1}, **{**uneven, **training})


def checkpoints(run: Path) -> list[str]:
    """Names of what is in the folder of checkpoints."""
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def signalled(
    settings: Recipe, event: str, *, step: int, signum: int = signal.SIGTERM, resume: bool = False
) -> Interrupted:
    """Trains and sends this process a signal when something happens for the first time after so many steps."""
    sent: list[int] = []

    def send(_self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == step and not sent:
            sent.append(signum)
            os.kill(os.getpid(), signum)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(MetricsFile, event, send)
        with pytest.raises(Interrupted) as caught:
            train(settings, resume=resume)
    return caught.value


def story(run: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without times."""
    return [{key: row[key] for key in row if "second" not in key} for row in rows(run, "step")]
