"""Who is who: what counts as a swap of roles, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from personable.dialogue import Dialogue, Persona, Speaker
from personable.evaluation.fidelity.roles import (
    RoleProbe,
    Stated,
    Swap,
    measured_swaps,
    role_probes,
    role_swaps,
    swap_in,
)
from personable.reply import Sampling
from tests.evaluation.fidelity.scripted import Scripted

GREEDY = Sampling(temperature=0)
SARAH = Persona(("my name is sarah.", "i have a cat named tom.", "i am a vegan.", "i live in ohio."))


def probe(said, stated, value):
    return RoleProbe(Dialogue(SARAH).then(Speaker.PARTNER, said), "by hand", stated, value)


NAME = probe("hi, my name is wulf. what is your name?", Stated.NAME, "Wulf")
OWN_NAME = probe("hi, my name is wulf. what is my name?", Stated.NAME, "Wulf")
WHO = probe("hello, i am wulf. who am i?", Stated.NAME, "Wulf")
HOME = probe("i live in lisbon. where do you live?", Stated.HOME, "Lisbon")
JOB = probe("i work as a beekeeper. what do you do for a living?", Stated.JOB, "beekeeper")
PET = probe("i have a parrot. do you have any pets?", Stated.PET, "parrot")


@pytest.mark.parametrize(
    ("asked", "reply", "swap"),
    [
        (NAME, "my name is wulf.", Swap.TAKES),
        (NAME, "I'm Wulf, nice to meet you", Swap.TAKES),
        (NAME, "hello! i am also wulf", Swap.TAKES),
        (NAME, "wulf", Swap.TAKES),
        (NAME, "wulf, and you?", Swap.TAKES),
        (NAME, "nice to meet you wulf", None),
        (NAME, "nice to meet you, wulf. i am sarah", None),
        (NAME, "i am glad to meet you wulf", None),
        (NAME, "i am not wulf, i am sarah", None),
        (NAME, "is your name wulf?", None),
        (NAME, "my name is sarah, your name is wulf", None),
        (NAME, "", None),
        (OWN_NAME, "your name is wulf", None),
        (OWN_NAME, "wulf", None),
        (OWN_NAME, "your name is sarah.", Swap.GIVES),
        (OWN_NAME, "you are sarah", Swap.GIVES),
        (OWN_NAME, "my name is wulf", Swap.TAKES),
        (OWN_NAME, "my name is sarah", None),
        (WHO, "you have a cat named tom.", Swap.GIVES),
        (WHO, "i think you are a vegan", Swap.GIVES),
        (WHO, "you told me you live in ohio", Swap.GIVES),
        (WHO, "your cat tom is cute", Swap.GIVES),
        (WHO, "do you have a cat named tom?", None),
        (WHO, "you are wulf, and i have a cat named tom", None),
        (WHO, "you are not a vegan", None),
        (WHO, "you have a nice name", None),
        (HOME, "i live in lisbon too", Swap.TAKES),
        (HOME, "i am from lisbon", Swap.TAKES),
        (HOME, "i live in ohio. how is lisbon?", None),
        (HOME, "i would love to visit lisbon", None),
        (HOME, "i do not live in lisbon", None),
        (HOME, "you live in lisbon", None),
        (JOB, "i am a beekeeper", Swap.TAKES),
        (JOB, "i work as a part beekeeper", Swap.TAKES),
        (JOB, "a beekeeper, how nice", None),
        (JOB, "i wish i am a beekeeper", None),
        (PET, "yes, i have a green parrot", Swap.TAKES),
        (PET, "my parrot is called kiko", Swap.TAKES),
        (PET, "i have a cat. is your parrot loud?", None),
        (PET, "i do not have a parrot", None),
        (PET, "i like parrots", None),
    ],
)
def test_a_swap_is_a_plain_claim(asked, reply, swap):
    assert swap_in(asked, reply) is swap


def keeps_roles(history):
    said = history.turns[-1].text
    return "you are my guest" if "my" in said.split() or "me" in said else "my name is sarah"


def test_the_rate_is_swaps_per_probe():
    echo = Scripted(lambda history: history.turns[-1].text.split("?")[0])
    right = Scripted(keeps_roles)
    assert role_swaps(right, [SARAH], GREEDY, seed=0).measured[0].tally.value == 0
    group = role_swaps(echo, [SARAH], GREEDY, seed=0)
    details: Any = group.details
    swaps = sum(script["swaps"] for script in details["by_script"].values())
    assert group.measured[0].tally.value == pytest.approx(100 * swaps / 12)
    # Every probe that asks in the same breath as it states is swapped by whoever repeats the statement.
    for script in ("tells name, asks name", "tells home, asks home", "tells job, asks job", "tells pet, asks pets"):
        assert details["by_script"][script] == {"probes": 1, "swaps": 1}
    assert len(details["swapped"]) == swaps == details["by_kind"]["takes the partner's attribute"]


def test_probes_are_seeded_spread_over_personas_and_never_true_of_them():
    wulf = Persona(("my name is wulf.", "i have a parrot."))
    personas = [SARAH, wulf, Persona(("i am tall.",)), SARAH, Persona()]
    probes = role_probes(personas, seed=2, limit=6)
    assert probes == role_probes(personas, seed=2, limit=6)
    assert probes != role_probes(personas, seed=3, limit=6)
    assert sorted([each.persona.facts for each in probes]) == sorted([one.facts for one in personas[:3]] * 2)
    for each in role_probes(personas, seed=2, limit=200):
        assert each.value.lower() not in each.persona.text
    assert len(role_probes(personas, seed=2, limit=200)) == 3 * 12


def test_probes_write_as_the_persona_does():
    lower = role_probes([SARAH], seed=0)[0].history.turns[0].text
    upper = role_probes([Persona(("I am Ada.",))], seed=0)[0].history.turns[0].text
    assert lower == lower.lower()
    assert upper != upper.lower()


def test_rows_are_personas():
    probes = role_probes([SARAH, Persona(("i am tall.",))], seed=0, limit=4)
    tally = measured_swaps(probes, [f"i am {each.value}" for each in probes]).tally
    assert tally.sums[:, 1].tolist() == [2, 2]


def test_without_a_persona_nothing_is_measured():
    assert not role_swaps(Scripted(lambda history: ""), [Persona()], GREEDY, seed=0).measured
