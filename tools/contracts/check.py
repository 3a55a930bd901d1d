"""Do llama.cpp and vLLM read a run as Personable does? `make contracts` runs it; each engine has its own environment.

    python -m tools.contracts.check [--only llama|vllm] [RUN ...]

For each run (the starter where none is named) twenty dialogues: the ids of the prompts and the greedy replies. Fails
where the ids differ, or the replies of a GGUF file in f32 or of vLLM in float32. For f16 and q8_0 it is only told.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from personable.publishing.export.exporting import export
from personable.publishing.export.forms import Form, Quantization
from personable.publishing.export.merged import load_merged
from personable.reply import Bot
from tools.contracts.dialogues import GREEDY, Answer, answers
from tools.contracts.environments import LLAMA_REQUIREMENT, VLLM_REQUIREMENT, llama_environment, vllm_environment
from tools.contracts.serving import post, served

COUNT = 20
ENGINES = ("llama", "vllm")


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far an engine agrees with Personable on one run."""

    label: str
    ids: int
    """Prompts with equal ids."""
    replies: int
    """Equal greedy replies."""
    asked: int
    exact: bool
    """Whether the replies have to be equal."""
    differing: tuple[tuple[str, str], ...]
    """Personable's reply and the engine's."""

    @property
    def holds(self) -> bool:
        """Whether the contract is kept."""
        return self.ids == self.asked and (self.replies == self.asked or not self.exact)

    def __str__(self) -> str:
        verdict = "ok    " if self.holds else "FAILED"
        line = f"{verdict} {self.label}: prompts {self.ids}/{self.asked}, greedy replies {self.replies}/{self.asked}"
        return "\n".join([line, *(f"         {ours!r} here, {theirs!r} there" for ours, theirs in self.differing)])


def main() -> None:
    """Prints a line for each run and engine; exit code 1 where a contract is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", default=["starter"], metavar="RUN")
    parser.add_argument("--only", choices=ENGINES)
    given = parser.parse_args()
    pythons = {
        "llama": llama_environment() if given.only != "vllm" else None,
        "vllm": vllm_environment() if given.only != "llama" else None,
    }
    broken = False
    for run in given.runs:
        expected = answers(Bot(load_merged(run)), COUNT)
        with tempfile.TemporaryDirectory(prefix="contracts-") as folder:
            for found in chain(
                _with_llama(run, expected, pythons["llama"], Path(folder)) if pythons["llama"] else (),
                _with_vllm(run, expected, pythons["vllm"], Path(folder)) if pythons["vllm"] else (),
            ):
                print(found, flush=True)
                broken = broken or not found.holds
    sys.exit(broken)


def _with_llama(run: str, expected: list[Answer], python: Path, folder: Path) -> Iterator[Agreement]:
    for quantization in Quantization:
        exported = export(run, to=Form.GGUF, quantization=quantization, out=folder / "run.gguf", overwrite=True)
        task = {
            "file": str(exported.path),
            "conversations": [answer.messages for answer in expected],
            "reply_tokens": GREEDY.max_reply_tokens,
        }
        script = Path(__file__).with_name("llama_replies.py")
        asked = subprocess.run(
            [str(python), str(script)], input=json.dumps(task), capture_output=True, text=True, check=False
        )
        if asked.returncode:
            raise RuntimeError(f"llama.cpp could not answer, exit code {asked.returncode}:\n{asked.stderr[-3000:]}")
        found = json.loads(asked.stdout)
        label = f"{LLAMA_REQUIREMENT}, {run}, {quantization}"
        yield _compared(label, expected, found, exact=quantization is Quantization.F32)


def _with_vllm(run: str, expected: list[Answer], python: Path, folder: Path) -> Iterator[Agreement]:
    model = export(run, to=Form.SAFETENSORS, out=folder / "vllm").path
    command = [str(python.with_name("vllm")), "serve", str(model), "--host", "127.0.0.1", "--port", "{port}"]
    # Float32 so that rounding changes no reply, one request at a time so that no batch does; compiling takes minutes.
    command += ["--dtype", "float32", "--max-num-seqs", "1", "--enforce-eager"]
    environment = {
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "VIRTUAL_ENV": str(python.parents[1]),
        "PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin",
    }
    found = []
    with served(command, log=folder / "vllm.log", environment=environment, wait_seconds=600) as address:
        for answer in expected:
            asked = {"model": str(model), "messages": answer.messages}
            tokens = post(f"{address}/tokenize", asked | {"add_generation_prompt": True})
            settings = {"temperature": 0, "repetition_penalty": 1, "max_tokens": GREEDY.max_reply_tokens}
            said = post(f"{address}/v1/chat/completions", asked | settings)
            reply = said["choices"][0]["message"]["content"].strip()
            found.append({"prompt_ids": tokens["tokens"], "reply": reply})
    yield _compared(f"{VLLM_REQUIREMENT}, {run}, float32", expected, found, exact=True)


def _compared(label: str, expected: list[Answer], found: list[dict[str, object]], *, exact: bool) -> Agreement:
    pairs = list(zip(expected, found, strict=True))
    differing = tuple((ours.reply, str(theirs["reply"])) for ours, theirs in pairs if ours.reply != theirs["reply"])
    return Agreement(
        label,
        sum(ours.prompt_ids == theirs["prompt_ids"] for ours, theirs in pairs),
        len(pairs) - len(differing),
        len(pairs),
        exact,
        differing,
    )


if __name__ == "__main__":
    main()
