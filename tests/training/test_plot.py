"""The picture of a run."""

from __future__ import annotations

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from personable.training.plot import draw_loss

TRAINING = [{"step": step, "loss": 5 / step} for step in range(1, 9)]
VALIDATION = [{"step": step, "eval_loss": loss} for step, loss in ((0, 5.0), (4, 2.0), (8, 3.0))]


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws and returns the figure's axes, the file having been written."""
    figures = []
    save = Figure.savefig

    def savefig(figure, path, **options):
        figures.append(figure)
        save(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)

    def draw(metrics, **options):
        draw_loss(metrics, tmp_path / "loss.png", title="a run", **options)
        assert matplotlib.image.imread(tmp_path / "loss.png").shape[:2] == (540, 960)
        return figures[-1].axes[0]

    return draw


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()] if axes.get_legend() else []


def test_both_curves_with_the_best_step_marked(drawn) -> None:
    axes = drawn(TRAINING + VALIDATION)
    assert legend(axes) == ["training", "validation", f"best: step 4, reply perplexity {np.exp(2):.4g}"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("optimiser step", "loss (nats per learnt token)")
    assert axes.child_axes[0].get_ylabel() == "reply perplexity"
    best = axes.lines[2]
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (4, 2.0)


def test_the_right_axis_reads_the_left_one_as_perplexity(drawn) -> None:
    axes = drawn(TRAINING + VALIDATION)
    assert axes.child_axes[0].yaxis.get_major_formatter()(2.0, 0) == f"{np.exp(2):.3g}"


def test_weights_that_are_not_the_best_are_marked_too(drawn) -> None:
    assert legend(drawn(VALIDATION, kept_step=8))[-1] == f"kept: step 8, reply perplexity {np.exp(3):.4g}"
    assert len(legend(drawn(VALIDATION, kept_step=4))) == 2


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ([], []),
        (TRAINING[:1], ["training"]),
        (VALIDATION[:1], ["validation", "best: step 0, reply perplexity 148.4"]),
        ([{"step": 1, "loss": None}, *TRAINING[1:]], ["training"]),
        ([{"step": 1, "eval_loss": 5000.0}], ["validation", f"best: step 1, reply perplexity {np.exp(700):.4g}"]),
    ],
)
def test_few_points_and_none(drawn, metrics, expected) -> None:
    axes = drawn(metrics)
    assert legend(axes) == expected
    low, high = axes.get_ylim()
    for line in axes.lines:
        assert all(low <= value <= high for value in line.get_ydata()), "every point is in sight"
