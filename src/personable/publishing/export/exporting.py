"""Run -> what other engines open: a GGUF file with a Modelfile, or a plain model folder."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from personable import starter
from personable.base import UNFINISHED, Base, is_local, load_tokenizer, quiet_transformers
from personable.errors import MissingExtra, RecipeError
from personable.publishing.export.forms import Form, Quantization
from personable.publishing.export.merged import load_merged
from personable.publishing.export.modelfile import write_modelfile
from personable.publishing.hub.contents import published_contents
from personable.reply.sampling import sampling_defaults
from personable.training.folder import RECORD
from personable.training.saving import save_model

_MODELFILE = ".Modelfile"
_CARD = "README.md"
# What says how a run came about; an exported folder keeps it, so that it can be published like the run.
_RECORDS = re.compile(r"training\.json|metrics\.jsonl|loss\.png|evaluation\.(json|html)|README\.md|LICENSE[\w.-]*")


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export has written."""

    path: Path
    """The GGUF file, or the model folder."""
    modelfile: Path | None
    """For Ollama; beside a GGUF file only."""
    size: int
    """Of the file or the folder, in bytes."""


def export(
    run: str | Path,
    *,
    to: Form = Form.GGUF,
    quantization: Quantization = Quantization.F16,
    out: str | Path | None = None,
    base: str | None = None,
    overwrite: bool = False,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Exported:
    """Writes a run, a checkpoint of one, the starter or a model of the Hub in another form, whole or not at all.

    quantization: of a GGUF file.
    out: the .gguf file, or the folder. By default in a finished run's own folder, else in the current one.
    base: what a LoRA adapter belongs to, where nothing else tells.
    tell: called with (tensors converted, of how many) for a GGUF file.
    Raises RecipeError where `out` is taken or does not fit, BaseNotFound, BadBase, MissingExtra.
    """
    if to is Form.GGUF and importlib.util.find_spec("gguf") is None:
        raise MissingExtra("gguf", "gguf", "writing a GGUF file")
    source = _source(run)
    name = _name(run, source)
    target = Path(out).expanduser() if out else _default_target(source, name, to, quantization)
    try:
        if to is Form.GGUF:
            _check_free(target, overwrite=overwrite)
        else:
            _check_replaceable(target, source, overwrite=overwrite)
    except RecipeError:
        if source is None:
            load_tokenizer(run)  # what is not there cannot take the place of anything
        raise
    if to is Form.GGUF:
        return _export_gguf(run, target, quantization=quantization, base=base, name=name, tell=tell)
    return _export_folder(run, target, source=source, base=base)


def _export_gguf(
    run: str | Path,
    file: Path,
    *,
    quantization: Quantization,
    base: str | None,
    name: str,
    tell: Callable[[int, int], None],
) -> Exported:
    from personable.publishing.export.gguf_file import write_gguf  # needs the extra

    modelfile = file.with_suffix(_MODELFILE)
    model = load_merged(run, base=base)
    with _staging(file) as folder:
        staged = folder / file.name
        write_gguf(model, staged, quantization=quantization, name=name, licence=_licence(_source(run)), tell=tell)
        (folder / modelfile.name).write_text(write_modelfile(model, file.name), encoding="utf-8")
        _put_on_disk(folder)
        staged.replace(file)
        (folder / modelfile.name).replace(modelfile)
    return Exported(file, modelfile, file.stat().st_size)


def _export_folder(run: str | Path, folder: Path, *, source: Path | None, base: str | None) -> Exported:
    model = load_merged(run, base=base)
    with _staging(folder) as staging:
        staged, old = staging / "new", staging / "old"
        with quiet_transformers():
            save_model(
                model.model, model.tokenizer, staged, generation=_generation(model), context_tokens=model.context_tokens
            )
        for record in sorted(source.iterdir()) if source else ():
            if _RECORDS.fullmatch(record.name) and record.is_file():
                shutil.copyfile(record, staged / record.name)
        _put_on_disk(staged)
        _put_in_place(staged, folder, old)
    return Exported(folder, None, sum(file.stat().st_size for file in folder.iterdir()))


def _put_in_place(staged: Path, folder: Path, old: Path) -> None:
    """Renames `staged` to `folder`, and what was there to `old`; puts that back where the former fails."""
    try:
        if folder.exists():
            folder.replace(old)
        staged.replace(folder)
    finally:
        if old.exists() and not folder.exists():
            old.replace(folder)


def _check_free(file: Path, *, overwrite: bool) -> None:
    if file.suffix != ".gguf":
        raise RecipeError(f"expected the name of a .gguf file to write, found {file}. Next: --out {file}.gguf")
    for taken in (file, file.with_suffix(_MODELFILE)):
        if taken.is_dir() or (taken.exists() and not overwrite):
            raise RecipeError(f"expected no {taken} yet, found one. Next: --overwrite, or another --out.")


def _check_replaceable(folder: Path, source: Path | None, *, overwrite: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RecipeError(f"expected a new folder to write, found a file: {folder}. Next: another --out.")
    if not any(folder.iterdir()):
        return
    if source and folder.resolve() == source.resolve():
        raise RecipeError(f"expected another folder than the run's own, found {folder}. Next: another --out.")
    foreign = published_contents(folder).left_out
    # A recipe lies where a run was trained, not where one was exported to.
    trained_here = (folder / "recipe.yaml").exists() or (folder / UNFINISHED).exists()
    if foreign or trained_here or not (folder / "config.json").is_file():
        held = "a run" if trained_here else f"other files ({', '.join(foreign)})" if foreign else "other files"
        raise RecipeError(f"expected a new folder or an earlier export, found {held} in {folder}. Next: another --out.")
    if not overwrite:
        raise RecipeError(f"expected no {folder} yet, found one. Next: --overwrite, or another --out.")


def _generation(model: Base) -> dict[str, float]:
    sampling = sampling_defaults(model.model.generation_config, model.context_tokens)
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "repetition_penalty": sampling.repetition_penalty,
        "max_new_tokens": sampling.max_reply_tokens,
    } | ({"min_p": sampling.min_p} if sampling.min_p and not sampling.greedy else {})


def _source(run: str | Path) -> Path | None:
    """The folder of a run on this machine; None for anything else."""
    if str(run) == "starter":
        return starter.MODEL
    path = Path(run).expanduser() if is_local(run) else None
    return path if path and path.is_dir() else None


def _name(run: str | Path, source: Path | None) -> str:
    """The last name of a run or Hub id; a checkpoint's stands after its run's."""
    if source is None or str(run) == "starter":
        return Path(str(run)).name.removesuffix(".gguf")
    folder = source.resolve()
    if folder.parent.name == "checkpoints":
        return f"{folder.parents[1].name}-{folder.name}"
    return folder.name


def _default_target(source: Path | None, name: str, to: Form, quantization: Quantization) -> Path:
    finished = source is not None and source != starter.MODEL and (source / RECORD).is_file()
    folder = source if finished and source else Path()
    if to is Form.GGUF:
        return folder / f"{name}-{quantization}.gguf"
    return folder / "export-safetensors" if finished else folder / f"{name}-safetensors"


def _licence(source: Path | None) -> str | None:
    """What the model card in a folder says."""
    card = source / _CARD if source else None
    if card is None or not card.is_file():
        return None
    match = re.match(r"---\n(.*?)\n---\n", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    try:
        front = yaml.safe_load(match[1]) if match else None
    except (ValueError, yaml.YAMLError):  # PyYAML raises ValueError for a date that there is not
        return None
    found = front.get("license") if isinstance(front, dict) else None
    return str(found) if found else None


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """A folder on the target's own disk, gone afterwards. Raises RecipeError where nothing can be written."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="export-", suffix=".writing") as folder:
            yield Path(folder)
    except OSError as error:
        raise RecipeError(
            f"expected to be able to write {target}, found: {error.strerror or error}. Next: another --out."
        ) from error


def _put_on_disk(folder: Path) -> None:
    for file in folder.iterdir():
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
