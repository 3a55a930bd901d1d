"""Nothing that a run holds can break its model card, and the Hub reads what stands at its top."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from markdown_it import MarkdownIt

from personable.dialogue import Persona, Speaker, Turn
from personable.evaluation.report import Sample
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
)

HOSTILE = (
    "``` <script>alert(1)</script> | a | **b** [x](http://evil.test) \n\n# no heading\n---\n&amp; $$x$$ ~~~ "
    "www.evil.test"
)


@pytest.fixture
def run(tmp_path_factory, tmp_path) -> Path:
    return fresh_run(tmp_path_factory, tmp_path)


def rendered(card: str) -> str:
    return str(MarkdownIt("commonmark").enable("table").render(ModelCard(card).text))


def test_no_text_of_a_run_can_break_the_card(run) -> None:
    calm = headings(make_card(run))
    turns = (Turn(Speaker.PARTNER, HOSTILE), Turn(Speaker.PERSONA, HOSTILE), Turn(Speaker.PARTNER, HOSTILE))
    sample = Sample(HOSTILE, Persona((HOSTILE,)), turns, HOSTILE, HOSTILE, HOSTILE)
    report = sample_report(
        samples=(sample, Sample("at random", Persona(), (), HOSTILE)),
        data={"name": f"a: b\n---\n- {HOSTILE}", "dialogues": 50},
        engine={"kind": "local", "name": HOSTILE},
        not_measured={"contradiction_rate": HOSTILE},
        decoding={"method": HOSTILE},
    )
    report.write(run)
    change_record(run, lambda record: record["recipe"].update(base=HOSTILE, base_licence=HOSTILE, licence=HOSTILE))
    change_record(run, lambda record: record["recipe"]["data"].update(train=[HOSTILE], licence=HOSTILE))
    change_record(run, lambda record: record["versions"].update(personable=HOSTILE, torch="1`2|3"))
    card = make_card(run)
    page = rendered(card)
    assert headings(card) == calm
    assert "<script" not in page
    assert not re.findall(r'href="(?!https://huggingface\.co/|#)', page)
    assert len(re.findall("<hr", page)) == 0
    shown = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", page)))
    assert shown.count("``` <script>alert(1)</script> | a | **b** [x](http://evil.test) # no heading ---") >= 8
    assert ModelCard(card).data.eval_results[0].dataset_name  # the YAML came through


def test_a_folder_with_an_odd_name_is_quoted_where_it_is_typed(run) -> None:
    odd = run.rename(run.with_name('my ```run`` "1" $(x)'))
    card = make_card(odd)
    assert "personable chat 'my ```run`` \"1\" $(x)' --fact" in card
    assert 'name = "my ```run`` \\"1\\" $(x)"' in card
    assert headings(card) == [title for title in SECTIONS if title != "Weights"]


def test_a_template_that_is_no_template_leaves_the_layout_out(run) -> None:
    change_record(run, lambda record: record.update(chat_template="{% broken"))
    assert "become:" not in make_card(run)


# Metadata, by the Hub's own classes


def test_the_hub_reads_the_metadata(run) -> None:
    card = make_card(run, repo="me/rita", licence="MIT")
    data = ModelCard(card).data
    assert data.library_name == "transformers"
    assert data.pipeline_tag == "text-generation"
    assert data.license == "mit"
    assert data.tags == ["conversational", "persona", "personable"]
    assert data.metrics == ["perplexity"]  # what the Hub knows by that name
    assert not {"base_model", "datasets", "language"} & set(data.to_dict())  # all local, language not stated
    scores = json.loads((run / "evaluation.json").read_text())["scores"]
    for result in data.eval_results:
        assert result.metric_value == pytest.approx(scores[result.metric_type]["value"], abs=0.05)
        assert (result.dataset_type, result.dataset_name) == ("text", "valid_self_original.txt.xz")
    name, results = model_index_to_eval_results(eval_results_to_model_index(data.model_name, data.eval_results))
    assert (name, results) == ("me/rita", data.eval_results)
    assert ModelCard(card).content.split("---")[1] == card.split("---")[1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"limit": 60, "dialogues": 60}, "a sample of 60 dialogues"),
        ({"dialogues": 49}, "49 dialogues only"),
        ({"dialogues": 1}, "1 dialogue only"),
        ({"limit": 1, "dialogues": 1}, "a sample of 1 dialogue"),
    ],
)
def test_scores_of_few_dialogues_stay_out_of_the_metadata(run, changes, said) -> None:
    sample_report(data={**sample_report().data, **changes}).write(run)
    card = make_card(run)
    assert not {"model-index", "metrics"} & set(ModelCard(card).data.to_dict())
    assert f"The scores were measured on {said}, so they are not in the metadata" in section(card, "Evaluation")


def test_the_metadata_says_what_data_was_measured_on(run) -> None:
    known = {"name": "corpora/Synthetic-Persona-Chat_valid.csv", "dialogues": 50, "detokenised": True}
    report = sample_report()
    metric = replace(METRICS["f1"], key="bleu4", name="BLEU-4")
    report = sample_report(data=known, metrics={"bleu4": metric}, scores={"bleu4": report.scores["f1"]}, baselines={})
    report.write(run)
    card = make_card(run)
    assert "not in the metadata" not in card
    data = ModelCard(card).data
    assert data.metrics == ["bleu"]
    (result,) = data.eval_results
    assert result.metric_type == "bleu"
    assert result.dataset_type == "google/Synthetic-Persona-Chat"
    assert result.dataset_name == "Synthetic-Persona-Chat_valid.csv (detokenised)"


def test_what_is_known_of_dialogpt_and_its_data_is_stated(run) -> None:
    def change(record: dict[str, Any]) -> None:
        lora = {"r": 16, "alpha": 32, "dropout": 0.05, "target_modules": "all-linear", "layers_to_transform": None}
        record["recipe"].update(base="microsoft/DialoGPT-medium", licence="mit", lora=lora)
        sources = ["google/Synthetic-Persona-Chat:train"]
        record["recipe"]["data"].update(train=sources, validation=[], language="en")
        record["data"]["train"]["sources"] = sources

    change_record(run, change)
    card = make_card(run)
    data = ModelCard(card).data
    assert (data.base_model, data.base_model_relation) == ("microsoft/DialoGPT-medium", "finetune")
    assert (data.license, data.language) == ("mit", "en")
    assert data.datasets == ["google/Synthetic-Persona-Chat"]
    assert {"dialogpt", "lora"} <= set(data.tags)
    assert "Reddit comment chains" in section(card, "Base model and its pre-training data")
    assert "rank 16, alpha 32, dropout 0.05, on <code>all-linear</code>" in card
    assert "merged into the model" in section(card, "Architecture")
    rows = section(card, "Fine-tuning data")
    assert "| base | [microsoft/DialoGPT-medium](https://huggingface.co/microsoft/DialoGPT-medium) | mit |" in rows
    assert "| cc-by-4.0 | its data set card and README |" in rows
    cited = section(card, "Citation")
    assert [key for key in CITATIONS if f"{{{key}," in cited] == [
        "zhang2020dialogpt",
        "jandaghi2023faithful",
        "hu2021lora",
    ]


def test_a_base_beside_its_run_is_no_model_of_the_hub(run) -> None:
    change_record(run, lambda record: record["recipe"].update(base="runs/starter-general", run="runs/starter"))
    assert "base_model" not in ModelCard(make_card(run)).data.to_dict()
    change_record(run, lambda record: record["recipe"].update(base="owner/name", run="runs/starter"))
    assert ModelCard(make_card(run)).data.base_model == "owner/name"


def test_an_unknown_licence_is_not_invented(run) -> None:
    card = make_card(run)
    assert "license" not in ModelCard(card).data.to_dict()
    assert "Weights: not stated." in section(card, "Licence")
    assert "(base): not stated" in section(card, "Licence")
    named = ModelCard(make_card(run, licence="My Licence 1.0")).data
    assert (named.license, named.license_name) == ("other", "my-licence-1.0")
