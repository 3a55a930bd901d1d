from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personable.corpus import Split, split_dialogues
from personable.corpus.splitting import persona_key
from personable.dialogue import Dialogue, Persona, Speaker, Turn
from personable.errors import DataError


def dialogue(persona: int | None, conversation: str, text: str = "", partner: int | None = None) -> Dialogue:
    turns = (Turn(Speaker.PARTNER, text or conversation),)
    return Dialogue(numbered(persona), turns, numbered(partner), conversation)


def numbered(persona: int | None) -> Persona:
    return Persona(() if persona is None else (f"I am {persona}.", "I ski."))


def everyone(split: Split) -> list[Dialogue]:
    return [*split.train, *split.validation, *split.left_out]


def test_independent_dialogues_are_cut_by_the_share_in_their_order() -> None:
    given = [dialogue(n, f"c{n}") for n in range(100)]
    split = split_dialogues(given, validation_share=0.2, seed=0)
    assert (len(split.train), len(split.validation), split.left_out) == (80, 20, ())
    assert list(split.train) == [each for each in given if each in split.train]


def test_the_same_seed_gives_the_same_cut_and_another_one_another() -> None:
    given = [dialogue(n, f"c{n}") for n in range(100)]
    first, again, other = (split_dialogues(given, validation_share=0.1, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_what_hangs_together_through_others_stays_together() -> None:
    chain = [dialogue(1, "a"), dialogue(2, "a"), dialogue(2, "b"), dialogue(3, "b")]
    split = split_dialogues([*chain, *(dialogue(n, f"c{n}") for n in range(10, 16))], validation_share=0.4, seed=0)
    assert split.left_out == ()
    assert len({each in split.train for each in chain}) == 1


def test_dialogues_without_a_key_are_tied_by_their_text() -> None:
    sides = [dialogue(1, "", "Hi there!"), dialogue(2, "", "hi there")]
    split = split_dialogues([*sides, dialogue(3, "c"), dialogue(4, "d")], validation_share=0.5, seed=0)
    assert len({each in split.train for each in sides}) == 1


def test_the_facts_in_another_order_are_the_same_persona() -> None:
    assert persona_key(Persona(("I ski.", "I cook ."))) == persona_key(Persona(("i cook.", "I ski")))
    assert persona_key(Persona(("I ski.",))) != persona_key(Persona(("I cook.",)))


def test_one_large_group_is_cut_through_its_personas() -> None:
    ring = [side for n in range(40) for side in (dialogue(n, f"c{n}"), dialogue((n + 1) % 40, f"c{n}"))]
    split = split_dialogues(ring, validation_share=0.1, seed=0)
    assert len(everyone(split)) == 80
    assert len(split.validation) == 8
    assert 0 < len(split.left_out) <= 8


@given(
    st.lists(
        st.tuples(st.none() | st.integers(0, 8), st.integers(0, 12), st.none() | st.integers(0, 8)),
        min_size=2,
        max_size=40,
    ),
    st.floats(0.05, 0.95),
    st.integers(0, 3),
)
def test_no_conversation_and_no_persona_that_replies_is_on_both_sides(
    drawn: list[tuple[int | None, int, int | None]], share: float, seed: int
) -> None:
    dialogues = [dialogue(persona, f"c{conversation}", partner=partner) for persona, conversation, partner in drawn]
    try:
        split = split_dialogues(dialogues, validation_share=share, seed=seed)
    except DataError:
        return
    assert sorted(map(repr, everyone(split))) == sorted(map(repr, dialogues))
    train, validation = split.train, split.validation
    assert train
    assert validation
    assert {each.conversation for each in train}.isdisjoint(each.conversation for each in validation)
    replying = {each.persona for each in validation if each.persona.facts}
    assert replying.isdisjoint(each.persona for each in train)
    assert replying.isdisjoint(each.partner_persona for each in train)


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_outside_of_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(DataError, match="between 0 and 1"):
        split_dialogues([dialogue(1, "a"), dialogue(2, "b")], validation_share=share, seed=0)


def test_one_conversation_cannot_be_cut() -> None:
    with pytest.raises(DataError, match="Next: add dialogues"):
        split_dialogues([dialogue(1, "a"), dialogue(1, "a")], validation_share=0.5, seed=0)
