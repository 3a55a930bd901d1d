"""The loss curve of a run as a picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any


def draw_loss(metrics: list[dict[str, Any]], path: Path, *, title: str, kept_step: int | None = None) -> None:
    """A PNG with training and validation loss over optimiser steps, and the step with the best validation loss marked.

    metrics: rows of metrics.jsonl. kept_step: the step whose weights the run holds, marked where it is not the best.
    The left axis is nats per learnt token, the right one the perplexity it stands for.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    training, validation = _curve(metrics, "loss"), _curve(metrics, "eval_loss")
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    if training:
        marker = "." if len(training) < 30 else ""  # a single point has no line to be seen by
        axes.plot(
            *zip(*training, strict=True), color="tab:blue", alpha=0.7, linewidth=1.2, marker=marker, label="training"
        )
    if validation:
        axes.plot(*zip(*validation, strict=True), color="tab:orange", marker="o", markersize=4, label="validation")
        best = min(validation, key=lambda point: point[1])
        _mark(axes, best, "best", marker="*", markersize=16, color="tab:red")
        kept = next((point for point in validation if point[0] == kept_step), best)
        if kept != best:
            _mark(axes, kept, "kept", marker="D", markersize=9, color="tab:green", markerfacecolor="none")
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("loss (nats per learnt token)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.margins(y=0.12)
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0), min(high, 15) if low < 12 else high)
    perplexity = axes.secondary_yaxis("right")
    # The same scale, read as perplexity: a scale of its own would have to put ticks at powers of e.
    perplexity.yaxis.set_major_formatter(FuncFormatter(lambda nats, _: f"{math.exp(min(nats, 700)):.3g}"))
    perplexity.set_ylabel("reply perplexity")
    axes.grid(alpha=0.3)
    axes.set_title(title)
    if training or validation:
        axes.legend()
    figure.savefig(path)


def _curve(metrics: list[dict[str, Any]], key: str) -> list[tuple[int, float]]:
    return [(row["step"], row[key]) for row in metrics if row.get(key) is not None]


def _mark(axes: Any, point: tuple[int, float], name: str, **style: Any) -> None:
    step, nats = point
    said = f"{name}: step {step}, reply perplexity {math.exp(min(nats, 700)):.4g}"
    axes.plot([step], [nats], linestyle="none", label=said, **style)
