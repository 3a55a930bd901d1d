"""Dialogue <-> token ids and learn mask. See `layout` for the two functions that everything else calls."""

from personable.encoding.continuations import CandidateEncoder, EncodedCandidates
from personable.encoding.layout import Budget, EncodedDialogue, Prompt, encode_dialogue, encode_prompt, turn_end_ids

__all__ = [
    "Budget",
    "CandidateEncoder",
    "EncodedCandidates",
    "EncodedDialogue",
    "Prompt",
    "encode_dialogue",
    "encode_prompt",
    "turn_end_ids",
]
