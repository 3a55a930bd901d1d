"""An NLI classifier, trained on the spot on a toy language, and the scores that come of its labels."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, set_seed

from personable.dialogue import Dialogue, Persona, Speaker
from personable.errors import BadBase, BaseNotFound, DataError
from personable.evaluation.exchanges import exchanges_of
from personable.evaluation.fidelity.nli import METRICS, Label, NliClassifier, consistency, label_called

TOOL = Path(__file__).parents[3] / "tools" / "train_nli.py"
NOUNS = ("cat", "dog", "boat")


def toy_examples() -> Iterator[tuple[str, str, Label]]:
    """Having a thing entails having it, having none contradicts it, and says nothing of other things."""
    for said, fact, no in product(NOUNS, NOUNS, ("a", "no")):
        label = Label.NEUTRAL if said != fact else Label.ENTAILMENT if no == "a" else Label.CONTRADICTION
        yield f"i have {no} {said}", f"i have a {fact}", label


@pytest.fixture(scope="module")
def tool() -> Any:
    spec = importlib.util.spec_from_file_location("train_nli", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """An untrained two-layer BERT with one token a word."""
    folder = tmp_path_factory.mktemp("encoder")
    specials = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
    words = {word: place for place, word in enumerate((*specials, "i", "have", "a", "no", *NOUNS))}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=32, model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)  # fmt: skip
    set_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.3,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tool, encoder, tmp_path_factory):
    """A classifier that the tool trained."""
    out = tmp_path_factory.mktemp("nli")
    # Twice what is not neutral, so that the three labels are less uneven.
    balanced = [one for one in toy_examples() for _ in range(1 if one[2] is Label.NEUTRAL else 2)]
    tool.train(out, str(encoder), balanced * 180, epochs=1, learning_rate=2e-3, batch_size=24, seed=1)
    return out


@pytest.fixture(scope="module")
def classifier(folder):
    return NliClassifier(folder)


def renamed(folder, to, labels):
    """A copy of the classifier that calls its outputs by other names."""
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text())
    config["id2label"] = {str(place): name for place, name in enumerate(labels)}
    config["label2id"] = {name: place for place, name in enumerate(labels)}
    (to / "config.json").write_text(json.dumps(config))
    return to


def test_the_trained_classifier_knows_the_toy_language(classifier):
    pairs = [(premise, hypothesis) for premise, hypothesis, _ in toy_examples()]
    assert classifier.label(pairs) == [label for _, _, label in toy_examples()]


def test_labels_do_not_depend_on_the_batch(folder):
    pairs = [(premise, hypothesis) for premise, hypothesis, _ in toy_examples()]
    # Of many lengths, so that batches are padded; what the labels are does not matter here.
    pairs += [("i have a cat no dog " * many, "i have a boat " * (4 - many)) for many in (1, 2, 3)]
    alone = [NliClassifier(folder, batch_size=1).label([pair])[0] for pair in pairs]
    for batch_size in (1, 7, 64):
        assert NliClassifier(folder, batch_size=batch_size).label(pairs) == alone


def test_each_distinct_pair_is_read_once(classifier):
    told = []
    pair = ("i have a cat", "i have a cat")
    assert classifier.label([pair] * 9, lambda *each: told.append(each)) == [Label.ENTAILMENT] * 9
    assert told == [(1, 1)]


def test_the_mapping_is_read_from_the_config(folder, tmp_path):
    dnli = renamed(folder, tmp_path / "dnli", ["Positive", "NEUTRAL", "negative"])
    assert NliClassifier(dnli).labels == (Label.ENTAILMENT, Label.NEUTRAL, Label.CONTRADICTION)
    turned = renamed(folder, tmp_path / "turned", ["CONTRADICTION", "neutral", "Entailment"])
    pair = ("i have a cat", "i have a cat")
    assert NliClassifier(turned).label([pair]) == [Label.CONTRADICTION]  # the same output under another name


@pytest.mark.parametrize(
    "labels",
    [["LABEL_0", "LABEL_1", "LABEL_2"], ["entailment", "neutral", "neutral"], ["joy", "anger", "contradiction"]],
)
def test_other_labels_are_refused_with_what_was_found(folder, tmp_path, labels):
    with pytest.raises(BadBase) as caught:
        NliClassifier(renamed(folder, tmp_path / "other", labels))
    assert labels[0] in str(caught.value)
    assert "entailment, neutral and contradiction" in str(caught.value)


def test_an_untrained_encoder_is_refused(encoder, tmp_path):
    with pytest.raises(BadBase, match=r"without weights for classifier"):
        NliClassifier(renamed(encoder, tmp_path / "headless", [label.value for label in Label]))


def test_what_is_no_classifier_is_explained(folder, tmp_path):
    with pytest.raises(BaseNotFound, match=r"without config\.json"):
        NliClassifier(tmp_path)
    with pytest.raises(BaseNotFound, match="found '/no/such/place'"):
        NliClassifier("/no/such/place")
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(BadBase, match="found: "):
        NliClassifier(broken)


def test_label_names():
    assert label_called(" ENTAILMENT ") is Label.ENTAILMENT
    assert label_called("negative") is Label.CONTRADICTION
    assert label_called("LABEL_1") is None


CAT_AND_DOG = Persona(("i have a cat", "i have a dog"))


def exchanges():
    first = Dialogue(CAT_AND_DOG).then(Speaker.PERSONA, "i have a cat").then(Speaker.PERSONA, "i have no cat")
    nobody = Dialogue().then(Speaker.PERSONA, "i have a cat")
    second = Dialogue(Persona(("i have a boat",))).then(Speaker.PERSONA, "i have a dog").then(Speaker.PERSONA, "hi")
    return exchanges_of([first, nobody, second])


def test_scores_by_hand(classifier):
    replies = ["i have a cat", "i have no cat", "i have a cat", "i have a dog", ""]
    told = []
    group = consistency(classifier, exchanges(), replies, lambda *each: told.append(each))
    details: Any = group.details
    by_key = {measured.metric.key: measured for measured in group.measured}
    # +1 (cat entailed, dog neutral), -1 (cat contradicted), left out (no facts), 0, 0 (silence).
    assert by_key["c_score"].tally.sums.tolist() == [[0, 2], [0, 0], [0, 2]]
    assert by_key["c_score"].tally.value == 0
    assert by_key["entailment_rate"].tally.value == 25
    assert by_key["contradiction_rate"].tally.value == 25
    assert by_key["c_score_percent"].tally.value == 25
    assert {measured.count for measured in group.measured} == {4}
    assert details["classifier"] == classifier.name
    assert details["distinct_pairs"] == 5
    assert details["found"] == {"entailment": 1, "neutral": 4, "contradiction": 1}
    assert details["examples"]["contradiction"] == [{"reply": "i have no cat", "fact": "i have a cat"}]
    assert told == [(5, 5)]


def test_a_reply_that_contradicts_one_fact_is_not_consistent(classifier):
    # A reply stands against each fact by itself, so the same one can entail and contradict.
    persona = Persona(("i have a cat", "i have no cat"))
    (exchange,) = exchanges_of([Dialogue(persona).then(Speaker.PERSONA, "x")])
    labels = classifier.label([("i have a cat", fact) for fact in persona.facts])
    group = consistency(classifier, [exchange], ["i have a cat"])
    by_key = {measured.metric.key: measured.tally.value for measured in group.measured}
    assert labels[0] is Label.ENTAILMENT
    assert by_key["entailment_rate"] == 100
    assert by_key["c_score"] == 1 - labels.count(Label.CONTRADICTION) + labels[1:].count(Label.ENTAILMENT)
    assert by_key["c_score_percent"] == (0 if Label.CONTRADICTION in labels else 100)


def test_pasting_the_facts_beats_everything(classifier):
    asked = exchanges()
    pasted = [next(iter(each.history.persona.facts), "") for each in asked]
    group = consistency(classifier, asked, pasted)
    assert [measured.tally.value for measured in group.measured] == [1, 100, 0, 100]


def test_without_a_classifier_nothing_is_measured():
    group = consistency(None, exchanges(), [""] * 5)
    assert [each.metric for each in group.not_measured] == list(METRICS)
    assert "--nli" in group.not_measured[0].reason
    assert not group.measured


def test_without_facts_nothing_is_measured(classifier):
    asked = exchanges_of([Dialogue().then(Speaker.PERSONA, "hi")])
    assert not consistency(classifier, asked, ["hi"]).measured


def test_the_tool_reads_labelled_pairs_and_prints_accuracy(tool, folder, tmp_path, capsys):
    file = tmp_path / "pairs.jsonl"
    names = {Label.ENTAILMENT: "positive", Label.NEUTRAL: "neutral", Label.CONTRADICTION: "negative"}
    lines = [
        json.dumps({"premise": premise, "hypothesis": fact, "label": names[label]})
        for premise, fact, label in toy_examples()
    ]
    file.write_text("\n".join(lines))
    examples = tool.read_examples(file)
    assert examples == list(toy_examples())
    tool.print_accuracy(folder, examples)
    printed = capsys.readouterr().out
    assert "accuracy 100.0 % of 18 pairs" in printed
    assert "contradiction  100.0 % of     3" in printed
    file.write_text('{"premise": "a", "hypothesis": "b", "label": "maybe"}')
    with pytest.raises(DataError, match=r"pairs\.jsonl:1"):
        tool.read_examples(file)
