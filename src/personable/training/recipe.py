"""A recipe: every setting of a training run, from YAML and `--set`, checked before anything is loaded."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from personable.corpus import Format
from personable.errors import RecipeError
from personable.files import write_whole


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class DataSettings(_Settings):
    """Which dialogues are learnt from and which are held out."""

    train: tuple[str, ...] = ("starter",)
    """Files, folders, Hub ids, or `starter` (the bundled dialogues)."""
    validation: tuple[str, ...] = ()
    """The same; where empty, `validation_share` of the training dialogues is held out."""
    validation_share: float = Field(default=0.05, gt=0, lt=1)
    """Part held out, by conversation and persona, where no validation data is named."""
    format: Format | None = None
    """Of all files; detected from their content by default."""
    detokenise: bool = True
    """Mend the spaced punctuation of ConvAI2 text. Off for benchmark numbers."""
    max_bad: int = Field(default=0, ge=0)
    """Damaged records skipped before reading stops."""
    max_dialogues: int | None = Field(default=None, gt=0)
    """Training dialogues used, a seeded sample; all by default."""
    max_validation_dialogues: int | None = Field(default=None, gt=0)
    """Validation dialogues used, a seeded sample; all by default."""
    licence: str | None = Field(default=None, min_length=1)
    """Of the training data, for the model card, where Personable does not know it: cc-by-4.0, for instance."""
    language: str | None = Field(default=None, pattern=r"^[a-z]{2,3}$")
    """That the dialogues are in, for the model card: en, for instance."""

    @field_validator("train", "validation", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class Learn(StrEnum):
    """Which turns are learnt."""

    REPLIES = "replies"
    TURNS = "turns"


class EncodingSettings(_Settings):
    """How dialogues become token ids."""

    context_tokens: int = Field(default=1024, gt=16)
    """Longest sequence; never more than the base has positions."""
    shuffle_persona: bool = True
    """Facts in a new order each epoch, so that a persona's meaning does not hang on their order."""
    packing: bool = True
    """Dialogues end to end in rows of `context_tokens`, each attending to itself only. Where off, or where the base
    cannot do that, they are padded, those of like length together."""
    learn: Learn = Learn.REPLIES
    """`turns` learns the partner's as well: for pre-training on dialogue without personas."""


class LoraSettings(_Settings):
    """Low-rank adaptation, Hu et al. 2021; merged into plain weights at the end."""

    r: int = Field(default=16, gt=0)
    alpha: float = Field(default=32, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: str | tuple[str, ...] = "all-linear"
    layers_to_transform: tuple[int, ...] | None = None
    """Only these layers, counted from 0; all by default. Below the lowest of them no gradient is computed."""


class GenerationSettings(_Settings):
    """Sampling that the run proposes, written to generation_config.json."""

    temperature: float = Field(default=0.7, ge=0)
    top_p: float = Field(default=0.9, gt=0, le=1)
    top_k: int = Field(default=50, ge=0)
    repetition_penalty: float = Field(default=1.0, gt=0)
    """Above 1 it also holds the model back from saying its facts and from ending a turn; 1 is off."""
    max_new_tokens: int = Field(default=80, gt=0)


# Where these differ from TrainingArguments' own defaults, a persona run would otherwise be worse off.
TRAINING_DEFAULTS: dict[str, Any] = {
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "save_total_limit": 2,
    "load_best_model_at_end": True,
    "metric_for_best_model": "reply_perplexity",
    "greater_is_better": False,
    "eval_on_start": True,
    "logging_steps": 10,
    "logging_nan_inf_filter": False,  # would show the last good loss in place of a NaN
    "per_device_train_batch_size": 1,
    "per_device_eval_batch_size": 4,
    "warmup_steps": 0.03,
    "lr_scheduler_type": "cosine",
}
# Decided by Personable; a recipe that sets them would be disobeyed silently.
TRAINING_RESERVED = {
    "output_dir": "use the recipe's `run`",
    "report_to": "TensorBoard files are always written to the run folder",
    "disable_tqdm": "progress is Personable's own",
    "remove_unused_columns": "the dataset has no columns",
    "include_num_input_tokens_seen": "learnt tokens are always counted",
    "label_names": "labels are Personable's own",
    "push_to_hub": "publish a finished run instead",
    "hub_token": "a secret does not belong in a recipe; set HF_TOKEN",
    "hub_model_id": "publish a finished run instead",
    "label_smoothing_factor": "replies are learnt as they are",
    "batch_eval_metrics": "perplexity is token-weighted over all batches",
    "train_sampling_strategy": "rows are drawn in random order; see encoding.packing",
    "group_by_length": "see encoding.packing",
    "prediction_loss_only": "perplexity needs the token counts",
    "save_only_model": "without the optimiser a checkpoint cannot be gone on from",
    "enable_jit_checkpoint": "a checkpoint is saved at SIGTERM and Ctrl-C always",
}


_AT_LEAST_ONE = ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps")
_NOT_ZERO = ("max_steps", "num_train_epochs")


class Recipe(_Settings):
    """All settings of a run. YAML keys are the field names."""

    base: str = "starter"
    """`starter`, a model folder, a .gguf file, or a Hub id."""
    base_licence: str | None = Field(default=None, min_length=1)
    """Of the base, for the model card, where Personable does not know it."""
    licence: str | None = Field(default=None, min_length=1)
    """Under which the trained weights are passed on, for the model card: an identifier of the Hub such as mit."""
    run: Path = Path("runs/run")
    """The folder to write."""
    data: DataSettings = DataSettings()
    encoding: EncodingSettings = EncodingSettings()
    lora: LoraSettings | None = None
    """Full fine-tuning where absent."""
    dropout: float | None = Field(default=0.0, ge=0, lt=1)
    """Of every dropout layer; null leaves the base's own."""
    early_stopping_patience: int | None = Field(default=3, gt=0)
    """Evaluations without a better validation reply perplexity before training stops; null never stops."""
    generation: GenerationSettings = GenerationSettings()
    training: dict[str, Any] = {}
    """Arguments of transformers.TrainingArguments, by their own names. Batch sizes count rows of `context_tokens`."""

    @field_validator("training")
    @classmethod
    def _known_arguments(cls, value: dict[str, Any]) -> dict[str, Any]:
        known = _argument_types()
        checked = {}
        for key, setting in value.items():
            if key in TRAINING_RESERVED:
                raise ValueError(f"training.{key} cannot be set: {TRAINING_RESERVED[key]}")
            if key not in known:
                raise ValueError(
                    f"training.{key} is no transformers.TrainingArguments name{_nearest(key, tuple(known))}"
                )
            if setting is False and key.endswith("_strategy"):
                setting = "no"  # what YAML makes of a bare no
            try:
                checked[key] = known[key].validate_python(setting)
            except ValidationError as error:
                wrong = error.errors()[0]["msg"]
                raise ValueError(f"training.{key}: {wrong[0].lower()}{wrong[1:]}, found {setting!r}") from error
            if key in _AT_LEAST_ONE and checked[key] < 1:
                raise ValueError(f"training.{key}: expected 1 or more, found {setting!r}")
            if key in _NOT_ZERO and checked[key] == 0:
                raise ValueError(f"training.{key}: expected something to learn, found {setting!r}")
            if key == "learning_rate" and not 0 < checked[key] < math.inf:
                raise ValueError(
                    f"training.{key}: expected a number above 0, with which weights move, found {setting!r}"
                )
        return checked

    @property
    def training_arguments(self) -> dict[str, Any]:
        """What TrainingArguments is built from, defaults filled in."""
        chosen = dict(TRAINING_DEFAULTS)
        rows = self.training.get("per_device_train_batch_size", chosen["per_device_train_batch_size"])
        chosen["gradient_accumulation_steps"] = max(8 // rows, 1)  # 8 rows to a step: some 30 dialogues of 250 tokens
        evaluating = self.training.get("eval_strategy")
        if evaluating == "no":
            chosen |= {"load_best_model_at_end": False, "eval_on_start": False}
        elif evaluating:
            # The best model can only be kept where saving goes with evaluating.
            every = self.training.get("logging_steps", chosen["logging_steps"])
            chosen |= {"save_strategy": evaluating, "save_steps": self.training.get("eval_steps", every)}
        return chosen | self.training


@lru_cache
def _argument_types() -> dict[str, TypeAdapter[Any]]:
    from transformers import TrainingArguments

    types = get_type_hints(TrainingArguments)
    return {field.name: TypeAdapter(types[field.name]) for field in fields(TrainingArguments) if field.init}


def read_recipe(path: str | Path, *, changes: dict[str, Any] | None = None) -> Recipe:
    """The recipe in a YAML file, with `changes` (dotted key -> value) on top.

    Raises RecipeError for a file that cannot be read, an unknown key (naming the nearest known one) or a wrong value.
    """
    try:
        settings = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"expected a recipe in {path}, found none: {error.strerror}. Next: see recipes/.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"expected YAML in {path}, found: {error}") from error
    if not isinstance(settings, dict):
        raise RecipeError(f"expected settings (key: value) in {path}, found {type(settings).__name__}.")
    return make_recipe(settings, changes=changes, source=str(path))


def make_recipe(settings: dict[str, Any], *, changes: dict[str, Any] | None = None, source: str = "recipe") -> Recipe:
    """A checked recipe from nested settings. Raises RecipeError.

    Where `changes` put another base or other data in place, what the settings state about licences and language of the
    old ones goes.
    """
    settings = _without_stale_statements(settings, changes or {})
    for dotted, value in (changes or {}).items():
        settings = _with(settings, dotted.split("."), value, dotted)
    try:
        return Recipe.model_validate(settings)
    except ValidationError as error:
        raise RecipeError(f"{source}: " + "; ".join(_said(fault) for fault in error.errors())) from error


def parse_changes(pairs: list[str]) -> dict[str, Any]:
    """`key=value` strings as a dict, values read as YAML (1e-4 is a number). Raises RecipeError."""
    changes = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise RecipeError(f"expected --set KEY=VALUE, found {pair!r}. Example: --set training.learning_rate=1e-4")
        try:
            changes[key] = _number(yaml.safe_load(value) if value else None)
        except yaml.YAMLError as error:
            raise RecipeError(f"expected --set KEY=VALUE with a value in YAML, found {pair!r}: {error}") from error
    return changes


def write_recipe(recipe: Recipe, path: Path) -> None:
    """The recipe as YAML, every default spelled out."""
    write_whole(path, yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))


_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-4 (without a dot) as text."""
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


# What a recipe states about a base and data, by the key that replaces them.
_STATEMENTS = {
    "base": ("base_licence", "licence"),
    "data": ("licence",),
    "data.train": ("data.licence", "data.language", "licence"),
}


def _without_stale_statements(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    for replaced, statements in _STATEMENTS.items():
        if replaced in changes and changes[replaced] != settings.get(replaced):
            for statement in statements:
                settings = _without(settings, statement.split("."))
    return settings


def _without(settings: dict[str, Any], keys: list[str]) -> dict[str, Any]:
    key, *rest = keys
    if rest and isinstance(settings.get(key), dict):
        return {**settings, key: _without(settings[key], rest)}
    return settings if rest else {name: value for name, value in settings.items() if name != key}


def _with(settings: dict[str, Any], keys: list[str], value: Any, dotted: str) -> dict[str, Any]:
    key, *rest = keys
    if not rest:
        return {**settings, key: value}
    inner = settings.get(key)
    if inner is None:
        inner = {}
    if not isinstance(inner, dict):
        raise RecipeError(f"--set {dotted}: expected settings under {key!r}, found {inner!r}.")
    return {**settings, key: _with(inner, rest, value, dotted)}


def _said(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"unknown key {where!r}{_nearest(str(fault['loc'][-1]), _keys_beside(fault['loc']))}"
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    return f"{where}: {fault['msg'][0].lower()}{fault['msg'][1:]}, found {fault['input']!r}"


def _keys_beside(location: tuple[Any, ...]) -> tuple[str, ...]:
    parts: dict[str, type[BaseModel]] = {
        "data": DataSettings,
        "encoding": EncodingSettings,
        "lora": LoraSettings,
        "generation": GenerationSettings,
    }
    model = parts[str(location[0])] if len(location) > 1 else Recipe
    return tuple(model.model_fields)


def _nearest(key: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}" if len(known) < 20 else ""
