import pytest

from personable.chat.entry import chosen_persona
from personable.chat.personas import find_persona, read_persona
from personable.corpus import write_dialogues
from personable.dialogue import Persona
from personable.errors import DataError
from tests.reply.memorised_run import OLEG, said

FACTS = ("i sail boats.", "i like tea: green, no sugar.")
RITA = Persona(FACTS, "Rita")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.yaml", "name: Rita\nfacts:\n  - i sail boats.\n  - 'i like tea: green, no sugar.'\n", RITA),
        ("a.yml", "- i sail boats.\n- 'i like tea: green, no sugar.'\n", Persona(FACTS)),
        ("a.yaml", "facts: |\n  i sail boats.\n\n  i like tea: green, no sugar.\n", Persona(FACTS)),
        ("a.json", '{"facts": ["i sail boats.", "i like tea: green, no sugar."], "name": "Rita"}', RITA),
        ("a.json", '\ufeff["i sail boats.", " i like tea:  green, no sugar."]', Persona(FACTS)),
        ("a.json", '{"persona": {"facts": ["i sail boats."]}, "turns": []}', Persona(FACTS[:1])),
        ("a.txt", "# who I am\n\n i sail boats.\r\ni like tea: green, no sugar.", Persona(FACTS)),
        ("rita", "i sail boats.\n", Persona(FACTS[:1])),
    ],
)
def test_every_way_of_writing_a_persona(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_persona(tmp_path / name) == expected


def test_of_dialogues_the_first_persona_is_read(tmp_path):
    write_dialogues([said(OLEG, "hi", "good day"), said(RITA, "hi", "hello")], tmp_path / "some.jsonl")
    assert read_persona(tmp_path / "some.jsonl") == OLEG


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.yaml", "facts: [yes]", "fact 1 to be a sentence, found True"),
        ("a.yaml", "facts:\n - i like tea: green", "found {'i like tea': 'green'}"),
        ("a.yaml", "facts: [a, b", "broken YAML"),
        ("a.yaml", "name: 42\nfacts: [a b]", "name to be text, found 42"),
        ("a.yaml", "fact: [a b]", "the keys fact"),
        ("a.yaml", "facts: 3", "found 3"),
        ("a.yaml", "", "found None"),
        ("a.json", '{"facts": ["a",]}', "broken JSON"),
        ("a.json", "[" * 100_000, "broken JSON"),
        ("a.json", '{"facts": [], "name": "Rita"}', "no fact"),
        ("a.json", '{"facts": ["a"], "age": 3}', "the keys facts, age"),
        ("a.txt", "\n# nothing\n", "no fact"),
        ("a.jsonl", '{"turns": [{"speaker": "partner", "text": "hi"}]}', "no fact"),
    ],
)
def test_what_is_no_persona_is_refused_with_file_and_finding(tmp_path, name, content, found):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as refusal:
        read_persona(tmp_path / name)
    assert str(tmp_path / name) in str(refusal.value)
    assert found in str(refusal.value)


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    for path, found in [
        (tmp_path / "none.yaml", "no such file"),
        (tmp_path / "none.jsonl", "no such file"),
        (tmp_path / "picture.png", "no UTF-8"),
        (tmp_path, "directory"),
    ]:
        with pytest.raises(DataError, match=found):
            read_persona(path)


def test_a_persona_is_found_by_name_or_file(tmp_path):
    assert find_persona("rita", (OLEG, RITA)) is RITA
    assert find_persona("ri", (OLEG, RITA)) is RITA
    with pytest.raises(DataError):
        find_persona("r", (RITA, Persona(("i am rex.",), "Rex")))
    (tmp_path / "oleg").write_text("i bake.")
    assert find_persona(str(tmp_path / "oleg"), (OLEG, RITA)) == Persona(("i bake.",))
    with pytest.raises(DataError, match=r"\(Oleg, Rita\), found 'ritta'"):
        find_persona("ritta", (OLEG, RITA))


def test_file_facts_and_name_add_up(tmp_path):
    (tmp_path / "a.yaml").write_text("name: Rita\nfacts: [i sail.]")
    assert chosen_persona(tmp_path / "a.yaml", [" i swim. ", " "], "") == Persona(("i sail.", "i swim."), "Rita")
    assert chosen_persona(None, ["i swim."], "Sue") == Persona(("i swim.",), "Sue")


@pytest.mark.parametrize("file", ["~nobody-of-that-name", "a" * 300 + ".jsonl"])
def test_the_persona_of_a_path_that_cannot_be_is_refused(file):
    with pytest.raises(DataError, match="expected a path, found"):
        chosen_persona(file, [], "")
