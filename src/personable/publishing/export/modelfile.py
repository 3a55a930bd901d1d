"""An Ollama Modelfile: the chat template in Go's language, where it can be said there, and the run's settings."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

from jinja2 import TemplateError

from personable.base import Base
from personable.dialogue import Dialogue, Persona
from personable.encoding import turn_end_ids
from personable.encoding.template import Message, as_messages, render
from personable.reply.sampling import sampling_defaults

_EXAMPLE = Persona(("i sail boats.", "i have a cat named tom."))
_CONTENT = "\ue000"
_LONGEST_TRIED = 4


def write_modelfile(base: Base, gguf_name: str) -> str:
    """The text of a Modelfile for a GGUF file of that name beside it.

    Without TEMPLATE where Go's language cannot say what the chat template says; Ollama then reads the GGUF's own.
    """
    sampling = sampling_defaults(base.model.generation_config, base.context_tokens)
    parameters = {
        "num_ctx": base.context_tokens,
        "num_predict": sampling.max_reply_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repetition_penalty,
        "repeat_last_n": -1,
    }
    ends = sorted(turn_end_ids(base.tokenizer))
    stops = [base.tokenizer.convert_ids_to_tokens(end) for end in ends]
    lines = [
        f"# ollama create NAME -f {gguf_name.removesuffix('.gguf')}.Modelfile, then: ollama run NAME",
        f"FROM ./{gguf_name}",
        "",
        *_template_lines(base.tokenizer),
        "",
        *(f"PARAMETER {name} {value}" for name, value in parameters.items()),
        *(f'PARAMETER stop "{stop}"' for stop in stops),
        "",
        "# Who it is to be, a fact a line. For example:",
        *(f"# {line}" for line in f'SYSTEM """{_persona_text(base.tokenizer)}"""'.split("\n")),
    ]
    return "\n".join(lines) + "\n"


def _persona_text(tokenizer: Any) -> str:
    """The example as it is trained: in messages of the template's own making."""
    messages = as_messages(Dialogue(_EXAMPLE), tokenizer)
    return messages[0]["content"] if messages[0]["role"] == "system" else _EXAMPLE.text


def _template_lines(tokenizer: Any) -> list[str]:
    template = go_template(tokenizer)
    if template is None:
        return [
            "# No TEMPLATE: the chat template does more than put a frame around each message, which cannot be put into",
            "# Ollama's language by rule. Ollama falls back on the template inside the GGUF file.",
        ]
    return [
        "# Says what the chat template inside the GGUF file says. Ollama joins neighbouring messages of one role by an",
        "# empty line, and cannot trim spaces around messages.",
        f'TEMPLATE """{template}"""',
    ]


def go_template(tokenizer: Any) -> str | None:
    """The tokenizer's chat template in the language of Go's text/template, as Ollama fills it; None where it does more
    than put a fixed frame around each message.

    Both agree for every order of roles up to four messages, which is tried; neither is given spaces around contents.
    """
    frames = _frames(tokenizer)
    if frames is None or not _agree(frames, tokenizer):
        return None
    parts = [frames.opening, frames.reply_start, *frames.before.values(), *frames.after.values()]
    if any(mark in part for part in parts for mark in ("{{", "}}", '"""')):
        return None
    turns = "".join(
        f'{{{{ {"else " if place else ""}if eq $m.Role "{role}" }}}}'
        f"{frames.before[role]}{{{{ $m.Content }}}}{frames.after[role]}"
        for place, role in enumerate(frames.before)
    )
    opening = f'{{{{ if eq $i 0 }}}}{{{{ if ne $m.Role "system" }}}}{frames.opening}{{{{ end }}}}{{{{ end }}}}'
    return (
        f"{{{{ range $i, $m := .Messages }}}}{opening if frames.opening else ''}{turns}{{{{ end }}}}{{{{ end }}}}"
        f"{frames.reply_start}"
    )


@dataclass(frozen=True, slots=True)
class _Frames:
    """A chat template that puts fixed text around each message."""

    opening: str
    """Stands before a first message that is no system message."""
    before: dict[str, str]
    """By role."""
    after: dict[str, str]
    reply_start: str
    """What a prompt ends with."""

    def render(self, messages: list[Message]) -> str:
        """The prompt for the next reply."""
        opening = "" if messages[0]["role"] == "system" else self.opening
        turns = (self.before[each["role"]] + each["content"] + self.after[each["role"]] for each in messages)
        return opening + "".join(turns) + self.reply_start


def _frames(tokenizer: Any) -> _Frames | None:
    """Read off a few rendered dialogues; None for a template that refuses one of them."""

    def pieces(*roles: str, prompt: bool = False) -> list[str]:
        messages = [{"role": role, "content": _CONTENT} for role in roles]
        return render(messages, tokenizer, prompt=prompt).split(_CONTENT)

    try:
        after = {role: pieces(role)[-1] for role in ("system", "user", "assistant")}
        before = {"system": pieces("system")[0]}
        for role in ("user", "assistant"):
            between = pieces("system", role)[1]
            if not between.startswith(after["system"]):
                return None
            before[role] = between.removeprefix(after["system"])
        alone = pieces("user")[0]
        prompt = pieces("user", prompt=True)[-1]
    except (TemplateError, IndexError):
        return None
    if not alone.endswith(before["user"]) or not prompt.startswith(after["user"]):
        return None
    return _Frames(alone.removesuffix(before["user"]), before, after, prompt.removeprefix(after["user"]))


def _agree(frames: _Frames, tokenizer: Any) -> bool:
    orders = (
        head + turns
        for length in range(1, _LONGEST_TRIED + 1)
        for turns in product(("user", "assistant"), repeat=length)
        for head in ((), ("system",))
    )
    for order in orders:
        messages = [{"role": role, "content": f"{role} {place}"} for place, role in enumerate(order)]
        try:
            if render(messages, tokenizer, prompt=True) != frames.render(messages):
                return False
        except TemplateError:
            return False
    return True
