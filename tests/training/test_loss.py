"""What is minimised and what is reported, against arithmetic on the same dialogues."""

from __future__ import annotations

import math

import pytest
import torch

from personable.base import load_base
from personable.encoding import Budget
from personable.encoding.batches import Collator, pad_id_of
from personable.encoding.likelihood import reply_surprise
from personable.training import train
from personable.training.data import RowDataset, RowOrder
from personable.training.layout import Layout
from personable.training.prepared import prepared_of
from personable.training.rows import plan_rows
from tests.training.small import TRAIN, measured, record_of, rows, same_weights, small_recipe, weights_of


def test_loss_is_weighted_by_token_over_the_whole_optimiser_batch(base, data, tmp_path) -> None:
    """Rows of unlike length: a mean of means would be elsewhere."""
    whole, parts = tmp_path / "1x4", tmp_path / "4x1"
    train(small_recipe(base, data, whole, per_device_train_batch_size=4))
    train(small_recipe(base, data, parts, per_device_train_batch_size=1, gradient_accumulation_steps=4))
    in_one, in_four = ([row["loss"] for row in rows(run, "loss")] for run in (whole, parts))
    assert in_one == pytest.approx(in_four, abs=1e-5)
    left, right = weights_of(whole), weights_of(parts)
    for name in left:
        torch.testing.assert_close(left[name], right[name], atol=2e-4, rtol=0)
    assert [row["learnt_tokens"] for row in rows(whole, "loss")] == [
        row["learnt_tokens"] for row in rows(parts, "loss")
    ]


def test_packed_and_padded_runs_learn_the_same(base, data, tmp_path) -> None:
    """One step over all dialogues, so that the order does not matter: equal losses and weights."""
    for packing in (True, False):
        run = tmp_path / f"packing {packing}"
        also = {"encoding": {"packing": packing}}
        train(small_recipe(base, data, run, also=also, per_device_train_batch_size=8, num_train_epochs=3, max_steps=-1))
    packed, padded = tmp_path / "packing True", tmp_path / "packing False"
    for key in ("loss", "eval_loss"):
        values = [[row[key] for row in rows(run, key)] for run in (packed, padded)]
        assert values[0] == pytest.approx(values[1], abs=1e-5)
    left, right = weights_of(packed), weights_of(padded)
    for name in left:
        torch.testing.assert_close(left[name], right[name], atol=2e-4, rtol=0)


def test_the_first_logged_loss_is_that_of_the_first_rows(base, data, tmp_path) -> None:
    train(small_recipe(base, data, tmp_path / "run", per_device_train_batch_size=1, gradient_accumulation_steps=2))
    loaded = load_base(base, device="cpu")
    layout = Layout(loaded.tokenizer, Budget(256, 64))
    prepared = prepared_of(TRAIN, layout)
    plan = plan_rows(prepared.lengths, 256, packed=True, accumulation=2)
    dataset = RowDataset(prepared, plan, layout, seed=42, shuffle_persona=True)
    first_two = [dataset[draw] for draw in list(RowOrder(dataset, shuffled=True))[:2]]
    batch = Collator(pad_id_of(loaded.tokenizer))([one for row in first_two for one in row])
    expected = reply_surprise(loaded.model, [batch])
    row = rows(tmp_path / "run", "loss")[0]
    assert row["loss"] == pytest.approx(expected.nats / expected.tokens, abs=1e-5)
    assert row["learnt_tokens"] == expected.tokens


def test_validation_perplexity_is_what_evaluation_measures(base, data, tmp_path) -> None:
    done = train(small_recipe(base, data, tmp_path / "run", per_device_eval_batch_size=2))
    evaluations = rows(tmp_path / "run", "eval_reply_perplexity")
    assert done.first_perplexity == evaluations[0]["eval_reply_perplexity"] == pytest.approx(measured(base, data), 1e-5)
    assert done.best_perplexity == pytest.approx(measured(tmp_path / "run", data), rel=1e-5)
    for row in evaluations:
        assert math.exp(row["eval_loss"]) == pytest.approx(row["eval_reply_perplexity"])


def overfitted(base, data, run, **other):
    """Validation gets better for a few steps and worse ever after."""
    also = other.pop("also", {})
    return train(
        small_recipe(
            base,
            data,
            run,
            also=also,
            **{"max_steps": 60, "learning_rate": 4e-2, "lr_scheduler_type": "constant", **other},
        )
    )


def test_the_best_weights_are_kept_and_training_stops_early(base, data, tmp_path) -> None:
    run = tmp_path / "run"
    done = overfitted(base, data, run, also={"early_stopping_patience": 2})
    by_step = {row["step"]: row["eval_reply_perplexity"] for row in rows(run, "eval_reply_perplexity") if row["step"]}
    best = min(by_step, key=lambda step: by_step[step])
    last = max(by_step)
    assert last < 60
    assert last == best + 2 * 2, "evaluated every 2 steps with a patience of 2"
    assert by_step[last] > by_step[best]
    assert measured(run, data) == pytest.approx(by_step[best], rel=1e-5)
    assert done.best_perplexity == by_step[best]
    assert record_of(run)["kept"] == {"step": best, "validation_reply_perplexity": by_step[best]}
    assert record_of(run)["steps"] == last


def test_without_the_best_model_the_number_is_that_of_the_last(base, data, tmp_path) -> None:
    run = tmp_path / "run"
    done = overfitted(base, data, run, max_steps=21, load_best_model_at_end=False)
    evaluations = rows(run, "eval_reply_perplexity")
    assert evaluations[-1]["step"] == 21, "measured once more: the last step is no multiple of eval_steps"
    assert done.best_perplexity == evaluations[-1]["eval_reply_perplexity"]
    assert done.best_perplexity == pytest.approx(measured(run, data), rel=1e-5)
    assert done.best_perplexity > min(row["eval_reply_perplexity"] for row in evaluations)
    assert record_of(run)["kept"]["step"] == 21


def test_without_evaluation_there_is_no_number(base, data, tmp_path) -> None:
    done = train(small_recipe(base, data, tmp_path / "run", eval_strategy="no", save_strategy="no"))
    assert (done.first_perplexity, done.best_perplexity) == (None, None)
    assert not rows(tmp_path / "run", "eval_loss")
    assert not same_weights(tmp_path / "run", base)
