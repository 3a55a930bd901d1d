"""A page on which a persona talks. The facts can be changed in it; they are what the model reads first."""

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import gradio as gr
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TextIteratorStreamer

MODEL = os.environ.get("MODEL", "OWNER/NAME")
FACTS = (Path(__file__).parent / "persona.txt").read_text(encoding="utf-8").strip()
SILENCE = "..."  # shown for a reply without words, and not part of what the model reads later

device = "cuda" if torch.cuda.is_available() else "cpu"
tokenizer: Any = AutoTokenizer.from_pretrained(MODEL)
model: Any = AutoModelForCausalLM.from_pretrained(MODEL).to(device).eval()
context_tokens = min(model.config.max_position_embeddings, tokenizer.model_max_length)
reply_tokens = model.generation_config.max_new_tokens or 80  # how to sample stands in generation_config.json too


def prompt_ids(facts: str, turns: list[dict[str, str]]) -> torch.Tensor:
    """What the model reads, (1, tokens). Whole oldest turns go where it would not fit; the persona stays."""
    lines = [line.strip() for line in facts.splitlines() if line.strip()]
    persona = [{"role": "system", "content": "\n".join(lines)}] if lines else []
    while True:
        read: Any = tokenizer.apply_chat_template(
            [*persona, *turns], add_generation_prompt=True, sanitize_control_tokens=True, return_tensors="pt"
        )
        ids: torch.Tensor = read["input_ids"]
        if ids.shape[1] <= context_tokens - reply_tokens:
            return ids.to(device)
        if len(turns) == 1:
            raise gr.Error("That is more than the model can read at once. Shorten the message or the facts.")
        turns = turns[1:]


def text_of(message: dict[str, Any]) -> str:
    """What a message of the history says; Gradio keeps it in parts."""
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def reply(message: str, history: list[dict[str, Any]], facts: str) -> Iterator[str]:
    """The reply, longer and longer."""
    said = [{"role": str(each["role"]), "content": text_of(each)} for each in history]
    said = [turn for turn in said if turn != {"role": "assistant", "content": SILENCE}]
    if not message.strip():
        return
    ids = prompt_ids(facts, [*said, {"role": "user", "content": message}])
    words = TextIteratorStreamer(
        tokenizer, skip_prompt=True, timeout=120, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    arguments = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "max_new_tokens": reply_tokens,
        "streamer": words,
    }
    Thread(target=model.generate, kwargs=arguments, daemon=True).start()
    text = ""
    for word in words:
        text += word
        if shown := text.strip().rstrip("\ufffd"):
            yield shown
    if not text.strip():
        yield SILENCE


page = gr.ChatInterface(
    reply,
    title=f"Talk with {MODEL.rpartition('/')[2]}",
    description="A small model in character. It makes things up; nothing it says is advice.",
    additional_inputs=[gr.Textbox(FACTS, lines=8, label="Facts, one a line")],
    additional_inputs_accordion=gr.Accordion("Persona", open=True),
    api_name="chat",
)

if __name__ == "__main__":
    page.launch()
