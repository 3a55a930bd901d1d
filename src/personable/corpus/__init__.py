"""Files to dialogues: a reader per format, one canonical format to write, splits, and what is wrong with a corpus."""

from personable.corpus.canonical import fingerprint, write_dialogues
from personable.corpus.conversion import convert, split
from personable.corpus.detokenising import detokenise
from personable.corpus.doctor import Contradicts, Diagnosis, Finding, Kind, Mending, Severity, examine, mend
from personable.corpus.formats import Format
from personable.corpus.inspection import Inspection, Spread, inspect
from personable.corpus.reading import Reading, iter_dialogues, read_dialogues
from personable.corpus.splitting import Split, split_dialogues

__all__ = [
    "Contradicts",
    "Diagnosis",
    "Finding",
    "Format",
    "Inspection",
    "Kind",
    "Mending",
    "Reading",
    "Severity",
    "Split",
    "Spread",
    "convert",
    "detokenise",
    "examine",
    "fingerprint",
    "inspect",
    "iter_dialogues",
    "mend",
    "read_dialogues",
    "split",
    "split_dialogues",
    "write_dialogues",
]
