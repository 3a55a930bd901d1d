"""What the Trainer draws from."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from personable.dialogue import Dialogue, Persona, Speaker
from personable.encoding import Budget, encode_dialogue
from personable.training.data import Draw, RowDataset, RowOrder
from personable.training.layout import Layout
from personable.training.prepared import prepared_of
from personable.training.rows import plan_rows
from tests.tiny import random_dialogue, tiny_tokenizer
from tests.training.small import TRAIN, spoken


def layout(context_tokens: int = 256, *, learn_partner: bool = False) -> Layout:
    return Layout(tiny_tokenizer(), Budget(context_tokens, context_tokens // 4), learn_partner)


def rows_of(
    dialogues: list[Dialogue], *, context_tokens: int = 256, seed: int = 3, shuffle_persona: bool = True
) -> RowDataset:
    how = layout(context_tokens)
    prepared = prepared_of(dialogues, how)
    plan = plan_rows(prepared.lengths, context_tokens, packed=True)
    return RowDataset(prepared, plan, how, seed=seed, shuffle_persona=shuffle_persona)


def drawn(dataset: RowDataset, epoch: int) -> dict[int, tuple[int, ...]]:
    """The ids of each dialogue, by its index."""
    found = {}
    for row in range(len(dataset)):
        indices = dataset.plan.row(row, seed=dataset.seed, epoch=epoch).tolist()
        for index, encoded in zip(indices, dataset[Draw(epoch, row)], strict=True):
            found[index] = encoded.input_ids
    return dict(sorted(found.items()))


def test_persona_order_differs_between_epochs_and_keeps_every_fact() -> None:
    dataset = rows_of(TRAIN)
    first, second = drawn(dataset, 0), drawn(dataset, 1)
    assert sum(first[index] != second[index] for index in range(len(TRAIN))) >= len(TRAIN) - 2
    tokenizer = dataset.layout.tokenizer
    for ids, dialogue in zip(second.values(), TRAIN, strict=True):
        text = tokenizer.decode(ids)
        head, _, talk = text.partition("<|endoftext|>")
        assert sorted(line.strip() for line in head.splitlines()) == sorted(dialogue.persona.facts)
        said = [part.removeprefix("You:").removeprefix("Me:").strip() for part in talk.split("<|endoftext|>")[:-1]]
        assert said == [turn.text for turn in dialogue.turns]


def test_equal_seeds_give_equal_orders_of_facts() -> None:
    one, same, other = (rows_of(TRAIN, seed=seed) for seed in (3, 3, 4))
    assert drawn(one, 5) == drawn(same, 5)
    assert drawn(one, 5) != drawn(other, 5)


def test_facts_stay_in_order_where_they_are_not_shuffled() -> None:
    dataset = rows_of(TRAIN, shuffle_persona=False)
    plain = [encode_dialogue(dialogue, dataset.layout.tokenizer, dataset.layout.budget) for dialogue in TRAIN]
    assert list(drawn(dataset, 0).values()) == list(drawn(dataset, 1).values()) == [one.input_ids for one in plain]


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_dialogue_longer_than_the_context_is_learnt_whole(shuffle: bool) -> None:
    long = Dialogue(Persona(("i am ada.", "i keep bees.", "i have a dog.")))
    for place in range(60):
        long = long.then(Speaker.PERSONA if place % 2 else Speaker.PARTNER, f"this is turn {place}")
    dataset = rows_of([long], context_tokens=96, shuffle_persona=shuffle)
    assert len(dataset.prepared) > 4
    tokenizer = dataset.layout.tokenizer
    for epoch in range(3):
        learnt: Counter[str] = Counter()
        for row in range(len(dataset)):
            for encoded in dataset[Draw(epoch, row)]:
                assert len(encoded.input_ids) <= 96
                assert not encoded.dropped_turns
                ids = [id_ for id_, learn in zip(encoded.input_ids, encoded.learn_mask, strict=True) if learn]
                learnt.update(part.strip() for part in tokenizer.decode(ids).split("<|endoftext|>") if part.strip())
        assert learnt == Counter(turn.text for turn in long.replies)
    for place in range(len(dataset.prepared)):
        window = dataset.prepared.dialogue(place)
        assert window.persona == long.persona
        assert window.turns[0].speaker is Speaker.PARTNER, "a reply without what it replies to"


def test_windows_of_random_dialogues_hold_every_reply_once() -> None:
    draw = random.Random(0)
    for _ in range(60):
        dialogue = random_dialogue(draw, odd=False)
        for learn_partner in (False, True):
            how = layout(64, learn_partner=learn_partner)
            prepared = prepared_of([dialogue], how)
            windows = [prepared.encoded(place) for place in range(len(prepared))]
            if not windows:  # one turn alone is longer than the context, or there is no reply
                continue
            whole = encode_dialogue(dialogue, how.tokenizer, Budget(4096, 64), learn_partner=learn_partner)
            assert sum(sum(window.learn_mask) for window in windows) == sum(whole.learn_mask)
            assert all(len(window.input_ids) <= 64 and not window.dropped_turns for window in windows)


def test_an_epoch_draws_every_dialogue_once_in_its_own_order() -> None:
    dataset = rows_of([spoken(number, 2 + number % 7) for number in range(40)], shuffle_persona=False)
    order = RowOrder(dataset, shuffled=True)
    epochs = []
    for epoch in (0, 1, 0):
        order.set_epoch(epoch)
        epochs.append(list(order))
        assert sorted(draw.row for draw in order) == list(range(len(dataset)))
        assert list(drawn(dataset, epoch)) == list(range(40))
    assert epochs[0] == epochs[2]
    assert [draw.row for draw in epochs[0]] != [draw.row for draw in epochs[1]]
    assert [draw.row for draw in RowOrder(dataset, shuffled=False)] == list(range(len(dataset)))
