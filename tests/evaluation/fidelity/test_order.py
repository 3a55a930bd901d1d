"""The order of a persona's facts and the likelihood of replies."""

from __future__ import annotations

import math
import random
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch

from personable.base import load_base
from personable.dialogue import Dialogue, Persona, Speaker
from personable.encoding import Budget, encode_dialogue
from personable.evaluation.fidelity.order import METRICS, order_sensitivity, orders_of
from personable.evaluation.local import LocalEngine
from tests.evaluation.fidelity.scripted import Scripted
from tests.tiny import tiny_base

FACTS = ("i sail boats.", "i have a cat.", "i bake bread.")


def said(*facts, conversation="one"):
    dialogue = Dialogue(Persona(facts), conversation=conversation)
    return dialogue.then(Speaker.PARTNER, "hello there").then(Speaker.PERSONA, "good night")


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return LocalEngine(load_base(tiny_base(tmp_path_factory.mktemp("base"))))


def total_nats(engine, dialogue):
    """Computed the long way: one dialogue, a plain forward pass, token by token."""
    tokenizer, model = engine.base.tokenizer, engine.base.model
    history = replace(dialogue, turns=dialogue.turns[:-1])
    messages = [{"role": "system", "content": history.persona.text}, {"role": "user", "content": "hello there"}]
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template([*messages, {"role": "assistant", "content": "good night"}], tokenize=False)
    start = len(tokenizer(prompt)["input_ids"])
    ids = torch.tensor([tokenizer(whole)["input_ids"]])
    with torch.no_grad():
        scores = model(ids).logits.log_softmax(-1)
    return -sum(scores[0, place - 1, ids[0, place]].item() for place in range(start, ids.shape[1]))


def test_spread_is_the_range_of_the_nats_over_their_mean(engine):
    dialogue = said(*FACTS[:2])
    group = order_sensitivity(engine, [dialogue], seed=0)
    nats = [total_nats(engine, dialogue), total_nats(engine, said(*reversed(FACTS[:2])))]
    assert nats[0] != pytest.approx(nats[1], abs=1e-6)
    spread = 100 * (max(nats) - min(nats)) / (sum(nats) / 2)
    assert group.measured[0].tally.value == pytest.approx(spread, rel=1e-3)
    details: Any = group.details
    tokens = sum(encode_dialogue(dialogue, engine.base.tokenizer, Budget(256)).learn_mask)
    assert details["perplexity_best_order"] == pytest.approx(math.exp(min(nats) / tokens), rel=1e-5)
    assert details["perplexity_worst_order"] == pytest.approx(math.exp(max(nats) / tokens), rel=1e-5)
    assert details["perplexity_given_order"] == pytest.approx(math.exp(nats[0] / tokens), rel=1e-5)


def test_a_model_blind_to_the_persona_has_no_spread(engine):
    blind = LocalEngine(replace(engine.base, model=_without_attention(engine.base.model)))
    group = order_sensitivity(blind, [said(*FACTS)], seed=0)
    assert group.measured[0].tally.value == pytest.approx(0, abs=1e-3)


def _without_attention(model):
    """Each token sees only itself; and all fact orders here are of one length, so positions stay."""
    blind = deepcopy(model)
    for block in blind.transformer.h:
        block.attn.c_proj.weight.data.zero_()
        block.attn.c_proj.bias.data.zero_()
    return blind


def test_orders_are_different_seeded_and_begin_with_the_given_one():
    dialogue = said(*FACTS)
    orders = orders_of(dialogue, 4, random.Random(1))
    assert [one.persona.facts for one in orders] == [
        one.persona.facts for one in orders_of(dialogue, 4, random.Random(1))
    ]
    assert orders[0] == dialogue
    assert len({one.persona.facts for one in orders}) == 4
    assert all(sorted(one.persona.facts) == sorted(FACTS) for one in orders)
    assert len(orders_of(said("i sail.", "i bake."), 4, random.Random(1))) == 2
    assert len(orders_of(said("i sail.", "i sail.", "i bake."), 9, random.Random(1))) == 3


def test_only_whole_dialogues_with_several_facts_count(engine):
    too_long = said("i sail boats. " * 60, "i bake.")
    group = order_sensitivity(engine, [said("i sail boats."), too_long, said()], seed=0)
    assert [each.metric for each in group.not_measured] == list(METRICS)
    assert not group.measured


def test_the_limit_is_kept_and_progress_told(engine):
    told = []
    dialogues = [said(*FACTS, conversation=str(place)) for place in range(5)]
    group = order_sensitivity(
        engine, dialogues, seed=0, permutations=2, limit=3, on_progress=lambda *each: told.append(each)
    )
    assert group.measured[0].count == 3
    rows = group.measured[0].tally.sums
    assert rows.shape == (5, 2), "one for each dialogue, read or not"
    assert rows[:, 1].sum() == 3
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_an_engine_without_log_probabilities_is_not_asked():
    engine = Scripted(lambda history: "hello")
    group = order_sensitivity(engine, [said(*FACTS)], seed=0)
    assert "log-probabilities" in group.not_measured[0].reason
    assert engine.asked == []
