"""Files to dialogues: a reader per format, one canonical format to write, splits, and a look at what is there."""

from personable.corpus.canonical import fingerprint, write_dialogues
from personable.corpus.conversion import convert, split
from personable.corpus.detokenising import detokenise
from personable.corpus.formats import Format
from personable.corpus.inspection import Inspection, Spread, inspect
from personable.corpus.reading import Reading, iter_dialogues, read_dialogues
from personable.corpus.splitting import Split, split_dialogues

__all__ = [
    "Format",
    "Inspection",
    "Reading",
    "Split",
    "Spread",
    "convert",
    "detokenise",
    "fingerprint",
    "inspect",
    "iter_dialogues",
    "read_dialogues",
    "split",
    "split_dialogues",
    "write_dialogues",
]
