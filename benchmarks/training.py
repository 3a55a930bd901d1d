"""How fast persona dialogues are learnt: Personable, the classic recipe and TRL, from the same weights, on the same
dialogues, with the same learnt tokens in an optimiser step.

    python benchmarks/training.py                        # GPT-2's small and medium shapes: half an hour on 2 cores
    python benchmarks/training.py --quick --json a.json  # the small shape, once

classic           one example per reply with the whole history before it, padded to the longest example of the data as
                  TransferTransfo's train.py pads its dataset; transformers' Trainer; logits of all tokens
classic_dynamic   the same, padded to the longest of each micro-batch
trl_tuned         TRL's SFTTrainer on whole dialogues, packed (bfd) into rows of 1024 tokens; on a CPU bf16 and gradient
                  checkpointing off
trl_bf16          trl_tuned in bf16, which some CPUs compute and most emulate
trl_defaults      SFTTrainer with its own defaults: bf16, gradient checkpointing, padded whole dialogues, no packing
personable        `personable.training.train`, speed from the run's metrics.jsonl
personable_bf16   the same in bf16
personable_lora   personable with `lora: {}` (r 16, all linear layers)

A step learns the replies of 4 dialogues (64 on a GPU), about 400 tokens. All: random weights of one seed, GPT-2's
tokenizer, AdamW (fused), clipping at 1, learning rate 1e-5, no dropout, all cores; float32 on a CPU, but for the
variants named after bf16 and for trl_defaults, and bf16 on a GPU. Each measurement is a process of its own, one at a
time: first a step on four dialogues that are the same for all (its loss shows that all compute the same), then more.
The clock starts at the end of the first micro-batch: for all but the classic variants, whose steps have eight of
them, that is the end of a step. Variants take turns, in an order that changes with each round; dialogues change with
each round too.

FLOP/s counts what learning the dialogues takes at least, for all variants alike (each dialogue once, logits of learnt
tokens; formula and source in fine_tuning/operations.py), so padding, histories read again and activations computed
again do not count. `computed` is the same for what a variant reads without its padding. Both are set against a matrix
product measured in the same round, in bf16 for the variants that compute in it. `ratios` in the JSON are those of
`personable` to the others, of each shape and, at the top, the smallest of all shapes; null for what was skipped.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import disable_progress_bars
from transformers.utils import logging as transformers_logging

from fine_tuning.job import DIALOGUES_PER_ROW, ROW_TOKENS, Job, Variant
from fine_tuning.material import (
    FIRST,
    LATER,
    SHAPES,
    TRAINING_FILE,
    corpora,
    encoded,
    filling_rows,
    read_some,
    write_base,
    write_material,
)
from fine_tuning.operations import (
    Shape,
    classic_per_learnt_token,
    lora_weights,
    matmul_rate,
    needed_per_learnt_token,
)
from fine_tuning.processes import SKIPPED, command, cores, measure, runnable
from personable.base import load_tokenizer
from personable.dialogue import Dialogue
from personable.encoding import EncodedDialogue
from personable.provenance import hardware, versions

# Steps after the first: a slow variant's one step lasts longer than many of a fast one.
STEPS = {
    "small": {
        "classic": 0,
        "classic_dynamic": 1,
        "trl_tuned": 4,
        "trl_defaults": 1,
        "trl_bf16": 5,
        "personable": 7,
        "personable_bf16": 10,
        "personable_lora": 7,
    },
    "medium": {
        "classic": 0,
        "trl_tuned": 2,
        "trl_bf16": 3,
        "trl_defaults": 1,
        "personable": 4,
        "personable_bf16": 6,
        "personable_lora": 4,
    },
}
STEPS["tiny"] = STEPS["small"]
ROUNDS = {"tiny": 2, "small": 1, "medium": 1}
QUICK = (Variant.CLASSIC, Variant.TRL_TUNED, Variant.TRL_DEFAULTS, Variant.PERSONABLE, Variant.PERSONABLE_LORA)
COMPARED = {
    "vs_classic": Variant.CLASSIC,
    "vs_trl_tuned": Variant.TRL_TUNED,
    "vs_trl_defaults": Variant.TRL_DEFAULTS,
}
GPU_DIALOGUES_PER_STEP, GPU_REPLIES_PER_BATCH = 64, 32
GPU_STEPS = 10
"""Times as many steps, which are that much shorter."""
IN_BF16 = (Variant.TRL_DEFAULTS.value, Variant.TRL_BF16.value, Variant.PERSONABLE_BF16.value)
SAME_LOSS = 1e-4
"""Largest difference of first-step losses in float32."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Dialogues to draw from, with their token ids."""

    dialogues: list[Dialogue]
    laid_out: list[EncodedDialogue]

    @property
    def longest(self) -> int:
        """Tokens."""
        return max(len(one.input_ids) for one in self.laid_out)

    def shuffled(self, seed: int) -> Pool:
        """In another order."""
        order = random.Random(seed).sample(range(len(self.dialogues)), len(self.dialogues))
        return self.of(order)

    def of(self, numbers: list[int]) -> Pool:
        """Some of them."""
        return Pool([self.dialogues[number] for number in numbers], [self.laid_out[number] for number in numbers])


def main() -> None:
    """Parses the command line, measures, prints a table and writes the JSON."""
    given = _arguments()
    disable_progress_bars()
    transformers_logging.disable_progress_bar()
    shapes = ["small"] if given.quick else ["small", "medium"] if given.shape == "both" else [given.shape]
    found: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": command(),
        "data": given.data.name,
        "device": given.device,
        "threads": cores(),
        "hardware": hardware(),
        "versions": versions(),
        "shapes": {},
    }
    pool = _pool(given)
    for shape in shapes:
        found["shapes"][shape] = compared(shape, pool, given)
    found["ratios"] = {name: _least(one["ratios"][name] for one in found["shapes"].values()) for name in COMPARED}
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for shape, one in found["shapes"].items():
        print(_table(shape, one))
    print("ratios:", json.dumps(found["ratios"]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=[*SHAPES, "both"], default="both")
    parser.add_argument("--rounds", type=int, help="1 by default")
    parser.add_argument("--variants", nargs="+", type=Variant, choices=list(Variant), metavar="VARIANT")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--data", type=Path, default=corpora() / TRAINING_FILE, help="dialogues to learn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="the small shape, one round, without classic_dynamic")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the result there too")
    return parser.parse_args()


def _pool(given: argparse.Namespace) -> Pool:
    dialogues = read_some(given.data, 1000 if given.device == "cpu" else None)
    return Pool(dialogues, encoded(dialogues, load_tokenizer("starter"), ROW_TOKENS))


def compared(shape: str, pool: Pool, given: argparse.Namespace) -> dict[str, Any]:
    """All variants on one shape."""
    wanted = given.variants or [v for v in Variant if v.value in STEPS[shape] and (not given.quick or v in QUICK)]
    variants = runnable(wanted)
    skipped = {variant.value: SKIPPED for variant in wanted if variant not in variants}
    for variant, reason in skipped.items():
        print(f"{shape}: skipped {variant}: {reason}", file=sys.stderr)
    rounds = []
    with tempfile.TemporaryDirectory(prefix="benchmark-training-") as folder:
        base = Path(folder) / shape
        write_base(base, shape)
        for number in range(1 if given.quick else given.rounds or ROUNDS[shape]):
            turn = number * len(variants) // max(given.rounds or ROUNDS[shape], 1)
            order = variants[turn:] + variants[:turn]
            material = Path(folder) / f"round-{number}"
            rounds.append(_round(base, shape, pool.shuffled(given.seed + number), material, order, given))
    return _summary(rounds, variants) | {"skipped": skipped, "rounds": rounds}


def _round(
    base: Path, shape: str, pool: Pool, folder: Path, order: list[Variant], given: argparse.Namespace
) -> dict[str, Any]:
    """Each variant once, and the rate of a matrix product."""
    on_gpu = given.device == "cuda"
    per_step = GPU_DIALOGUES_PER_STEP if on_gpu else DIALOGUES_PER_ROW
    steps = {variant: STEPS[shape].get(variant.value, 1) * (GPU_STEPS if on_gpu else 1) for variant in order}
    numbers = filling_rows(pool.laid_out, per_step, ROW_TOKENS, per_step // DIALOGUES_PER_ROW)
    first = pool.of(numbers)
    # One step more than is taken, as rows hold somewhat more than four where dialogues are short.
    count = (max(steps.values()) + 2) * per_step
    later = pool.of([number for number in range(len(pool.dialogues)) if number not in set(numbers)][:count])
    write_material(folder, FIRST, first.dialogues, first.laid_out)
    write_material(folder, LATER, later.dialogues, later.laid_out)
    known = Shape(SHAPES[shape]["n_layer"], SHAPES[shape]["n_embd"], load_tokenizer("starter").vocab_size)
    rates = {bf16: matmul_rate(known.width, given.device, bf16=bf16) for bf16 in (False, True)}
    print(f"{shape}: matrix product {rates[False] / 1e9:.0f} GFLOP/s, in bf16 {rates[True] / 1e9:.0f}", file=sys.stderr)
    everything = [_as_columns(one) for one in (*first.laid_out, *later.laid_out)]
    measured = {}
    for variant in order:
        job = Job(
            variant=variant,
            base=str(base),
            data=folder,
            device=given.device,
            dialogues_per_step=per_step,
            replies_per_batch=GPU_REPLIES_PER_BATCH if on_gpu else 4,
            padded_tokens=pool.longest,
            seed=given.seed,
            steps=steps[variant],
        )
        one = measure(job)
        one["learnt_tokens_per_second"] = one["learnt_tokens"] / one["seconds"]
        one |= _utilisation(one["learnt_tokens_per_second"], variant, known, everything, rates[_in_bf16(job)])
        measured[variant.value] = one
        print(
            f"{shape}: {variant} {one['learnt_tokens_per_second']:.1f} learnt tokens/s, first-step loss "
            f"{one['first_step_loss']:.5f}, {one['peak_memory_bytes'] / 1e9:.1f} GB",
            file=sys.stderr,
        )
    return {
        "matmul_flops_per_second": rates[on_gpu],
        "matmul_bf16_flops_per_second": rates[True],
        "variants": measured,
    }


def _in_bf16(job: Job) -> bool:
    return job.computes_bf16 or job.variant is Variant.TRL_DEFAULTS


def _utilisation(
    speed: float, variant: Variant, shape: Shape, dialogues: list[dict[str, Any]], rate: float
) -> dict[str, float]:
    lora = lora_weights(shape) if variant is Variant.PERSONABLE_LORA else None
    needed = speed * needed_per_learnt_token(shape, dialogues, adapter_weights=lora)
    classic = variant in (Variant.CLASSIC, Variant.CLASSIC_DYNAMIC)
    computed = speed * classic_per_learnt_token(shape, dialogues) if classic else needed
    return {
        "flops_per_second": needed,
        "share_of_matmul": needed / rate,
        "computed_flops_per_second": computed,
        "computed_share_of_matmul": computed / rate,
    }


def _as_columns(one: EncodedDialogue) -> dict[str, Any]:
    return {"input_ids": one.input_ids, "learn_mask": one.learn_mask}


def _summary(rounds: list[dict[str, Any]], variants: list[Variant]) -> dict[str, Any]:
    """Medians over rounds; ratios are medians of each round's."""

    def values(variant: Variant, key: str) -> list[float]:
        return [each["variants"][variant.value][key] for each in rounds]

    def ratio(variant: Variant, other: Variant) -> float | None:
        if not {variant, other} <= set(variants):
            return None
        pairs = zip(values(variant, _SPEED), values(other, _SPEED), strict=True)
        return round(statistics.median(ours / theirs for ours, theirs in pairs), 2)

    table = {
        variant.value: {
            _SPEED: round(statistics.median(values(variant, _SPEED)), 2),
            "slowest_and_fastest_round": [round(edge(values(variant, _SPEED)), 2) for edge in (min, max)],
            "personable_is_faster_by": ratio(Variant.PERSONABLE, variant),
            "share_of_matmul": round(statistics.median(values(variant, "share_of_matmul")), 3),
            "computed_share_of_matmul": round(statistics.median(values(variant, "computed_share_of_matmul")), 3),
            "gflops_per_second": round(statistics.median(values(variant, "flops_per_second")) / 1e9, 1),
            "peak_memory_gb": round(max(values(variant, "peak_memory_bytes")) / 1e9, 2),
            "first_step_losses": [round(loss, 5) for loss in values(variant, "first_step_loss")],
        }
        for variant in variants
    }
    losses = [
        [one["first_step_loss"] for name, one in each["variants"].items() if name not in IN_BF16] for each in rounds
    ]
    difference = max(max(each) - min(each) for each in losses) if all(losses) else None
    return {
        "variants": table,
        "ratios": {name: ratio(Variant.PERSONABLE, other) for name, other in COMPARED.items()},
        "matmul_gflops_per_second": round(statistics.median(e["matmul_flops_per_second"] for e in rounds) / 1e9, 1),
        "matmul_bf16_gflops_per_second": round(
            statistics.median(e["matmul_bf16_flops_per_second"] for e in rounds) / 1e9, 1
        ),
        "largest_difference_of_first_step_losses": difference,
        "same_first_step_losses": difference is not None and difference <= SAME_LOSS,
    }


def _table(shape: str, found: dict[str, Any]) -> str:
    lines = [
        f"{shape}, {len(found['rounds'])} round(s), matrix product {found['matmul_gflops_per_second']} GFLOP/s, "
        f"in bf16 {found['matmul_bf16_gflops_per_second']}",
        f"{'':<16} {'learnt tok/s':>12} {'personable is':>14} {'of matmul':>9} {'computed':>9} {'memory':>8}",
    ]
    for name, one in found["variants"].items():
        faster = one["personable_is_faster_by"]
        lines.append(
            f"{name:<16} {one[_SPEED]:>12} {f'{faster} x as fast' if faster else '-':>14} "
            f"{one['share_of_matmul']:>9.1%} {one['computed_share_of_matmul']:>9.1%} {one['peak_memory_gb']:>5} GB"
        )
    lines += [f"{name} skipped: {reason}" for name, reason in found["skipped"].items()]
    difference = found["largest_difference_of_first_step_losses"]
    if difference is not None:
        same = "equal" if found["same_first_step_losses"] else "NOT EQUAL"
        lines.append(f"first-step losses (without bf16) {same}: largest difference {difference:.1e}")
    return "\n".join(lines)


_SPEED = "learnt_tokens_per_second"


def _least(ratios: Any) -> float | None:
    known = [ratio for ratio in ratios if ratio is not None]
    return min(known, default=None)


if __name__ == "__main__":
    torch.set_num_threads(cores())
    main()
