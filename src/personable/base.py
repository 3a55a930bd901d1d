"""What a run starts from, and what a run is: a model folder. Found, checked and loaded here, for every stage.

A spec is one of: `starter` (the bundled model), `smollm2-135m` (from the package index), a folder, a `.gguf` file, or a
Hugging Face Hub id. No code that comes with a model is ever run, and no pickle is read except through torch's
`weights_only=True`.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personable import smollm2, starter
from personable.encoding.template import GPT2_TEMPLATE, carries_persona
from personable.errors import BadBase, BaseNotFound, MissingExtra, PersonableError
from personable.pre_tokenizers import restore_pre_tokenizer
from personable.shards import PATTERN, read_shards

# transformers would otherwise ask a web service to convert a .bin it has just read.
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")

log = logging.getLogger(__name__)

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
GPT2_FAMILY = frozenset({"gpt2", "gpt_neo", "gptj", "gpt_bigcode"})
UNFINISHED = "unfinished.json"
"""Lies in a run folder from the first moment of training until its weights are complete."""


@dataclass(frozen=True, slots=True)
class Base:
    """A model ready to use, with its tokenizer."""

    model: Any
    """A transformers causal language model, in evaluation mode."""
    tokenizer: Any
    """Its fast tokenizer, with a chat template that carries a persona."""
    context_tokens: int
    """Positions the model has."""
    spec: str
    """What was asked for: `starter`, a path or a Hub id."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Arguments by which transformers finds a model."""

    name: str
    gguf_file: str | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        return {"trust_remote_code": False} | ({"gguf_file": self.gguf_file} if self.gguf_file else {})


def load_base(spec: str | Path, *, device: str | None = None) -> Base:
    """The model and tokenizer that `spec` names, in float32, on `device` (default: a GPU where there is one).

    Raises BaseNotFound (nothing there, unfinished, or the Hub cannot be reached), BadBase (there, but unusable),
    MissingExtra (a .gguf without the `gguf` package).
    """
    import torch

    place = _find(spec)
    with _explained(spec), quiet_transformers():
        model = _load_model(place)
    tokenizer = load_tokenizer(spec)
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        raise BadBase(
            f"expected {str(spec)!r} to embed every token, found {len(tokenizer)} tokens and "
            f"{model.get_input_embeddings().num_embeddings} embeddings. Next: take tokenizer and weights of one model."
        )
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return Base(model.to(device).eval(), tokenizer, _context_tokens(model.config, tokenizer), str(spec))


def _load_model(place: _Place) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    folder = Path(place.name)
    if any(folder.glob(PATTERN)):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
        weights = read_shards(folder)
        if model.config.tie_word_embeddings:
            weights["lm_head.weight"] = weights["transformer.wte.weight"]  # stored once
        model.load_state_dict(weights)
        model.generation_config = GenerationConfig.from_pretrained(folder)
        return model
    if place.gguf_file:
        with redirect_stderr(io.StringIO()):  # a bar that nothing else turns off
            return _plain(AutoModelForCausalLM.from_pretrained(place.name, dtype=torch.float32, **place.arguments))
    return AutoModelForCausalLM.from_pretrained(place.name, dtype=torch.float32, **place.arguments)


def load_tokenizer(spec: str | Path) -> Any:
    """The tokenizer that `spec` names, padding on the left, with a chat template that carries a persona.

    Raises what `load_base` raises.
    """
    from transformers import AutoTokenizer

    place = _find(spec)
    with _explained(spec), quiet_transformers():
        # Sides set later as attributes would not be saved with the tokenizer.
        sides = {"padding_side": "left", "truncation_side": "left"}
        tokenizer = AutoTokenizer.from_pretrained(place.name, **sides, **place.arguments)
        if tokenizer.pad_token is None and tokenizer.eos_token is not None:
            pad = {"pad_token": tokenizer.eos_token}
            tokenizer = AutoTokenizer.from_pretrained(place.name, **sides, **pad, **place.arguments)
    if not tokenizer.is_fast:
        raise BadBase(f"expected {str(spec)!r} to have a fast tokenizer (tokenizer.json), found a slow one.")
    if place.gguf_file:
        tokenizer = restore_pre_tokenizer(tokenizer, Path(place.name) / place.gguf_file)
    own = tokenizer.chat_template
    if not carries_persona(own) and (own is None or _model_type(place, spec) in GPT2_FAMILY):
        if tokenizer.eos_token is None:
            raise BadBase(f"expected {str(spec)!r} to have an end-of-text token or a chat template, found neither.")
        if own is not None:
            log.info("the chat template of %s knows no persona; using Personable's", spec)
        tokenizer.chat_template = GPT2_TEMPLATE
    return tokenizer


def _model_type(place: _Place, spec: str | Path) -> str:
    from transformers import AutoConfig

    with _explained(spec), quiet_transformers():
        return str(AutoConfig.from_pretrained(place.name, **place.arguments).model_type)


def _find(spec: str | Path) -> _Place:
    """Where `spec` lies. Raises BaseNotFound for what cannot be anything, MissingExtra for a .gguf without `gguf`."""
    if str(spec) == "starter":
        if not (starter.MODEL / "config.json").is_file():
            raise BaseNotFound("this installation lacks the bundled starter model. Next: install Personable again.")
        return _Place(str(starter.MODEL))
    if str(spec) == smollm2.SPEC:
        return _Place(str(smollm2.model_folder(_convert_gguf)))
    path = _expanded(spec)
    if path.is_file() and path.suffix == ".gguf":
        _require_gguf(path)
        return _Place(str(path.parent), gguf_file=path.name)
    if path.is_dir():
        if (path / UNFINISHED).exists():
            raise BaseNotFound(
                f"expected a finished run in {path}, found one whose training has not ended. "
                f"Next: personable train {path / 'recipe.yaml'} --resume"
            )
        if not (path / "config.json").is_file():
            raise BaseNotFound(
                f"expected a model folder (with config.json, weights, tokenizer), found none of that in {path}. "
                "Next: name a folder that `personable train` wrote, or --base starter."
            )
        return _Place(str(path))
    if isinstance(spec, Path) or not HUB_ID.fullmatch(spec) or path.exists():
        raise BaseNotFound(
            f"expected `starter`, `{smollm2.SPEC}`, a model folder, a .gguf file or a Hub id such as "
            f"microsoft/DialoGPT-medium, found {str(spec)!r}, which is none of them. Next: check the path."
        )
    return _Place(str(spec))


def _require_gguf(path: Path) -> None:
    # transformers imports it by itself, and says less when it is missing
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtra("gguf", "gguf", f"reading {path.name}")


def _convert_gguf(file: Path, folder: Path) -> None:
    """A plain model folder from a GGUF file, in float16: no coarser than the scales a GGUF stores."""
    import torch

    _require_gguf(file)
    base = load_base(file, device="cpu")
    with quiet_transformers():
        base.model.to(torch.float16).save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Within it, transformers shows no bars for loading weights and no warning below an error."""
    from transformers.utils import logging as transformers_logging

    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def is_local(spec: str | Path) -> bool:
    """Whether `spec` names something on this machine, not on the Hub. Raises BaseNotFound like `load_base`."""
    return str(spec) in ("starter", smollm2.SPEC) or _expanded(spec).exists()


def _expanded(spec: str | Path) -> Path:
    """The path that a spec may be. Raises BaseNotFound for one that the system will not even look up."""
    try:
        path = Path(spec).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise BaseNotFound(
            f"expected a base or run, found {str(spec)[:80]!r}: {error}. Next: check the path."
        ) from error
    return path


class _explained:  # noqa: N801  (used as a verb in `with`)
    """Turns what transformers and the Hub raise into a PersonableError that says what was tried and what to do."""

    def __init__(self, spec: str | Path) -> None:
        self.spec = spec

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is None or not isinstance(error, Exception) or isinstance(error, PersonableError):
            return
        first_line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        from_hub = isinstance(error, OSError) and not is_local(self.spec)
        if not from_hub:
            raise BadBase(
                f"expected a causal language model and its tokenizer in {str(self.spec)!r}, found: {first_line} "
                "Next: check that config.json, tokenizer and weights (safetensors) are whole."
            ) from error
        raise BaseNotFound(
            f"{str(self.spec)!r} is no folder or .gguf file here, so it was looked up on the Hugging Face Hub "
            f"({os.environ.get('HF_ENDPOINT', 'https://huggingface.co')}) and in its local cache, without success: "
            f"{first_line} Next: use --base starter (bundled, needs no network), a local model folder or .gguf file, "
            "or try again with the Hub in reach (a private model needs HF_TOKEN)."
        ) from error


def _plain(model: Any) -> Any:
    """The same weights as a model that knows nothing of GGUF, so that it can be trained and saved like any other."""
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = model.config.to_dict()
    for leftover in ("quantization_config", "_name_or_path", "architectures", "dtype"):
        settings.pop(leftover, None)
    config = AutoConfig.for_model(**settings)
    plain = AutoModelForCausalLM.from_config(config)
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    return plain


def _context_tokens(config: Any, tokenizer: Any) -> int:
    for name in ("n_positions", "max_position_embeddings", "max_sequence_length"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    if tokenizer.model_max_length < 10**9:
        return int(tokenizer.model_max_length)
    raise BadBase(
        "expected the config to say how many positions the model has (max_position_embeddings), found nothing."
    )
