"""An evaluation as a whole: real engines, though tiny ones, on the bundled dialogues, to a report on disk."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from personable import corpus, starter
from personable.base import Base
from personable.dialogue import Dialogue, Speaker
from personable.errors import DataError
from personable.evaluation import Evaluation, LocalEngine, Part, Settings, Subject, evaluate, write_evaluation
from personable.evaluation.engine import OnProgress, no_progress
from personable.evaluation.fidelity import order
from personable.evaluation.likelihood import METRICS as PERPLEXITIES
from personable.evaluation.parts import PARTS
from personable.evaluation.ranking import METRICS as RANKINGS
from personable.evaluation.report import read_record
from personable.evaluation.run import sample_dialogues
from personable.reply import Sampling
from tests.tiny import tiny_gpt2, tiny_tokenizer

GREEDY = Sampling(temperature=0, top_p=1, max_reply_tokens=6)
WILD = Sampling(temperature=1.5, top_p=0.95, max_reply_tokens=6)
ALL = Settings(sampling=GREEDY, fact_questions=8, role_probes=6, order_dialogues=3)
FOUND_BY = {
    Part.PERPLEXITY: "bits_per_byte",
    Part.RANKING: "hits_1",
    Part.GENERATION: "f1",
    Part.FACTS: "fact_recall",
    Part.ROLES: "role_swaps",
    Part.NLI: "contradiction_rate",
    Part.ORDER: "order_spread",
}
"""A metric of each part."""


def few_dialogues() -> tuple[Dialogue, ...]:
    """Beginnings of bundled dialogues, with as much of their personas as the tiny model has room for."""
    found = corpus.read_dialogues(str(starter.VALIDATION)).dialogues[:4]
    return tuple(
        replace(one, persona=replace(one.persona, facts=one.persona.facts[:3]), turns=one.turns[:4]) for one in found
    )


def with_candidates(dialogues: Sequence[Dialogue]) -> tuple[Dialogue, ...]:
    """The same, with a choice of three replies wherever one is due."""
    others = ("no, only bread", "what do you do")
    return tuple(
        replace(
            one,
            turns=tuple(
                replace(turn, candidates=(*others, turn.text)) if turn.speaker is Speaker.PERSONA else turn
                for turn in one.turns
            ),
        )
        for one in dialogues
    )


def subject(dialogues: Sequence[Dialogue]) -> Subject:
    return Subject(tuple(dialogues), {"name": "few.jsonl", "fingerprint": corpus.fingerprint(dialogues)})


class Parrot:
    """A real engine that only talks: it says the partner's last line back."""

    def __init__(self) -> None:
        self.asked: list[Dialogue] = []

    @property
    def about(self) -> dict[str, object]:
        return {"kind": "parrot", "name": "parrot"}

    def replies(
        self, histories: Sequence[Dialogue], sampling: Sampling, on_progress: OnProgress = no_progress
    ) -> list[str]:
        self.asked += histories
        on_progress(len(histories), len(histories))
        return [history.turns[-1].text if history.turns else "" for history in histories]


@pytest.fixture(scope="module")
def base() -> Base:
    tokenizer = tiny_tokenizer()
    model = tiny_gpt2(tokenizer, positions=512)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim == 2:
                weights.mul_(6)  # choices so clear that rounding does not make them
    return Base(model, tokenizer, 512, "/home/ada/runs/tiny")


@pytest.fixture(scope="module")
def drawn(base) -> Evaluation:
    """With candidates drawn from other dialogues."""
    return evaluate(LocalEngine(base, batch_size=4), subject(few_dialogues()), ALL)


@pytest.fixture(scope="module")
def given(base) -> Evaluation:
    """With candidates that the data gives."""
    return evaluate(LocalEngine(base, batch_size=4), subject(with_candidates(few_dialogues())), ALL)


@pytest.fixture(params=["drawn", "given"])
def candidates(request) -> str:
    return request.param


@pytest.fixture
def evaluation(request, candidates) -> Evaluation:
    return request.getfixturevalue(candidates)


def test_every_part_finds_something_or_says_why_not(evaluation) -> None:
    report = evaluation.report
    assert set(FOUND_BY) == set(Part) == set(PARTS)
    for part, key in FOUND_BY.items():
        if part is Part.NLI:
            assert "--nli" in report.not_measured[key]
        else:
            assert math.isfinite(report.scores[key].value), key
            assert report.scores[key].count > 0, key
    assert set(evaluation.measured) == set(report.scores)
    assert not set(report.scores) & set(report.not_measured)
    assert set(report.details) >= {"perplexity", "ranking", "facts", "roles", "order"}
    assert set(report.seconds) == {*(part.value for part in Part), "replies", "total"}


def test_every_key_is_defined(evaluation) -> None:
    report = evaluation.report
    used = {*report.scores, *report.not_measured}.union(*(each.scores for each in report.baselines.values()))
    assert used == set(report.metrics)
    for key, metric in report.metrics.items():
        assert metric.key == key
        assert metric.name
        assert metric.definition


def test_trivial_systems_stand_beside_the_scores(evaluation, candidates) -> None:
    baselines = evaluation.report.baselines
    assert list(baselines) == [
        "human reply",
        "constant string",
        "echo of the partner",
        "copy of a persona fact",
        "random reply of other dialogues",
    ]
    for name, baseline in baselines.items():
        assert baseline.description
        assert {"f1", "hits_1"} <= set(baseline.scores), name
        assert ("fact_recall" in baseline.scores, "role_swaps" in baseline.scores) == (name != "human reply",) * 2
    human = baselines["human reply"].scores
    # Its words are the data's, so no candidate shares more; and F1 compares it with itself.
    assert human["hits_1"].value == human["f1"].value == 100
    assert baselines["copy of a persona fact"].scores["persona_copy"].value > 0
    assert baselines["echo of the partner"].scores["fact_recall"].value == 0
    details = evaluation.report.details["ranking"]
    assert (details["with_given_candidates"], details["with_drawn_candidates"]) == (
        (0, 8) if candidates == "drawn" else (8, 0)
    )


def test_training_replies_are_what_the_random_baseline_draws_from() -> None:
    settings = replace(ALL, parts=frozenset({Part.GENERATION}), training_replies=["i like it", "no"])
    report = evaluate(Parrot(), subject(few_dialogues()), settings).report
    drawn = report.baselines["random training reply"]
    assert "2 training replies" in drawn.description
    assert 1 <= drawn.scores["mean_words"].value <= 3
    assert "random reply of other dialogues" not in report.baselines


def test_the_batch_size_changes_no_number(base, drawn) -> None:
    one_at_a_time = evaluate(LocalEngine(base, batch_size=1), subject(few_dialogues()), ALL).report
    assert one_at_a_time.samples == drawn.report.samples
    assert list(one_at_a_time.scores) == list(drawn.report.scores)
    for key, score in drawn.report.scores.items():
        found = one_at_a_time.scores[key]
        assert (found.value, *(found.interval or ())) == pytest.approx((score.value, *(score.interval or ())), rel=1e-5)


def test_what_chance_decides_is_seeded(base) -> None:
    settings = Settings(
        parts=frozenset({Part.GENERATION, Part.FACTS}),
        sampling=WILD,
        seed=3,
        fact_questions=3,
    )
    first, again, other = (
        evaluate(LocalEngine(base), subject(few_dialogues()[:2]), each).report
        for each in (settings, settings, replace(settings, seed=4))
    )
    assert first.decoding["method"] == "sampling"
    assert first.decoding["seed"] == first.seed == 3
    assert first.samples == again.samples
    assert (first.scores, first.baselines, first.details) == (again.scores, again.baselines, again.details)
    assert {each.reply for each in first.samples} != {each.reply for each in other.samples}

    own = replace(settings, sampling=WILD.but(seed=8))
    assert evaluate(Parrot(), subject(few_dialogues()), own).report.decoding["seed"] == 8


def test_greedy_decoding_is_said_to_be(drawn) -> None:
    decoding = drawn.report.decoding
    assert decoding["method"] == "greedy"
    assert (decoding["temperature"], decoding["max_reply_tokens"]) == (0, 6)
    assert decoding["seed"] is not None


def test_an_engine_that_only_talks_gets_no_number_that_needs_more() -> None:
    engine = Parrot()
    evaluation = evaluate(engine, subject(few_dialogues()), ALL)
    report = evaluation.report
    for metric in (*PERPLEXITIES, *RANKINGS, *order.METRICS):
        assert report.not_measured[metric.key].startswith("not available: needs log-probabilities")
        assert metric.key not in report.scores
        assert metric.key not in evaluation.measured
        assert metric.key in report.metrics
    echo = report.baselines["echo of the partner"].scores
    for key in ("f1", "distinct_1", "fact_recall", "role_swaps"):
        assert report.scores[key] == echo[key], "a parrot is the echo"
    assert report.decoding["rest"] == "the server's own"
    assert "top_k" not in report.decoding
    # What the partner plays is not for the engine to know.
    assert all(not history.partner_persona.facts for history in engine.asked)


def test_only_the_parts_asked_for_are_measured() -> None:
    engine, announced = Parrot(), []

    def on_stage(name: str) -> OnProgress:
        announced.append(name)
        return no_progress

    settings = replace(ALL, parts=frozenset({Part.ROLES}))
    report = evaluate(engine, subject(few_dialogues()), settings, on_stage=on_stage).report
    assert list(report.scores) == ["role_swaps"]
    assert announced == ["roles"]
    assert len(engine.asked) == 6
    assert report.samples == ()
    assert report.not_measured == {}


def test_dialogues_without_personas_leave_parts_out_with_a_reason() -> None:
    bare = [replace(one, persona=replace(one.persona, facts=())) for one in few_dialogues()]
    report = evaluate(Parrot(), subject(bare), ALL).report
    for key in ("fact_recall", "role_swaps", "persona_copy", "order_spread"):
        assert key not in report.scores
        assert report.not_measured[key]
    used = {*report.scores, *report.not_measured}.union(*(each.scores for each in report.baselines.values()))
    assert used <= set(report.metrics)


@pytest.mark.parametrize("dialogues", [(), (Dialogue().then(Speaker.PARTNER, "hi"),)], ids=["none", "no reply"])
def test_without_replies_there_is_nothing_to_measure(dialogues) -> None:
    engine = Parrot()
    with pytest.raises(DataError, match=r"few\.jsonl: expected replies to measure against, found none"):
        evaluate(engine, subject(dialogues), ALL)
    assert engine.asked == []


def test_what_is_written_can_be_read_and_names_no_place_on_this_machine(evaluation, tmp_path) -> None:
    folder = tmp_path / "new" / "place"
    assert write_evaluation(evaluation.report, folder) == folder
    assert sorted(file.name for file in folder.iterdir()) == ["evaluation.html", "evaluation.json"]
    record = read_record(folder / "evaluation.json")
    assert record == json.loads(json.dumps(evaluation.report.record(), allow_nan=False))
    assert record["data"]["dialogues"] == 4
    assert record["data"]["replies"] == 8
    assert record["engine"]["name"] == "tiny"
    page = (folder / "evaluation.html").read_text(encoding="utf-8")
    assert record["metrics"]["f1"]["name"] in page
    for private in ("/home/ada", str(tmp_path), str(Path.home()), str(starter.VALIDATION.parent)):
        assert private not in (folder / "evaluation.json").read_text(encoding="utf-8")
        assert private not in page
    write_evaluation(evaluation.report, folder)  # over an earlier one


@pytest.mark.parametrize("inner", ["", "deeper"])
def test_a_file_in_the_place_of_the_folder_is_explained(drawn, tmp_path, inner) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(DataError, match=r"expected to be able to write the evaluation into .*taken"):
        write_evaluation(drawn.report, tmp_path / "taken" / inner)
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_sample_is_seeded_and_keeps_the_order() -> None:
    dialogues = [Dialogue().then(Speaker.PARTNER, str(place)) for place in range(40)]
    places = {one: place for place, one in enumerate(dialogues)}
    few = sample_dialogues(dialogues, 9, seed=1)
    assert len(set(few)) == 9
    assert [places[one] for one in few] == sorted(places[one] for one in few)
    random.seed(99)
    assert sample_dialogues(dialogues, 9, seed=1) == few
    assert sample_dialogues(dialogues, 9, seed=2) != few
    for limit in (None, 40, 41):
        assert sample_dialogues(dialogues, limit) == tuple(dialogues)
