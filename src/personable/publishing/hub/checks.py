"""Whether a run is fit to be published: every reason against it, not only the first."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from personable.publishing.hub.card_check import card_problems
from personable.publishing.hub.contents import CARD, RECORD, Contents, PublishedFile, is_finished, published_contents
from personable.publishing.hub.disclosures import Disclosure, disclosures
from personable.publishing.hub.problem import Problem

# Vocabularies are full of pieces that look like anything; what is in them came with the base.
_NOT_READ = frozenset({"tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "model.safetensors.index.json"})
_NOT_TEXT = frozenset({".safetensors", ".gguf", ".model", ".png"})

# What vLLM takes from generation_config.json, and what says nothing about sampling. Anything else would be obeyed by
# one engine and not by another, so that the same weights would answer differently.
_COMMON_GENERATION = frozenset(
    {"temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty"}
    | {"max_new_tokens", "do_sample", "skip_special_tokens"}
    | {"bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "_from_model_config", "use_cache"}
)

_PICKLES = {b"PK\x03\x04": "a zip archive, as torch.save writes", b"\x80\x02": "a pickle", b"\x80\x03": "a pickle",
            b"\x80\x04": "a pickle", b"\x80\x05": "a pickle", b"\x1f\x8b": "a gzip archive"}  # fmt: skip
_FOREIGN_CODE = "auto_map: code that comes with the model"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def check_run(run: Path) -> list[Problem]:
    """Why this run should not be published as it is; empty where nothing speaks against it.

    Raises BaseNotFound where there is no folder.
    """
    contents = published_contents(run)
    if not is_finished(run):
        return [_unfinished(run)]
    return [
        *_outside_links(run, contents),
        *_disguised(contents),
        *_weights(run, contents),
        *_configuration(run),
        *_generation(run),
        *_tokenizer(run),
        *_disclosed(contents),
        *card_problems(run / CARD),
    ]


def _unfinished(run: Path) -> Problem:
    from personable.base import UNFINISHED  # imports torch

    if (run / UNFINISHED).exists():
        found, next_step = "one whose training has not ended", f"personable train {run / 'recipe.yaml'} --resume"
    else:
        missing = [name for name in (RECORD, "config.json") if not (run / name).is_file()]
        found, next_step = f"a folder without {' and '.join(missing)}", "name a folder that `personable train` wrote"
    return Problem(str(run), "a finished run", found, next_step)


def _outside_links(run: Path, contents: Contents) -> Iterator[Problem]:
    inside = run.resolve()
    for file in contents.files:
        target = (run / file.name).resolve()
        if not target.is_relative_to(inside):
            yield Problem(
                file.name,
                "a file of the run itself",
                f"a link to {target}",
                f"copy what it points to in its place: cp --remove-destination {target} {run / file.name}",
            )


def _disguised(contents: Contents) -> Iterator[Problem]:
    """Pickles run code when they are loaded, whatever their names say."""
    for file in contents.files:
        beginning = _beginning(file)
        for magic, kind in _PICKLES.items():
            # Safetensors begin with the length of their header, whose lowest two bytes may be any.
            by_chance = len(magic) == 2 and file.name.endswith(".safetensors")
            if beginning.startswith(magic) and not by_chance:
                yield Problem(file.name, f"what {file.name} says it is", kind, "take it out of the run")


def _beginning(file: PublishedFile) -> bytes:
    if isinstance(file.source, bytes):
        return file.source[:4]
    with file.source.open("rb") as stream:
        return stream.read(4)


def _weights(run: Path, contents: Contents) -> Iterator[Problem]:
    from safetensors import SafetensorError, safe_open

    weights = [file.name for file in contents.files if file.name.endswith(".safetensors")]
    if not weights:
        pickled = [name for name in contents.left_out if name.endswith((".bin", ".pt", ".pth", ".pkl", ".ckpt"))]
        yield Problem(
            "model.safetensors",
            "weights as safetensors",
            f"only pickles ({', '.join(pickled)})" if pickled else "no weights",
            "save the model with model.save_pretrained(folder)" if pickled else "train again, or restore the file",
        )
    index = run / "model.safetensors.index.json"
    wanted = _indexed(index) if index.is_file() else set()
    if wanted is None:
        yield Problem(index.name, "weight_map: the file of each tensor", "none", "restore the file, or train again")
    for name in sorted((wanted or set()) - set(weights)):
        yield Problem(name, "every file that model.safetensors.index.json names", "no such file", "restore it")
    for name in weights:
        try:
            with safe_open(run / name, framework="numpy") as tensors:
                optimiser = [key for key in tensors.keys() if "exp_avg" in key or key.startswith("optimizer")]  # noqa: SIM118 (no mapping: has keys() only)
        except (SafetensorError, OSError) as error:
            yield Problem(name, "whole safetensors", str(error), "restore the file, or train again")
            continue
        if optimiser:
            yield Problem(name, "weights only", f"optimizer state ({optimiser[0]})", "save the model alone")


def _indexed(index: Path) -> set[str] | None:
    """The files that an index names; None where it names none in a way that could be read."""
    found = _json(index)
    weights = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(each, str) for each in weights.values()):
        return None
    return set(weights.values())


def _configuration(run: Path) -> Iterator[Problem]:
    name = "config.json"
    config = _json(run / name)
    if not isinstance(config, dict):
        yield Problem(name, "a JSON object", "damaged JSON", "restore the file, or train again")
        return
    if "auto_map" in config:
        yield Problem(name, "an architecture of transformers", _FOREIGN_CODE, "choose another base")
        return  # not loaded: what it names could be run
    if not config.get("architectures"):
        yield Problem(name, "architectures", "none", 'add e.g. "architectures": ["GPT2LMHeadModel"]')
    if config.get("model_type") == "gpt2":
        yield from _gpt2(config)
    yield from _loads(run)


def _gpt2(config: dict[str, Any]) -> Iterator[Problem]:
    """What llama.cpp's converter and vLLM take for granted of a GPT-2."""
    embedding = config.get("n_embd")
    wanted: list[tuple[str, tuple[Any, ...]]] = [
        ("architectures", (["GPT2LMHeadModel"],)),
        ("n_ctx", (config.get("n_positions"),)),
        ("tie_word_embeddings", (True,)),
        ("add_cross_attention", (False, None)),
        ("scale_attn_by_inverse_layer_idx", (False, None)),
        ("reorder_and_upcast_attn", (False, None)),
        ("n_inner", (None, 4 * embedding if isinstance(embedding, int) else None)),
    ]
    for key, allowed in wanted:
        if config.get(key) not in allowed:
            yield Problem(
                "config.json",
                f"{key}: {json.dumps(allowed[0])}, which vLLM and llama.cpp take for granted of a GPT-2",
                json.dumps(config.get(key)),
                "train again with this version, which writes it so",
            )


def _loads(run: Path) -> Iterator[Problem]:
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig, GenerationConfig

    from personable.base import quiet_transformers

    for name, kind in (("config.json", AutoConfig), ("generation_config.json", GenerationConfig)):
        if not (run / name).is_file():
            continue  # said elsewhere
        try:
            with quiet_transformers():
                kind.from_pretrained(run)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, StrictDataclassError) as error:
            yield Problem(name, "settings that transformers reads", _first_line(error), "mend the file")


def _generation(run: Path) -> Iterator[Problem]:
    name = "generation_config.json"
    settings = _json(run / name)
    if not isinstance(settings, dict):
        found = "damaged JSON" if (run / name).exists() else "no such file"
        yield Problem(name, "how replies are sampled", found, "train again, or restore the file")
        return
    if "eos_token_id" not in settings:
        yield Problem(name, "eos_token_id: what ends a reply", "none", "add the id of the token that ends a turn")
    for key in sorted(set(settings) - _COMMON_GENERATION):
        if settings[key] is not None:
            yield Problem(
                name,
                "only settings that transformers and vLLM both obey",
                f"{key}: {json.dumps(settings[key])}",
                f"take {key} out, and evaluate again",
            )


def _tokenizer(run: Path) -> Iterator[Problem]:
    for name in _TOKENIZER_FILES:
        if not isinstance(_json(run / name), dict):
            found = "damaged JSON" if (run / name).exists() else "no such file"
            yield Problem(name, "the tokenizer", found, "train again, or restore the file")
            return
    file, settings = run / "chat_template.jinja", _json(run / "tokenizer_config.json")
    if isinstance(settings, dict) and "auto_map" in settings:
        yield Problem("tokenizer_config.json", "a tokenizer of transformers", _FOREIGN_CODE, "choose another base")
    inside = settings.get("chat_template") if isinstance(settings, dict) else None
    outside = file.read_bytes() if file.is_file() else None
    if outside is None:
        yield Problem(file.name, "the chat template", "no such file", "train again, or restore the file")
    if inside is None:
        yield Problem(
            "tokenizer_config.json",
            "chat_template, for engines that look nowhere else",
            "none",
            "copy the content of chat_template.jinja there",
        )
    if isinstance(inside, str) and outside is not None and inside.encode() != outside:
        yield Problem(
            file.name,
            "the same chat template here and in tokenizer_config.json, to the byte",
            "two that differ, so that engines would lay out a chat in two ways",
            "keep the one the run was trained with (chat_template in training.json)",
        )


def _disclosed(contents: Contents) -> Iterator[Problem]:
    steps = {
        "key": "take it out, and withdraw the key: whoever has seen the file has it",
        "personal data": "replace it, in the data as well (personable data doctor finds it), and evaluate again",
        "local path": "name files relative to the run, or take the line out",
    }
    for file in contents.files:
        if file.name in _NOT_READ or Path(file.name).suffix in _NOT_TEXT:
            continue
        try:
            found = list(disclosures(file.name, file.content()))
        except ValueError as error:
            yield Problem(file.name, "readable text", _first_line(error), "restore the file, or leave it out")
            continue
        by_kind: dict[str, list[Disclosure]] = defaultdict(list)
        for each in found:
            by_kind[each.kind].append(each)
        for kind, those in by_kind.items():
            more = f" and {len(those) - 1} more" if len(those) > 1 else ""
            yield Problem(those[0].where, f"no {kind}", f"{those[0].shown}{more}", steps[kind])


def _json(file: Path) -> Any:
    """The value of a JSON file; None where it is missing or damaged."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
