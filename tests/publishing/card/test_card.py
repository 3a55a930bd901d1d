"""A model card says what the files of its run say, to the digit, and nothing else."""

from __future__ import annotations

import html
import json
import re
import socket
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from personable.publishing.card import usage as card_usage
from personable.publishing.card.lineage import CITATIONS
from personable.publishing.card.writing import make_card
from tests.publishing.card.sample_run import (
    METRICS,
    SECTIONS,
    change_record,
    fresh_run,
    headings,
    sample_report,
    section,
    trained_once,
)


@pytest.fixture
def run(tmp_path_factory, tmp_path) -> Path:
    return fresh_run(tmp_path_factory, tmp_path)


def test_the_sections_stand_in_their_order(run) -> None:
    assert headings(make_card(run, repo="me/rita")) == SECTIONS


def test_without_a_hub_id_there_is_no_link_to_weights(run) -> None:
    card = make_card(run)
    assert headings(card) == [title for title in SECTIONS if title != "Weights"]
    assert 'name = "rita"' in card


# Every number

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")


def numbers_in(text: str) -> set[str]:
    return {found.replace(",", "").rstrip(".") for found in NUMBER.findall(html.unescape(text))}


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each)
    else:
        yield value


def roundings(values: Iterable[float]) -> set[str]:
    return {f"{value:.{digits}f}" for value in values for digits in range(5)} | {f"{value:g}" for value in values}


def numbers_of_the_files(run: Path) -> set[str]:
    """Every number that training.json, metrics.jsonl and evaluation.json hold, with its roundings, and the few that a
    card may compute from them."""
    record = json.loads((run / "training.json").read_text())
    found: list[Any] = [*leaves(record)]
    for line in (run / "metrics.jsonl").read_text().splitlines():
        found += leaves(json.loads(line))
    evaluation = json.loads((run / "evaluation.json").read_text()) if (run / "evaluation.json").exists() else {}
    found += leaves(evaluation)
    values = [each for each in found if isinstance(each, int | float) and not isinstance(each, bool)]
    seconds = [record["duration_seconds"], record["duration_seconds"] / record["epochs"]]
    computed = [*seconds, record["peak_memory_bytes"] / 1e9, record["peak_memory_bytes"] / 1e6]
    computed += [evaluation["confidence"] * 100] if evaluation else []
    computed += [len(evaluation.get("samples", [])), 1]
    words = " ".join(str(each) for each in found if isinstance(each, str))
    return roundings([*values, *computed]) | {str(value) for value in values} | numbers_in(words)


def numbers_of_the_text() -> set[str]:
    """Those that stand in every card."""
    template = files("personable.publishing.card").joinpath("card.md.jinja").read_text("utf-8")
    return numbers_in(template) | numbers_in(card_usage._USAGE) | numbers_in(" ".join(CITATIONS.values()))


def unexplained(card: str, run: Path) -> set[str]:
    unmarked, _, mark = card.rpartition("<!--")
    assert "SHA-256" in mark
    unmarked = unmarked.replace("-f16.gguf", "")
    return numbers_in(unmarked) - numbers_of_the_files(run) - numbers_of_the_text()


@pytest.mark.parametrize("evaluated", [True, False])
def test_every_number_stands_in_a_file_of_the_run(run, evaluated) -> None:
    if not evaluated:
        (run / "evaluation.json").unlink()
    assert unexplained(make_card(run), run) == set()


@pytest.mark.parametrize(("shown", "wrong"), [("16.1", "16.2"), ("318.46", "318.47"), ("15.7–16.4", "15.7–16.9")])
def test_a_number_that_stands_nowhere_would_be_found(run, shown, wrong) -> None:
    card = make_card(run)
    assert shown in card
    assert unexplained(card.replace(shown, wrong), run)


def test_what_was_measured_in_training_is_what_the_files_say(run) -> None:
    record = json.loads((run / "training.json").read_text())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    first = next(row["eval_reply_perplexity"] for row in rows if row["step"] == 0)
    kept = record["kept"]["validation_reply_perplexity"]
    said = section(make_card(run), "Justifications")
    assert f"{first:,.2f} before the first step, {kept:,.2f} with the weights kept here" in said
    assert f"(step {record['kept']['step']} of {record['steps']})" in said
    assert f"{record['learnt_tokens']} tokens were learnt" in said
    curve = section(make_card(run), "Training curve")
    for row in rows:
        if "eval_loss" in row:
            assert f"{row['eval_loss']:.3f} | {row['eval_reply_perplexity']:,.2f} |" in curve
    assert "![Training and validation loss over optimiser steps](loss.png)" in curve
    (run / "loss.png").unlink()
    assert "loss.png" not in make_card(run)


def test_scores_stand_beside_their_baselines(run) -> None:
    lines = section(make_card(run), "Evaluation").splitlines()
    f1 = next(line for line in lines if line.startswith("| ParlAI F1"))
    assert f1 == "| ParlAI F1 (%) ↑ | **16.1** | 15.7–16.4 | 417 replies | 21.2 | – |"
    question = next(line for line in lines if line.startswith("| Replies with a question"))
    assert question == "| Replies with a question (%) ≈ | **31.2** | none | 417 replies | – | 28.8 |"
    assert "| metric | this model | 95 % interval | over | constant string | human reply |" in lines
    assert "- Contradictions: no NLI classifier was given (--nli)." in lines
    assert "Decoding: method greedy, max_reply_tokens 80. Seed 7." in "\n".join(lines)
    for metric in list(METRICS.values())[:3]:
        assert html.escape(metric.definition.rstrip("."), quote=False) in "\n".join(lines)


def test_a_trivial_system_that_does_better_is_a_limitation(run) -> None:
    said = section(make_card(run), "Limitations and failures")
    assert "- ParlAI F1: a trivial system does better than this model's 16.1 (constant string 21.2)." in said
    assert "- worst by ParlAI F1 (F1 0.0)" in said
    assert "- **Reply:** blue" in said
    assert "hello there" not in said  # drawn at random, so no failure


# What is not there


@pytest.mark.parametrize("evaluated", [True, False])
def test_nothing_is_left_blank_and_nothing_names_the_machine(run, tmp_path_factory, evaluated) -> None:
    if not evaluated:
        (run / "evaluation.json").unlink()
    card = make_card(run)
    record = json.loads((run / "training.json").read_text())
    assert "information needed" not in card.lower()
    assert "None" not in card
    assert record["hardware"]["platform"] not in card
    assert socket.gethostname() not in card
    assert str(trained_once(tmp_path_factory).parent) not in card
    assert re.findall(r"(?<![\w:./])/\w+/", card) == []
    assert Path(record["recipe"]["base"]).is_absolute()
    assert "the local model <code>base</code>" in card
    assert "<code>train.jsonl</code>" in card


def test_a_run_that_was_not_evaluated_says_so_and_how_to(run) -> None:
    (run / "evaluation.json").unlink()
    card = make_card(run)
    assert "**Not evaluated.**" in card
    assert "personable evaluate RUN --data PATH\npersonable card RUN\n" in make_card(run, repo="me/rita")
    assert "(RUN is the folder of the run, PATH the dialogues to measure it on):" in card
    assert not {"model-index", "metrics"} & set(ModelCard(card).data.to_dict())


@pytest.mark.parametrize(
    ("named", "typed"),
    [("runs/rita", "runs/rita"), ("rita", "rita"), ("runs/other", "RUN"), ("~/rita", "RUN"), ("C:\\rita", "RUN")],
)
def test_a_run_is_named_in_commands_as_it_was_in_its_recipe(run, named, typed) -> None:
    (run / "evaluation.json").unlink()
    change_record(run, lambda record: record["recipe"].update(run=named))
    assert f"personable evaluate {typed} --data PATH\npersonable card {typed}\n" in make_card(run, repo="me/rita")


def test_a_run_called_starter_is_not_taken_for_the_bundled_model(run) -> None:
    (run / "evaluation.json").unlink()
    change_record(run, lambda record: record["recipe"].update(run="starter"))
    card = make_card(run.rename(run.with_name("starter")))
    assert "personable evaluate ./starter --data PATH" in card
    assert "personable chat ./starter --fact" in card


def test_how_well_it_talks_is_said_to_be_measured_only_where_it_was(run) -> None:
    assert "How well it does that is under [Evaluation]" in make_card(run)
    scores = sample_report().scores
    sample_report(scores={"perplexity": scores["perplexity"]}, baselines={}).write(run)
    assert "How well it does that **was not measured**; what was is under [Evaluation]" in make_card(run)


def test_the_sampling_that_comes_with_the_model_is_stated(run) -> None:
    settings = {"temperature": 0.55, "top_p": 0.85, "top_k": 17, "repetition_penalty": 1.15}
    change_record(run, lambda record: record["recipe"]["generation"].update(settings))
    said = "the sampling settings come with the model: temperature 0.55, top_p 0.85, top_k 17, repetition_penalty 1.15)"
    assert said in section(make_card(run), "How to use")


def test_an_absolute_path_in_a_reason_is_cut_to_its_name(run) -> None:
    reason = "no classifier in /home/ann/models/nli was found"
    sample_report(not_measured={"contradiction_rate": reason}).write(run)
    assert "- Contradictions: no classifier in nli was found." in make_card(run)


def test_a_run_without_validation_or_curve_is_described_all_the_same(run) -> None:
    (run / "metrics.jsonl").write_text("")
    (run / "loss.png").unlink()
    change_record(run, lambda record: record["kept"].update(validation_reply_perplexity=None))
    card = make_card(run)
    assert "Not measured: this run did not evaluate on validation dialogues." in card
    assert "No curve was recorded." in card
