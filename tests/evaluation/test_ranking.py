import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from personable.base import Base
from personable.dialogue import Dialogue, Persona, Speaker
from personable.encoding import Budget, CandidateEncoder, encode_dialogue
from personable.encoding.batches import Collator
from personable.errors import BadBase
from personable.evaluation import candidate_nats
from personable.evaluation.candidate_nats import after_prefix, one_by_one
from personable.evaluation.candidates import lineups, overlap
from personable.evaluation.exchanges import Exchange
from personable.evaluation.local import LocalEngine
from personable.evaluation.ranking import METRICS, rank, ranking
from personable.reply import load
from tests.evaluation.engines import BASES, histories
from tests.reply.memorised_run import KNOWN, said, write_memorised_run
from tests.tiny import tiny_gpt2, tiny_tokenizer

SCRAPS = ["hello", "I'm Ada", "what? 🙂", "...", "no!", "2 dogs", "don't you think so?", "日本", "keep bees"]
KEYS = ["hits_1", "hits_5", "mrr", "hits_1_sum", "hits_5_sum", "mrr_sum"]


def exchanges(count=6, candidates=20, seed=2):
    draw = random.Random(seed)
    found: list[Exchange] = []
    for history in histories(count, seed):
        if not history.turns or history.turns[-1].speaker is Speaker.PERSONA:
            continue
        texts = [" ".join(draw.choices(SCRAPS, k=draw.randint(1, 6))) + f" {place}" for place in range(candidates)]
        found.append(Exchange(len(found) // 3, history, texts[-1], tuple(texts)))
    return found


def nats_of_full_sequences(base, history, texts):
    """History and reply read as one text for each candidate, all logits, one at a time: (nats, tokens) of each."""
    found = []
    dropped = CandidateEncoder(base.tokenizer, base.context_tokens).encode(history, texts).dropped_turns
    history = replace(history, turns=history.turns[dropped:])
    for text in texts:
        encoded = encode_dialogue(history.then(Speaker.PERSONA, text), base.tokenizer, Budget(base.context_tokens))
        before = sum(encode_dialogue(history, base.tokenizer, Budget(base.context_tokens)).learn_mask)
        learnt = [place for place, learn in enumerate(encoded.learn_mask) if learn][before:]
        with torch.no_grad():
            scores = base.model(torch.tensor([encoded.input_ids])).logits[0].double().log_softmax(-1)
        found.append((-sum(scores[one - 1, encoded.input_ids[one]].item() for one in learnt), len(learnt)))
    return found


@pytest.mark.parametrize("name", ["gpt2", "llama", "llama chatml", "gemma2"])
@pytest.mark.parametrize("branch_tokens", [2**10, 30])
def test_scores_after_a_shared_prefix_are_those_of_full_sequences(name, branch_tokens, monkeypatch):
    monkeypatch.setattr(candidate_nats, "_BRANCH_TOKENS", branch_tokens)
    base = BASES[name]
    encoder, reader = CandidateEncoder(base.tokenizer, 256), LocalEngine(base).reader
    for exchange in exchanges(3, candidates=7):
        encoded = encoder.encode(exchange.history, exchange.candidates)
        first, prefix = reader.read((*encoded.prompt, 5, 6, 7), [len(encoded.prompt)])  # read for a later prompt
        found = after_prefix(base.model, first[0], prefix, encoded)
        expected = nats_of_full_sequences(base, exchange.history, exchange.candidates)
        assert found.tolist() == pytest.approx([nats for nats, _ in expected], rel=1e-4)
        assert [len(reply) for reply in encoded.replies] == [tokens for _, tokens in expected]
        slowly = one_by_one(base.model, encoded, Collator(0), 3)
        assert found.tolist() == pytest.approx(slowly.tolist(), rel=1e-4)


@pytest.mark.parametrize("name", BASES)
def test_ranks_are_those_of_full_sequences(name):
    base, data = BASES[name], exchanges(3)
    group = ranking(LocalEngine(base), data, seed=1)
    sums, ranks = dict.fromkeys(KEYS, 0.0), []
    for exchange in data:
        scored = nats_of_full_sequences(base, exchange.history, exchange.candidates)
        for ending, scores in (
            ("", [-nats / tokens for nats, tokens in scored]),
            ("_sum", [-nats for nats, _ in scored]),
        ):
            place = sorted(scores, reverse=True).index(scores[-1]) + 1
            ranks.append(place)
            sums[f"hits_1{ending}"] += 100 * (place == 1)
            sums[f"hits_5{ending}"] += 100 * (place <= 5)
            sums[f"mrr{ending}"] += 1 / place
    assert len(set(ranks)) > 4
    assert [one.metric.key for one in group.measured] == KEYS
    for one in group.measured:
        assert one.tally.value == pytest.approx(sums[one.metric.key] / len(data))
        assert (one.count, len(one.tally.sums)) == (len(data), data[-1].dialogue + 1)


def test_a_tie_is_no_win():
    scores = np.array([3.0, 1.0, 3.0, 2.0, 3.0])
    assert [rank(scores, gold) for gold in range(5)] == [3, 5, 3, 4, 3]


def test_a_model_that_knows_the_reply_ranks_it_first(tmp_path):
    engine = LocalEngine(load(write_memorised_run(tmp_path)).base)
    known = [
        Exchange(number, said(persona, *turns[:place]), turns[place])
        for number, (persona, turns) in enumerate(KNOWN)
        for place in (1, 3, 5)
    ]
    group = ranking(engine, known)
    assert [one.tally.value for one in group.measured] == [100.0, 100.0, 1.0] * 2
    assert group.details["with_drawn_candidates"] == 6
    assert group.details["candidates"] == {"fewest": 4, "most": 4, "mean": 4.0}


def test_given_candidates_are_ranked_without_copies_of_the_reply():
    given = ("a dog", "hello", " I'm Ada ", "hello", "I'm Ada", "")
    (lineup,) = lineups([Exchange(0, Dialogue(), "I'm Ada", given)], seed=0)
    assert sorted(lineup.texts) == ["I'm Ada", "a dog", "hello", "hello"]
    assert lineup.texts[lineup.gold] == "I'm Ada"
    assert (lineup.given, lineup.copies) == (True, 1)


def test_without_candidates_19_different_replies_of_other_dialogues_are_drawn():
    data = [Exchange(place // 4, Dialogue(), f"reply {place % 60}") for place in range(200)]
    found = lineups(data, seed=0)
    for exchange, lineup in zip(data, found, strict=True):
        assert len(lineup.texts) == len(set(lineup.texts)) == 20
        assert lineup.texts[lineup.gold] == exchange.reference
        elsewhere = {other.reference for other in data if other.dialogue != exchange.dialogue}
        assert set(lineup.texts) - {exchange.reference} <= elsewhere
    assert {lineup.gold for lineup in found} == set(range(20))
    assert found == lineups(data, seed=0) != lineups(data, seed=1)


def test_little_data_gives_as_many_candidates_as_there_are():
    data = [Exchange(0, Dialogue(), "hello"), Exchange(1, Dialogue(), "a dog"), Exchange(1, Dialogue(), "hello")]
    assert [sorted(lineup.texts) for lineup in lineups(data, seed=0)] == [["a dog", "hello"]] * 2


def test_baselines_are_worked_out_on_the_same_candidates():
    persona = Persona(("i sail boats.", "i have a cat."))
    history = Dialogue(persona).then(Speaker.PARTNER, "do you like bread?")
    given = ("i bake bread", "i sail", "no", "maybe", "my cat")
    group = ranking(LocalEngine(BASES["gpt2"]), [Exchange(0, history, "i sail", given)])
    found = group.details["baselines"]
    assert isinstance(found, dict)
    fifths = sum(1 / place for place in range(1, 6)) / 5
    assert found["chance"] == pytest.approx(dict(zip(KEYS, [20.0, 100.0, fifths] * 2, strict=True)))
    # "i sail" shares 2 of 2 words, more than any other.
    assert found["persona word overlap"] == pytest.approx(dict(zip(KEYS, [100.0, 100.0, 1.0] * 2, strict=True)))
    # "i bake bread" is ahead; the other four share nothing and are tied for ranks 2 to 5.
    quarter = (1 / 2 + 1 / 3 + 1 / 4 + 1 / 5) / 4
    assert found["partner word overlap"] == pytest.approx(dict(zip(KEYS, [0.0, 100.0, quarter] * 2, strict=True)))


def test_overlap_counts_different_words_blind_to_case():
    assert overlap("I sail, I SAIL!", "i sail boats") == pytest.approx(2 * 2 / (2 + 3))
    assert overlap("", "...") == 0


def test_what_does_not_fit_is_left_out_and_counted():
    data = exchanges(2)
    long = replace(data[0], candidates=("no " * 300, data[0].reference))
    everything, rest = (ranking(LocalEngine(BASES["gpt2"]), one) for one in ([*data[1:], long], data[1:]))
    assert (everything.details["left_out_exchanges"], rest.details["left_out_exchanges"]) == (1, 0)
    assert everything.details["exchanges"] == len(data) - 1


def test_nothing_to_rank_is_not_measured_and_the_reason_given():
    group = ranking(LocalEngine(BASES["gpt2"]), [Exchange(0, Dialogue().then(Speaker.PARTNER, "hi"), "hello")])
    assert not group.measured
    assert [one.metric for one in group.not_measured] == list(METRICS)


def test_progress_ends_when_everything_is_done():
    seen, data = [], exchanges(2)
    ranking(LocalEngine(BASES["mistral"]), data, on_progress=lambda *done: seen.append(done))
    assert seen == [(done, len(data)) for done in range(1, len(data) + 1)]


def test_damaged_weights_are_an_error():
    tokenizer = tiny_tokenizer()
    model = tiny_gpt2(tokenizer)
    with torch.no_grad():
        model.transformer.ln_f.weight[0] = math.nan
    with pytest.raises(BadBase, match="found nan"):
        ranking(LocalEngine(Base(model, tokenizer, 256, "tiny")), exchanges(2))
