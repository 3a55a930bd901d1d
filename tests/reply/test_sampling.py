import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from personable.errors import RecipeError
from personable.reply.sampling import (
    Sampling,
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    next_token,
    penalise_repetition,
    sampling_defaults,
)

NONE = -torch.inf
# Probabilities 1/10, 2/10, 3/10, 4/10.
TENTHS = torch.tensor([1.0, 2.0, 3.0, 4.0]).log()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_penalty_divides_positive_scores_and_multiplies_negative_ones_of_seen_ids_only():
    scores = torch.tensor([3.0, -1.0, 2.0, -4.0])
    assert penalise_repetition(scores, [0, 1, 0], 2.0).tolist() == [1.5, -2.0, 2.0, -4.0]


def test_penalty_counts_an_id_once_however_often_it_was_said():
    assert penalise_repetition(torch.tensor([8.0, 0.0]), [0, 0, 0], 2.0).tolist() == [4.0, 0.0]


def test_top_k_keeps_the_highest():
    assert keep_top_k(torch.tensor([1.0, 4.0, 3.0, 2.0]), 2).tolist() == [NONE, 4.0, 3.0, NONE]


def test_top_k_of_more_than_the_vocabulary_keeps_all():
    assert keep_top_k(TENTHS, 50).equal(TENTHS)


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [
        (0.39, [False, False, False, True]),  # .4 is enough
        (0.45, [False, False, True, True]),  # .4 is not, .4 + .3 is
        (0.75, [False, True, True, True]),
        (0.95, [True, True, True, True]),
        (1e-9, [False, False, False, True]),  # one always stays
    ],
)
def test_top_p_keeps_the_smallest_set_that_reaches_it(top_p, kept):
    assert (keep_top_p(TENTHS, top_p) > NONE).tolist() == kept


def test_min_p_is_relative_to_the_likeliest():
    # The threshold is .6 * .4 = .24.
    assert (keep_min_p(TENTHS, 0.6) > NONE).tolist() == [False, False, True, True]


def test_greedy_takes_the_likeliest_after_the_penalty():
    logits = torch.tensor([3.0, 2.9, 0.0, 0.0])
    greedy = Sampling(temperature=0, repetition_penalty=1.0)
    assert next_token(logits, [0], greedy, seeded()) == 0
    assert next_token(logits, [0], greedy.but(repetition_penalty=1.5), seeded()) == 1


def test_chance_follows_the_probabilities():
    plain = Sampling(temperature=1, top_p=1, repetition_penalty=1)
    generator, draws = seeded(), 4000
    counts = torch.zeros(4)
    for _ in range(draws):
        counts[next_token(TENTHS, [], plain, generator)] += 1
    # Four standard deviations of a share of one half: 4 * sqrt(.25 / 4000) = .032
    assert (counts / draws - torch.tensor([0.1, 0.2, 0.3, 0.4])).abs().max() < 0.032


def test_low_temperature_sharpens():
    # At temperature 1/10 the odds of the two likeliest are (4/3) ** 10 = 17.8 to 1.
    sharp = Sampling(temperature=0.1, top_p=1, repetition_penalty=1)
    generator = seeded()
    share = sum(next_token(TENTHS, [], sharp, generator) == 3 for _ in range(1000)) / 1000
    assert share == pytest.approx(17.76 / 18.76, abs=0.03)


def test_equal_seeds_choose_alike_and_different_ones_do_not():
    plain, flat = Sampling(temperature=1, top_p=1), torch.zeros(1000)
    assert next_token(flat, [], plain, seeded(5)) == next_token(flat, [], plain, seeded(5))
    assert len({next_token(flat, [], plain, seeded(seed)) for seed in range(10)}) > 5


@settings(deadline=None, max_examples=150)
@given(
    # Distinct and not too near: which of two equals goes is a matter of sorting.
    logits=st.lists(st.integers(-90, 90).map(lambda tenths: tenths / 10), min_size=6, max_size=6, unique=True),
    previous=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    temperature=st.sampled_from([0.3, 0.7, 1.0, 1.7]),
    top_k=st.integers(1, 6),
    top_p=st.sampled_from([0.1, 0.5, 0.9, 0.99]),
    min_p=st.sampled_from([0.01, 0.1, 0.5]),
    penalty=st.sampled_from([0.8, 1.1, 1.5]),
)
def test_the_steps_are_those_of_transformers(logits, previous, temperature, top_k, top_p, min_p, penalty):
    theirs = LogitsProcessorList(
        [
            RepetitionPenaltyLogitsProcessor(penalty),
            TemperatureLogitsWarper(temperature),
            TopKLogitsWarper(top_k),
            TopPLogitsWarper(top_p),
            MinPLogitsWarper(min_p),
        ]
    )
    expected = theirs(torch.tensor([previous]), torch.tensor([logits]))[0]
    ours = penalise_repetition(torch.tensor(logits), previous, penalty) / temperature
    ours = keep_min_p(keep_top_p(keep_top_k(ours, top_k), top_p), min_p)
    assert ours.tolist() == expected.tolist()
    chosen = next_token(torch.tensor(logits), previous, Sampling(temperature, top_p, top_k, min_p, penalty), seeded(1))
    assert chosen == draw(expected.softmax(-1), seeded(1))


def test_top_p_may_need_most_of_a_large_vocabulary():
    scores = torch.zeros(20_000)
    scores[7] = 1e-3
    for top_p in (0.001, 0.3, 0.9):
        kept = keep_top_p(scores, top_p) > NONE
        assert kept[7]
        assert kept.sum() == pytest.approx(top_p * 20_000, abs=2)


def test_what_has_no_probability_is_never_drawn():
    probabilities = torch.tensor([0.0, 0.5, 0.0, 0.5, 0.0])
    generator = seeded()
    assert {draw(probabilities, generator) for _ in range(500)} == {1, 3}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("temperature", -0.5),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_p", 0.0),
        ("top_p", 1.25),
        ("top_k", -3),
        ("top_k", 2.5),
        ("min_p", 1.5),
        ("repetition_penalty", 0.0),
        ("max_reply_tokens", 0),
        ("max_reply_tokens", True),
        ("seed", -1),
        ("seed", 2**63),
    ],
)
def test_senseless_settings_are_refused_with_name_and_value(setting, value):
    with pytest.raises(RecipeError) as refusal:
        Sampling(**{setting: value})
    assert setting in str(refusal.value)
    assert repr(value) in str(refusal.value)


def test_but_changes_what_is_given_and_refuses_unknown_names():
    assert Sampling(temperature=0.5).but(seed=3, temperature=None) == Sampling(temperature=0.5, seed=3)
    with pytest.raises(RecipeError, match="found 'temprature'"):
        Sampling().but(temprature=1.0)


def test_defaults_come_from_the_generation_config():
    config = GenerationConfig(
        do_sample=True, temperature=0.4, top_p=0.8, top_k=7, min_p=0.1, repetition_penalty=1.3, max_new_tokens=33
    )
    assert sampling_defaults(config, 1024) == Sampling(0.4, 0.8, 7, 0.1, 1.3, 33)


def test_do_sample_false_means_greedy():
    assert sampling_defaults(GenerationConfig(do_sample=False), 1024).greedy


def test_what_a_generation_config_leaves_out_is_the_default():
    assert sampling_defaults(GenerationConfig(), 1024) == Sampling()
    assert sampling_defaults(None, 1024) == Sampling()


def test_default_replies_leave_half_of_a_short_context():
    assert sampling_defaults(GenerationConfig(max_new_tokens=1024), 64).max_reply_tokens == 32
