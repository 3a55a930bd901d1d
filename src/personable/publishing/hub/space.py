"""A Hugging Face Space that chats with the published weights: a page for people without Python."""

from __future__ import annotations

import json
import re
import tempfile
from importlib.metadata import version
from pathlib import Path

from personable.errors import PublishError
from personable.publishing.hub.contents import PublishedFile, check_folder, is_finished
from personable.publishing.hub.publishing import Upload, check_repo_id

TEMPLATES = Path(__file__).parent / "space_files"
GRADIO_VERSION = "6.31.0"
"""Which the page was tried with; the Hub installs it where a Space runs."""
_REQUIREMENTS = """\
# Builds without CUDA are much smaller; take this line out for hardware with a GPU.
--extra-index-url https://download.pytorch.org/whl/cpu
torch=={torch}
transformers=={transformers}
"""


def prepare_space(run: Path, repo_id: str) -> Upload:
    """The Space owner/name for the weights that are, or will be, published as the model owner/name.

    Raises BaseNotFound (no folder), PublishError for a run that is not finished or a name that cannot be.
    """
    check_repo_id(repo_id)
    check_folder(run)
    if not is_finished(run):
        raise PublishError(
            f"expected a finished run, found none in {run}. Next: name a folder that `personable train` wrote."
        )
    return Upload(repo_id, "space", space_files(repo_id))


def space_files(repo_id: str) -> tuple[PublishedFile, ...]:
    """app.py, its persona, its requirements and the README.md by which the Hub knows how to run it."""
    title = repo_id.rpartition("/")[2]
    # In quotes: YAML would read the names 123 and no as something else. It takes all that JSON writes.
    values = {"OWNER/NAME": repo_id, "TITLE": json.dumps(title, ensure_ascii=False), "GRADIO_VERSION": GRADIO_VERSION}
    slots = re.compile("|".join(values))

    def filled(name: str) -> PublishedFile:
        text = (TEMPLATES / name).read_text(encoding="utf-8")
        return PublishedFile(name, slots.sub(lambda slot: values[slot[0]], text).encode())

    # A build for one accelerator ("2.13.0+cpu") is not on the index under that name.
    versions = {package: version(package).partition("+")[0] for package in ("torch", "transformers")}
    requirements = PublishedFile("requirements.txt", _REQUIREMENTS.format(**versions).encode())
    return (filled("README.md"), filled("app.py"), filled("persona.txt"), requirements)


def write_space(upload: Upload, folder: Path) -> Path:
    """Writes the files of a Space into a folder, all or none.

    Raises PublishError where it holds anything else, or cannot be written.
    """
    try:
        _check_free(upload.files, folder)
        _write_all(upload.files, folder)
    except OSError as error:
        raise PublishError(
            f"expected to be able to write {folder}, found: {error.strerror or error}. Next: choose another --out."
        ) from error
    return folder


def _check_free(files: tuple[PublishedFile, ...], folder: Path) -> None:
    ours = {file.name for file in files}
    if folder.exists() and not folder.is_dir():
        raise PublishError(f"expected a folder for the Space, found a file at {folder}. Next: choose another --out.")
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    foreign = [entry.name for entry in entries if entry.name not in ours or entry.is_dir()]
    if foreign:
        raise PublishError(
            f"expected a new or empty folder for the Space, found {', '.join(foreign[:5])} in {folder}. "
            "Next: choose another --out."
        )


def _write_all(files: tuple[PublishedFile, ...], folder: Path) -> None:
    is_new = not folder.exists()
    disk = folder.parent if is_new else folder
    disk.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=disk, prefix="space-", suffix=".writing") as staging:
        staged = Path(staging) / "page"
        staged.mkdir()
        for file in files:
            (staged / file.name).write_bytes(file.content())
        if is_new:
            staged.replace(folder)
            return
        for file in files:
            (staged / file.name).replace(folder / file.name)
