"""Token ids -> text, piece by piece, without ever showing half a character."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

_HALF_A_CHARACTER = "\ufffd"


def reply_text(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """The text of a whole reply: no special tokens, no half character at its end, no white space around it."""
    return _settled_text(ids, tokenizer).strip()


class PieceWriter:
    """Takes ids one at a time and gives the text that has become certain; all pieces together are `reply_text`.

    White space is held back until something follows it, and bytes until they make a whole character.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._given = 0

    def add(self, token_id: int) -> str:
        """The text that this id settles; often empty."""
        self._ids.append(token_id)
        # All ids are decoded anew: decoding only the latest would lose what tokenizers do at the start of a text and
        # between tokens, and for the few hundred tokens of a reply it costs nothing next to the model.
        text = reply_text(self._ids, self._tokenizer)
        piece, self._given = text[self._given :], max(self._given, len(text))
        return piece


def _settled_text(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    text = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)  # a flat list of ids gives one text, not a batch
    return text.rstrip(_HALF_A_CHARACTER)
