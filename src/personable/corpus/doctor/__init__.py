"""What is wrong with a corpus, where, and what to do about it; and a corpus with what can safely be mended."""

from personable.corpus.doctor.contradictions import Contradicts
from personable.corpus.doctor.diagnosis import Diagnosis, examine
from personable.corpus.doctor.finding import Finding, Kind, Severity
from personable.corpus.doctor.mending import Mending, mend

__all__ = ["Contradicts", "Diagnosis", "Finding", "Kind", "Mending", "Severity", "examine", "mend"]
