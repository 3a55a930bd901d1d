"""How good a base has become after so many minutes of fine-tuning: validation reply perplexity over training time, for
Personable, the classic recipe and TRL, on the same cores.

    python benchmarks/quality_per_minute.py --json quality.json --picture quality.png        # half an hour and more
    python benchmarks/quality_per_minute.py --base smollm2-135m --lora --minutes 5 --learning-rate 3e-4
    python benchmarks/quality_per_minute.py --variants personable personable_dropout --minutes 20
    python benchmarks/quality_per_minute.py --quick --json quality.json

Variants are those of training.py, one process after the other, with all cores. The same for all: base, seed, learning
rate (constant after a warm-up, so that a curve does not depend on where it ends), AdamW (fused), clipping at 1,
float32 on a CPU
(or --bf16), dropout (but personable_dropout), the ConvAI2 training dialogues (detokenised), and about as many
learnt tokens in an optimiser step: the replies of 4 dialogues, which are one row of 1024 tokens, or for the classic
recipe as many replies of any dialogues. Each draws its dialogues in its own random order; Personable also shuffles the
facts of personas, its default. The clock runs while Trainer trains: not while models and data are loaded, nor while
perplexity is measured, which one and the same plain model does, with the weights of the one in training, over 60
dialogues of the validation file. A mark is measured after the step that reaches it, so slow variants are given somewhat
more time.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from datasets import disable_progress_bars

from fine_tuning.job import ROW_TOKENS, Job, Variant
from fine_tuning.material import (
    LATER,
    TRAINING_FILE,
    VALIDATION,
    VALIDATION_FILE,
    corpora,
    encoded,
    read_some,
    write_material,
)
from fine_tuning.processes import SKIPPED, command, cores, measure, runnable
from personable.base import load_tokenizer
from personable.provenance import hardware, versions

DEFAULT_VARIANTS = (Variant.CLASSIC, Variant.TRL_TUNED, Variant.PERSONABLE)
STYLES = {
    Variant.CLASSIC: ("tab:gray", "classic: one padded example per reply"),
    Variant.CLASSIC_DYNAMIC: ("tab:brown", "classic, padded per micro-batch"),
    Variant.TRL_TUNED: ("tab:orange", "TRL SFTTrainer, packed and tuned"),
    Variant.TRL_BF16: ("tab:olive", "TRL SFTTrainer, packed and tuned, bf16"),
    Variant.PERSONABLE_BF16: ("tab:green", "Personable, bf16"),
    Variant.TRL_DEFAULTS: ("tab:red", "TRL SFTTrainer, defaults"),
    Variant.PERSONABLE: ("tab:blue", "Personable"),
    Variant.PERSONABLE_LORA: ("tab:cyan", "Personable, LoRA"),
    Variant.PERSONABLE_DROPOUT: ("tab:purple", "Personable, dropout 0.1"),
}


def main() -> None:
    """Parses the command line, measures, draws the picture and writes the JSON."""
    given = _arguments()
    disable_progress_bars()
    variants = runnable(given.variants)
    skipped = {variant.value: SKIPPED for variant in given.variants if variant not in variants}
    for name, reason in skipped.items():
        print(f"skipped {name}: {reason}", file=sys.stderr)
    marks = tuple(60 * given.minutes * (mark + 1) / given.marks for mark in range(given.marks))
    curves: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="benchmark-quality-") as folder:
        longest = _write_dialogues(Path(folder), given)
        for variant in variants:
            job = Job(
                variant=variant,
                base=given.base,
                data=Path(folder),
                device=given.device,
                padded_tokens=longest,
                dialogues_per_step=given.dialogues_per_step,
                learning_rate=given.learning_rate,
                warmup_steps=given.warmup_steps,
                dropout=given.dropout,
                lora=given.lora,
                bf16=given.bf16,
                seed=given.seed,
                marks=marks,
            )
            curves[variant.value] = measure(job)
            print(_line(variant.value, curves[variant.value]), file=sys.stderr)
    found = _found(given, marks, curves, skipped)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if curves:
        given.picture.parent.mkdir(parents=True, exist_ok=True)
        draw(found, given.picture)
        print(f"picture: {given.picture}", file=sys.stderr)
    print(table(found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="starter")
    parser.add_argument("--lora", action="store_true", help="LoRA (r 16, all linear layers) for all variants")
    parser.add_argument("--bf16", action="store_true", help="for all variants, where the CPU computes it")
    parser.add_argument(
        "--variants", nargs="+", type=Variant, choices=list(Variant), default=list(DEFAULT_VARIANTS), metavar="VARIANT"
    )
    parser.add_argument("--minutes", type=float, default=10, help="of training, each variant")
    parser.add_argument("--marks", type=int, default=10, help="how often perplexity is measured, at equal distances")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--warmup-steps", type=int, default=10)
    parser.add_argument("--dialogues-per-step", type=int, default=4, help="a multiple of 4")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--dialogues", type=int, help="training dialogues; all of the file by default")
    parser.add_argument("--validation-dialogues", type=int, default=60, help="a seeded sample")
    parser.add_argument("--train", type=Path, default=corpora() / TRAINING_FILE)
    parser.add_argument("--validation", type=Path, default=corpora() / VALIDATION_FILE)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--picture", type=Path, default=Path("runs") / "quality_per_minute.png", help="default: runs/, not kept"
    )
    parser.add_argument("--quick", action="store_true", help="40 seconds each, 4 marks, 1000 and 20 dialogues")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the result there")
    given = parser.parse_args()
    if given.quick:
        given.minutes, given.marks, given.dialogues, given.validation_dialogues = 40 / 60, 4, 1000, 20
    if given.dialogues_per_step < 4 or given.dialogues_per_step % 4:
        parser.error(f"--dialogues-per-step: expected a multiple of 4, found {given.dialogues_per_step}")
    return given


def _write_dialogues(folder: Path, given: argparse.Namespace) -> int:
    """For all variants; how many tokens the longest training dialogue has."""
    tokenizer = load_tokenizer(given.base)
    train = read_some(given.train, given.dialogues)
    random.Random(given.seed).shuffle(train)
    validation = read_some(given.validation, None)
    validation = random.Random(given.seed).sample(validation, min(given.validation_dialogues, len(validation)))
    laid_out = encoded(train, tokenizer, ROW_TOKENS)
    write_material(folder, LATER, train, laid_out)
    write_material(folder, VALIDATION, validation, encoded(validation, tokenizer, ROW_TOKENS))
    return max(len(one.input_ids) for one in laid_out)


def _found(
    given: argparse.Namespace, marks: tuple[float, ...], curves: dict[str, Any], skipped: dict[str, str]
) -> dict[str, Any]:
    settings = {key: value.name if isinstance(value, Path) else value for key, value in vars(given).items()}
    ours = Variant.PERSONABLE.value
    below = {
        name: all(
            mine["perplexity"] < theirs["perplexity"]
            for mine, theirs in zip(curves[ours]["marks"], curve["marks"], strict=True)
        )
        for name, curve in curves.items()
        if ours in curves and name != ours
    }
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": command(),
        "settings": settings | {"variants": [variant.value for variant in given.variants]},
        "threads": cores(),
        "hardware": hardware(),
        "versions": versions(),
        "mark_seconds": marks,
        "curves": curves,
        "personable_below_at_every_mark": below,
        "skipped": skipped,
    }


def _line(name: str, curve: dict[str, Any]) -> str:
    last = curve["marks"][-1]
    return f"{name}: {curve['untrained_perplexity']:.2f} -> {last['perplexity']:.2f} after {last['steps']} steps"


def table(found: dict[str, Any]) -> str:
    """Perplexity at each mark, a line per variant."""
    heads = "".join(f"{seconds / 60:>10.2g}" for seconds in (0, *found["mark_seconds"]))
    lines = [f"{'minutes':<20}{heads}"]
    for name, curve in found["curves"].items():
        values = [curve["untrained_perplexity"], *(mark["perplexity"] for mark in curve["marks"])]
        lines.append(f"{name:<20}" + "".join(f"{value:>10.2f}" for value in values))
    lines += [f"{name} skipped: {reason}" for name, reason in found["skipped"].items()]
    for name, below in found["personable_below_at_every_mark"].items():
        lines.append(f"personable is {'below' if below else 'NOT below'} {name} at every mark")
    return "\n".join(lines)


def draw(found: dict[str, Any], path: Path) -> None:
    """A PNG with a curve per variant; the last value stands at its end."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    figure = Figure(figsize=(8, 4.8), dpi=120, layout="constrained")
    axes = figure.subplots()
    for name, curve in found["curves"].items():
        color, label = STYLES[Variant(name)]
        minutes = [0.0, *(mark["trained_seconds"] / 60 for mark in curve["marks"])]
        values = [curve["untrained_perplexity"], *(mark["perplexity"] for mark in curve["marks"])]
        axes.plot(minutes, values, color=color, marker="o", markersize=4, label=label)
        axes.annotate(
            f"{values[-1]:.1f}",
            (minutes[-1], values[-1]),
            textcoords="offset points",
            xytext=(6, 0),
            va="center",
            color=color,
        )
    settings = found["settings"]
    axes.set_yscale("log")  # the untrained base may lie far above everything of interest
    axes.yaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.06)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"minutes of training on {found['threads']} cores" if settings["device"] == "cpu" else "minutes")
    axes.set_ylabel("validation reply perplexity")
    axes.set_title(
        f"{settings['base']} fine-tuned on ConvAI2{', LoRA' if settings['lora'] else ''}: "
        f"{settings['validation_dialogues']} validation dialogues"
    )
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
