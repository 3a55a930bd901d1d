"""What the compared ways of fine-tuning learn is the same, told by the data they are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fine_tuning import own, peers
from fine_tuning.examples import ReplyExamples, batches_by_step, replies_of, shuffled_batches
from fine_tuning.job import Job, Variant, read_job, write_job
from fine_tuning.material import LATER, TRAINING_FILE, encoded, filling_rows, read_material, read_some, write_material
from fine_tuning.operations import Shape, classic_per_learnt_token, needed_per_learnt_token, operations
from fine_tuning.watches import PerplexityOverTime, Stopwatch
from personable.base import load_tokenizer
from personable.encoding.batches import IGNORED
from tests.tiny import tiny_base
from tests.training.small import TRAIN


def columns(dialogues: Any, tokenizer: Any) -> list[dict[str, Any]]:
    return [
        {"input_ids": list(one.input_ids), "learn_mask": list(one.learn_mask)}
        for one in encoded(dialogues, tokenizer, 1024)
    ]


def test_classic_examples_of_real_dialogues_learn_the_tokens_that_whole_dialogues_do(corpora: Path) -> None:
    dialogues = read_some(corpora / TRAINING_FILE, 40)
    whole = columns(dialogues, load_tokenizer("starter"))
    replies = list(replies_of(whole))
    assert len(replies) == sum(len(dialogue.replies) for dialogue in dialogues)
    batches, per_step = batches_by_step(replies, 4, 4)
    assert len(batches) == 10 * per_step
    learnt: dict[int, list[int]] = {}
    examples = ReplyExamples(whole, batches, 0, 1024)
    for number, batch in enumerate(batches):
        tensors = examples[number]
        assert tensors["input_ids"].shape == (len(batch), 1024)
        for reply, ids, mask, labels in zip(
            batch, tensors["input_ids"], tensors["attention_mask"], tensors["labels"], strict=True
        ):
            assert ids[mask == 1].tolist() == whole[reply.dialogue]["input_ids"][: reply.end]
            places = (labels != IGNORED).nonzero().flatten().tolist()
            assert labels[places].tolist() == ids[places].tolist()
            learnt.setdefault(reply.dialogue, []).extend(places)
    for number, dialogue in enumerate(whole):
        assert learnt[number] == [place for place, learn in enumerate(dialogue["learn_mask"]) if learn]


def test_a_step_of_the_classic_recipe_holds_the_replies_of_its_dialogues(tmp_path: Path) -> None:
    whole = columns(TRAIN, load_tokenizer(tiny_base(tmp_path)))
    replies = list(replies_of(whole))
    batches, per_step = batches_by_step(replies, 2, 3)
    for step in range(4):
        mine = [reply for batch in batches[step * per_step : (step + 1) * per_step] for reply in batch]
        assert mine == [reply for reply in replies if reply.dialogue // 2 == step]
    assert max(map(len, batches)) <= 3
    drawn = [reply for batch in shuffled_batches(replies, 3, seed=1) for reply in batch]
    assert drawn != replies
    assert set(drawn) == set(replies)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Of a tiny base and eight dialogues of a few words."""
    base = tiny_base(tmp_path / "base", positions=1024)
    laid_out = encoded(TRAIN, load_tokenizer(base), 1024)
    write_material(tmp_path / "data", LATER, TRAIN, laid_out)
    write_material(tmp_path / "data", "first", TRAIN[:4], laid_out[:4])
    return Job(Variant.CLASSIC, str(base), tmp_path / "data", "cpu", padded_tokens=400, steps=2)


def test_personable_and_the_classic_recipe_begin_with_the_same_loss(job: Job) -> None:
    watch = Stopwatch()
    counted = peers.learn(job, read_material(job.data, "first"), read_material(job.data, LATER), watch)
    speed = watch.speed(counted)
    ours = own.speed(job)
    assert ours["first_step_loss"] == pytest.approx(speed["first_step_loss"], abs=1e-5)
    first = sum(map(sum, read_material(job.data, "first")["learn_mask"]))
    # all but the first micro-batch of a step on the first four dialogues and two on the eight
    later = sum(map(sum, read_material(job.data, LATER)["learn_mask"]))
    assert speed["learnt_tokens"] == first + later - counted.learnt[0]
    assert ours["learnt_tokens"] == 2 * later  # they fill one row, drawn three times
    assert speed["seconds"] > 0 < ours["seconds"]


def test_the_clock_stands_still_while_perplexity_is_measured_and_ends_training(job: Job) -> None:
    judged = []

    def perplexity(model: Any) -> float:
        judged.append(torch.stack([weight.sum() for weight in model.parameters()]).sum().item())
        return 7.0

    watch = PerplexityOverTime((1e-6, 0.2), perplexity)
    own.learn(Job(Variant.PERSONABLE, job.base, job.data, "cpu", marks=watch.marks, learning_rate=1e-2), watch)
    assert [mark["perplexity"] for mark in watch.found] == [7.0, 7.0]
    assert watch.found[0]["trained_seconds"] <= watch.found[1]["trained_seconds"] < 60
    assert watch.found[0]["steps"] == 1 < watch.found[1]["steps"]
    assert judged[0] != judged[1]


def test_a_job_survives_its_file(job: Job, tmp_path: Path) -> None:
    write_job(job, tmp_path / "job.json")
    assert read_job(tmp_path / "job.json") == job


def test_first_dialogues_fill_their_rows(tmp_path: Path) -> None:
    laid_out = encoded(TRAIN, load_tokenizer(tiny_base(tmp_path)), 1024)
    lengths = [len(one.input_ids) for one in laid_out]
    row_tokens = max(lengths)
    chosen = filling_rows(laid_out, 2, row_tokens, 1)
    assert chosen == [chosen[0], chosen[0] + 1]
    assert sum(lengths[number] for number in chosen) <= row_tokens
    with pytest.raises(ValueError, match="expected 8 successive dialogues that fill 1 rows"):
        filling_rows(laid_out, 8, row_tokens, 1)


def test_operations_of_one_layer_counted_by_hand() -> None:
    shape = Shape(layers=1, width=2, vocabulary=5)
    # body 48 weights x 6 x 3 tokens; head 10 weights x 6 x 1 position; attention 6 x 2 x 9
    assert operations(shape, [3], 1) == 864 + 60 + 108
    # frozen: 4 for each weight; 7 adapter weights at 6
    assert operations(shape, [3], 1, adapter_weights=7) == 576 + 40 + 126 + 108
    dialogue = {"input_ids": [1, 2, 3, 4], "learn_mask": [False, True, False, True]}
    assert needed_per_learnt_token(shape, [dialogue]) == (48 * 6 * 4 + 60 * 2 + 12 * 16) / 2
    # two examples, of 2 and of 4 tokens, with logits everywhere
    assert classic_per_learnt_token(shape, [dialogue]) == (48 * 6 * 6 + 60 * 6 + 12 * (4 + 16)) / 2
