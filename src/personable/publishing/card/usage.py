"""How to run a model, as code that a model card shows; and what its chat template makes of a conversation."""

from __future__ import annotations

import json
import shlex
from functools import lru_cache
from pathlib import Path
from typing import Any

from personable.publishing.card.text import plain
from personable.publishing.hub.contents import typed_run


def usage(template: str, *, name: str, repo: str | None) -> dict[str, Any]:
    """Commands and code, as the template of the card asks for them. name: the Hub id, else the folder it lies in."""
    layout = _laid_out(template, (("system", "I am Ada.\nI keep bees."), ("user", "Hi!"), ("assistant", "Hello!")))
    persona, said = "I am Ada.\\nI keep bees.", "Hi! Who are you?"
    if layout is None:
        messages = f'    {{"role": "user", "content": "{persona}\\n\\n{said}"}},'
    else:
        messages = f'    {{"role": "system", "content": "{persona}"}},\n    {{"role": "user", "content": "{said}"}},'
    quoted = shlex.quote(typed_run(Path(plain(name))))
    # Where `personable export` writes: into the folder of a run, else into the current one.
    gguf = f"{name.rpartition('/')[2]}-f16.gguf" if repo else f"{name}/{name}-f16.gguf"
    return {
        "layout": layout,
        "takes_system": layout is not None,
        "usage": _USAGE.replace("NAME", json.dumps(plain(name))).replace("MESSAGES", messages),
        "chat_command": f'personable chat {quoted} --fact "I am Ada." --fact "I keep bees."',
        "vllm_command": f"vllm serve {quoted}",
        "gguf_command": f"personable export {quoted} --to gguf\n"
        f"llama-server --jinja --model {shlex.quote(plain(gguf))}",
    }


_USAGE = """from transformers import AutoModelForCausalLM, AutoTokenizer

name = NAME
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name)
messages = [
MESSAGES
]
prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")
reply = model.generate(**prompt)[0, prompt["input_ids"].shape[1] :]
print(tokenizer.decode(reply, skip_special_tokens=True).strip())
"""


@lru_cache
def _laid_out(template: str, messages: tuple[tuple[str, str], ...]) -> str | None:
    """The messages as the template lays them out; None where it refuses them or knows no system message."""
    from jinja2 import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    conversation = [{"role": role, "content": content} for role, content in messages]
    try:
        texts, _ = render_jinja_template([conversation], chat_template=template, bos_token="⟨begin⟩", eos_token="⟨end⟩")
    except TemplateError:
        return None
    laid = str(texts[0])
    return laid if all(line in laid for _, content in messages for line in content.splitlines()) else None
