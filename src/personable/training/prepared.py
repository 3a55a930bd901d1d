"""Dialogues as token ids in Arrow: in memory for a few, in files that are mapped and never loaded for many."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, List, Value
from numpy.typing import NDArray

from personable.corpus import fingerprint
from personable.corpus.canonical import canonical_line
from personable.dialogue import Dialogue, Persona, Speaker, Turn
from personable.encoding import EncodedDialogue
from personable.encoding.layout import cuts_not_logged
from personable.encoding.many import encode_dialogues
from personable.training.kept import Folder
from personable.training.layout import Layout
from personable.training.windows import cuts_persona, windows_of

COLUMNS = Features(
    {
        "text": Value("string"),  # what a model reads of the window, as a canonical line
        "input_ids": List(Value("int32")),
        "learn": List(Value("bool")),
        "cut_facts": List(Value("string")),
        "tokens": Value("int32"),
        "learnt": Value("int32"),
        "replies": Value("int32"),  # of the whole dialogue, at its first row; 0 at the others
        "cut_persona": Value("int64"),  # a number for each persona that loses facts, 0 for the others
    }
)
"""A row is a window; a dialogue that nothing is learnt from has one row of 0 tokens, so that it is counted."""
_AT_ONCE = 500


class Prepared:
    """The windows of dialogues, laid out as token ids: dialogues within the context, and parts of longer ones."""

    lengths: NDArray[np.int32]
    """(windows,) tokens of each."""
    learnt: NDArray[np.int32]
    """(windows,) how many of them are learnt."""
    dialogues: int
    """Dialogues used, before they were cut into windows and with those that nothing is learnt from."""
    replies: int
    """Replies in them."""
    fingerprint: str
    """Of them, as `personable.corpus.fingerprint` gives it."""
    warnings: tuple[str, ...]
    """What a user is told about them."""

    def __init__(
        self,
        data: Dataset,
        *,
        dialogues: int,
        fingerprint: str,
        layout: Layout,
        warnings: Sequence[str] = (),
        folder: Folder | None = None,
    ) -> None:
        """data: rows of COLUMNS, made by `encode_lines` for that layout.   warnings: what is told already.
        folder: where the rows lie, if in files."""
        table = data.data
        tokens = table.column("tokens").to_numpy()
        rows = np.flatnonzero(tokens)
        self.lengths = tokens[rows].astype(np.int32)
        self.learnt = table.column("learnt").to_numpy()[rows].astype(np.int32)
        self.dialogues, self.fingerprint = dialogues, fingerprint
        self.replies = int(table.column("replies").to_numpy().sum())
        cut = np.unique(table.column("cut_persona").to_numpy())
        left_out = len(tokens) - len(rows)
        self.warnings = (*warnings, *_warnings(dialogues, left_out, int((cut != 0).sum()), layout))
        self._rows, self._folder = rows.astype(np.int32), folder  # a temporary folder is there as long as this is
        self._open(data)

    def _open(self, data: Dataset) -> None:
        self._data = data
        self._batches = data.data.select(["text", "input_ids", "learn", "cut_facts"]).to_batches()
        self._first_rows = np.cumsum([0, *(len(batch) for batch in self._batches)])

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_batches"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A process that loads data ahead is sent the names of the files, not what is in them.
        vars(self).update(state)
        self._open(self._data)

    def __len__(self) -> int:
        return len(self.lengths)

    def encoded(self, index: int) -> EncodedDialogue:
        """A window as `encode_dialogue` lays it out."""
        batch, row = self._place(index)
        ids = tuple(batch["input_ids"][row].values.to_numpy().tolist())
        learn = tuple(batch["learn"][row].values.to_numpy(zero_copy_only=False).tolist())
        return EncodedDialogue(ids, learn, tuple(range(len(ids))), cut_facts=tuple(batch["cut_facts"][row].as_py()))

    def dialogue(self, index: int) -> Dialogue:
        """What a model reads of a window: persona and turns, without candidates and the partner's persona."""
        batch, row = self._place(index)
        return _read(batch["text"][row].as_py())

    def _place(self, index: int) -> tuple[pa.RecordBatch, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"expected a window between 0 and {len(self) - 1}, found {index}")
        row = int(self._rows[index])
        batch = int(np.searchsorted(self._first_rows, row, side="right")) - 1
        return self._batches[batch], row - int(self._first_rows[batch])


def prepared_of(dialogues: Iterable[Dialogue], layout: Layout) -> Prepared:
    """Dialogues prepared in memory. Raises BadBase for a template that cannot be learnt from."""
    given = tuple(dialogues)
    rows = Dataset(_rows_of(given, layout))
    return Prepared(rows, dialogues=len(given), fingerprint=fingerprint(given), layout=layout)


def encode_lines(lines: dict[str, list[str]], *, layout: Layout) -> pa.Table:
    """Rows of COLUMNS for a batch of canonical lines, as `Dataset.map` gives and takes them."""
    return _rows_of([_read(line) for line in lines["line"]], layout)


def _rows_of(dialogues: Sequence[Dialogue], layout: Layout) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    with cuts_not_logged():  # they are counted
        for start in range(0, len(dialogues), _AT_ONCE):
            some = dialogues[start : start + _AT_ONCE]
            whole = encode_dialogues(some, layout.tokenizer, layout.budget, learn_partner=layout.learn_partner)
            for dialogue, encoded in zip(some, whole, strict=True):
                for row in _rows_of_one(dialogue, encoded, layout):
                    for column, value in zip(columns.values(), row, strict=True):
                        column.append(value)
    return pa.Table.from_pydict(columns, schema=COLUMNS.arrow_schema)


def _rows_of_one(dialogue: Dialogue, whole: EncodedDialogue | None, layout: Layout) -> Iterator[tuple[Any, ...]]:
    counted = (len(dialogue.replies), _number_of(dialogue.persona) if cuts_persona(dialogue, layout) else 0)
    windows = windows_of(dialogue, layout, whole)
    if not windows:
        yield "", (), (), (), 0, 0, *counted
    for window in windows:
        text, encoded = canonical_line(_as_read(window.dialogue)), window.encoded
        ids, learn = encoded.input_ids, encoded.learn_mask
        yield text, ids, learn, encoded.cut_facts, len(ids), sum(learn), *counted
        counted = (0, 0)


def _number_of(persona: Persona) -> int:
    digest = hashlib.sha256(repr((persona.name, persona.facts)).encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], signed=True) or 1


def _as_read(dialogue: Dialogue) -> Dialogue:
    turns = tuple(Turn(turn.speaker, turn.text) for turn in dialogue.turns)
    return Dialogue(dialogue.persona, turns)


def _read(line: str) -> Dialogue:
    """The dialogue of a canonical line that was checked when it was first read."""
    record = json.loads(line)
    turns = tuple(Turn(_SPEAKERS[turn["speaker"]], turn["text"]) for turn in record.get("turns", ()))
    persona = record.get("persona", {})
    return Dialogue(Persona(tuple(persona.get("facts", ())), persona.get("name", "")), turns)


_SPEAKERS = {speaker.value: speaker for speaker in Speaker}


def _warnings(dialogues: int, left_out: int, personas_cut: int, layout: Layout) -> Iterator[str]:
    if left_out:
        yield (
            f"left out {left_out} of {dialogues} dialogues: no reply, an empty turn, or an exchange longer than the "
            "context"
        )
    if personas_cut:
        yield (
            f"facts are cut from {personas_cut} personas: larger than their share of the context "
            f"({layout.budget.persona_tokens} tokens)"
        )
