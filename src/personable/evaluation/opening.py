"""What is measured, found and opened: engines by run, Hub id or URL; dialogues by path."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from personable import corpus, starter
from personable.base import is_local, load_base
from personable.corpus import Format
from personable.errors import BadRecord, DataError, RecipeError
from personable.evaluation.engine import Engine
from personable.evaluation.local import LocalEngine
from personable.evaluation.report import EVALUATION, read_record
from personable.evaluation.run import sample_dialogues
from personable.evaluation.settings import Part, Subject
from personable.evaluation.url import UrlEngine
from personable.reply import Sampling
from personable.reply.sampling import sampling_defaults

ELSEWHERE = Path("evaluations")
"""Where evaluations go of what is no run folder."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something to measure, not opened yet."""

    spec: str
    """`starter`, a run folder, a Hub id; or the name of a model behind `url`."""
    url: str | None = None

    def open(self, *, batch_size: int | None = None) -> Engine:
        """The engine; batch_size: LocalEngine's own if None. Raises BaseNotFound or BadBase, RecipeError for a URL."""
        if self.url is not None:
            return UrlEngine(self.url, self.spec)
        base = load_base(self.spec)
        return LocalEngine(base) if batch_size is None else LocalEngine(base, batch_size=batch_size)

    @property
    def path(self) -> Path:
        """What the spec is, if it is a path."""
        return Path(self.spec).expanduser()

    def learnt_detokenised(self) -> bool | None:
        """Whether the run learnt from detokenised text, as its training.json says; None where it says nothing."""
        folder = starter.MODEL if self.spec == "starter" else self.path
        if self.url is not None:
            return None
        try:
            recipe = json.loads((folder / "training.json").read_text(encoding="utf-8"))["recipe"]
            return bool(recipe["data"]["detokenise"])
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def folder(self) -> Path:
        """Where its evaluation belongs: in the run folder itself, else in evaluations/ here."""
        if self.url is None and self.spec != "starter" and is_local(self.spec) and self.path.is_dir():
            return self.path
        name = Path(self.spec).stem if self.url is None and is_local(self.spec) else self.spec
        return ELSEWHERE / (re.sub(r"[^\w.-]+", "-", name).lstrip(".-") or "model")


def folders_of(targets: Sequence[Target], out: Path | None = None) -> list[Path]:
    """A folder for the evaluation of each target, writable once it is made; under `out` where it is given.

    Asked for before anything is measured. Raises DataError where a folder could not be written.
    """
    folders: list[Path] = []
    for target in targets:
        folder = target.folder() if out is None else out if len(targets) == 1 else out / target.folder().resolve().name
        wanted, number = folder, 2
        while folder in folders and folder != target.path:  # two runs of one name
            folder, number = wanted.with_name(f"{wanted.name}-{number}"), number + 1
        folders.append(folder)
    for folder in folders:
        check_writable(folder)
    return folders


def check_kept(folder: Path, parts: Collection[str], dialogues: int) -> None:
    """Raises DataError where an evaluation in the folder tells more than the one that would replace it."""
    try:
        old = read_record(folder / EVALUATION)
    except DataError:
        return  # none, or none of ours
    lost = sorted(set(old.get("seconds", ())) & set(Part) - set(parts))
    before = old.get("data", {}).get("dialogues", 0)
    if lost or before > dialogues:
        what = f"{', '.join(lost)} on {before} dialogues" if lost else f"{before} dialogues and not only {dialogues}"
        raise DataError(
            f"{folder / EVALUATION} holds more than what would replace it: {what}. "
            "Next: --overwrite, or --out for another folder."
        )


def check_writable(folder: Path) -> None:
    """Raises DataError where a folder could not be made or files not be written into it. Leaves nothing behind."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise DataError(
            f"expected to be able to write an evaluation into {folder}, found: {error.strerror}. Next: another --out."
        ) from error


def decoding_of(engine: Engine, *, own: bool, max_reply_tokens: int | None = None) -> Sampling:
    """Greedy, or with `own` the sampling that a run asks for, which a server cannot be asked about.

    Raises RecipeError for replies longer than the context holds.
    """
    sampling = Sampling()
    if isinstance(engine, LocalEngine):
        sampling = sampling_defaults(engine.base.model.generation_config, engine.base.context_tokens)
        if max_reply_tokens is not None and max_reply_tokens >= engine.base.context_tokens:
            raise RecipeError(
                f"expected replies shorter than the context of {engine.base.context_tokens} tokens, found "
                f"{max_reply_tokens}. Next: a lower --max-reply-tokens."
            )
    if not own:
        sampling = replace(sampling, temperature=0.0, top_p=1.0, top_k=0, min_p=0.0, repetition_penalty=1.0)
    return sampling.but(max_reply_tokens=max_reply_tokens)


def read_subject(
    data: str,
    *,
    format: Format | None = None,
    detokenise: bool = False,
    max_bad: int = 0,
    limit: int | None = None,
    seed: int = 0,
    on_problem: Callable[[BadRecord], None] = lambda problem: None,
) -> Subject:
    """The dialogues to measure on; `starter` is the bundled validation dialogues. limit: a seeded sample of so many.

    Raises DataError or BadRecord.
    """
    path = str(starter.VALIDATION) if data == "starter" else data
    found = corpus.read_dialogues(path, format=format, detokenise=detokenise, max_bad=max_bad)
    for problem in found.problems:
        on_problem(problem)
    dialogues = sample_dialogues(found.dialogues, limit, seed=seed)
    name = Path(data).name if Path(data).exists() else data
    about: dict[str, object] = {
        "name": name,
        "split": "" if Path(data).exists() else data.partition(":")[2],
        "format": found.format.value,
        "fingerprint": corpus.fingerprint(dialogues),
        "detokenised": detokenise,
        "limit": limit,
        "dialogues_in_file": len(found.dialogues),
    }
    return Subject(dialogues, about)


def read_replies(data: str, *, detokenise: bool = False) -> list[str]:
    """The replies of training dialogues, for a baseline to draw from; `starter` is the bundled ones.

    Raises DataError or BadRecord.
    """
    path = str(starter.TRAIN) if data == "starter" else data
    dialogues = corpus.iter_dialogues(path, detokenise=detokenise)
    return [turn.text for dialogue in dialogues for turn in dialogue.replies]
