"""The loss curve of a run as a picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any


def draw_loss(metrics: list[dict[str, Any]], path: Path, *, title: str) -> None:
    """A PNG with training and validation loss over optimiser steps, and the best step marked.

    metrics: rows of metrics.jsonl. The left axis is nats per learnt token, the right one the perplexity it stands for.
    """
    from matplotlib.figure import Figure

    training = [(row["step"], row["loss"]) for row in metrics if "loss" in row]
    validation = [(row["step"], row["eval_loss"]) for row in metrics if "eval_loss" in row]
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    if training:
        axes.plot(*zip(*training, strict=True), color="tab:blue", alpha=0.6, linewidth=1.2, label="training")
    if validation:
        axes.plot(*zip(*validation, strict=True), color="tab:orange", marker="o", markersize=4, label="validation")
        step, best = min(validation, key=lambda point: point[1])
        axes.plot([step], [best], marker="*", markersize=16, color="tab:red", linestyle="none",
                  label=f"best: step {step}, reply perplexity {math.exp(best):.2f}")  # fmt: skip
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("loss (nats per learnt token)")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0), min(high, 12))
    perplexity = axes.secondary_yaxis("right", functions=(_exp, _log))
    perplexity.set_ylabel("reply perplexity")
    axes.grid(alpha=0.3)
    axes.set_title(title)
    if training or validation:
        axes.legend()
    figure.savefig(path)


def _exp(values: Any) -> Any:
    import numpy

    return numpy.exp(numpy.minimum(values, 20.0))


def _log(values: Any) -> Any:
    import numpy

    return numpy.log(numpy.maximum(values, 1e-9))
