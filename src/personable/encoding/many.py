"""Many dialogues -> token ids: what `encode_dialogue` gives for each, with the work they share done once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from personable.dialogue import Dialogue
from personable.encoding.layout import Budget, EncodedDialogue, learn_mask, special_ids
from personable.encoding.template import GPT2_TEMPLATE, FrameAround, Message, as_messages, filled, frame_around
from personable.errors import BadBase, EncodingError


def encode_dialogues(
    dialogues: Sequence[Dialogue], tokenizer: Any, budget: Budget, *, learn_partner: bool = False
) -> list[EncodedDialogue | None]:
    """For each dialogue what `encode_dialogue` gives, or None where that has to be asked: the dialogue may be longer
    than the context, its persona larger than its share, a turn empty, or the template unfit.
    """
    if not tokenizer.is_fast:
        return [None] * len(dialogues)
    texts, spans, places = [], [], []
    learnt = {"user", "assistant"} if learn_partner else {"assistant"}
    frames: dict[tuple[str, ...], FrameAround] = {}
    rendered: list[list[Message]] = []
    for place, dialogue in enumerate(dialogues):
        # One token covers at least one byte.
        if len(dialogue.persona.text.encode("utf-8", "replace")) > budget.persona_tokens:
            continue
        try:
            messages = as_messages(dialogue, tokenizer)
            roles = tuple(message["role"] for message in messages)
            if not messages:
                continue
            if roles not in frames:
                frames[roles] = frame_around(roles, tokenizer)
        except (BadBase, EncodingError):
            continue
        text, found = filled(messages, frames[roles])
        texts.append(text)
        spans.append([span for span, role in zip(found, roles, strict=True) if role in learnt])
        places.append(place)
        rendered.append(messages)
    encoded: list[EncodedDialogue | None] = [None] * len(dialogues)
    if not texts:
        return encoded
    sure = _as_rendered(rendered, texts, tokenizer)
    encoding = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    specials = special_ids(tokenizer)
    for row, place in enumerate(places):
        ids = encoding["input_ids"][row]
        if sure[row] and len(ids) <= budget.context_tokens:
            learn = learn_mask(texts[row], ids, encoding["offset_mapping"][row], spans[row], specials)
            encoded[place] = EncodedDialogue(tuple(ids), tuple(learn), tuple(range(len(ids))))
    return encoded


def _as_rendered(conversations: list[list[Message]], texts: list[str], tokenizer: Any) -> list[bool]:
    """Where the template leaves contents as they are, so that the texts are what it makes of the messages."""
    if tokenizer.chat_template == GPT2_TEMPLATE:
        return [True] * len(texts)  # it only trims them, and they are trimmed
    rendered = tokenizer.apply_chat_template(conversations, tokenize=False)
    return [one == other for one, other in zip(rendered, texts, strict=True)]
