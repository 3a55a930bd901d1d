"""The metadata of a model card: what the Hub reads in the YAML at its top."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personable.base import HUB_ID
from personable.corpus.hub import is_hub_id
from personable.evaluation.page.score_rows import score_rows
from personable.publishing.card.lineage import base_lineage, data_lineage, hub_licence, last_name
from personable.publishing.card.text import code, plain, text

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

_HUB_METRICS = {"perplexity": "perplexity", "bleu4": "bleu"}
"""Our key -> the Hub's id of what means the same."""
_FEWEST_DIALOGUES = 50
"""For a number that stands without its interval, as those of the metadata do."""


def card_metadata(
    record: Mapping[str, Any], evaluation: Mapping[str, Any] | None, *, name: str, licence: str | None
) -> ModelCardData:
    """What the Hub is told about a run; only what is known.

    record, evaluation: the content of training.json and evaluation.json. licence: of the weights, None where unknown.
    """
    from huggingface_hub import ModelCardData

    recipe = record["recipe"]
    lineage, base = base_lineage(recipe["base"]), base_on_the_hub(recipe)
    results = _results(evaluation) if evaluation and not sampled(evaluation) else []
    metrics = [result.metric_type for result in results if result.metric_type in _HUB_METRICS.values()]
    tags = ["conversational", "persona", *([lineage.tag] if lineage and lineage.tag else []), "personable"]
    return ModelCardData(
        language=recipe["data"].get("language"),
        **(hub_licence(licence) if licence else {}),
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=base,
        base_model_relation="finetune" if base else None,  # also after LoRA: its weights are merged
        datasets=data_sets_on_the_hub(recipe["data"]["train"]) or None,
        tags=tags + (["lora"] if recipe.get("lora") else []),
        metrics=metrics or None,
        model_name=name if results else None,
        eval_results=results or None,
    )


def base_on_the_hub(recipe: Mapping[str, Any]) -> str | None:
    """The Hub id of the base; None for a model of this machine, which may well be called owner/name too."""
    spec = recipe["base"]
    lineage = base_lineage(spec)
    if lineage:
        return lineage.hub_id or None
    beside_the_run = Path(spec).parent == Path(recipe["run"]).parent
    if "/" not in spec or not HUB_ID.fullmatch(spec) or beside_the_run or Path(spec).exists():
        return None
    return str(spec)


def data_sets_on_the_hub(sources: list[str]) -> list[str]:
    """The Hub ids of data sources, each once."""
    found: dict[str, None] = {}
    for source in sources:
        lineage = data_lineage(source)
        if lineage:
            found |= {lineage.hub_id: None} if lineage.hub_id else {}
        elif source_on_the_hub(source):
            found[source.partition(":")[0]] = None
    return list(found)


def source_on_the_hub(source: str) -> bool:
    """Whether a data source is meant as a Hub id."""
    return is_hub_id(source) and not Path(source).exists()


def shown_source(source: str) -> str:
    """A data source as Markdown, without the folders it lies in."""
    lineage = data_lineage(source)
    if source == "starter" and lineage:
        return lineage.name
    if " " in source:
        return text(source)  # "held out of the training data"
    return code(source if source_on_the_hub(source) else last_name(source))


def sampled(evaluation: Mapping[str, Any]) -> str:
    """The few dialogues that an evaluation was of, in words; empty where they are enough for the metadata."""
    data = evaluation["data"]
    limited, count = bool(data.get("limit")), data.get("dialogues") or data.get("limit")
    if count is None:
        return "an unknown number of dialogues"
    shown = "1 dialogue" if count == 1 else f"{count:,} dialogues"
    if limited:
        return f"a sample of {shown}"
    return f"{shown} only" if count < _FEWEST_DIALOGUES else ""


def _results(evaluation: Mapping[str, Any]) -> list[EvalResult]:
    from huggingface_hub import EvalResult

    data = evaluation["data"]
    source = plain(data.get("name") or "dialogues")
    lineage = data_lineage(source)
    on_the_hub = lineage.hub_id if lineage else source.partition(":")[0] if source_on_the_hub(source) else ""
    shown = source if source_on_the_hub(source) else last_name(source)
    return [
        EvalResult(
            task_type="text-generation",
            task_name="Persona dialogue",
            dataset_type=on_the_hub or "text",  # an id of the Hub or none: a file's name is none
            dataset_name=f"{shown} (detokenised)" if data.get("detokenised") else shown,
            dataset_split=source.partition(":")[2] if source_on_the_hub(source) and ":" in source else None,
            dataset_args={key: data[key] for key in ("dialogues", "replies", "fingerprint") if data.get(key)},
            metric_type=_HUB_METRICS.get(row.metric.key, row.metric.key),
            metric_name=plain(row.metric.name),
            metric_value=round(row.score.value, row.digits),
        )
        for row in score_rows(evaluation).all
    ]
