"""`personable export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from personable.cli.progress import stages
from personable.cli.screen import print_json, say, working
from personable.publishing.export.forms import Form, Quantization


def export(
    run: Annotated[str, typer.Argument(help="`starter`, a run or checkpoint folder, or a Hub id.")],
    to: Annotated[Form, typer.Option(help="A file NAME.gguf with NAME.Modelfile beside it, or a plain model folder.")],
    quantization: Annotated[
        Quantization | None,
        typer.Option(help="Of a GGUF file: exact, half the size, or a quarter.", show_default="f16"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The .gguf file or the folder to write; in a run's own folder when not given.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="What a LoRA adapter belongs to, where it does not say.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Write a run for other engines: llama.cpp and Ollama (gguf), transformers and vLLM (safetensors)."""
    if quantization and to is not Form.GGUF:
        raise typer.BadParameter("--quantization is for --to gguf; a plain model folder is exact")
    with working("loading"):
        from personable.publishing.export.exporting import export as write_export

    with stages() as begin:
        tell = begin(f"exporting {run} to {to}")
        done = write_export(
            run,
            to=to,
            quantization=quantization or Quantization.F16,
            out=out,
            base=base,
            overwrite=overwrite,
            tell=tell,
        )
    if as_json:
        print_json(
            {
                "path": str(done.path),
                "modelfile": str(done.modelfile) if done.modelfile else None,
                "size_bytes": done.size,
            }
        )
        return
    print(done.path)
    if done.modelfile:
        print(done.modelfile)
        say(f"{done.size / 1e6:.1f} MB. Next: ollama create {done.path.stem} -f {done.modelfile}")
    else:
        say(f"{done.size / 1e6:.1f} MB. Next: transformers serve {done.path}, or vllm serve {done.path}")
