"""What speaks against publishing a run."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from personable.errors import BaseNotFound
from personable.publishing.hub.checks import check_run
from personable.publishing.hub.contents import RECORD, published_contents
from personable.publishing.hub.disclosures import disclosures
from personable.training import folder

# In pieces, so that no scanner takes them for keys that somebody has lost.
A_KEY = "hf_" + "aBcDeFgH" * 4


def found(run: Path) -> list[str]:
    return [str(problem) for problem in check_run(run)]


def edit(file: Path, **changes: Any) -> None:
    """Sets keys of a JSON file; None takes a key out."""
    settings = json.loads(file.read_text(encoding="utf-8")) | changes
    kept = {key: value for key, value in settings.items() if value is not None}
    file.write_text(json.dumps(kept), encoding="utf-8")


def config(**changes: Any) -> Callable[[Path], None]:
    return lambda run: edit(run / "config.json", **changes)


def generation(**changes: Any) -> Callable[[Path], None]:
    return lambda run: edit(run / "generation_config.json", **changes)


def card(old: str, new: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        text = (run / "README.md").read_text(encoding="utf-8")
        assert old in text
        (run / "README.md").write_text(text.replace(old, new), encoding="utf-8")

    return change


def remove(name: str) -> Callable[[Path], None]:
    return lambda run: (run / name).unlink()


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda run: void((run / name).write_bytes(content))


def void(_: object) -> None:
    return None


def cut_weights(run: Path) -> None:
    file = run / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def only_pickled_weights(run: Path) -> None:
    (run / "model.safetensors").unlink()
    torch.save({"weight": torch.zeros(2)}, run / "pytorch_model.bin")


def pickled_weights_under_another_name(run: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, run / "model.safetensors")


def optimizer_among_the_weights(run: Path) -> None:
    save_file({"state.0.exp_avg": torch.zeros(2)}, run / "model-00001-of-00001.safetensors")


def a_missing_shard(run: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (run / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def a_link_out(run: Path) -> None:
    target = run.parent / "elsewhere.json"
    shutil.move(run / "generation_config.json", target)
    (run / "generation_config.json").symlink_to(target)


def another_template(run: Path) -> None:
    file = run / "chat_template.jinja"
    file.write_text(file.read_text(encoding="utf-8") + "\n", encoding="utf-8")


def half_a_template(run: Path) -> None:
    edit(run / "tokenizer_config.json", chat_template=None)


def tokenizer_code(run: Path) -> None:
    edit(run / "tokenizer_config.json", auto_map={"AutoTokenizer": ["x.Y", None]})


def mail_in_a_sample(run: Path) -> None:
    edit(run / "evaluation.json", samples=[{"reply": "ada@boats.org"}])


WRONG: list[tuple[str, Callable[[Path], None], str]] = [
    ("unfinished", write("unfinished.json", b"{}"), r"expected a finished run, found one whose.*--resume"),
    ("no record", remove("training.json"), r"expected a finished run, found a folder without training.json"),
    ("no weights", remove("model.safetensors"), r"model.safetensors: expected weights .*, found no weights"),
    ("pickled weights only", only_pickled_weights, r"found only pickles \(pytorch_model.bin\)"),
    ("pickle as safetensors", pickled_weights_under_another_name, r"model.safetensors: .*found a zip archive"),
    ("pickle as JSON", write("vocab.json", pickle.dumps({"a": 1})), r"vocab.json: .*found a pickle"),
    ("cut weights", cut_weights, r"model.safetensors: expected whole safetensors"),
    ("optimizer state", optimizer_among_the_weights, r"found optimizer state \(state.0.exp_avg\)"),
    ("missing shard", a_missing_shard, r"model-00002-of-00002.safetensors: expected every file"),
    ("link", a_link_out, r"generation_config.json: .*found a link to .*elsewhere.json"),
    ("damaged config", write("config.json", b"{"), r"config.json: expected a JSON object, found damaged"),
    ("code", config(auto_map={"AutoConfig": "x.Y"}), r"config.json: .*found auto_map"),
    ("no architecture", config(architectures=None, model_type="llama"), r"config.json: expected architectures"),
    ("n_ctx", config(n_ctx=None), r"config.json: expected n_ctx: 256.* found null"),
    ("untied", config(tie_word_embeddings=False), r"expected tie_word_embeddings: true.* found false"),
    ("cross attention", config(add_cross_attention=True), r"add_cross_attention: false.* found true"),
    ("layer scale", config(scale_attn_by_inverse_layer_idx=True), r"scale_attn_by_inverse_layer_idx: false"),
    ("upcast", config(reorder_and_upcast_attn=True), r"reorder_and_upcast_attn: false.* found true"),
    ("n_inner", config(n_inner=64), r"n_inner: null.* found 64"),
    ("head", config(architectures=["GPT2Model"]), r'architectures: \["GPT2LMHeadModel"\].* found \["GPT2Model"\]'),
    ("unknown type", config(model_type="hal9000"), r"config.json: expected settings that transformers reads"),
    ("no sampling", remove("generation_config.json"), r"generation_config.json: .*found no such file"),
    ("no end", generation(eos_token_id=None), r"generation_config.json: expected eos_token_id"),
    ("n-grams", generation(no_repeat_ngram_size=3), r"found no_repeat_ngram_size: 3. Next: take"),
    ("beams", generation(num_beams=4), r"found num_beams: 4"),
    ("embedding in words", config(n_embd="x"), r"config.json: expected settings .*n_embd"),
    ("index as a list", write("model.safetensors.index.json", b'{"weight_map": ["a"]}'), r"json: expected weight_map"),
    ("index of lists", write("model.safetensors.index.json", b'{"weight_map":{"a":[]}}'), r"json: expected weight_map"),
    ("damaged index", write("model.safetensors.index.json", b"{"), r"index.json: expected weight_map"),
    ("code of a tokenizer", tokenizer_code, r"tokenizer_config.json: expected a tokenizer of .*found auto_map"),
    ("path in the Modelfile", write("Modelfile", b"FROM /home/ada/a.gguf\n"), r"Modelfile:1: .*found /home/ada/a"),
    ("key in a licence", write("LICENSE", f"MIT {A_KEY}".encode()), r"LICENSE:1: expected no key, found hf_aBc\.\.\."),
    ("path in a text licence", write("LICENSE.txt", b"MIT\n/home/ada/x\n"), r"LICENSE.txt:2: .*found /home/ada/x"),
    ("no tokenizer", remove("tokenizer.json"), r"tokenizer.json: expected the tokenizer, found no such file"),
    ("no template", remove("chat_template.jinja"), r"chat_template.jinja: expected the chat template, found no"),
    ("two templates", another_template, r"to the byte, found two that differ"),
    ("half a template", half_a_template, r"tokenizer_config.json: .*look nowhere else"),
    ("no card", remove("README.md"), r"expected a model card, found no.* Next: personable card .*rita writes it"),
    ("plain card", write("README.md", b"# Rita\n"), r"README.md: expected license in the metadata"),
    ("damaged card", card("license: apache-2.0", "license: [apache"), r"README.md: expected metadata in YAML"),
    ("no license", card("license: apache-2.0\n", ""), r"README.md: expected license in the metadata"),
    ("other license", card("license: apache-2.0", "license: other"), r"README.md: expected license_name in the meta"),
    ("no library", card("library_name: transformers\n", ""), r"expected library_name"),
    ("no task", card("pipeline_tag: text-generation\n", ""), r"expected pipeline_tag"),
    ("blank", card("Talks about boats.", "[More Information Needed]"), r"README.md:10: expected an answer"),
    ("path in the card", card("boats.", "boats in /home/ada/boats."), r"README.md:10: .* path, found /home/ada"),
    ("key in the card", card("boats.", A_KEY), r"README.md:10: expected no key, found hf_aBc\.\.\."),
    ("mail", mail_in_a_sample, r"evaluation.json: samples\[0\].reply: expected no personal data, found \[e-mail\]"),
    ("path", config(_name_or_path="/home/ada/base"), r"config.json: _name_or_path: .* path, found /home/ada/base"),
    ("damaged metrics", write("metrics.jsonl", b'{"step": '), r"metrics.jsonl: expected readable text"),
]  # fmt: skip


def test_a_run_as_trained_has_nothing_against_it(run: Path) -> None:
    assert found(run) == []


@pytest.mark.parametrize(("change", "expected"), [pytest.param(*case, id=name) for name, *case in WRONG])
def test_what_is_wrong_is_said_once(change: Callable[[Path], None], expected: str, run: Path) -> None:
    (run / "evaluation.json").write_text("{}", encoding="utf-8")
    change(run)
    problems = found(run)
    assert [problem for problem in problems if re.search(expected, problem)], problems
    assert sum(bool(re.search(expected, problem)) for problem in problems) == 1
    assert A_KEY not in "".join(problems)


def test_layers_that_are_null_are_said(run: Path) -> None:
    settings = json.loads((run / "config.json").read_text(encoding="utf-8"))
    (run / "config.json").write_text(json.dumps(settings | {"n_layer": None}), encoding="utf-8")
    assert any("config.json: expected settings that transformers reads" in each for each in found(run))


@pytest.mark.parametrize("beginning", [b"\x80\x02", b"\x1f\x8b"])
def test_safetensors_may_begin_like_anything(beginning: bytes, run: Path) -> None:
    """As the length of their header has it, which spaces may fill up."""
    file = run / "model.safetensors"
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    longer = int.from_bytes(beginning, "little")
    while longer < length:
        longer += 1 << 16
    padding = b" " * (longer - length)
    file.write_bytes(longer.to_bytes(8, "little") + content[8 : 8 + length] + padding + content[8 + length :])
    assert file.read_bytes().startswith(beginning)
    assert found(run) == []


def test_the_author_of_a_licence_may_be_reached(run: Path) -> None:
    (run / "LICENSE").write_text("Copyright Ada <ada@boats.org>", encoding="utf-8")
    assert found(run) == []


def test_everything_is_said_together(run: Path) -> None:
    for change in (config(n_ctx=None, n_inner=64), generation(num_beams=4), another_template, remove("README.md")):
        change(run)
    assert [problem.file for problem in check_run(run)] == [
        "config.json", "config.json", "generation_config.json", "chat_template.jinja", "README.md",
    ]  # fmt: skip


def test_what_does_not_belong_to_a_run_stays(run: Path) -> None:
    before = [file.name for file in published_contents(run).files]
    for name in ("training_args.bin", "optimizer.pt", "corpus.jsonl", ".env", "events.out.tfevents.1"):
        (run / name).write_bytes(b"\x80\x04.")
    for name in ("checkpoints", "runs"):
        (run / name / "checkpoint-1").mkdir(parents=True)
    contents = published_contents(run)
    assert [file.name for file in contents.files] == before
    assert set(contents.left_out) >= {"training_args.bin", ".env", "corpus.jsonl", "checkpoints/", "tensorboard/"}
    assert found(run) == []


def test_records_name_files_not_folders_of_this_machine(run: Path) -> None:
    sent = {file.name: file for file in published_contents(run).files}
    for name in ("training.json", "recipe.yaml"):
        assert str(run.parts[1]) + "/" in (run / name).read_text(encoding="utf-8")
        assert sent[name].shortened
        assert not list(disclosures(name, sent[name].content()))
    record = json.loads(sent["training.json"].content())
    assert record["recipe"]["data"]["train"] == ["train.jsonl"]
    assert record["training_arguments"]["output_dir"] == "checkpoints"
    assert not sent["config.json"].shortened


def test_what_was_said_is_published_as_it_was_said(run: Path) -> None:
    said: dict[str, Any] = {
        "samples": [{"reply": "/me waves", "persona": ["/and/or"], "turns": [{"text": "/s"}]}],
        "details": {"roles": {"swapped": [{"said": "/a/b", "reply": "C:/x"}]}},
    }
    paths = {"nli": {"classifier": "/srv/models/nli"}}
    record = {**said, "details": {**said["details"], **paths}, "note": "/me too", "engine": {"name": "/srv/runs/rita"}}
    (run / "evaluation.json").write_text(json.dumps(record), encoding="utf-8")
    sent = {file.name: file for file in published_contents(run).files}["evaluation.json"]
    found = json.loads(sent.content())
    assert found["engine"] == {"name": "rita"}
    assert found["details"].pop("nli") == {"classifier": "nli"}
    assert {key: found[key] for key in said} == said
    assert found["note"] == "/me too"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BaseNotFound, match="found no such folder"):
        check_run(tmp_path / "none")


def test_the_record_is_what_training_writes() -> None:
    assert RECORD == folder.RECORD


@pytest.mark.parametrize(
    ("name", "text", "kinds"),
    [
        ("a.md", "see https://huggingface.co/data/mine and http://x.org/home/ada", []),
        ("a.md", "and/or/home, ~/runs, runs/home/rita, ../data/x", []),
        ("a.md", "in /Users/ada/runs and C:\\Users\\ada\\runs", ["local path", "local path"]),
        ("a.md", "file:///srv/x", ["local path"]),
        ("a.md", "write to ada@boats.org", []),
        ("a.html", "write to ada@boats.org", ["personal data"]),
        ("a.html", "@media (min-width: 10em) a@2x.png user@example.com x@y 415-286-4371", []),
        ("a.json", '{"reply": "call me at 415-286-4371"}', ["personal data"]),
        ("a.json", '{"a": ["' + "AKIA" + "ABCDEFGHIJKLMNOP" + '"]}', ["key"]),
        ("a.yaml", "a: " + "sk-" + "a1B2" * 8, ["key"]),
        ("a.yaml", "a: task-" + "a1B2" * 8 + "\nb: hf_hub_download", []),
        ("a.html", "-----BEGIN OPENSSH " + "PRIVATE KEY-----", ["key"]),
        ("a.jsonl", '{"a": 1}\n{"b": "/home/ada/x"}\n', ["local path"]),
    ],
)
def test_disclosures(name: str, text: str, kinds: list[str]) -> None:
    assert [each.kind for each in disclosures(name, text.encode())] == kinds
