"""Time to score 20 candidates for every reply of ConvAI2 dialogues: as `personable evaluate` does it, and as 20 full
sequences per reply, batched (one padded batch of 20, as transformers computes it). A third way is that batch with the
language-model head on candidate tokens only.

All score the same ids with the same weights in one process, dialogue by dialogue, in an order that changes each time.
Encoding is left out, as all need it. Run on one core:

OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/ranking.py --dialogues 6
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from personable.base import load_base
from personable.corpus import read_dialogues
from personable.dialogue import Dialogue
from personable.encoding import CandidateEncoder, EncodedCandidates
from personable.encoding.batches import IGNORED, Collator, pad_id_of
from personable.evaluation.candidate_nats import one_by_one
from personable.evaluation.candidates import lineups
from personable.evaluation.exchanges import exchanges_of
from personable.evaluation.local import LocalEngine
from personable.evaluation.ranking import nats_of_candidates

RESULTS = Path(__file__).parent / "results" / "ranking.json"
FILE = Path("convai2") / "valid_self_original.txt.xz"
BASELINE = "20 full sequences per reply, batched"
TUNED = "20 full sequences per reply, batched, head on candidate tokens only"
OURS = "history read once, candidates in one row after it"

Nats = dict[int, torch.Tensor]


def main() -> None:
    """Parses the command line, prints one line for each base and writes results/ranking.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bases", nargs="+", default=["starter", "smollm2-135m"])
    parser.add_argument("--data", type=Path, default=_corpora() / FILE)
    parser.add_argument("--dialogues", type=int, default=6, help="a seeded sample of this many")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    dialogues = random.Random(given.seed).sample(read_dialogues(given.data).dialogues, given.dialogues)
    bases = []
    for base in given.bases:
        one = measured(base, dialogues)
        bases.append(one)
        ours, baseline = one["seconds_per_reply"][OURS], one["seconds_per_reply"][BASELINE]
        print(
            f"{one['base']}: {ours:.2f} s per reply against {baseline:.2f} s, {one['ratio']:.1f} times as fast; "
            f"{one['ratio_to_tuned']:.1f} times with the head on candidate tokens only. {one['replies']} replies, "
            f"largest difference of a sum {one['largest_difference_nats']:.0e} nats",
            file=sys.stderr,
        )
    found = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "data": given.data.name,
        "dialogues": given.dialogues,
        "seed": given.seed,
        "threads": torch.get_num_threads(),
        "cores": len(os.sched_getaffinity(0)),
        "torch": torch.__version__,
        "baseline": BASELINE,
        "bases": bases,
    }
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


def measured(spec: str, dialogues: list[Dialogue]) -> dict[str, Any]:
    """Seconds of both ways for a base, over all dialogues."""
    engine = LocalEngine(load_base(spec))
    work = [_encoded(engine, dialogue) for dialogue in dialogues]
    ways: dict[str, Callable[[dict[int, EncodedCandidates]], Nats]] = {
        BASELINE: lambda encoded: _full_logits(engine, encoded),
        TUNED: lambda encoded: _one_by_one(engine, encoded),
        OURS: lambda encoded: dict(nats_of_candidates(engine, encoded)),
    }
    for way in ways.values():  # what is done once for all is not timed
        way({0: work[0][0]})
    wall: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    difference, same_best = 0.0, 0
    for number, encoded in enumerate(work):
        found: dict[str, Nats] = {}
        first = number % len(ways)
        for name in (*list(ways)[first:], *list(ways)[:first]):
            began = time.perf_counter(), time.process_time()
            found[name] = ways[name](encoded)
            wall[name].append(time.perf_counter() - began[0])
            processor[name].append(time.process_time() - began[1])
        for place, nats in found[BASELINE].items():
            difference = max(difference, (nats - found[OURS][place]).abs().max().item())
            same_best += int(nats.argmin() == found[OURS][place].argmin())
    replies = sum(map(len, work))
    return {
        "base": spec,
        "replies": replies,
        "mean_prompt_tokens": round(statistics.mean(len(one.prompt) for each in work for one in each.values()), 1),
        "mean_candidate_tokens": round(
            statistics.mean(len(reply) for each in work for one in each.values() for reply in one.replies), 1
        ),
        "seconds_per_reply": {name: round(sum(times) / replies, 4) for name, times in wall.items()},
        "processor_seconds_per_reply": {name: round(sum(times) / replies, 4) for name, times in processor.items()},
        "ratio": round(sum(wall[BASELINE]) / sum(wall[OURS]), 2),
        "ratio_of_each_dialogue": [
            round(slow / fast, 2) for slow, fast in zip(wall[BASELINE], wall[OURS], strict=True)
        ],
        "ratio_to_tuned": round(sum(wall[TUNED]) / sum(wall[OURS]), 2),
        "largest_difference_nats": difference,
        "same_best_candidate": f"{same_best} of {replies}",
    }


def _encoded(engine: LocalEngine, dialogue: Dialogue) -> dict[int, EncodedCandidates]:
    encoder = CandidateEncoder(engine.base.tokenizer, engine.base.context_tokens)
    lined_up = lineups(exchanges_of([dialogue]), seed=0)
    return {place: encoder.encode(each.exchange.history, each.texts) for place, each in enumerate(lined_up)}


def _full_logits(engine: LocalEngine, encoded: dict[int, EncodedCandidates]) -> Nats:
    return {place: _of_full_sequences(engine, one) for place, one in encoded.items()}


@torch.inference_mode()
def _of_full_sequences(engine: LocalEngine, encoded: EncodedCandidates) -> torch.Tensor:
    rows = [torch.tensor(encoded.prompt + reply) for reply in encoded.replies]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    labels = ids.masked_fill(mask == 0, IGNORED)
    labels[:, : len(encoded.prompt)] = IGNORED
    labels = torch.cat([labels[:, 1:], labels.new_full((len(rows), 1), IGNORED)], dim=1)  # as transformers shifts them
    logits = engine.base.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return nats.view(len(rows), -1).sum(1)


def _one_by_one(engine: LocalEngine, encoded: dict[int, EncodedCandidates]) -> Nats:
    collate = Collator(pad_id_of(engine.base.tokenizer))
    return {place: one_by_one(engine.base.model, one, collate, 20) for place, one in encoded.items()}


def _corpora() -> Path:
    return Path(os.environ.get("PERSONABLE_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


if __name__ == "__main__":
    main()
