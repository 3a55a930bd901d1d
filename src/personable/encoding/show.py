"""A dialogue as a model sees it, made visible."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from personable.encoding.layout import EncodedDialogue


def shown(encoded: EncodedDialogue, tokenizer: Any, *, colour: bool) -> Text:
    """The decoded tokens with the learnt ones in green; without colour, between ⟦ and ⟧."""
    text = Text()
    start = 0
    for place in range(1, len(encoded.input_ids) + 1):
        if place < len(encoded.input_ids) and encoded.learn_mask[place] == encoded.learn_mask[start]:
            continue
        # Whole stretches, so that a character of several tokens is shown as one.
        said = tokenizer.decode(encoded.input_ids[start:place])
        if encoded.learn_mask[start]:
            text.append(said if colour else f"⟦{said}⟧", style="black on green")
        else:
            text.append(said, style="dim")
        start = place
    return text
