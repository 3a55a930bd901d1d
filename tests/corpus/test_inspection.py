from pathlib import Path

from personable.corpus import Format, Spread, inspect, write_dialogues
from personable.dialogue import Dialogue, Persona, Speaker, Turn


def test_numbers_worked_out_by_hand(tmp_path: Path) -> None:
    ann = Persona(("I ski a lot.", "I cook."))
    first = Dialogue(ann, (Turn(Speaker.PARTNER, "Hi you!"), Turn(Speaker.PERSONA, "Hello.", ("Hello.", "No."))))
    longer = Dialogue(
        Persona(("I cook.", "I ski a lot.")),
        (*first.turns, Turn(Speaker.PARTNER, "I'm [User 1's name]."), Turn(Speaker.PERSONA, "Good to know.")),
        conversation="7",
    )
    alone = Dialogue(turns=(Turn(Speaker.PERSONA, "One two three four five."),), conversation="7")
    path = tmp_path / "corpus.jsonl"
    write_dialogues([first, longer, first, alone], path)
    path.write_text(path.read_text() + "{}\n")

    found = inspect(path, count_tokens=len)

    assert (found.format, found.dialogues, found.conversations) == (Format.PERSONABLE, 4, 3)
    assert (found.turns, found.replies, found.replies_with_candidates) == (2 + 4 + 2 + 1, 1 + 2 + 1 + 1, 3)
    assert (found.personas, found.dialogues_without_persona) == (1, 1)
    assert found.words == 3 + (3 + 4 + 3) + 3 + 5
    assert found.turns_per_dialogue == Spread(1, 2, 4)
    assert found.facts_per_persona == Spread(2, 2, 2)
    assert found.words_per_reply == Spread(1, 1, 5)
    assert (found.duplicates, found.placeholders) == (1, 1)
    assert [problem.line for problem in found.problems] == [5]
    short = len("I ski a lot.I cook.") + len("Hi you!Hello.")
    long = short + len("I'm [User 1's name].Good to know.")
    lone = len("One two three four five.")
    assert found.tokens == 2 * short + long + lone
    assert found.tokens_per_dialogue == Spread(lone, short, long)


def test_without_a_base_no_tokens_are_counted(tmp_path: Path) -> None:
    write_dialogues([Dialogue(turns=(Turn(Speaker.PERSONA, "a"),))], tmp_path / "corpus.jsonl")
    found = inspect(tmp_path / "corpus.jsonl")
    assert (found.tokens, found.tokens_per_dialogue) == (None, None)
