"""A real run folder, small enough for a test: a two-layer GPT-2 that knows a few conversations by heart."""

from __future__ import annotations

from pathlib import Path
from string import ascii_lowercase

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

from personable.dialogue import Dialogue, Persona, Speaker
from personable.encoding import Budget, encode_dialogue
from personable.encoding.batches import Collator
from personable.encoding.likelihood import reply_nats
from personable.encoding.template import GPT2_TEMPLATE

END = "<|endoftext|>"
CONTEXT_TOKENS = 192

RITA = Persona(("i sail boats.", "i have a cat named tom."), name="Rita")
OLEG = Persona(("i bake bread.",), name="Oleg")

KNOWN = [
    (RITA, ["hi", "hello there", "what do you do", "i sail boats", "any pets", "a cat named tom 😀"]),
    (OLEG, ["hi", "good day", "what do you do", "i bake bread", "any pets", "no, only bread"]),
]


def said(persona: Persona, *texts: str) -> Dialogue:
    """The dialogue in which partner and persona say the texts in turn."""
    dialogue = Dialogue(persona)
    for place, text in enumerate(texts):
        dialogue = dialogue.then(Speaker.PERSONA if place % 2 else Speaker.PARTNER, text)
    return dialogue


def write_memorised_run(folder: Path) -> Path:
    """The folder, with model, tokenizer and generation_config.json in it; takes a few seconds."""
    _write_tokenizer(folder)
    tokenizer = GPT2Tokenizer.from_pretrained(folder)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=CONTEXT_TOKENS,
        n_embd=48,
        n_layer=2,
        n_head=2,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config)
    _memorise(model, tokenizer)
    model.generation_config.update(do_sample=True, temperature=0.9, top_p=0.95, max_new_tokens=24)
    model.generation_config.update(pad_token_id=tokenizer.eos_token_id)
    model.save_pretrained(folder)
    return folder


def _write_tokenizer(folder: Path) -> None:
    # With every letter after a space, as in GPT-2's own vocabulary: the layout puts a space before a reply.
    texts = [text for persona, turns in KNOWN for text in (*persona.facts, *turns)] * 2
    texts += [f" {letter}" for letter in ascii_lowercase] * 50
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(texts, vocab_size=320, special_tokens=[END], show_progress=False)
    file = folder / "byte_pairs.json"
    bpe.save(str(file))
    tokenizer = GPT2Tokenizer(
        tokenizer_file=str(file), bos_token=END, eos_token=END, unk_token=END, model_max_length=CONTEXT_TOKENS
    )
    tokenizer.chat_template = GPT2_TEMPLATE
    tokenizer.save_pretrained(folder)


def _memorise(model: GPT2LMHeadModel, tokenizer: GPT2Tokenizer) -> None:
    budget = Budget(CONTEXT_TOKENS, reply_tokens=24)
    batch = Collator(tokenizer.eos_token_id)(
        [encode_dialogue(said(persona, *turns), tokenizer, budget) for persona, turns in KNOWN]
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    model.train()
    for _ in range(150):
        loss = reply_nats(model, batch).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.003:
            break
    assert loss < 0.02, f"did not learn its lines: {loss}"
