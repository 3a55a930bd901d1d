"""Dialogues become token ids once, are kept, and are found again only by what is equal in every respect."""

from __future__ import annotations

import logging
import os
import pickle
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from personable.corpus import fingerprint, read_dialogues, split_dialogues, write_dialogues
from personable.dialogue import Dialogue, Persona, Speaker, Turn
from personable.encoding import Budget, encode_dialogue
from personable.encoding.layout import cuts_not_logged
from personable.encoding.many import encode_dialogues
from personable.errors import BadBase, DataError, EncodingError
from personable.training import kept, make_recipe, workers
from personable.training.layout import Layout
from personable.training.parts import Parts, read_parts
from personable.training.prepared import Prepared, prepared_of
from tests.tiny import ALTERNATING, chatml_tokenizer, random_dialogue, tiny_tokenizer
from tests.training.small import spoken

TOKENIZERS: dict[str, Callable[[], Any]] = {
    "gpt2": tiny_tokenizer,
    "chatml": chatml_tokenizer,
    "alternating": lambda: chatml_tokenizer(ALTERNATING),
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "personable" / "prepared"


@pytest.fixture
def layout() -> Layout:
    return Layout(tiny_tokenizer(), Budget(256, 64))


@pytest.fixture
def corpus(tmp_path) -> Path:
    path = tmp_path / "corpus.jsonl"
    write_dialogues((spoken(number, 2 + number % 7) for number in range(30)), path)
    return path


def parts(path: Path, layout: Layout, *, seed: int = 0, **data: Any) -> Parts:
    return read_parts(make_recipe({"data": {"train": str(path), **data}}), layout, seed=seed)


def contents(prepared: Prepared) -> list[tuple[Any, Dialogue]]:
    return [(prepared.encoded(place), prepared.dialogue(place)) for place in range(len(prepared))]


class Unused:
    """A tokenizer that must not be asked to encode anything."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, text: str, **_: Any) -> Any:
        assert not text, "something was encoded"
        return self._tokenizer(text)


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("learn_partner", [False, True])
def test_many_dialogues_are_encoded_as_each_by_itself(name: str, learn_partner: bool) -> None:
    tokenizer, budget = TOKENIZERS[name](), Budget(256, 64)
    dialogues = [random_dialogue(random.Random(seed)) for seed in range(300)]
    with cuts_not_logged():
        found = encode_dialogues(dialogues, tokenizer, budget, learn_partner=learn_partner)
        for dialogue, encoded in zip(dialogues, found, strict=True):
            if encoded is not None:
                assert encoded == encode_dialogue(dialogue, tokenizer, budget, learn_partner=learn_partner)
            else:
                assert needs_a_closer_look(dialogue, tokenizer, budget)
    assert sum(encoded is not None for encoded in found) > 100


def needs_a_closer_look(dialogue: Dialogue, tokenizer: Any, budget: Budget) -> bool:
    try:
        whole = encode_dialogue(dialogue, tokenizer, budget)
    except EncodingError:
        return True
    return bool(whole.dropped_turns) or len(dialogue.persona.text.encode()) > budget.persona_tokens


def test_a_template_that_rewrites_what_is_said_is_refused_as_ever() -> None:
    tokenizer = tiny_tokenizer(template="{% for m in messages %}{{ m['content'] | upper + eos_token }}{% endfor %}")
    with pytest.raises(BadBase):
        prepared_of([spoken(1, 2)], Layout(tokenizer, Budget(256, 64)))


@pytest.mark.parametrize("name", TOKENIZERS)
def test_windows_are_what_encode_dialogue_gives_for_their_dialogues(name: str) -> None:
    layout = Layout(TOKENIZERS[name](), Budget(96, 24))
    given = [random_dialogue(random.Random(seed)) for seed in range(60)]
    prepared = prepared_of(given, layout)
    assert prepared.dialogues == 60
    assert prepared.fingerprint == fingerprint(given)
    assert prepared.replies == sum(len(dialogue.replies) for dialogue in given)
    assert prepared.lengths.dtype == prepared.learnt.dtype == np.int32
    with cuts_not_logged():
        for place, (encoded, dialogue) in enumerate(contents(prepared)):
            assert encoded == layout.encode(dialogue)
            assert prepared.lengths[place] == len(encoded.input_ids) <= 96
            assert prepared.learnt[place] == sum(encoded.learn_mask) > 0
    assert contents(pickle.loads(pickle.dumps(prepared))) == contents(prepared)


def test_places_outside_are_refused(layout) -> None:
    prepared = prepared_of([spoken(1, 2)], layout)
    for place in (-1, 1):
        with pytest.raises(IndexError, match="between 0 and 0"):
            prepared.encoded(place)


def test_files_hold_what_memory_would(corpus, layout) -> None:
    found = parts(corpus, layout, validation_share=0.2, detokenise=False)
    split = split_dialogues(read_dialogues(corpus).dialogues, validation_share=0.2, seed=0)
    for prepared, dialogues in ((found.train, split.train), (found.validation, split.validation)):
        assert contents(prepared) == contents(prepared_of(dialogues, layout))
        assert prepared.fingerprint == fingerprint(dialogues)


def test_samples_are_drawn_as_from_a_list(corpus, layout) -> None:
    dialogues = read_dialogues(corpus).dialogues
    data: dict[str, Any] = {
        "validation": str(corpus),
        "max_dialogues": 20,
        "max_validation_dialogues": 7,
        "detokenise": False,
    }
    found = parts(corpus, layout, seed=3, **data)
    assert found.train.fingerprint == fingerprint(random.Random(3).sample(dialogues, 20))
    assert found.validation.fingerprint == fingerprint(random.Random(3).sample(dialogues, 7))
    split = split_dialogues(dialogues, validation_share=0.3, seed=3)
    held_out = parts(corpus, layout, seed=3, validation_share=0.3, max_validation_dialogues=5, detokenise=False)
    assert held_out.validation.fingerprint == fingerprint(random.Random(3).sample(split.validation, 5))
    assert held_out.train.fingerprint == fingerprint(split.train)


def test_a_second_start_encodes_nothing_and_says_the_same(tmp_path, caplog) -> None:
    silent = Dialogue(Persona(("i am ada.",)), (Turn(Speaker.PARTNER, "hello"),))
    large = Dialogue(Persona(tuple(f"fact {number} is long." for number in range(60)))).then(Speaker.PARTNER, "hi")
    path = tmp_path / "corpus.jsonl"
    write_dialogues([*(spoken(number, 4) for number in range(8)), silent, large.then(Speaker.PERSONA, "oh")], path)
    with path.open("a", encoding="utf-8") as file:
        file.write("{damaged\n")
    layout = Layout(tiny_tokenizer(), Budget(256, 64))
    validation: dict[str, Any] = {"validation": str(path), "max_bad": 1}
    first = parts(path, layout, **validation)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert sum("skipped: " in line and "corpus.jsonl:11" in line for line in said) == 2
    assert sum("left out 1 of 10 dialogues" in line for line in said) == 2
    assert sum("facts are cut from 1 personas" in line for line in said) == 2
    caplog.clear()
    moved = path.rename(tmp_path / "moved.jsonl")
    again = parts(moved, Layout(Unused(layout.tokenizer), layout.budget), **{**validation, "validation": str(moved)})
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        line.replace(str(path), str(moved)) for line in said
    ]
    assert contents(again.train) == contents(first.train)
    assert (again.train.fingerprint, again.train.replies) == (first.train.fingerprint, first.train.replies)


@pytest.mark.parametrize("what", ["text", "seed", "budget", "learn_partner", "template", "tokens", "detokenise"])
def test_whatever_changes_the_result_is_noticed(what: str, corpus, layout, cache) -> None:
    parts(corpus, layout, max_dialogues=9)
    before = set(cache.iterdir())
    data: dict[str, Any] = {"max_dialogues": 9}
    seed = 0
    if what == "text":
        write_dialogues((spoken(number, 3 + number % 5) for number in range(30)), corpus)
    elif what == "seed":
        seed = 1
    elif what == "budget":
        layout = Layout(layout.tokenizer, Budget(192, 64))
    elif what == "learn_partner":
        layout = Layout(layout.tokenizer, layout.budget, learn_partner=True)
    elif what == "template":
        layout.tokenizer.chat_template = layout.tokenizer.chat_template.replace("You:", "they:")
    elif what == "tokens":
        layout.tokenizer.add_tokens(["bees"])
    else:
        data["detokenise"] = False
    changed = parts(corpus, layout, seed=seed, **data)
    assert [folder for folder in cache.iterdir() if folder not in before and folder.name.startswith("windows")]
    with cuts_not_logged():
        assert all(encoded == layout.encode(dialogue) for encoded, dialogue in contents(changed.train))


@pytest.mark.parametrize("damage", ["flipped", "cut short", "missing", "no note"])
@pytest.mark.parametrize("kind", ["windows", "dialogues"])
def test_damaged_files_are_prepared_again(damage: str, kind: str, corpus, layout, cache, caplog) -> None:
    whole = contents(parts(corpus, layout).train)
    for folder in cache.glob("windows-*" if kind == "windows" else "*"):
        file = next(folder.glob("*.arrow"))
        if folder.name.startswith(kind):
            spoil(file, damage)
        else:
            (folder / "about.json").unlink()  # so that the dialogues are needed once more
    assert contents(parts(corpus, layout).train) == whole
    if damage != "no note":
        assert "prepared again" in caplog.text
    caplog.clear()
    parts(corpus, Layout(Unused(layout.tokenizer), layout.budget))
    assert not caplog.text


def spoil(file: Path, damage: str) -> None:
    content = bytearray(file.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif damage == "cut short":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "missing":
        file.unlink()
    else:
        (file.parent / "about.json").write_text('{"files":', encoding="utf-8")


def test_several_processes_give_what_one_gives(corpus, layout, cache, monkeypatch) -> None:
    one = parts(corpus, layout)
    environment = os.environ
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache / "other"))
    monkeypatch.setattr(workers, "BYTES_PER_PROCESS", 1000)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    several = parts(corpus, layout)
    assert len(list((cache / "other").rglob("windows_*.arrow"))) == 3
    assert contents(several.train) == contents(one.train)
    assert contents(several.validation) == contents(one.validation)
    assert os.environ is environment
    assert "TOKENIZERS_PARALLELISM" not in environment


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_done_without(corpus, layout, cache, caplog) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o500)
    assert len(parts(corpus, layout).train)
    assert "Next: make room there, or point XDG_CACHE_HOME elsewhere" in caplog.text


def test_a_cache_that_is_no_folder_is_done_without(corpus, layout, cache, caplog) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("in the way", encoding="utf-8")
    found = parts(corpus, layout)
    assert contents(found.train) == contents(prepared_of(map(found.train.dialogue, range(len(found.train))), layout))
    assert "Next: make room there, or point XDG_CACHE_HOME elsewhere" in caplog.text


def test_without_a_home_directory_a_cache_is_done_without(corpus, layout, monkeypatch, caplog) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", unknown)
    assert len(parts(corpus, layout).train)
    assert "cannot be kept in ~/.cache/personable (no home directory is known)" in caplog.text


def test_what_goes_wrong_leaves_nothing_behind(tmp_path, layout, cache) -> None:
    path = tmp_path / "damaged.jsonl"
    path.write_text('{"turns": [{"speaker": "partner", "text": "hi"}]}\n{damaged\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"damaged\.jsonl:2"):
        parts(path, layout)
    assert not list(cache.iterdir())
    with pytest.raises(DataError, match=r"no such file\. Next: check the path"):
        parts(tmp_path / "nowhere.jsonl", layout)
    write_dialogues([spoken(1, 4)], path)
    with pytest.raises(DataError, match="share one persona or conversation"):
        parts(path, layout)
    assert all(folder.name.startswith("dialogues-") for folder in cache.iterdir())


def test_what_nobody_uses_goes(corpus, layout, cache) -> None:
    parts(corpus, layout)
    unused, used = sorted(cache.glob("windows-*"))
    killed, running = cache / "making-x", cache / "making-y"
    for path in (killed, running):
        path.mkdir()
    old = time.time() - 86400 * (kept.DAYS_KEPT + 1)
    for path in (unused / "about.json", used / "about.json", killed):
        os.utime(path, (old, old))
    assert kept.find(used.name)
    parts(corpus, layout, seed=1)
    assert used.exists()
    assert running.exists()
    assert not unused.exists()
    assert not killed.exists()


def test_what_lies_in_files_is_not_loaded(tmp_path, layout) -> None:
    path = tmp_path / "corpus.jsonl"
    write_dialogues((spoken(number, 4) for number in range(500)), path)
    parts(path, layout, validation=str(path))
    before = pa.total_allocated_bytes()
    found = parts(path, layout, validation=str(path)).train
    text = sum(len(found.dialogue(place).persona.text) for place in range(len(found)))
    tokens = sum(len(found.encoded(place).input_ids) for place in range(len(found)))
    assert tokens == found.lengths.sum()
    assert pa.total_allocated_bytes() - before < (4 * tokens + text) / 50
