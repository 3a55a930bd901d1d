"""What can go wrong with a file before its records are looked at."""

from __future__ import annotations

import gzip
import lzma
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personable.corpus import Format, iter_dialogues, read_dialogues
from personable.corpus.convai2 import read_convai2
from personable.errors import DataError, PersonableError

TEXT = "".join(f"1 your persona: i am number {n}.\n2 hello {n}\thi {n} .\n" for n in range(2_000))


@pytest.mark.parametrize("compress", [lzma.compress, gzip.compress])
def test_compression_is_told_from_the_content(tmp_path: Path, compress: object) -> None:
    assert callable(compress)
    (tmp_path / "plain.txt").write_text(TEXT)
    (tmp_path / "packed.txt").write_bytes(compress(TEXT.encode()))
    assert read_dialogues(tmp_path / "packed.txt") == read_dialogues(tmp_path / "plain.txt")


@pytest.mark.parametrize("compress", [lzma.compress, gzip.compress])
@pytest.mark.parametrize("kept", [0.2, 0.999])
def test_a_compressed_file_cut_off_is_refused(tmp_path: Path, compress: object, kept: float) -> None:
    assert callable(compress)
    path = tmp_path / "corpus.txt.xz"
    packed = compress(TEXT.encode())
    path.write_bytes(packed[: int(len(packed) * kept)])
    with pytest.raises(DataError, match="ends too early"):
        read_dialogues(path)


@pytest.mark.parametrize("compress", [lzma.compress, gzip.compress])
def test_a_compressed_file_with_damaged_bytes_is_refused(tmp_path: Path, compress: object) -> None:
    assert callable(compress)
    path = tmp_path / "corpus.txt.xz"
    packed = bytearray(compress(TEXT.encode()))
    middle = len(packed) // 2
    packed[middle : middle + 8] = b"\xff" * 8
    path.write_bytes(packed)
    with pytest.raises(DataError, match=r"damaged|number|expected"):
        read_dialogues(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"\xef\xbb\xbf", "an empty file"),
        (b" \r\n\n", "only white space"),
        ('{"turns": []}'.encode("utf-16"), "found UTF-16"),
        (b"Dear diary,\n", "begins with str 'Dear diary"),
        (b'{"name": "x"}\n', "found str 'name'"),
        (b"[]", "found no record"),
        (b"PAR1 and nothing more", "Parquet file is damaged after row 0"),
        (b"a,b\n1,2\n", "expected one of the formats"),
    ],
)
def test_a_file_of_no_known_format_says_what_was_found(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "corpus"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_dialogues(path)


def test_a_missing_file_and_a_folder_without_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.jsonl: no such file"):
        read_dialogues(tmp_path / "absent.jsonl")
    (tmp_path / "README.md").write_text("# Nothing")
    with pytest.raises(DataError, match="expected files ending in"):
        read_dialogues(tmp_path)


@pytest.mark.parametrize("path", ["x" * 5_000, "a\x00b", "/etc/hostname/below", "", "owner/name:", ":train"])
def test_an_impossible_path_is_refused(path: str) -> None:
    with pytest.raises(DataError):
        read_dialogues(path)


def test_a_pipe_is_refused_rather_than_read_in_part(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="found a pipe or device"):
        read_dialogues(tmp_path / "pipe")


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("1 c\td\n")
    (tmp_path / "a.txt.xz").write_bytes(lzma.compress(b"1 a\tb\n"))
    (tmp_path / "README.md").write_text("# Notes")
    (tmp_path / ".hidden.txt").write_text("no format")
    assert [each.turns[0].text for each in read_dialogues(tmp_path).dialogues] == ["a", "c"]


def test_a_folder_of_two_formats_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1 c\td\n")
    (tmp_path / "b.jsonl").write_text('{"turns": ["a"]}\n')
    with pytest.raises(DataError, match=r"a\.txt \(convai2\) and .*b\.jsonl \(turns\)"):
        read_dialogues(tmp_path)


def run_python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own, since `datasets` reads these settings once, when it is imported."""
    settings_ = {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={**os.environ, **settings_}, capture_output=True, text=True
    )


def test_a_hub_data_set_out_of_reach_says_what_was_tried(tmp_path: Path) -> None:
    done = run_python("from personable.corpus import read_dialogues; read_dialogues('nobody/nothing:train')", tmp_path)
    message = done.stderr.strip().splitlines()[-1]
    assert message.startswith("personable.errors.DataError: nobody/nothing:train: there is no such file or folder, and")
    assert "'nobody/nothing' could not be loaded from the Hub" in message
    assert "Next: check the name and the network" in message


def test_rows_come_through_datasets(tmp_path: Path) -> None:
    """`datasets` takes a folder for a data set, so its part is real here without a network."""
    (tmp_path / "owner" / "name").mkdir(parents=True)
    row = '{"persona_b": ["I ski."], "dialogue": ["Hi!"], "reference": "Hello."}\n'
    (tmp_path / "owner" / "name" / "train.jsonl").write_text(row)
    code = (
        "from personable.corpus.reading import _hub_source\n"
        "for each in _hub_source('owner/name', None).found(): print([turn.text for turn in each.dialogue.turns])\n"
        "from personable.corpus.hub import hub_rows\n"
        "list(hub_rows('owner/name:test'))"
    )
    done = run_python(code, tmp_path)
    assert done.stdout == "['Hi!', 'Hello.']\n"
    assert "expected one of the splits train, found 'test'. Next: give owner/name:SPLIT" in done.stderr


PIECES = st.sampled_from(
    [
        *(b'{"turns": [', b'{"speaker": "persona", "text": "a"}', b'"messages"', b'"role": "user"', b'"content": null'),
        *(b'{"train": [', b'"utterances"', b'"history": ["a"]', b'"candidates": []', b'{"persona_b": "[1"', b": "),
        *(b"1 your persona: ", b"2 ", b"\t", b"|", b"__SILENCE__", b"\n", b"\r", b",", b'"', b"\x00", b"\xff"),
        *(b"user 1 personas,user 2 personas,Best Generated Conversation\n", b"User 1: ", b"['a' 'b']"),
        *(b"persona_b,dialogue,reference\n", b"PAR1", b"\xfd7zXZ\x00", b"\x1f\x8b", b"\xef\xbb\xbf", b"\\ud800"),
        *(b"[", b"]", b"{", b"}", b"1e999", b"NaN"),
    ]
)


@settings(max_examples=400, deadline=None)
@given(content=st.binary(max_size=200) | st.lists(PIECES | st.binary(max_size=3), max_size=25).map(b"".join))
def test_no_reader_raises_anything_of_its_own_on_arbitrary_bytes(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "arbitrary"
    path.write_bytes(content)
    for format in (None, *Format):
        with suppress(PersonableError):
            for each in iter_dialogues(path, format=format, max_bad=1_000, detokenise=True):
                assert each.turns


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_damaged_archives_and_tables_raise_nothing_of_their_own(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    import pyarrow
    import pyarrow.parquet

    path = tmp_path_factory.getbasetemp() / "damaged"
    rows = [{"persona_b": ["a"], "dialogue": ["b"], "reference": "c"}] * 3
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    whole = data.draw(
        st.sampled_from([path.read_bytes(), lzma.compress(TEXT[:500].encode()), gzip.compress(b"1 a\tb")])
    )
    at = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:at] + data.draw(st.binary(max_size=3)) + whole[at + data.draw(st.integers(0, 3)) :])
    with suppress(PersonableError):
        read_dialogues(path, max_bad=1_000)


def test_the_text_reader_alone_never_raises_for_a_record(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_bytes(b"\xff\n1 a\n1 b\tc\n")
    assert len(list(read_convai2(path))) == 3
