"""Which dialogues are nearly the same, in every process alike."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import random
from personable.corpus.doctor.nearness import nearly_same, shingles
from personable.dialogue import Dialogue, Persona, Speaker, Turn

draw = random.Random(0)
words = [f"word{number}" for number in range(50)]
known, dialogues = [], []
for _ in range(60):
    text = draw.choices(words, k=60) if len(known) < 8 else list(draw.choice(known))
    for place in draw.sample(range(60), draw.randint(1, 8)):
        text[place] = draw.choice(words)
    known.append(text)
    dialogues.append(Dialogue(Persona(), (Turn(Speaker.PARTNER, " ".join(text)),)))
print(sorted(shingles(dialogues[0]))[:3], [(each.one, each.other, each.alike) for each in nearly_same(dialogues)])
"""


def found_with(seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=True)
    return done.stdout


def test_findings_are_the_same_whatever_python_hashes_texts_with() -> None:
    first = found_with("1")
    assert first.count("(") > 10
    assert found_with("2") == first


@pytest.mark.parametrize("text", ["caf\u00e9", "half a \ud83d character", "\u65e5\u672c"])
def test_any_text_has_shingles(text: str) -> None:
    from personable.corpus.doctor.nearness import shingles
    from personable.dialogue import Dialogue, Persona, Speaker, Turn

    assert shingles(Dialogue(Persona(), (Turn(Speaker.PARTNER, f"a b c {text}"),)))
