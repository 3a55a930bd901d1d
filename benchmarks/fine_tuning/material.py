"""What measuring processes read: dialogues as text and as token ids, and bases of GPT-2's shapes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from personable.base import load_tokenizer
from personable.corpus import iter_dialogues, write_dialogues
from personable.dialogue import Dialogue
from personable.encoding import Budget, EncodedDialogue, encode_dialogue
from personable.training.rows import plan_rows

FIRST = "first"
"""The dialogues of the first optimiser step."""
LATER = "later"
"""Those of the steps after it."""
VALIDATION = "validation"
TRAINING_FILE = Path("convai2") / "train_self_original_no_cands.txt.xz"
VALIDATION_FILE = Path("convai2") / "valid_self_original.txt.xz"
SHAPES = {
    "tiny": {"n_layer": 2, "n_embd": 64, "n_head": 2},
    "small": {"n_layer": 12, "n_embd": 768, "n_head": 12},
    "medium": {"n_layer": 24, "n_embd": 1024, "n_head": 16},
}
"""Of GPT-2 and so of DialoGPT; `tiny` is for trying a benchmark out."""
_FEATURES = datasets.Features(
    {"input_ids": datasets.List(datasets.Value("int64")), "learn_mask": datasets.List(datasets.Value("bool"))}
)


def corpora() -> Path:
    """The folder of corpora: $PERSONABLE_TEST_DATA, by default one beside the repository."""
    return Path(os.environ.get("PERSONABLE_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def read_some(file: Path, count: int | None) -> list[Dialogue]:
    """The first so many dialogues of a file, detokenised."""
    return list(islice(_detokenised(file), count))


def _detokenised(file: Path) -> Iterator[Dialogue]:
    return iter_dialogues(file, detokenise=True)


def encoded(dialogues: Sequence[Dialogue], tokenizer: Any, context_tokens: int) -> list[EncodedDialogue]:
    """As Personable lays them out."""
    budget = Budget(context_tokens)
    return [encode_dialogue(dialogue, tokenizer, budget) for dialogue in dialogues]


def write_material(folder: Path, name: str, dialogues: Sequence[Dialogue], laid_out: Sequence[EncodedDialogue]) -> None:
    """`name.jsonl` and, for those that take token ids, the Arrow folder `name`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_dialogues(dialogues, folder / f"{name}.jsonl")
    columns = {
        "input_ids": [list(one.input_ids) for one in laid_out],
        "learn_mask": [list(one.learn_mask) for one in laid_out],
    }
    datasets.Dataset.from_dict(columns, features=_FEATURES).save_to_disk(folder / name)


def read_material(folder: Path, name: str) -> datasets.Dataset:
    """Columns input_ids and learn_mask; no rows where nothing was written."""
    if not (folder / name).exists():
        return datasets.Dataset.from_dict({"input_ids": [], "learn_mask": []}, features=_FEATURES)
    return datasets.load_from_disk(folder / name)


def filling_rows(laid_out: Sequence[EncodedDialogue], count: int, row_tokens: int, rows: int) -> list[int]:
    """Numbers of `count` successive dialogues that pack into exactly so many rows, so that packed variants too learn
    them in one step. Raises ValueError where there are none."""
    lengths = np.array([len(one.input_ids) for one in laid_out], dtype=np.int32)
    for start in range(len(laid_out) - count + 1):
        if len(plan_rows(lengths[start : start + count], row_tokens, packed=True)) == rows:
            return list(range(start, start + count))
    raise ValueError(f"expected {count} successive dialogues that fill {rows} rows of {row_tokens} tokens, found none")


def write_base(folder: Path, shape: str) -> None:
    """A GPT-2 of that shape with random weights, no dropout and the GPT-2 tokenizer; the same weights each time."""
    tokenizer = load_tokenizer("starter")
    torch.manual_seed(0)
    end = tokenizer.eos_token_id
    config = GPT2Config(
        **SHAPES[shape], vocab_size=len(tokenizer), n_positions=1024, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=end, eos_token_id=end, pad_token_id=end,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
