"""Which chat template tells speakers apart best? Fine-tunes one base with each layout and compares.

    python benchmarks/layouts.py --base smollm2-135m --json layouts.json

Data: ConvAI2 (train_self_original_no_cands, valid_self_original) under $PERSONABLE_TEST_DATA, default ../shared/data.
For every layout, same dialogues, order and seed:
  perplexity          reply perplexity on validation dialogues, detokenised (per token of reply and turn end)
  ... first turn cut  the same without each dialogue's first turn, as when old turns no longer fit: replies that were
                      in both counts only; a layout that counts turns gets worse
  role swaps          forced choice after the partner has told a job: asked for its own (or the partner's) job, does
                      the model find the sentence with the other's job likelier?
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from personable.base import Base, load_base
from personable.corpus import read_dialogues
from personable.dialogue import Dialogue, Persona, Speaker, Turn
from personable.encoding import Budget, EncodedDialogue, encode_dialogue
from personable.encoding.batches import Collator, pad_id_of
from personable.encoding.likelihood import Surprise, reply_nats, reply_surprise
from personable.encoding.template import GPT2_TEMPLATE
from personable.training.adapting import prepare
from personable.training.layout import Layout
from personable.training.prepared import prepared_of
from personable.training.recipe import LoraSettings, make_recipe

HEAD = (
    "{%- for message in messages -%}{%- if message['role'] == 'system' -%}{{ message['content'] | trim + eos_token }}"
)
LAYOUTS = {
    "bare turns": HEAD + "{%- else -%}{{ message['content'] | trim + eos_token }}{%- endif -%}{%- endfor -%}",
    "partner marked": HEAD
    + "{%- elif message['role'] == 'user' -%}{{ '> ' + message['content'] | trim + eos_token }}"
    + "{%- else -%}{{ message['content'] | trim + eos_token }}{%- endif -%}{%- endfor -%}",
    "You: / Me:": GPT2_TEMPLATE,
}
JOBS = ("nurse", "pilot", "farmer", "teacher", "plumber", "singer", "lawyer", "chef")
BUDGET = Budget(1024)


def main() -> None:
    """Parses the command line and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="starter")
    parser.add_argument("--dialogues", type=int, default=80, help="training dialogues per layout")
    parser.add_argument("--validation", type=int, default=30)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, to see that it runs")
    parser.add_argument("--json", type=Path, dest="json_path")
    given = parser.parse_args()
    shrink = 10 if given.quick else 1
    corpora = Path(os.environ.get("PERSONABLE_TEST_DATA", "../shared/data")) / "convai2"
    train = sample(corpora / "train_self_original_no_cands.txt.xz", given.dialogues // shrink, given.seed)
    valid = sample(corpora / "valid_self_original.txt.xz", given.validation // shrink, given.seed)
    rows = []
    for name, template in LAYOUTS.items():
        started = time.monotonic()
        base = fine_tuned(given.base, template, train, learning_rate=given.learning_rate, seed=given.seed)
        rows.append({"layout": name, **measured(base, valid), "seconds": round(time.monotonic() - started)})
        print(json.dumps(rows[-1]), flush=True)
    if given.json_path:
        settings = {key: value for key, value in vars(given).items() if key != "json_path"}
        given.json_path.write_text(
            json.dumps({"settings": settings, "layouts": rows}, indent=2) + "\n", encoding="utf-8"
        )


def sample(path: Path, count: int, seed: int) -> list[Dialogue]:
    """A seeded sample of a corpus, detokenised; the same for every layout."""
    dialogues = read_dialogues(path, detokenise=True).dialogues
    return random.Random(seed).sample(dialogues, max(count, 1))


def fine_tuned(spec: str, template: str, dialogues: list[Dialogue], *, learning_rate: float, seed: int) -> Base:
    """The base after one pass over `dialogues` with LoRA on all linear layers, laid out by `template`."""
    base = load_base(spec, device="cpu")
    base.tokenizer.chat_template = template
    torch.manual_seed(seed)
    recipe = make_recipe({"lora": LoraSettings().model_dump()})
    model = prepare(base.model, recipe).train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=0.0)
    prepared = prepared_of(dialogues, Layout(base.tokenizer, BUDGET))
    collate = Collator(pad_id_of(base.tokenizer))
    for start in range(0, len(prepared), 2):
        batch = collate([prepared.encoded(place) for place in range(start, min(start + 2, len(prepared)))])
        reply_nats(model, batch).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return replace(base, model=model.merge_and_unload().eval())


def measured(base: Base, dialogues: list[Dialogue]) -> dict[str, Any]:
    """The figures of one layout."""
    whole = surprise(base, [encode_dialogue(dialogue, base.tokenizer, BUDGET) for dialogue in dialogues])
    # Without its first turn a dialogue begins with a reply; that first reply, now without context, is not counted.
    cut = [encode_dialogue(replace(one, turns=one.turns[1:]), base.tokenizer, BUDGET) for one in dialogues]
    full = [encode_dialogue(one, base.tokenizer, BUDGET) for one in dialogues]
    later_cut = surprise(base, [without_first_reply(one) for one in cut])
    later_full = surprise(base, [without_first_reply(one) for one in full])
    swaps, asked = role_swaps(base)
    return {
        "perplexity": round(whole.perplexity, 3),
        "perplexity_after_first_reply": round(later_full.perplexity, 3),
        "perplexity_first_turn_cut": round(later_cut.perplexity, 3),
        "role_swaps": swaps,
        "role_questions": asked,
        "reply_tokens": whole.tokens,
        "nats_per_reply": round(whole.nats / sum(len(one.replies) for one in dialogues), 3),
        "prompt_and_reply_tokens": sum(len(one.input_ids) for one in full),
    }


def surprise(base: Base, encoded: list[EncodedDialogue]) -> Surprise:
    """Nats over the learnt tokens."""
    collate = Collator(pad_id_of(base.tokenizer))
    return reply_surprise(base.model, (collate(encoded[start : start + 4]) for start in range(0, len(encoded), 4)))


def without_first_reply(encoded: EncodedDialogue) -> EncodedDialogue:
    """The same tokens with the first stretch of learnt ones no longer counted."""
    mask = list(encoded.learn_mask)
    place = mask.index(True)
    while place < len(mask) and mask[place]:
        mask[place] = False
        place += 1
    return replace(encoded, learn_mask=tuple(mask))


def role_swaps(base: Base) -> tuple[int, int]:
    """(answers with the other speaker's job found likelier, questions asked)."""
    swaps = asked = 0
    for own in JOBS:
        for theirs in JOBS:
            if own == theirs:
                continue
            persona = Persona((f"I am a {own}.", "I have two cats.", "I love long walks."))
            start = Dialogue(persona).then(Speaker.PARTNER, f"Hi! I just got home from work, I'm a {theirs}.")
            start = start.then(Speaker.PERSONA, "Hello! I hope you had a good day.")
            for question, right, wrong in (
                ("It was fine. What do you do for a living?", f"I am a {own}.", f"I am a {theirs}."),
                ("It was fine. Do you remember what my job is?", f"You are a {theirs}.", f"You are a {own}."),
            ):
                asked += 1
                swaps += reply_cost(base, start, question, wrong) < reply_cost(base, start, question, right)
    return swaps, asked


def reply_cost(base: Base, start: Dialogue, question: str, reply: str) -> float:
    """Nats of the last reply."""
    dialogue = replace(start, turns=(*start.turns, Turn(Speaker.PARTNER, question), Turn(Speaker.PERSONA, reply)))
    encoded = without_first_reply(encode_dialogue(dialogue, base.tokenizer, BUDGET))
    return surprise(base, [encoded]).nats


if __name__ == "__main__":
    main()
