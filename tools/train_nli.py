"""Fine-tunes an NLI classifier for `personable evaluate --nli FOLDER`, and prints its accuracy on held-out pairs.

    python tools/train_nli.py runs/nli --base sentence-transformers/all-MiniLM-L6-v2 \
        --train dnli_train.jsonl.xz --valid dnli_valid.jsonl.xz

Files are JSON lines with `premise`, `hypothesis` and `label` (entailment, neutral, contradiction; or Dialogue NLI's
positive, neutral, negative), plain or compressed (.gz, .xz). Dialogue NLI is at wellecks.com/dialogue_nli.
"""

from __future__ import annotations

import argparse
import gzip
import json
import lzma
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

from personable.errors import DataError
from personable.evaluation.fidelity.nli import Label, NliClassifier, label_called

Example = tuple[str, str, Label]
"""Premise, hypothesis, label."""

_OPEN: dict[str, Callable[..., IO[str]]] = {".xz": lzma.open, ".gz": gzip.open}


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--base", required=True, help="folder or Hub id of an encoder such as MiniLM or RoBERTa")
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--valid", type=Path, required=True)
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-tokens", type=int, default=64, help="longer pairs are cut")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    train(
        asked.out,
        asked.base,
        read_examples(asked.train),
        epochs=asked.epochs,
        learning_rate=asked.learning_rate,
        batch_size=asked.batch_size,
        max_tokens=asked.max_tokens,
        seed=asked.seed,
    )
    print_accuracy(asked.out, read_examples(asked.valid))


def read_examples(file: Path) -> list[Example]:
    """Every pair of a file. Raises DataError, with the line, for one that cannot be used."""
    examples = []
    with _OPEN.get(file.suffix, open)(file, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            record = json.loads(line)
            label = label_called(str(record.get("label")))
            if label is None or not isinstance(record.get("premise"), str) or not isinstance(record["hypothesis"], str):
                raise DataError(f"{file}:{number}: expected premise, hypothesis and an NLI label, found {line[:80]!r}")
            examples.append((record["premise"], record["hypothesis"], label))
    return examples


def train(
    out: Path,
    base: str,
    examples: Sequence[Example],
    *,
    epochs: float = 2,
    learning_rate: float = 1e-4,
    batch_size: int = 32,
    max_tokens: int = 64,
    seed: int = 0,
) -> None:
    """Fine-tunes the encoder `base` on the examples and writes classifier and tokenizer to `out`."""
    set_seed(seed)
    labels = list(Label)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForSequenceClassification.from_pretrained(
        base,
        num_labels=len(labels),
        id2label={place: label.value for place, label in enumerate(labels)},
        label2id={label.value: place for place, label in enumerate(labels)},
    )
    rows: list[dict[str, Any]] = [
        {**tokenizer(premise, hypothesis, truncation=True, max_length=max_tokens), "labels": labels.index(label)}
        for premise, hypothesis, label in examples
    ]
    arguments = TrainingArguments(
        output_dir=str(out),
        num_train_epochs=epochs,
        learning_rate=learning_rate,
        per_device_train_batch_size=batch_size,
        warmup_steps=0.1,
        lr_scheduler_type="linear",
        weight_decay=0.01,
        train_sampling_strategy="group_by_length",
        logging_steps=20,
        save_strategy="no",
        report_to="none",
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=seed,
    )
    Trainer(model, arguments, train_dataset=rows, data_collator=DataCollatorWithPadding(tokenizer)).train()
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def print_accuracy(folder: Path, examples: Sequence[Example]) -> None:
    """Accuracy of the classifier in `folder`, over all and by true label, and what it mistook for what."""
    labels = NliClassifier(folder).label([(premise, hypothesis) for premise, hypothesis, _ in examples])
    pairs = Counter((true, said) for (_, _, true), said in zip(examples, labels, strict=True))
    right = sum(count for (true, said), count in pairs.items() if true is said)
    print(f"accuracy {100 * right / len(examples):.1f} % of {len(examples)} pairs")
    for true in Label:
        total = sum(pairs[true, said] for said in Label)
        said = ", ".join(f"{said.value} {pairs[true, said]}" for said in Label)
        print(f"{true.value:14} {100 * pairs[true, true] / max(total, 1):5.1f} % of {total:5} (said {said})")


if __name__ == "__main__":
    main()
