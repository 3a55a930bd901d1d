"""Time and cost of an epoch on many GPUs, calculated: FLOPs, gradient traffic and memory; nothing is run.

python benchmarks/scaling_table.py --data ../shared/data/convai2/train_self_original_no_cands.txt.xz
python benchmarks/scaling_table.py --data FILE --gpu a100 --price 1.60 --mfu 0.4 --json PATH

FLOPs: 6 for each body parameter and token, 6 for each head parameter and learnt token, 6 x width x length^2 for the
attention of each layer over a dialogue (causal). Traffic: gradients in float32, reduced by rings, within a node and
then between nodes, hidden behind the backward pass (two thirds of a step) as far as that lasts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from personable.base import load_tokenizer
from personable.corpus import read_dialogues
from personable.encoding import Budget, encode_dialogue

CONTEXT_TOKENS = 1024
GPUS_PER_NODE = 8
ROWS_PER_GPU = 8
"""Of 1024 tokens in a micro-batch; one to a step."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """Data-sheet figures."""

    flops: float
    """Dense bf16, per second."""
    memory_gb: float
    nvlink: float
    """Bytes per second, each way, for one GPU within a node."""
    network: float
    """Bytes per second, each way, for one GPU's share of its node's network."""


GPUS = {"h100": Gpu(989e12, 80, 450e9, 50e9), "a100": Gpu(312e12, 80, 300e9, 25e9)}  # SXM; 400 and 200 Gbit/s per GPU


@dataclass(frozen=True, slots=True)
class Model:
    """A shape of GPT-2."""

    layers: int
    width: int
    vocabulary: int = 50257
    positions: int = 1024

    @property
    def head(self) -> int:
        """Parameters of the language-model head, which are the embedding's too."""
        return self.vocabulary * self.width

    @property
    def body(self) -> int:
        """Parameters that every token is multiplied with."""
        return self.layers * 12 * self.width**2

    @property
    def parameters(self) -> int:
        """All of them, biases and norms included."""
        return self.head + self.positions * self.width + self.body + self.layers * 13 * self.width + 2 * self.width

    def flops(self, corpus: Corpus) -> float:
        """Of forward and backward pass over all of the corpus."""
        attention = 6 * self.layers * self.width * corpus.squared_lengths
        return 6 * self.body * corpus.tokens + 6 * self.head * corpus.learnt + attention

    def state_gb(self, bytes_per_parameter: int = 16) -> float:
        """Float32 weights (4), gradients (4) and AdamW's two averages (8)."""
        return self.parameters * bytes_per_parameter / 1e9

    def activations_gb(self) -> float:
        """34 bytes x width x layers a token (Korthikanti et al. 2022, without the attention matrix), a micro-batch."""
        return 34 * self.width * self.layers * ROWS_PER_GPU * CONTEXT_TOKENS / 1e9


MODELS = {"small": Model(12, 768), "medium": Model(24, 1024), "large": Model(36, 1280)}


@dataclass(frozen=True, slots=True)
class Corpus:
    """What of a corpus decides how long an epoch takes."""

    dialogues: int
    tokens: int
    learnt: int
    squared_lengths: float
    """Sum over dialogues of the square of their tokens."""


def counted(path: str) -> Corpus:
    """Tokens as Personable lays out the dialogues of a file, in the vocabulary of GPT-2, DialoGPT and the starter."""
    tokenizer, budget = load_tokenizer("starter"), Budget(CONTEXT_TOKENS)
    encoded = [encode_dialogue(each, tokenizer, budget) for each in read_dialogues(path, detokenise=True).dialogues]
    lengths = [len(each.input_ids) for each in encoded]
    learnt = sum(sum(each.learn_mask) for each in encoded)
    return Corpus(len(encoded), sum(lengths), learnt, float(sum(length**2 for length in lengths)))


def reddit() -> Corpus:
    """147,116,725 dialogues of 1.8 billion words (Zhang et al. 2020).

    Assumed: 1.3 tokens to a word, 3 more in each dialogue for turn ends, all turns learnt, lengths spread so that their
    mean square is twice the square of their mean.
    """
    dialogues = 147_116_725
    tokens = int(1.8e9 * 1.3 + 3 * dialogues)
    return Corpus(dialogues, tokens, tokens, 2 * tokens**2 / dialogues)


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over a corpus."""

    steps: float
    seconds: float
    dollars: float
    traffic_share: float
    """Time for gradients over time for computing, before any of it is hidden."""


def epoch(model: Model, corpus: Corpus, gpu: Gpu, gpus: int, *, mfu: float, price: float) -> Epoch:
    """Of whole rows on so many GPUs. mfu: part of `gpu.flops` reached on one.   price: dollars per GPU and hour."""
    steps = max(corpus.tokens / (gpus * ROWS_PER_GPU * CONTEXT_TOKENS), 1)
    computing = model.flops(corpus) / (gpus * gpu.flops * mfu) / steps
    traffic = reduce_seconds(model, gpu, gpus)
    seconds = steps * (computing + max(0.0, traffic - computing * 2 / 3))
    return Epoch(steps, seconds, seconds / 3600 * gpus * price, traffic / computing)


def reduce_seconds(model: Model, gpu: Gpu, gpus: int) -> float:
    """For one all-reduce of the gradients: a ring passes 2 (n - 1) / n of them through each of its members."""
    gradients = 4 * model.parameters
    inside = min(gpus, GPUS_PER_NODE)
    nodes = -(-gpus // GPUS_PER_NODE)
    within = 2 * (inside - 1) / inside * gradients / gpu.nvlink
    between = 2 * (nodes - 1) / nodes * (gradients / inside) / gpu.network  # each GPU carries its part between nodes
    return within + between


def rows(corpora: dict[str, Corpus], gpu: Gpu, *, mfu: float, price: float) -> Iterator[dict[str, Any]]:
    """Every model on every number of GPUs."""
    for name, model in MODELS.items():
        for gpus in (1, 8, 64):
            found = {
                corpus: asdict(epoch(model, corpora[corpus], gpu, gpus, mfu=mfu, price=price)) for corpus in corpora
            }
            yield {"model": name, "gpus": gpus, **found}


def lasting(seconds: float) -> str:
    """Rounded to what a reader needs."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def main() -> None:
    """Parses the command line and prints tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="ConvAI2's training file, which is counted")
    parser.add_argument("--gpu", choices=GPUS, default="h100")
    parser.add_argument("--mfu", type=float, default=0.45, help="part of the peak that is reached (default: 0.45)")
    parser.add_argument("--price", type=float, default=2.5, help="dollars per GPU and hour (default: 2.50)")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    asked = parser.parse_args()
    gpu = GPUS[asked.gpu]
    corpora = {"convai2": counted(asked.data), "reddit": reddit()}
    table = list(rows(corpora, gpu, mfu=asked.mfu, price=asked.price))

    print("| corpus | dialogues | tokens | learnt tokens |\n| --- | --- | --- | --- |")
    for name, corpus in corpora.items():
        print(f"| {name} | {corpus.dialogues:,} | {corpus.tokens:,} | {corpus.learnt:,} |")
    print("\n| model | parameters | state, full | state over 8 (FSDP) | activations |\n| --- | --- | --- | --- | --- |")
    for name, model in MODELS.items():
        state = model.state_gb()
        print(
            f"| {name} | {model.parameters / 1e6:.0f} M | {state:.1f} GB | {state / 8:.1f} GB "
            f"| {model.activations_gb():.1f} GB |"
        )
    print("\n| model | GPUs | gradients / computing | ConvAI2 steps | ConvAI2 epoch | cost | Reddit epoch | cost |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in table:
        small, big = row["convai2"], row["reddit"]
        print(
            f"| {row['model']} | {row['gpus']} | {small['traffic_share']:.2f} | {small['steps']:.0f} "
            f"| {lasting(small['seconds'])} | ${small['dollars']:.2f} "
            f"| {lasting(big['seconds'])} | ${big['dollars']:,.0f} |"
        )
    if asked.json:
        figures = {"gpu": asked.gpu, **asdict(gpu), "mfu": asked.mfu, "price": asked.price}
        corpora_found = {name: asdict(corpus) for name, corpus in corpora.items()}
        asked.json.write_text(
            json.dumps({"assumed": figures, "corpora": corpora_found, "rows": table}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
