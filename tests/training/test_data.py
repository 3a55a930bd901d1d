"""What the Trainer draws from."""

from __future__ import annotations

import logging
import random
from collections import Counter

import pytest

from personable.dialogue import Dialogue, Persona, Speaker
from personable.encoding import Budget, encode_dialogue
from personable.training.data import DialogueDataset, EpochOrder
from personable.training.layout import Layout
from tests.tiny import random_dialogue, tiny_tokenizer
from tests.training.small import TRAIN, spoken


def layout(context_tokens: int = 256, *, learn_partner: bool = False) -> Layout:
    return Layout(tiny_tokenizer(), Budget(context_tokens, context_tokens // 4), learn_partner)


def drawn(dataset: DialogueDataset, epoch: int) -> list[tuple[int, ...]]:
    dataset.set_epoch(epoch)
    return [dataset[place].input_ids for place in range(len(dataset))]


def test_persona_order_differs_between_epochs_and_keeps_every_fact() -> None:
    dataset = DialogueDataset(TRAIN, layout(), shuffle_persona_seed=3)
    first, second = drawn(dataset, 0), drawn(dataset, 1)
    assert sum(one != other for one, other in zip(first, second, strict=True)) >= len(TRAIN) - 2
    tokenizer = dataset.layout.tokenizer
    for ids, dialogue in zip(second, TRAIN, strict=True):
        text = tokenizer.decode(ids)
        head, _, talk = text.partition("<|endoftext|>")
        assert sorted(line.strip() for line in head.splitlines()) == sorted(dialogue.persona.facts)
        said = [part.removeprefix("You:").removeprefix("Me:").strip() for part in talk.split("<|endoftext|>")[:-1]]
        assert said == [turn.text for turn in dialogue.turns]


def test_equal_seeds_give_equal_orders_of_facts() -> None:
    one, same, other = (DialogueDataset(TRAIN, layout(), shuffle_persona_seed=seed) for seed in (3, 3, 4))
    assert drawn(one, 5) == drawn(same, 5)
    assert drawn(one, 5) != drawn(other, 5)


def test_without_a_seed_the_facts_stay_in_order() -> None:
    dataset = DialogueDataset(TRAIN, layout())
    plain = [encode_dialogue(dialogue, dataset.layout.tokenizer, dataset.layout.budget) for dialogue in TRAIN]
    assert drawn(dataset, 0) == drawn(dataset, 1) == [encoded.input_ids for encoded in plain]


@pytest.mark.parametrize("shuffle", [None, 1])
def test_a_dialogue_longer_than_the_context_is_learnt_whole(shuffle: int | None) -> None:
    long = Dialogue(Persona(("i am ada.", "i keep bees.", "i have a dog.")))
    for place in range(60):
        long = long.then(Speaker.PERSONA if place % 2 else Speaker.PARTNER, f"this is turn {place}")
    dataset = DialogueDataset([long], layout(96), shuffle_persona_seed=shuffle)
    assert len(dataset) > 4
    learnt: Counter[str] = Counter()
    tokenizer = dataset.layout.tokenizer
    for epoch in range(3):
        dataset.set_epoch(epoch)
        learnt.clear()
        for place in range(len(dataset)):
            encoded = dataset[place]
            assert len(encoded.input_ids) <= 96
            assert not encoded.dropped_turns
            ids = [id_ for id_, learn in zip(encoded.input_ids, encoded.learn_mask, strict=True) if learn]
            learnt.update(part.strip() for part in tokenizer.decode(ids).split("<|endoftext|>") if part.strip())
            assert dataset.dialogues[place].persona == long.persona
            assert dataset.dialogues[place].turns[0].speaker is Speaker.PARTNER, "a reply without what it replies to"
        assert learnt == Counter(turn.text for turn in long.replies)


def test_windows_of_random_dialogues_hold_every_reply_once() -> None:
    draw = random.Random(0)
    for _ in range(60):
        dialogue = random_dialogue(draw, odd=False)
        for learn_partner in (False, True):
            dataset = DialogueDataset([dialogue], layout(64, learn_partner=learn_partner))
            windows = [dataset[place] for place in range(len(dataset))]
            if not windows:  # one turn alone is longer than the context, or there is no reply
                continue
            whole = encode_dialogue(dialogue, dataset.layout.tokenizer, Budget(4096, 64), learn_partner=learn_partner)
            assert sum(sum(window.learn_mask) for window in windows) == sum(whole.learn_mask)
            assert all(len(window.input_ids) <= 64 and not window.dropped_turns for window in windows)


def test_what_cannot_be_learnt_is_left_out_and_counted(caplog) -> None:
    silent = Dialogue(Persona(("i am ada.",))).then(Speaker.PARTNER, "hello")
    endless = spoken(1, 2).then(Speaker.PARTNER, "word " * 400).then(Speaker.PERSONA, "yes")
    dataset = DialogueDataset([silent, endless, spoken(2, 2)], layout(192))
    assert len(dataset) == 1
    assert "left out 2 of 3 dialogues" in caplog.text


def test_a_persona_larger_than_its_share_is_reported_once(caplog) -> None:
    large = Dialogue(Persona(tuple(f"i own {number} dogs." for number in range(40))))
    large = large.then(Speaker.PARTNER, "hello").then(Speaker.PERSONA, "good night")
    with caplog.at_level(logging.WARNING):
        dataset = DialogueDataset([large, large], layout(128), shuffle_persona_seed=0)
        for epoch in range(3):
            drawn(dataset, epoch)
    assert [record.getMessage() for record in caplog.records] == [
        "facts are cut from 1 personas: larger than their share of the context (48 tokens)"
    ]


@pytest.mark.parametrize("strategy", ["group_by_length", "random", "sequential"])
def test_an_epoch_draws_every_dialogue_once_in_its_own_order(strategy: str) -> None:
    dataset = DialogueDataset([spoken(number, 2 + number % 7) for number in range(40)], layout())
    order = EpochOrder(dataset, strategy, batch_size=4, seed=1)
    epochs = []
    for epoch in (0, 1, 0):
        order.set_epoch(epoch)
        epochs.append(list(order))
    assert all(sorted(drawn_order) == list(range(40)) for drawn_order in epochs)
    assert epochs[0] == epochs[2]
    assert (epochs[0] == epochs[1]) == (strategy == "sequential")


def test_grouping_puts_like_lengths_side_by_side() -> None:
    dataset = DialogueDataset([spoken(number, 2 + number % 12) for number in range(200)], layout())

    def padding(strategy: str) -> int:
        sizes = [dataset.sizes[place] for place in EpochOrder(dataset, strategy, batch_size=4, seed=1)]
        batches = [sizes[start : start + 4] for start in range(0, len(sizes), 4)]
        return sum(max(batch) * len(batch) - sum(batch) for batch in batches)

    assert padding("group_by_length") < padding("random") / 3
