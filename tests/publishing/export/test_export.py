"""`personable export`: what is written where, and that it is written whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
import typer
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from personable.base import Base, load_base, load_tokenizer
from personable.cli.export import export as export_command
from personable.errors import BadBase, BaseNotFound, MissingExtra, RecipeError
from personable.publishing.export.exporting import _put_in_place, export
from personable.publishing.export.forms import Form, Quantization
from personable.publishing.export.merged import load_merged
from personable.publishing.export.modelfile import go_template, write_modelfile
from personable.publishing.hub.contents import published_contents
from personable.training.adapting import prepare
from personable.training.folder import open_run
from personable.training.recipe import GenerationSettings, make_recipe
from personable.training.saving import save_model
from tests.tiny import ALTERNATING, CHATML, chatml_tokenizer, tiny_base, tiny_gemma2, tiny_gpt2, tiny_tokenizer

SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}"
    "{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """A finished run, alone in the current folder."""
    folder = tmp_path / "rita"
    tokenizer = tiny_tokenizer()
    settings = GenerationSettings(temperature=0.5, top_k=7, max_new_tokens=20).model_dump()
    save_model(tiny_gpt2(tokenizer), tokenizer, folder, generation=settings, context_tokens=256)
    (folder / "training.json").write_text("{}")
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# Rita\n")
    (folder / "notes.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def command(monkeypatch) -> Any:
    monkeypatch.setenv("COLUMNS", "200")
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(export_command)
    return lambda *arguments: CliRunner().invoke(app, [str(each) for each in arguments])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_finished_run_gets_its_gguf_and_modelfile_beside_its_weights(run, tmp_path) -> None:
    before = names(run)
    done = export("rita", quantization=Quantization.Q8_0)
    assert done.path == Path("rita/rita-q8_0.gguf")
    assert names(run) - before == {"rita-q8_0.gguf", "rita-q8_0.Modelfile"}
    assert names(tmp_path) == {"rita"}
    reader = gguf.GGUFReader(done.path)
    assert reader.get_field("general.name").contents() == "rita"
    assert reader.get_field("general.license").contents() == "cc-by-4.0"
    assert done.size == done.path.stat().st_size


def test_two_quantisations_stand_beside_each_other_and_are_published_and_overwritten_with_the_run(run) -> None:
    before = names(run)
    for quantization in (Quantization.F16, Quantization.Q8_0):
        export("rita", quantization=quantization)
    written = names(run) - before
    assert written == {"rita-f16.gguf", "rita-f16.Modelfile", "rita-q8_0.gguf", "rita-q8_0.Modelfile"}
    assert "FROM ./rita-q8_0.gguf\n" in (run / "rita-q8_0.Modelfile").read_text()
    assert written <= {file.name for file in published_contents(run).files}
    (run / "notes.txt").unlink()
    recipe = make_recipe({"base": "starter", "run": str(run), "data": {"train": "a"}})
    assert open_run(recipe, resume=False, overwrite=True) is None


def test_the_starter_is_written_to_the_current_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    export("starter")
    assert names(tmp_path) == {"starter-f16.gguf", "starter-f16.Modelfile"}
    head = (tmp_path / "starter-f16.gguf").read_bytes()[:500]
    assert b"general.license" in head
    assert b"apache-2.0" in head


def test_the_starter_as_a_folder_is_one_file_of_weights_that_transformers_opens(tmp_path) -> None:
    folder = export("starter", to=Form.SAFETENSORS, out=tmp_path / "plain").path
    assert [path.name for path in folder.glob("*.safetensors")] == ["model.safetensors"]
    assert {"README.md", "training.json", "LICENSE-gpt2-vocabulary", "chat_template.jinja"} <= names(folder)
    config = json.loads((folder / "config.json").read_text())
    assert config["n_ctx"] == config["n_positions"] == 1024
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert torch.equal(model.transformer.wte.weight, load_base("starter", device="cpu").model.transformer.wte.weight)
    assert AutoTokenizer.from_pretrained(folder).chat_template == load_tokenizer("starter").chat_template
    assert model.generation_config.repetition_penalty == 1.1


def test_an_exported_folder_keeps_sampling_and_what_describes_the_run(run, tmp_path) -> None:
    folder = export(run, to=Form.SAFETENSORS).path
    assert folder == run / "export-safetensors"
    assert {"README.md", "training.json"} <= names(folder)
    assert "notes.txt" not in names(folder)
    before, after = (json.loads((each / "generation_config.json").read_text()) for each in (run, folder))
    assert after == before
    assert load_file(folder / "model.safetensors").keys() == load_file(run / "model.safetensors").keys()


def test_nothing_is_overwritten_unless_asked(run, tmp_path) -> None:
    file = tmp_path / "a.gguf"
    export(run, out=file)
    earlier = file.read_bytes()
    (tmp_path / "b.Modelfile").write_text("mine")
    for taken in (file, tmp_path / "b.gguf"):
        with pytest.raises(RecipeError, match=r"found one\. Next: --overwrite"):
            export(run, out=taken, quantization=Quantization.F32)
    assert file.read_bytes() == earlier
    export(run, out=file, quantization=Quantization.F32, overwrite=True)
    assert file.stat().st_size > len(earlier)


def test_a_folder_is_replaced_only_where_it_is_an_earlier_export(run, tmp_path) -> None:
    out = tmp_path / "plain"
    export(run, to=Form.SAFETENSORS, out=out)
    with pytest.raises(RecipeError, match="--overwrite"):
        export(run, to=Form.SAFETENSORS, out=out)
    export(run, to=Form.SAFETENSORS, out=out, overwrite=True)
    (out / "thesis.tex").write_text("mine")
    with pytest.raises(RecipeError, match=r"other files \(thesis.tex\)"):
        export(run, to=Form.SAFETENSORS, out=out, overwrite=True)
    (run / "notes.txt").unlink()
    with pytest.raises(RecipeError, match="the run's own"):
        export(run, to=Form.SAFETENSORS, out=run, overwrite=True)
    trained = shutil.copytree(run, tmp_path / "other")
    (trained / "recipe.yaml").write_text("base: starter\n")
    with pytest.raises(RecipeError, match="found a run"):
        export(run, to=Form.SAFETENSORS, out=trained, overwrite=True)
    assert (out / "thesis.tex").read_text() == "mine"
    assert (trained / "model.safetensors").exists()


@pytest.mark.parametrize("form", Form)
def test_an_export_that_breaks_off_leaves_nothing(form: Form, run, tmp_path, monkeypatch) -> None:
    writer = {
        Form.GGUF: "personable.publishing.export.gguf_file.gguf.GGUFWriter.write_tensors_to_file",
        Form.SAFETENSORS: "personable.publishing.export.exporting.save_model",
    }[form]

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "out.gguf"
    export(run, to=form, out=out)
    earlier = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr(writer, full)
    with pytest.raises(RecipeError, match="No space left"):
        export(run, to=form, out=out, overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == earlier


def test_an_earlier_export_is_put_back_where_the_new_one_does_not_get_there(tmp_path) -> None:
    folder, old = tmp_path / "plain", tmp_path / "old"
    folder.mkdir()
    (folder / "config.json").write_text("earlier")
    with pytest.raises(FileNotFoundError):
        _put_in_place(tmp_path / "nothing", folder, old)
    assert (folder / "config.json").read_text() == "earlier"
    assert not old.exists()


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        (b"---\nlicense: mit\n---\n# Ren\xe9\n", "mit"),
        (b"---\nlicense: mit\nreleased: 2026-02-30\n---\n", None),
        (b"---\nlicense: [mit\n---\n", None),
        (b"\xff\xfe", None),
    ],
)
def test_a_damaged_card_stops_no_export(card, licence, run) -> None:
    (run / "README.md").write_bytes(card)
    field = gguf.GGUFReader(export(run).path).get_field("general.license")
    assert (field.contents() if field else None) == licence


def test_an_adapter_is_merged_into_the_base_that_its_recipe_names(tmp_path) -> None:
    base = tiny_base(tmp_path / "base")
    checkpoint = write_adapter(base, tmp_path / "rita" / "checkpoints" / "checkpoint-20", named="gone")
    settings = {"base": str(base), "run": str(tmp_path / "rita"), "generation": {"temperature": 0}}
    settings["data"] = {"train": "starter"}
    (tmp_path / "rita" / "recipe.yaml").write_text(json.dumps(settings))
    merged = load_merged(checkpoint)
    assert merged.model.generation_config.do_sample is False
    expected = load_base(base, device="cpu").model
    delta = merged.model.transformer.h[0].attn.c_attn.weight - expected.transformer.h[0].attn.c_attn.weight
    adapter = load_file(checkpoint / "adapter_model.safetensors")
    a, b = (next(each for name, each in adapter.items() if f"h.0.attn.c_attn.lora_{part}" in name) for part in "AB")
    assert torch.allclose(delta, 2 * (b @ a).T, atol=1e-6)
    assert delta.abs().max() > 1e-3
    file = export(checkpoint, out=tmp_path / "rita.gguf", quantization=Quantization.F32).path
    (stored,) = (each for each in gguf.GGUFReader(file).tensors if each.name == "blk.0.attn_qkv.weight")
    assert (stored.data == merged.model.transformer.h[0].attn.c_attn.weight.detach().T.numpy()).all()
    folder = export(checkpoint, to=Form.SAFETENSORS, out=tmp_path / "plain").path
    assert not any("adapter" in name for name in names(folder))


def test_an_adapter_alone_is_merged_into_the_base_that_it_or_the_user_names(tmp_path) -> None:
    base = tiny_base(tmp_path / "base")
    named = load_merged(write_adapter(base, tmp_path / "named", named=str(base)))
    nameless = write_adapter(base, tmp_path / "nameless", named=None)
    with pytest.raises(BadBase, match="Next: add --base"):
        load_merged(nameless)
    asked = load_merged(nameless, base=str(base))
    assert torch.equal(named.model.lm_head.weight, asked.model.lm_head.weight)


def test_a_checkpoint_without_a_tokenizer_takes_that_of_its_base(tmp_path) -> None:
    base = tiny_base(tmp_path / "base")
    checkpoint = tmp_path / "rita" / "checkpoints" / "checkpoint-2"
    tiny_gpt2(tiny_tokenizer(), seed=7).save_pretrained(checkpoint)
    (checkpoint / "trainer_state.json").write_text("{}")
    settings = {"base": str(base), "run": str(tmp_path / "rita"), "data": {"train": "starter"}}
    (tmp_path / "rita" / "recipe.yaml").write_text(json.dumps(settings))
    found = load_merged(checkpoint)
    expected = tiny_gpt2(tiny_tokenizer(), seed=7)
    assert torch.equal(found.model.transformer.wte.weight, expected.transformer.wte.weight)
    assert len(found.tokenizer) == len(tiny_tokenizer())
    assert found.model.generation_config.max_new_tokens == 80


def write_adapter(base: Path, folder: Path, *, named: str | None) -> Path:
    """A LoRA adapter that changes something, as a checkpoint holds it."""
    lora = {"r": 4, "alpha": 8, "target_modules": ["c_attn"]}
    recipe = make_recipe({"base": str(base), "run": str(folder), "lora": lora, "data": {"train": "starter"}})
    adapted = prepare(load_base(base, device="cpu").model, recipe)
    torch.manual_seed(3)
    for name, weight in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.1)
    adapted.save_pretrained(folder)
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": named}))
    return folder


def test_what_cannot_be_exported_is_said(run, tmp_path, monkeypatch) -> None:
    with pytest.raises(RecipeError, match=r"\.gguf file to write, found .*rita\. Next: --out"):
        export(run, out=run)
    with pytest.raises(BaseNotFound, match="none of them"):
        export(tmp_path / "nowhere")
    (tmp_path / "nowhere-f16.gguf").write_text("mine")
    (tmp_path / "nowhere-safetensors").write_text("mine")
    for form in Form:
        with pytest.raises(BaseNotFound, match="none of them"):
            export("a/b/nowhere", to=form)
    (tmp_path / "nowhere-f16.gguf").unlink()
    tokenizer = chatml_tokenizer()
    tiny_gemma2(tokenizer).save_pretrained(tmp_path / "gemma")
    tokenizer.save_pretrained(tmp_path / "gemma")
    with pytest.raises(BadBase, match=r"gpt2, llama\), found gemma2"):
        export(tmp_path / "gemma")
    assert not any(tmp_path.glob("*.gguf"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"personable\[gguf\]"):
        export(run)


def test_the_command_prints_what_it_wrote_and_tells_progress_apart(run, command) -> None:
    done = command("rita", "--to", "gguf", "--quantization", "f32")
    assert done.exit_code == 0
    assert done.stdout.split() == ["rita/rita-f32.gguf", "rita/rita-f32.Modelfile"]
    assert "exporting rita to gguf" in done.stderr
    assert "ollama create rita-f32 -f rita/rita-f32.Modelfile" in done.stderr
    done = command("rita", "--to", "safetensors", "--json")
    assert json.loads(done.stdout)["path"] == "rita/export-safetensors"
    assert command("rita", "--to", "onnx").exit_code == 2
    assert command("rita", "--to", "safetensors", "--quantization", "f16", "--out", "other").exit_code == 2
    assert not Path("other").exists()


def modelfile(template: str) -> str:
    tokenizer = chatml_tokenizer(template)
    return write_modelfile(Base(tiny_gpt2(tokenizer), tokenizer, 256, "tiny"), "tiny-f16.gguf")


def test_the_modelfile_of_a_gpt2_run(run) -> None:
    export(run)
    assert (run / "rita-f16.Modelfile").read_text() == (
        "# ollama create NAME -f rita-f16.Modelfile, then: ollama run NAME\n"
        "FROM ./rita-f16.gguf\n"
        "\n"
        "# Says what the chat template inside the GGUF file says. Ollama joins neighbouring messages of one role by "
        "an\n# empty line, and cannot trim spaces around messages.\n"
        'TEMPLATE """{{ range $i, $m := .Messages }}{{ if eq $m.Role "system" }}{{ $m.Content }}<|endoftext|>'
        '{{ else if eq $m.Role "user" }}You: {{ $m.Content }}<|endoftext|>'
        '{{ else if eq $m.Role "assistant" }}Me: {{ $m.Content }}<|endoftext|>{{ end }}{{ end }}Me:"""\n'
        "\n"
        "PARAMETER num_ctx 256\n"
        "PARAMETER num_predict 20\n"
        "PARAMETER temperature 0.5\n"
        "PARAMETER top_p 0.9\n"
        "PARAMETER top_k 7\n"
        "PARAMETER min_p 0.0\n"
        "PARAMETER repeat_penalty 1.0\n"
        "PARAMETER repeat_last_n -1\n"
        'PARAMETER stop "<|endoftext|>"\n'
        "\n"
        "# Who it is to be, a fact a line. For example:\n"
        '# SYSTEM """i sail boats.\n'
        '# i have a cat named tom."""\n'
    )


def test_chatml_in_go() -> None:
    assert go_template(chatml_tokenizer()) == (
        '{{ range $i, $m := .Messages }}{{ if eq $m.Role "system" }}<|im_start|>system\n{{ $m.Content }}<|im_end|>\n'
        '{{ else if eq $m.Role "user" }}<|im_start|>user\n{{ $m.Content }}<|im_end|>\n'
        '{{ else if eq $m.Role "assistant" }}<|im_start|>assistant\n{{ $m.Content }}<|im_end|>\n'
        "{{ end }}{{ end }}<|im_start|>assistant\n"
    )


def test_smollm2_in_go_opens_with_its_own_system_message_where_there_is_none() -> None:
    assert go_template(chatml_tokenizer(SMOLLM2)) == (
        '{{ range $i, $m := .Messages }}{{ if eq $i 0 }}{{ if ne $m.Role "system" }}<|im_start|>system\n'
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n{{ end }}{{ end }}"
        '{{ if eq $m.Role "system" }}<|im_start|>system\n{{ $m.Content }}<|im_end|>\n'
        '{{ else if eq $m.Role "user" }}<|im_start|>user\n{{ $m.Content }}<|im_end|>\n'
        '{{ else if eq $m.Role "assistant" }}<|im_start|>assistant\n{{ $m.Content }}<|im_end|>\n'
        "{{ end }}{{ end }}<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    "template",
    [
        ALTERNATING,
        CHATML.replace("message['content']", "message['content'] + (' ' * loop.index)"),
        CHATML.replace("<|im_start|>' + ", "<|im_start|>{{' + "),
    ],
    ids=["insists on an order", "counts", "holds Go's own marks"],
)
def test_a_template_that_go_cannot_say_is_left_to_the_gguf(template: str) -> None:
    text = modelfile(template)
    assert "\nTEMPLATE" not in text
    assert "# No TEMPLATE: " in text
    assert 'PARAMETER stop "<|im_end|>"' in text
