"""The model card of a run, README.md: made from training.json, metrics.jsonl and evaluation.json, and nothing else.

A card states what those files say; what was not measured is left out, or said not to be measured.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from personable.errors import BaseNotFound, DataError, PublishError
from personable.evaluation.report import EVALUATION, read_record
from personable.files import write_whole
from personable.publishing.card.body import RunRecords, card_body
from personable.publishing.card.evaluation import check_evaluation
from personable.publishing.card.lineage import hub_licence
from personable.publishing.card.metadata import card_metadata
from personable.publishing.card.text import plain
from personable.publishing.hub.contents import CARD, check_folder
from personable.training.folder import RECORD
from personable.training.record import METRICS, read_metrics

PICTURE = "loss.png"
# The last line of a card. With the sum a card that somebody went on writing is told from one nobody touched.
_MARK = re.compile(r"<!-- Written by personable card; SHA-256 of the lines above: (?P<sum>[0-9a-f]{64}) -->\n*\Z")


def write_card(run: Path, *, repo: str | None = None, licence: str | None = None, overwrite: bool = False) -> Path:
    """Writes README.md in a run, whole or not at all, and returns where.

    repo: the Hub id its weights have or will have. licence: of the weights, in place of the recipe's; by default the
    one that the card being replaced was given.
    A README.md written by hand, or changed by hand since, is replaced only with `overwrite`.
    Raises BaseNotFound (no run), DataError (a damaged record), PublishError (README.md is not ours; no such Hub id;
    a folder that cannot be written).
    """
    if repo is not None:
        check_repo(repo)
    content = make_card(run, repo=repo, licence=licence or earlier_licence(run))
    card = run / CARD
    try:
        if not overwrite and card.exists() and not _untouched(card.read_text(encoding="utf-8", errors="replace")):
            raise PublishError(
                f"expected no {CARD} in {run}, or one as `personable card` left it, found one that somebody wrote or "
                "changed. Next: keep a copy of it, then --overwrite."
            )
        write_whole(card, content)
    except OSError as error:
        raise PublishError(f"expected to be able to write {card}, found: {error.strerror}.") from error
    return card


def make_card(run: Path, *, repo: str | None = None, licence: str | None = None) -> str:
    """The model card of a run, metadata included. Raises BaseNotFound and DataError like `write_card`."""
    records = read_run(run)
    name = repo or plain(run.resolve().name)
    licence = licence or stated_licence(records)
    metadata = card_metadata(records.record, records.evaluation, name=name, licence=licence)
    body = card_body(records, name=name, repo=repo, licence=licence)
    content = f"---\n{metadata.to_yaml()}\n---\n\n{body}\n"
    return f"{content}<!-- Written by personable card; SHA-256 of the lines above: {_sum(content)} -->\n"


def stated_licence(records: RunRecords) -> str | None:
    """What the recipe of a run states for its weights."""
    stated: str | None = records.record["recipe"].get("licence")
    return stated


def earlier_licence(run: Path) -> str | None:
    """The licence in the card of a run, where nobody changed that card and the recipe does not state the same.

    As the metadata has it. Raises BaseNotFound and DataError like `write_card`.
    """
    stated = stated_licence(read_run(run))
    try:
        content = (run / CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    if not _untouched(content):
        return None
    data = ModelCard(content).data
    found: str | None = data.license_name or data.license
    return found if found and (not stated or hub_licence(found) != hub_licence(stated)) else None


def read_run(run: Path) -> RunRecords:
    """What a run wrote down about itself. Raises BaseNotFound where it is none, DataError for a damaged file."""
    check_folder(run)
    if not (run / RECORD).is_file():
        raise BaseNotFound(
            f"expected a finished run with its {RECORD} in {run}, found none there. "
            "Next: name a folder that `personable train` wrote."
        )
    metrics = run / METRICS
    return RunRecords(
        record=_read_training(run / RECORD),
        metrics=read_metrics(metrics) if metrics.is_file() else [],
        evaluation=_read_evaluation(run / EVALUATION) if (run / EVALUATION).exists() else None,
        has_picture=(run / PICTURE).is_file(),
        folder=plain(run.resolve().name),
    )


def _read_evaluation(file: Path) -> dict[str, Any]:
    record = read_record(file)
    check_evaluation(record, file)
    return record


_NEEDED = ("recipe", "training_arguments", "chat_template", "context_tokens", "data", "steps", "epochs", "versions")


def _read_training(file: Path) -> dict[str, Any]:
    advice = "Next: restore it, or train again."
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file}: expected JSON, found {error}. {advice}") from error
    missing = [key for key in _NEEDED if key not in record] if isinstance(record, dict) else ["an object"]
    if missing:
        raise DataError(f"{file}: expected what `personable train` writes, found no {', '.join(missing)}. {advice}")
    found: dict[str, Any] = record
    return found


def check_repo(repo: str) -> None:
    """Raises PublishError for what cannot be a Hub id OWNER/NAME."""
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise PublishError(f"expected a Hub id OWNER/NAME, found {repo!r}: {error}") from error
    if "/" not in repo:
        raise PublishError(f"expected a Hub id OWNER/NAME, found {repo!r}, which names no owner.")


def _untouched(content: str) -> bool:
    mark = _MARK.search(content)
    return mark is not None and mark["sum"] == _sum(content[: mark.start()])


def _sum(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
