"""Formats whose records are JSON objects, CSV rows or Parquet rows."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from personable.corpus import Format, Reading, read_dialogues
from personable.dialogue import Persona, Speaker, Turn
from personable.errors import BadRecord, DataError

PARTNER, PERSONA = Speaker.PARTNER, Speaker.PERSONA


def write_jsonl(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def write_csv(path: Path, *rows: list[str]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def only(reading: Reading) -> list[tuple[Speaker, str]]:
    (dialogue,) = reading.dialogues
    return [(turn.speaker, turn.text) for turn in dialogue.turns]


class TestPersonaChatJson:
    RECORD = {  # noqa: RUF012
        "personality": ["i ski .", "i cook ."],
        "utterances": [
            {"history": ["hi"], "candidates": ["no", "hello"]},
            {"history": ["hi", "hello", "how so ?"], "candidates": ["yes", "because"]},
        ],
    }

    def test_history_and_the_last_candidate_make_the_dialogue(self, tmp_path: Path) -> None:
        reading = read_dialogues(write_jsonl(tmp_path / "chat.json", [self.RECORD]))
        assert reading.format is Format.PERSONACHAT_JSON
        assert reading.dialogues[0].persona == Persona(("i ski .", "i cook ."))
        assert reading.dialogues[0].turns == (
            Turn(PARTNER, "hi"),
            Turn(PERSONA, "hello", ("no", "hello")),
            Turn(PARTNER, "how so ?"),
            Turn(PERSONA, "because", ("yes", "because")),
        )

    def test_silence_is_nothing_said(self, tmp_path: Path) -> None:
        record = {"personality": [], "utterances": [{"history": ["__ SILENCE __"], "candidates": ["a", "hi"]}]}
        assert only(read_dialogues(write_jsonl(tmp_path / "chat.json", [record]))) == [(PERSONA, "hi")]

    def test_each_list_of_the_published_wrapper_can_be_named(self, tmp_path: Path) -> None:
        path = tmp_path / "personachat_self_original.json"
        path.write_text(json.dumps({"train": [self.RECORD, self.RECORD], "valid": [self.RECORD]}))
        assert len(read_dialogues(path).dialogues) == 3
        assert len(read_dialogues(f"{path}:train").dialogues) == 2
        assert len(read_dialogues(f"{path}:valid").dialogues) == 1
        with pytest.raises(DataError, match="found train, valid"):
            read_dialogues(f"{path}:test")

    def test_a_wrapper_printed_over_lines_names_the_line_of_a_bad_record(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.json"
        path.write_text('{\n "train": [\n' + json.dumps(self.RECORD) + ',\n{"utterances": []}\n]}\n')
        with pytest.raises(BadRecord, match=r"chat\.json:4: expected a list of utterances"):
            read_dialogues(path)
        assert len(read_dialogues(path, max_bad=1).dialogues) == 1

    def test_a_history_that_contradicts_the_reply_before_it_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.json"
        path.write_text(json.dumps([self.RECORD]).replace('"hi", "hello"', '"hi", "something else"'))
        with pytest.raises(BadRecord, match=r"utterances\[1\]\.history"):
            read_dialogues(path)

    def test_broken_json_is_named_with_its_line(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.json"
        path.write_text("[\n" + json.dumps(self.RECORD) + ",\n{oops}\n]")
        with pytest.raises(DataError, match=r"chat\.json:3: expected a JSON value"):
            read_dialogues(path, max_bad=9)


class TestPersonaRows:
    ROWS = (
        {"conv_id": 7, "persona_b": ["I ski."], "dialogue": ["Persona A: Hi!"], "reference": "Persona B: Hello."},
        {
            "conv_id": 7,
            "persona_b": ["I ski."],
            "dialogue": ["Persona A: Hi!", "Persona B: Hello.", "Persona A: Well?"],
            "reference": "Persona B: Very.",
        },
    )
    WHOLE = [(PARTNER, "Hi!"), (PERSONA, "Hello."), (PARTNER, "Well?"), (PERSONA, "Very.")]  # noqa: RUF012

    @pytest.mark.parametrize("rows", [ROWS, ROWS[::-1]])
    def test_rows_of_one_conversation_become_one_dialogue_in_any_order(
        self, tmp_path: Path, rows: tuple[dict[str, object], ...]
    ) -> None:
        reading = read_dialogues(write_jsonl(tmp_path / "rows.jsonl", *rows))
        assert reading.format is Format.PERSONA_ROWS
        assert only(reading) == self.WHOLE
        assert reading.dialogues[0].conversation == "7"
        assert reading.dialogues[0].persona == Persona(("I ski.",))

    def test_rows_without_an_id_are_put_together_and_keyed_by_their_text(self, tmp_path: Path) -> None:
        rows = [{key: value for key, value in row.items() if key != "conv_id"} for row in self.ROWS]
        reading = read_dialogues(write_jsonl(tmp_path / "rows.jsonl", *rows))
        assert only(reading) == self.WHOLE
        assert len(reading.dialogues[0].conversation) == 16

    def test_rows_of_another_persona_stay_apart(self, tmp_path: Path) -> None:
        other = {**self.ROWS[0], "persona_b": ["I swim."]}
        assert len(read_dialogues(write_jsonl(tmp_path / "rows.jsonl", *self.ROWS, other)).dialogues) == 2

    def test_equal_rows_count_once(self, tmp_path: Path) -> None:
        assert len(read_dialogues(write_jsonl(tmp_path / "rows.jsonl", *self.ROWS, *self.ROWS)).dialogues) == 1

    def test_without_labels_the_turn_before_the_reply_is_the_partners(self, tmp_path: Path) -> None:
        row = {"persona_b": ["I ski."], "dialogue": ["One.", "Two."], "reference": "Three."}
        path = write_jsonl(tmp_path / "rows.jsonl", row)
        assert only(read_dialogues(path)) == [(PERSONA, "One."), (PARTNER, "Two."), (PERSONA, "Three.")]

    @pytest.mark.parametrize(
        ("facts", "turns"),
        [
            ("""["I'm tall.", "I ski, a lot."]""", '["Hi!", "So?", "Well?"]'),
            ("""["I'm tall.", 'I ski, a lot.']""", "['Hi!', 'So?', 'Well?']"),
            ("""["I'm tall." 'I ski, a lot.']""", "['Hi!' 'So?'\n 'Well?']"),
            ("I'm tall.\nI ski, a lot.", "Hi!\nSo?\n\nWell?"),
        ],
        ids=["JSON", "Python", "numpy", "lines"],
    )
    def test_lists_in_csv_cells(self, tmp_path: Path, facts: str, turns: str) -> None:
        path = write_csv(tmp_path / "rows.csv", ["persona_b", "dialogue", "reference"], [facts, turns, "Yes."])
        (dialogue,) = read_dialogues(path).dialogues
        assert dialogue.persona.facts == ("I'm tall.", "I ski, a lot.")
        assert [turn.text for turn in dialogue.turns] == ["Hi!", "So?", "Well?", "Yes."]

    def test_parquet(self, tmp_path: Path) -> None:
        import pyarrow
        import pyarrow.parquet

        path = tmp_path / "rows.parquet"
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(self.ROWS)), path)
        assert only(read_dialogues(path)) == self.WHOLE

    def test_a_row_without_its_reply_is_named(self, tmp_path: Path) -> None:
        path = write_jsonl(tmp_path / "rows.jsonl", self.ROWS[0], {"persona_b": [], "dialogue": ["a"]})
        with pytest.raises(BadRecord, match=r"rows\.jsonl:2: expected text in reference, found NoneType None"):
            read_dialogues(path)

    def test_a_cell_that_is_no_list_is_refused(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "rows.csv", ["persona_b", "dialogue", "reference"], ["[1 + f(x)]", "Hi!", "Yes."])
        with pytest.raises(BadRecord, match="a list of texts in persona_b"):
            read_dialogues(path)


class TestSyntheticPersonaChat:
    HEADER = ["user 1 personas", "user 2 personas", "Best Generated Conversation"]  # noqa: RUF012

    def read(self, tmp_path: Path, conversation: str) -> Reading:
        return read_dialogues(
            write_csv(tmp_path / "spc.csv", self.HEADER, ["I ski.\nI cook.", "I swim.", conversation])
        )

    def test_a_row_is_read_from_both_sides(self, tmp_path: Path) -> None:
        reading = self.read(tmp_path, "User 1: Hi!\nUser 2: Hello.\nUser 1: Bye.")
        assert reading.format is Format.SYNTHETIC_PERSONA_CHAT
        second, first = reading.dialogues
        assert (second.persona.facts, second.partner_persona.facts) == (("I swim.",), ("I ski.", "I cook."))
        assert (first.persona, first.partner_persona) == (second.partner_persona, second.persona)
        assert first.conversation == second.conversation != ""
        assert [turn.speaker for turn in second.turns] == [PARTNER, PERSONA, PARTNER]
        assert [turn.speaker for turn in first.turns] == [PERSONA, PARTNER, PERSONA]

    @pytest.mark.parametrize(
        ("conversation", "texts"),
        [
            ("User 1: Hi!\n\nUser 2: [waves]\r\n(They leave.)\nUser 1: Bye.", ["Hi!", "[waves]", "Bye."]),
            ("User 1: Hi!\nUser 1: Anyone?\nUser 2: Me.", ["Hi! Anyone?", "Me."]),
            ("User 1: Hi!\nUser 2:\nUser 1: Anyone?\nUser 2: Me.", ["Hi! Anyone?", "Me."]),
            ("*User 1:* Hi!\n*User 2:* Well *you*!", ["Hi!", "Well *you*!"]),
            ("* User 1: Hi! *\n* User 2: Well. *", ["Hi!", "Well."]),
            ("* * User 1: * * Hi!\n* * User 2: * * Well.", ["Hi!", "Well."]),
            ("User 1: I'm [User 1's name].\nUser 2: Oh.", ["I'm [User 1's name].", "Oh."]),
            ("Hi!\n\nHello.\n\nBye.", ["Hi!", "Hello.", "Bye."]),
        ],
        ids=["stage", "same-speaker", "empty-label", "stars", "line-stars", "more-stars", "placeholder", "no-labels"],
    )
    def test_lines_as_published(self, tmp_path: Path, conversation: str, texts: list[str]) -> None:
        for side in self.read(tmp_path, conversation).dialogues:
            assert [turn.text for turn in side.turns] == texts

    def test_a_bad_row_is_named_by_the_line_it_starts_on(self, tmp_path: Path) -> None:
        path = write_csv(
            tmp_path / "spc.csv", self.HEADER, ["a\nb", "c", "User 1: d"], ["a", "b"], ["a", "b", "User 1: c"]
        )
        with pytest.raises(BadRecord, match=r"spc\.csv:4: expected 3 columns as in the header, found 2 columns"):
            read_dialogues(path)
        assert len(read_dialogues(path, max_bad=1).dialogues) == 4

    def test_a_huge_cell_is_read(self, tmp_path: Path) -> None:
        said = "well " * 100_000
        assert len(self.read(tmp_path, f"User 1: Hi!\nUser 2: {said}").dialogues[0].turns[1].text) == len(said) - 1

    def test_bytes_that_are_not_utf8_spoil_one_row_only(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "spc.csv", self.HEADER, ["a", "b", "User 1: BAD"], ["a", "b", "User 1: c"])
        path.write_bytes(path.read_bytes().replace(b"BAD", b"\xe9"))
        reading = read_dialogues(path, max_bad=1)
        assert (len(reading.dialogues), reading.problems[0].line) == (2, 2)
        assert "UTF-8" in reading.problems[0].expected


class TestMessages:
    @staticmethod
    def record(*messages: tuple[str, str], **more: object) -> dict[str, object]:
        return {"messages": [{"role": role, "content": content} for role, content in messages], **more}

    @pytest.mark.parametrize(
        ("system", "facts"),
        [
            ("I ski. I cook.\nI'm 5 ft. tall.", ("I ski. I cook.", "I'm 5 ft. tall.")),
            ("I ski! I cook?  I swim", ("I ski!", "I cook?", "I swim")),
            ("I ski.\n", ("I ski.",)),
        ],
        ids=["lines", "sentences", "one"],
    )
    def test_the_persona_is_the_system_message(self, tmp_path: Path, system: str, facts: tuple[str, ...]) -> None:
        record = self.record(("system", system), ("user", "Hi!"), ("assistant", "Hello."))
        reading = read_dialogues(write_jsonl(tmp_path / "chat.jsonl", record))
        assert reading.format is Format.MESSAGES
        assert only(reading) == [(PARTNER, "Hi!"), (PERSONA, "Hello.")]
        assert reading.dialogues[0].persona.facts == facts

    def test_the_persona_may_stand_beside_the_messages(self, tmp_path: Path) -> None:
        record = self.record(("user", "Hi!"), ("assistant", "Hello."), system="You ski. You cook.")
        (dialogue,) = read_dialogues(write_jsonl(tmp_path / "chat.jsonl", record)).dialogues
        assert dialogue.persona.facts == ("You ski.", "You cook.")

    @pytest.mark.parametrize("messages", [[("user", "a"), ("tool", "b")], [("user", "a"), ("system", "b")]])
    def test_other_roles_are_refused(self, tmp_path: Path, messages: list[tuple[str, str]]) -> None:
        with pytest.raises(BadRecord, match=r"messages\[1\]\.role"):
            read_dialogues(write_jsonl(tmp_path / "chat.jsonl", self.record(*messages)))

    def test_parquet(self, tmp_path: Path) -> None:
        import pyarrow
        import pyarrow.parquet

        path = tmp_path / "chat.parquet"
        records = [self.record(("user", "a"), ("assistant", "b")), self.record(("user", "c"), ("robot", "d"))]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), path)
        reading = read_dialogues(path, max_bad=1)
        assert (reading.format, only(reading)) == (Format.MESSAGES, [(PARTNER, "a"), (PERSONA, "b")])
        assert reading.problems[0].line == 2  # a Parquet file has no lines: the second row


class TestTurns:
    def test_the_partner_begins(self, tmp_path: Path) -> None:
        reading = read_dialogues(write_jsonl(tmp_path / "turns.jsonl", {"source": "film", "turns": ["a", "b", "c"]}))
        assert reading.format is Format.TURNS
        assert only(reading) == [(PARTNER, "a"), (PERSONA, "b"), (PARTNER, "c")]
        assert reading.dialogues[0].persona == Persona()

    def test_personas_of_multi_session_chat_without_its_blank_facts(self, tmp_path: Path) -> None:
        record = {"id": "test_0", "session": 2, "persona_user": ["a", ""], "persona_assistant": ["b"], "turns": ["c"]}
        (dialogue,) = read_dialogues(write_jsonl(tmp_path / "turns.jsonl", record)).dialogues
        assert (dialogue.partner_persona.facts, dialogue.persona.facts) == (("a",), ("b",))
        assert dialogue.conversation == "test_0"

    def test_an_unknown_key_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(BadRecord, match="found str 'persona'"):
            read_dialogues(write_jsonl(tmp_path / "turns.jsonl", {"turns": ["a"], "persona": []}))
