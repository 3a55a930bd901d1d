"""The chat template: how a persona and turns become text, for training and for every engine that opens a run.

GPT-2-family bases get `GPT2_TEMPLATE`; a base that brings a template able to carry a persona keeps its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError

from personable.dialogue import Dialogue, Speaker
from personable.errors import BadBase, EncodingError

Message = dict[str, str]

# Speaker marks instead of bare alternation: a reader can tell who speaks after turns were dropped or one speaker went
# twice; measured: benchmarks/results/layouts.json. Only what transformers, vLLM, llama.cpp and plain jinja2 all parse.
GPT2_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}{{ message['content'] | trim + eos_token }}"
    "{%- elif message['role'] == 'user' -%}{{ 'You: ' + message['content'] | trim + eos_token }}"
    "{%- elif message['role'] == 'assistant' -%}{{ 'Me: ' + message['content'] | trim + eos_token }}"
    "{%- else -%}{{ raise_exception('the roles are system, user and assistant, not ' + message['role']) }}"
    "{%- endif -%}"
    "{%- endfor -%}"
    # Ends before the space: GPT-2's BPE joins it to the first word of the reply.
    "{%- if add_generation_prompt -%}Me:{%- endif -%}"
)

ROLES = {Speaker.PARTNER: "user", Speaker.PERSONA: "assistant"}

# Stand for contents while the frame around them is read; private-use characters occur in no template.
_OPEN, _CLOSE = "\ue000", "\ue001"
# Said by the partner where a template cannot begin with a reply.
_SILENCE = "..."


def carries_persona(template: str | None) -> bool:
    """True for a chat template that mentions the system role; DialoGPT's own, for one, does not."""
    return template is not None and "system" in template


def special_texts(tokenizer: Any) -> tuple[str, ...]:
    """Strings that the tokenizer would turn into one special token wherever they stand, longest first."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values()} | set(tokenizer.all_special_tokens)
    # Some vocabularies add runs of spaces as tokens; those stand for nothing but spaces.
    return tuple(sorted((text for text in added if text.strip()), key=lambda text: (-len(text), text)))


def defuse(text: str, specials: tuple[str, ...]) -> str:
    """`text` with a space put into every special token's string, so that it is read as the plain text it is."""
    changed = True
    while changed:  # breaking one string can, in theory, complete another
        changed = False
        for special in specials:
            core = special.strip()
            if len(core) > 1 and core in text:
                text = text.replace(core, f"{core[0]} {core[1:]}")
                changed = True
    return text


@dataclass(frozen=True, slots=True)
class _Frame:
    """What a chat template does around contents."""

    takes_system: bool
    takes_any_order: bool
    """Turns need not alternate from the partner on."""
    reply_gap: int
    """White space, in characters, that a prompt leaves for the reply to begin with."""


@lru_cache(maxsize=64)
def _frame(template: str) -> _Frame:
    """Found by trying. Raises BadBase for a template that cannot lay out a turn and a reply."""
    from transformers.utils.chat_template_utils import render_jinja_template

    def rendered(*roles: str, prompt: bool = False) -> str:
        messages = [{"role": role, "content": _stand_in(place)} for place, role in enumerate(roles)]
        texts, _ = render_jinja_template(
            [messages], chat_template=template, add_generation_prompt=prompt, bos_token="", eos_token=""
        )
        return str(texts[0])

    def renders(*roles: str) -> bool:
        try:
            text = rendered(*roles)
        except TemplateError:
            return False
        return all(_stand_in(place) in text for place in range(len(roles)))

    if not renders("user", "assistant"):
        raise BadBase("the chat template of this base cannot lay out a user turn and an assistant turn. "
                      "Next: set another `chat_template` in its tokenizer, or choose another base.")  # fmt: skip
    system = renders("system", "user", "assistant")
    head = ("system",) if system else ()
    before_reply = rendered("user", "assistant").partition(_stand_in(1))[0]
    prompt = rendered("user", prompt=True)
    left = before_reply.removeprefix(prompt)
    return _Frame(
        takes_system=system,
        takes_any_order=renders(*head, "assistant", "user", "user", "assistant", "assistant"),
        reply_gap=len(left) if before_reply.startswith(prompt) and not left.strip() else 0,
    )


def _stand_in(place: int) -> str:
    return f"{_OPEN}{place}{_CLOSE}"


def as_messages(dialogue: Dialogue, tokenizer: Any) -> list[Message]:
    """The chat messages of a dialogue: what `tokenizer.apply_chat_template` takes.

    Special tokens typed as text are defused. Where a template knows no system role the persona opens the first user
    message; where it insists on alternation, turns of one speaker are joined and a silent partner turn comes first.
    Raises EncodingError for a turn without text.
    """
    frame = _frame(chat_template_of(tokenizer))
    specials = special_texts(tokenizer)
    messages: list[Message] = []
    for place, turn in enumerate(dialogue.turns):
        text = defuse(turn.text.strip(), specials)
        if not text:
            raise EncodingError(f"expected text in turn {place + 1}, found an empty one. Next: leave the turn out.")
        messages.append({"role": ROLES[turn.speaker], "content": text})
    if not frame.takes_any_order:
        messages = _alternating(messages)
    persona = defuse(dialogue.persona.text.strip(), specials)
    if not persona:
        return messages
    if frame.takes_system:
        return [{"role": "system", "content": persona}, *messages]
    if not messages or messages[0]["role"] != "user":
        messages.insert(0, {"role": "user", "content": _SILENCE})
    first = messages[0]
    return [{**first, "content": f"{persona}\n\n{first['content']}"}, *messages[1:]]


def _alternating(messages: list[Message]) -> list[Message]:
    joined: list[Message] = []
    for message in messages:
        if joined and joined[-1]["role"] == message["role"]:
            joined[-1] = {**message, "content": joined[-1]["content"] + "\n" + message["content"]}
        else:
            joined.append(message)
    if joined and joined[0]["role"] != "user":
        joined.insert(0, {"role": "user", "content": _SILENCE})
    return joined


def chat_template_of(tokenizer: Any) -> str:
    """The tokenizer's template. Raises BadBase where there is none."""
    template = tokenizer.chat_template
    if not isinstance(template, str):
        raise BadBase(
            f"expected a chat template in the tokenizer of {tokenizer.name_or_path!r}, found none. "
            "Next: choose a chat model or a GPT-2-family base, or set `chat_template` in its tokenizer."
        )
    return template


def render(messages: list[Message], tokenizer: Any, *, prompt: bool = False) -> str:
    """The text that `messages` are laid out as; with `prompt`, up to where a reply is to begin."""
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
    assert isinstance(text, str)
    return text


def content_spans(messages: list[Message], tokenizer: Any) -> tuple[str, list[tuple[int, int]]]:
    """The rendered text and, for each message, the characters [start, end) of its content in it, from where a prompt
    for it would end: the space that GPT-2's BPE joins to a first word counts as content.

    Raises BadBase for a template that changes what it is given.
    """
    text, spans = filled(messages, frame_around(tuple(message["role"] for message in messages), tokenizer))
    if text != render(messages, tokenizer):
        raise BadBase("the chat template of this base rewrites what turns say, so reply tokens cannot be told apart. "
                      "Next: choose another base.")  # fmt: skip
    return text, spans


@dataclass(frozen=True, slots=True)
class FrameAround:
    """What a template puts around the contents of messages of certain roles, whatever the contents say."""

    before: tuple[str, ...]
    """Before each content."""
    end: str
    """After the last one."""
    reply_gap: int
    """White space, in characters, before a content that counts as part of it."""


def frame_around(roles: tuple[str, ...], tokenizer: Any) -> FrameAround:
    """Found by rendering numbered stand-ins for the contents. Raises BadBase where one of them is not rendered."""
    stand_ins = [{"role": role, "content": _stand_in(place)} for place, role in enumerate(roles)]
    rest, before = render(stand_ins, tokenizer), []
    for stand_in in stand_ins:
        frame, found, rest = rest.partition(stand_in["content"])
        if not found:
            raise BadBase("the chat template of this base leaves out a message. Next: choose another base.")
        before.append(frame)
    return FrameAround(tuple(before), rest, _frame(chat_template_of(tokenizer)).reply_gap)


def filled(messages: list[Message], frame: FrameAround) -> tuple[str, list[tuple[int, int]]]:
    """The text of a frame with contents in it, and the characters [start, end) of each."""
    pieces, spans, length = [], [], 0
    for before, message in zip(frame.before, messages, strict=True):
        start = length + len(before)
        length = start + len(message["content"])
        pieces += [before, message["content"]]
        spans.append((start - frame.reply_gap, length))
    return "".join([*pieces, frame.end]), spans
