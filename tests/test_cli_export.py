"""`personable export`, run as a process: what it prints and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from personable.training.recipe import GenerationSettings
from personable.training.saving import save_model
from tests.test_cli_data import personable
from tests.tiny import tiny_gpt2, tiny_tokenizer


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a tiny GPT-2."""
    folder = tmp_path_factory.mktemp("runs") / "rita"
    tokenizer, generation = tiny_tokenizer(), GenerationSettings().model_dump()
    save_model(tiny_gpt2(tokenizer), tokenizer, folder, generation=generation, context_tokens=256)
    (folder / "training.json").write_text("{}", encoding="utf-8")
    return folder


def test_gguf_is_written_once_and_refused_the_second_time(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "rita.gguf"
    done = personable("export", run, "--to", "gguf", "--out", file)
    assert (done.returncode, done.stdout.split()) == (0, [str(file), str(tmp_path / "rita.Modelfile")])
    assert "ollama create rita" in " ".join(done.stderr.split())
    written = file.read_bytes()
    assert written.startswith(b"GGUF")
    again = personable("export", run, "--to", "gguf", "--out", file, "--quantization", "f32")
    assert (again.returncode, again.stdout) == (1, "")
    assert "found one. Next: --overwrite, or another --out." in " ".join(again.stderr.split())
    assert "Traceback" not in again.stderr
    assert file.read_bytes() == written


def test_a_model_folder(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    done = personable("export", run, "--to", "safetensors", "--out", folder)
    assert (done.returncode, done.stdout.split()) == (0, [str(folder)])
    assert {"config.json", "model.safetensors", "tokenizer.json", "training.json"} <= {
        file.name for file in folder.iterdir()
    }


def test_an_unknown_form_is_wrong_usage(run: Path, tmp_path: Path) -> None:
    done = personable("export", run, "--to", "onnx", "--out", tmp_path / "rita.onnx")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'onnx' is not one of" in " ".join(done.stderr.replace("│", " ").split())
    assert list(tmp_path.iterdir()) == []
