"""Does it matter in which order a persona's facts stand? It should not: a persona is a set."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from personable.base import Base
from personable.dialogue import Dialogue
from personable.encoding import Budget, EncodedDialogue, encode_dialogue
from personable.encoding.batches import IGNORED, Collator, pad_id_of
from personable.encoding.layout import cuts_not_logged
from personable.encoding.likelihood import reply_nats
from personable.errors import EncodingError
from personable.evaluation.engine import Engine, OnProgress, no_progress
from personable.evaluation.local import LocalEngine
from personable.evaluation.metric import Better, Group, Measured, Metric, NotMeasured, Tally, ratio


def order_sensitivity(
    engine: Engine,
    dialogues: Sequence[Dialogue],
    *,
    seed: int,
    permutations: int = 4,
    limit: int = 50,
    on_progress: OnProgress = no_progress,
) -> Group:
    """How far the order of the facts moves the likelihood of the true replies.

    Takes a seeded sample of `limit` dialogues whose persona has at least two facts and that fit the context whole; each
    is read with its facts in `permutations` different orders, the given one among them (two facts have only two). Rows
    are dialogues. Only a LocalEngine can be asked.
    Details: reply perplexity in the best and the worst order of each dialogue, and in the given order.
    """
    if not isinstance(engine, LocalEngine):
        return _not_measured("needs log-probabilities, which this engine does not give")
    chosen = _encoded(engine.base, dialogues, seed=seed, permutations=permutations, limit=limit)
    if not chosen:
        return _not_measured("no dialogue has a persona of at least two facts and fits into the context")
    rows = np.zeros((len(dialogues), 2))  # of all, so that another engine that reads others of them can be compared
    totals = np.zeros(4)
    for done, (place, orders) in enumerate(chosen.items(), start=1):
        nats = _nats(engine.base, orders)
        rows[place] = (max(nats) - min(nats)) / (sum(nats) / len(nats)), 1
        totals += min(nats), max(nats), nats[0], sum(orders[0].learn_mask)
        on_progress(done, len(chosen))
    best, worst, given = (math.exp(each / totals[3]) for each in totals[:3])
    return Group(
        measured=(Measured(ORDER_SPREAD, Tally(rows, ratio(100)), len(chosen), "dialogues"),),
        details={
            "dialogues": len(chosen),
            "most_orders_of_one": max(map(len, chosen.values())),
            "perplexity_best_order": best,
            "perplexity_worst_order": worst,
            "perplexity_given_order": given,
        },
    )


def orders_of(dialogue: Dialogue, permutations: int, draw: random.Random) -> list[Dialogue]:
    """The dialogue with its facts as given and in other orders, all different, at most `permutations` in all."""
    facts = dialogue.persona.facts
    found = {facts: None}
    possible = _different_orders(facts)
    while len(found) < min(permutations, possible):
        found[tuple(draw.sample(facts, len(facts)))] = None
    return [replace(dialogue, persona=replace(dialogue.persona, facts=order)) for order in found]


def _different_orders(facts: tuple[str, ...]) -> int:
    return math.factorial(len(facts)) // math.prod(math.factorial(count) for count in Counter(facts).values())


def _encoded(
    base: Base, dialogues: Sequence[Dialogue], *, seed: int, permutations: int, limit: int
) -> dict[int, list[EncodedDialogue]]:
    """The place of each dialogue chosen, and its encoding in every order, the given one first."""
    draw = random.Random(seed)
    places = [place for place, one in enumerate(dialogues) if len(set(one.persona.facts)) > 1 and one.replies]
    draw.shuffle(places)
    chosen: dict[int, list[EncodedDialogue]] = {}
    for place in places:
        if len(chosen) == limit:
            break
        orders = list(_fitting(base, orders_of(dialogues[place], permutations, draw)))
        if len(orders) > 1:
            chosen[place] = orders
    return chosen


def _fitting(base: Base, orders: Sequence[Dialogue]) -> Iterator[EncodedDialogue]:
    """The encodings, or nothing where one of them had to be cut: a cut would be measured along with the order."""
    budget = Budget(base.context_tokens, min(128, base.context_tokens // 4))
    try:
        with cuts_not_logged():
            encoded = [encode_dialogue(order, base.tokenizer, budget) for order in orders]
    except EncodingError:
        return
    if not any(one.dropped_turns or one.cut_facts for one in encoded):
        yield from encoded


@torch.inference_mode()
def _nats(base: Base, orders: Sequence[EncodedDialogue]) -> list[float]:
    """Total nats of the replies in each order."""
    device = next(base.model.parameters()).device
    collate = Collator(pad_id_of(base.tokenizer))
    batch = {name: tensor.to(device) for name, tensor in collate(orders).items()}
    counts = (batch["labels"][:, 1:] != IGNORED).sum(dim=1).tolist()
    return [float(nats.double().sum()) for nats in reply_nats(base.model, batch).split(counts)]


def _not_measured(reason: str) -> Group:
    return Group(not_measured=(NotMeasured(ORDER_SPREAD, reason),))


ORDER_SPREAD = Metric(
    "order_spread",
    "Spread over fact orders",
    "Mean over dialogues of (highest - lowest) / mean of the nats per reply token, over several orders of the "
    "persona's "
    "facts, everything else equal; 0 where the order does not matter.",
    Better.LOWER,
    "Personable, after the finding of ORIG (Chen et al. 2023, arXiv 2305.12782) that the order of facts moves scores",
    tokenisation="the model's own tokens, those of replies and the end of each",
    unit="%",
)
METRICS = (ORDER_SPREAD,)
