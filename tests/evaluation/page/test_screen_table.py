"""Scores and comparisons on the terminal."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from personable.evaluation.bootstrap import Difference
from personable.evaluation.comparison import ComparedMetric
from personable.evaluation.metric import Better, Metric, Score
from personable.evaluation.page.screen_table import comparison_table, score_table
from tests.evaluation.page.sample_report import METRICS, sample_comparison, sample_report


def printed(renderable, width: int) -> str:
    """What a terminal of that width shows, without colours."""
    console = Console(file=StringIO(), width=width, color_system=None)
    console.print(renderable)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def cells(text: str, name: str) -> list[str]:
    """The words of the line that begins with a name, after it."""
    line = next(line for line in text.splitlines() if line.strip().startswith(name))
    return line.strip().removeprefix(name).split()


def test_all_columns_fit_into_100() -> None:
    text = printed(score_table(sample_report().record()), 100)
    heading = text.splitlines()[1].split()
    assert heading == ["value", "95", "%", "interval", "string", "echo", "copy", "reply", "human"]
    assert cells(text, "ParlAI F1 %") == ["16.1", "↑", "15.7–16.4", "21.2†", "13.9", "12.6", "11.4", "100.0"]
    assert cells(text, "Reply perplexity") == ["18.42", "↓", "17.91–18.96", "–", "–", "–", "–", "–"]
    assert cells(text, "Bits per byte")[0] == "0.982"
    assert cells(text, "Replies with a question %")[:2] == ["38.2", "≈"]
    assert "Not measured: Contradicting replies: no NLI classifier was given (--nli)" in text
    assert "No room" not in text
    titles = [
        line.strip()
        for line in text.splitlines()
        if line.strip() in {"Perplexity", "Ranking", "Generation", "Fidelity"}
    ]
    assert titles == ["Perplexity", "Ranking", "Generation", "Fidelity"]


def test_80_columns_keep_value_interval_and_the_human_replies() -> None:
    text = printed(score_table(sample_report().record()), 80)
    assert max(map(len, text.splitlines())) <= 80
    assert cells(text, "ParlAI F1 %") == ["16.1", "↑", "15.7–16.4", "21.2†", "13.9", "12.6", "100.0"]
    assert "No room for: random reply; evaluation.json has all." in text


@pytest.mark.parametrize("width", [40, 50, 60, 70, 90])
def test_the_value_is_never_lost(width) -> None:
    text = printed(score_table(sample_report().record()), width)
    assert max(map(len, text.splitlines())) <= width
    shown = {line for line in text.splitlines() if "…" in line}
    assert shown == set(), "nothing is cut short"
    for value in ("18.42", "41.3", "16.1", "1.19", "0.563"):
        assert value in text.split()


def test_a_part_of_the_metrics_and_none() -> None:
    record = sample_report(without=frozenset(METRICS) - {"hits_1"}).record()
    text = printed(score_table(record), 100)
    assert text.splitlines()[0].split() == ["value", "95", "%", "interval"], "no column for nothing"
    assert cells(text, "Hits@1 %") == ["41.3", "↑", "39.6–42.9"]
    record["scores"]["hits_1"]["value"] = None
    text = printed(score_table(record), 100)
    assert text.splitlines() == [
        "Not measured: Contradiction rate: no NLI classifier was given (--nli)",
        "Not measured: Hits@1: nothing was counted",
    ]


def test_what_is_not_measured_for_one_reason_shares_a_line() -> None:
    record = sample_report().record()
    record["not_measured"] = {"bits_per_byte": "why", "hits_1": "why", "f1": "because"}
    text = printed(score_table(record), 100)
    assert "Not measured: Bits per byte, Hits@1: why\n" in text
    assert "Not measured: ParlAI F1: because\n" in text


def test_names_do_not_steer_the_terminal() -> None:
    record = sample_report().record()
    record["metrics"]["f1"]["name"] = "[red]F1[/red] \x1b[2J"
    record["baselines"]["\x1b]0;title\x07[bold]"] = record["baselines"].pop("echo of the partner")
    record["not_measured"]["contradiction_rate"] = "[/] \x1b[31m\nnone"
    text = printed(score_table(record), 130)
    assert "[red]F1[/red]" in text
    assert "\x1b" not in text
    assert "\x07" not in text
    text = printed(comparison_table(sample_comparison(), "runs/[red]a\x1b[2J", "b"), 100)
    assert "A: runs/[red]a" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [80, 100])
def test_a_comparison_says_which_is_better_where_it_is_real(width) -> None:
    text = printed(comparison_table(sample_comparison(), "runs/rita", "runs/big"), width)
    assert text.startswith("A: runs/rita\nB: runs/big\n")
    assert cells(text, "Reply perplexity") == [
        *("↓", "18.42", "19.52", "+1.10", "+1.00", "to", "+1.21"),
        *("A", "is", "better"),
    ]
    assert cells(text, "Distinct-2 %")[-3:] == ["B", "is", "better"]
    assert cells(text, "ParlAI F1 %")[-3:] == ["no", "real", "difference"]
    assert cells(text, "Bits per byte")[:5] == ["↓", "0.982", "0.941", "−0.041", "–"]
    assert max(map(len, text.splitlines())) <= width


def test_nothing_in_common() -> None:
    assert printed(comparison_table([]), 80) == "No metric was measured for both.\n"


def test_both_scores_have_the_same_digits() -> None:
    """9.96 and 10.04 % would otherwise be written with two digits and with one."""
    rate = Metric("x", "Rate", "", Better.LOWER, "", unit="%")
    first, second = (Score(value, None, "", 1, "replies") for value in (9.96, 10.04))
    text = printed(comparison_table([ComparedMetric(rate, first, second, Difference(0.08, (0.01, 0.2)))]), 80)
    assert cells(text, "Rate %")[1:4] == ["10.0", "10.0", "+0.1"]
