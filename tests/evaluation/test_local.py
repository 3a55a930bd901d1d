import logging
import math
import random
from dataclasses import replace

import pytest
import torch

from personable.base import Base
from personable.dialogue import Dialogue, Persona, Speaker
from personable.encoding import Budget, encode_prompt
from personable.errors import BadBase
from personable.evaluation import local
from personable.evaluation.local import LocalEngine
from personable.evaluation.prefixes import PrefixReader, chains
from personable.evaluation.rows import Rows
from personable.evaluation.seeds import seed_of
from personable.reply import Bot, Sampling, load
from tests.evaluation.engines import BASES, histories
from tests.reply.memorised_run import KNOWN, said, write_memorised_run
from tests.tiny import tiny_gpt2, tiny_tokenizer

GREEDY = Sampling(temperature=0, top_p=1, max_reply_tokens=16)
WILD = Sampling(temperature=2, top_p=0.95, top_k=50, min_p=0.001, repetition_penalty=1.2, max_reply_tokens=16, seed=5)


def bots_replies(base, asked, sampling):
    bot = Bot(base)
    return [bot.reply(history, sampling.but(seed=seed_of(history, sampling.seed))) for history in asked]


@pytest.mark.parametrize("sampling", [GREEDY, WILD], ids=["greedy", "wild"])
@pytest.mark.parametrize(
    ("name", "batch_sizes"),
    [
        ("gpt2", (1, 5, 16)),
        ("llama", (1, 5, 16)),
        ("llama chatml", (5,)),
        ("gemma2", (5,)),
        ("mistral", (5,)),
        ("bloom", (5,)),
    ],
)
def test_replies_are_the_bots_whatever_the_batch_size(name, batch_sizes, sampling):
    asked = histories(2)
    expected = bots_replies(BASES[name], asked, sampling)
    for batch_size in batch_sizes:
        assert LocalEngine(BASES[name], batch_size=batch_size).replies(asked, sampling) == expected
    # Some end early, some are cut.
    assert sampling is GREEDY or len({len(reply) for reply in expected}) > 3


@pytest.mark.parametrize("sampling", [GREEDY, WILD], ids=["greedy", "wild"])
def test_replies_depend_on_neither_order_nor_company(sampling):
    asked, engine = histories(3), LocalEngine(BASES["gpt2"])
    expected = engine.replies(asked, sampling)
    places = list(range(len(asked)))
    random.Random(0).shuffle(places)
    assert engine.replies([asked[place] for place in places], sampling) == [expected[place] for place in places]
    assert engine.replies(asked[7:9], sampling) == expected[7:9]


def test_another_seed_gives_other_replies_and_no_seed_new_ones():
    asked, engine = histories(3), LocalEngine(BASES["gpt2"])
    first = engine.replies(asked, WILD)
    assert engine.replies(asked, WILD) == first
    assert engine.replies(asked, WILD.but(seed=6)) != first
    unseeded = replace(WILD, seed=None)
    assert engine.replies(asked, unseeded) != engine.replies(asked, unseeded)


def test_says_what_it_has_learnt(tmp_path):
    engine = LocalEngine(load(write_memorised_run(tmp_path)).base, batch_size=4)
    asked = [(said(persona, *turns[:place]), turns[place]) for persona, turns in KNOWN for place in (1, 3, 5)]
    assert engine.replies([history for history, _ in asked], GREEDY) == [reply for _, reply in asked]


def test_a_dialogue_is_read_once_for_all_its_replies():
    base = BASES["llama"]
    dialogue = Dialogue(Persona(("I'm Ada",)))
    asked = []
    for place in range(6):
        dialogue = dialogue.then(Speaker.PARTNER, f"what? {place}")
        asked.append(dialogue)
        dialogue = dialogue.then(Speaker.PERSONA, "hello")
    engine = LocalEngine(base)
    assert engine.reader.limit == 256
    read = []
    hook = base.model.register_forward_pre_hook(
        lambda _module, _inputs, named: read.append(tuple(named["input_ids"].shape)), with_kwargs=True
    )
    engine.replies(asked, GREEDY)
    hook.remove()
    longest = encode_prompt(asked[-1], base.tokenizer, Budget(256, 16)).input_ids
    assert read[0] == (1, len(longest))
    assert all(tokens == 1 for _, tokens in read[1:])
    assert len(read) <= 16
    # Rows that have ended are let go of.
    assert read[1][0] == 6
    assert [rows for rows, _ in read[1:]] == sorted((rows for rows, _ in read[1:]), reverse=True)


def test_little_memory_gives_the_same_replies(monkeypatch):
    asked, base = histories(3), BASES["llama"]
    expected = LocalEngine(base).replies(asked, GREEDY)
    monkeypatch.setattr(local, "CACHE_BYTES", 250_000)
    shapes = []
    hook = base.model.register_forward_pre_hook(
        lambda _module, _inputs, named: (
            shapes.append(named["attention_mask"].shape) if "attention_mask" in named else None
        ),
        with_kwargs=True,
    )
    engine = LocalEngine(base)
    assert engine.reader.limit
    del shapes[:]
    assert engine.replies(asked, GREEDY) == expected
    hook.remove()
    several = [rows * tokens for rows, tokens in shapes if rows > 1]
    assert several
    # Keys and values, 2 layers, 32 numbers of 4 bytes.
    assert max(several) * 2 * 2 * 32 * 4 <= 250_000


def test_old_turns_are_dropped_as_in_a_chat():
    dialogue = Dialogue(Persona(("I'm Ada",)))
    for place in range(30):
        dialogue = dialogue.then((Speaker.PARTNER, Speaker.PERSONA)[place % 2], f"what? {place} no!")
    asked = [replace(dialogue, turns=dialogue.turns[:end]) for end in range(25, 30, 2)]
    for name in ("gpt2", "llama chatml"):
        base = BASES[name]
        assert encode_prompt(asked[-1], base.tokenizer, Budget(256, 16)).dropped_turns
        assert LocalEngine(base).replies(asked, GREEDY) == bots_replies(base, asked, GREEDY)


def test_a_turn_larger_than_the_context_gets_an_empty_reply_and_a_warning(caplog):
    asked = [Dialogue().then(Speaker.PARTNER, text) for text in ("hello", "no! " * 200, "what?")]
    seen = []
    with caplog.at_level(logging.WARNING):
        engine = LocalEngine(Base(tiny_gpt2(tiny_tokenizer()), tiny_tokenizer(), 256, "tiny"))
        replies = engine.replies(asked, GREEDY, lambda *done: seen.append(done))
    assert [bool(reply) for reply in replies] == [True, False, True]
    assert "no reply to 1 of 3 histories, left empty; the first: expected persona and last partner turn" in caplog.text
    assert seen[-1] == (3, 3)


@pytest.mark.parametrize(
    ("name", "limit"), [("gpt2", 256), ("llama", 256), ("gemma2", 256), ("mistral", 100), ("bloom", 0)]
)
def test_how_far_prefixes_can_be_shared_is_found_by_trying(name, limit):
    assert LocalEngine(BASES[name]).reader.limit == limit


def test_about_is_for_everybody_to_read():
    base = BASES["gpt2"]
    found = LocalEngine(replace(base, spec="/home/ada/runs/rita")).about
    assert found == {
        "kind": "local",
        "name": "rita",
        "architecture": "GPT2LMHeadModel",
        "parameters": base.model.num_parameters(),
        "context_tokens": 256,
        "vocabulary": len(base.tokenizer),
        "dtype": "float32",
        "device": "cpu",
    }
    for spec in ("starter", "runs/rita", "microsoft/DialoGPT-medium"):
        assert LocalEngine(replace(base, spec=spec)).about["name"] == spec


def test_damaged_weights_are_an_error():
    tokenizer = tiny_tokenizer()
    model = tiny_gpt2(tokenizer)
    with torch.no_grad():
        model.transformer.ln_f.weight[0] = math.nan
    with pytest.raises(BadBase, match="found nan"):
        LocalEngine(Base(model, tokenizer, 256, "tiny")).replies(histories(), GREEDY)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2"])
def test_scores_side_by_side_are_those_of_each_alone(name):
    model = BASES[name].model
    reader = PrefixReader(model, 256)
    draw = random.Random(3)
    texts = [tuple(draw.choices(range(300), k=length)) for length in (40, 25, 3)]
    prompts = [texts[0][:7], texts[0], texts[1][:20], texts[2]]
    prefixes = [reader.read(text, [len(text)])[1] for text in texts]
    rows = Rows(model, [(prefixes[0], 7), (prefixes[0], 40), (prefixes[1], 20), (prefixes[2], 3)], room=4)
    for step in range(4):
        if step == 2:
            rows.keep([1, 2])
            prompts = prompts[1:3]
        added = draw.choices(range(300), k=len(prompts))
        prompts = [(*prompt, token) for prompt, token in zip(prompts, added, strict=True)]
        with torch.no_grad():
            alone = torch.stack([model(torch.tensor([prompt])).logits[0, -1] for prompt in prompts])
        assert (rows.step(added) - alone).abs().max() < 1e-5 * alone.abs().max()


def test_chains_hold_what_begins_alike():
    prompts = [(1, 2), (5,), (1, 2, 3, 4), (1, 2, 9), (1,), (5,), (1, 2, 3)]
    assert chains(prompts) == [[4, 0, 6, 2], [3], [1, 5]]
    assert chains([]) == []
