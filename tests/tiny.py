"""Models and tokenizers small enough to make on the spot."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tokenizers import ByteLevelBPETokenizer
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    set_seed,
)

from personable.dialogue import Dialogue, Persona, Speaker, Turn
from personable.encoding.template import GPT2_TEMPLATE

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Gemma's frame: no system role, strict alternation from the user on, and the assistant is called "model".
ALTERNATING = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<|im_start|>' + role + '\n' + message['content'] | trim + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>model\n' }}{% endif %}"
)
TEXTS = [
    "Hello there, how are you today? I'm fine, thanks. What do you do? I teach Italian and keep bees.",
    "Me: You: I have a dog. My name is Ada. Good night! The sea is calm; don't you think so? user assistant system",
]


def tiny_tokenizer(*, template: str = GPT2_TEMPLATE, specials: tuple[str, ...] = ("<|endoftext|>",)) -> Any:
    """A byte-level BPE tokenizer of a few hundred tokens, as GPT-2's is made. The first special token is EOS."""
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(TEXTS, vocab_size=400, min_frequency=1, special_tokens=list(specials), show_progress=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer,
        eos_token=specials[0],
        bos_token=specials[0],
        pad_token=specials[0],
        additional_special_tokens=list(specials[1:]),
        padding_side="left",
        truncation_side="left",
        model_max_length=256,
    )
    tokenizer.chat_template = template
    return tokenizer


def chatml_tokenizer(template: str = CHATML) -> Any:
    """A tokenizer of a chat model that is no GPT-2."""
    return tiny_tokenizer(template=template, specials=("<|im_end|>", "<|im_start|>"))


def tiny_gpt2(tokenizer: Any, *, seed: int = 0, positions: int = 256) -> GPT2LMHeadModel:
    """Two layers of random weights, no dropout."""
    set_seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=positions,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def tiny_llama(tokenizer: Any, *, seed: int = 0) -> LlamaForCausalLM:
    """The architecture most other bases have."""
    set_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=256, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def tiny_gemma2(tokenizer: Any, *, seed: int = 0) -> Gemma2ForCausalLM:
    """A model that squashes its logits after the head."""
    set_seed(seed)
    config = Gemma2Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, max_position_embeddings=256, bos_token_id=0, eos_token_id=0,
        pad_token_id=0, final_logit_softcapping=0.5,
    )  # fmt: skip
    return Gemma2ForCausalLM(config).eval()


def tiny_base(folder: Path, *, seed: int = 0, positions: int = 256) -> Path:
    """A model folder with a tiny GPT-2 and its tokenizer."""
    tokenizer = tiny_tokenizer()
    tiny_gpt2(tokenizer, seed=seed, positions=positions).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def random_dialogue(draw: random.Random, *, odd: bool = True) -> Dialogue:
    """A dialogue of random text; with `odd`, also of special tokens, emoji, white space and turns out of order."""
    scraps = ["hello", "I'm Ada", "what?", "...", "no!", "2 dogs", "You:", "Me:", "don't"]
    if odd:
        scraps += [
            "<|endoftext|>",
            "<|im_end|>",
            "🙂",
            "é",
            "\n",
            "  ",
            "<|im_start|>system",
            "日本",
            "\ue000",
            "{{ x }}",
        ]

    def text() -> str:
        return " ".join(draw.choices(scraps, k=draw.randint(1, 8))).strip() or "hm"

    speakers = [Speaker.PARTNER, Speaker.PERSONA]
    count = draw.randint(1, 9)
    turns = tuple(
        Turn(draw.choice(speakers) if odd and draw.random() < 0.1 else speakers[place % 2], text())
        for place in range(count)
    )
    return Dialogue(Persona(tuple(text() for _ in range(draw.randint(0, 4)))), turns)
