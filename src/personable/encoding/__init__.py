"""Dialogue <-> token ids and learn mask. See `layout` for the two functions that everything else calls."""

from personable.encoding.layout import Budget, EncodedDialogue, Prompt, encode_dialogue, encode_prompt, turn_end_ids

__all__ = ["Budget", "EncodedDialogue", "Prompt", "encode_dialogue", "encode_prompt", "turn_end_ids"]
