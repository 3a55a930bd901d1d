"""README.md is written whole, and nobody's own words are written over."""

from __future__ import annotations

import io
import json
import re
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import typer
from huggingface_hub import ModelCard
from typer.testing import CliRunner, Result

from personable import starter
from personable.cli.card import card as card_command
from personable.errors import BaseNotFound, DataError, PublishError
from personable.publishing.card.writing import make_card, write_card
from tests.publishing.card.sample_run import change_record, fresh_run, section


@pytest.fixture
def run(tmp_path_factory, tmp_path) -> Path:
    return fresh_run(tmp_path_factory, tmp_path)


def test_the_code_of_the_card_runs(run, monkeypatch) -> None:
    code = re.search(r"```python\n(from transformers .*?)```", make_card(run), re.DOTALL)
    assert code
    monkeypatch.chdir(run.parent)
    with redirect_stdout(io.StringIO()) as printed:
        exec(code[1], {})
    assert printed.getvalue().endswith("\n")


def test_a_card_is_replaced_as_long_as_nobody_changed_it(run) -> None:
    card = write_card(run)
    first = card.read_text(encoding="utf-8")
    assert write_card(run, repo="me/rita") == card
    second = card.read_text(encoding="utf-8")
    assert second != first
    card.write_text(second.replace("Meant for:", "Meant for me:"), encoding="utf-8")
    with pytest.raises(PublishError, match=r"somebody wrote or changed.*--overwrite"):
        write_card(run)
    assert "Meant for me:" in card.read_text(encoding="utf-8")
    write_card(run, overwrite=True)
    assert card.read_text(encoding="utf-8") == first
    assert sorted(each.name for each in run.glob("README*")) == ["README.md"]


def test_a_readme_of_somebody_else_stays(run) -> None:
    (run / "README.md").write_text("my notes")
    with pytest.raises(PublishError, match="--overwrite"):
        write_card(run)
    assert (run / "README.md").read_text() == "my notes"


@pytest.mark.parametrize("change", [{"scores": None}, {"scores": []}, {"data": None}, {"confidence": None}])
def test_an_evaluation_that_lacks_something_is_said(change, run) -> None:
    file = run / "evaluation.json"
    record = json.loads(file.read_text(encoding="utf-8")) | change
    file.write_text(json.dumps({key: value for key, value in record.items() if value is not None}), encoding="utf-8")
    with pytest.raises(DataError, match=rf"evaluation\.json: expected .*found no {next(iter(change))}\. Next: run"):
        make_card(run)


def test_a_damaged_record_leaves_the_card_as_it_was(run) -> None:
    before = write_card(run).read_text(encoding="utf-8")
    (run / "evaluation.json").write_text("{")
    with pytest.raises(DataError, match="evaluate again"):
        write_card(run)
    (run / "training.json").write_text('{"recipe": {}}')
    with pytest.raises(DataError, match=r"training\.json.*found no training_arguments"):
        write_card(run)
    assert (run / "README.md").read_text(encoding="utf-8") == before


def test_a_card_that_cannot_be_written_leaves_the_old_one(run) -> None:
    before = write_card(run).read_text(encoding="utf-8")
    (run / "README.md.new").mkdir()
    with pytest.raises(PublishError, match="expected to be able to write"):
        write_card(run, repo="me/rita")
    assert (run / "README.md").read_text(encoding="utf-8") == before


def test_a_folder_that_is_no_run_is_named(tmp_path) -> None:
    with pytest.raises(BaseNotFound, match=r"training\.json.*personable train"):
        write_card(tmp_path)
    with pytest.raises(BaseNotFound, match="no such folder"):
        write_card(tmp_path / "nowhere")


@pytest.mark.parametrize("repo", ["rita", "me/ri ta", "a/b/c", "me/--x"])
def test_a_hub_id_that_cannot_be_one_is_refused(run, repo) -> None:
    with pytest.raises(PublishError, match=re.escape(repr(repo))):
        write_card(run, repo=repo)


def test_the_bundled_starter_can_be_described(tmp_path) -> None:
    """Its record is older: it names a best step, and says nothing of licences."""
    run = tmp_path / "starter"
    run.mkdir()
    shutil.copy(starter.MODEL / "training.json", run)
    card = make_card(run)
    assert "step 750 of 750" in card
    assert "ConvAI2 (PersonaChat)" in section(card, "Fine-tuning data")
    assert ModelCard(card).data.datasets == ["google/Synthetic-Persona-Chat"]


def typed(*words: object) -> Result:
    """The command; a PersonableError is the result's exception."""
    app = typer.Typer()
    app.command()(card_command)
    return CliRunner().invoke(app, [str(word) for word in words])


def licence_of(run: Path) -> tuple[str | None, str | None]:
    data = ModelCard((run / "README.md").read_text(encoding="utf-8")).data
    return data.license, data.license_name


def test_a_licence_is_remembered_until_another_is_given(run) -> None:
    assert "licence" not in typed(run, "--licence", "mit").stderr
    again = typed(run, "--repo", "me/rita")
    assert licence_of(run) == ("mit", None)
    assert "licence mit, as in the card before; --licence states another" in again.stderr
    altered = typed(run, "--licence", "GPL-3.0-only")
    assert (
        "knows no licence 'GPL-3.0-only': the metadata says license other, license_name gpl-3.0-only" in altered.stderr
    )
    write_card(run)
    assert licence_of(run) == ("other", "gpl-3.0-only")


def test_a_licence_that_somebody_wrote_into_the_card_is_not_taken_for_one_that_was_given(run) -> None:
    card = write_card(run, licence="mit")
    card.write_text(card.read_text(encoding="utf-8").replace("license: mit", "license: cc0-1.0"), encoding="utf-8")
    done = typed(run, "--overwrite")
    assert licence_of(run) == (None, None)
    assert "no licence is stated" in done.stderr


def test_the_licence_of_the_recipe_needs_no_words(run) -> None:
    change_record(run, lambda record: record["recipe"].update(licence="MIT"))
    typed(run)
    assert "licence" not in typed(run).stderr
    assert "Weights: MIT, as stated" in (run / "README.md").read_text(encoding="utf-8")


def test_a_name_that_cannot_be_a_hub_id_is_wrong_usage(run) -> None:
    done = typed(run, "--repo", "bad")
    assert done.exit_code == 2
    assert "--repo" in done.stderr
    assert not (run / "README.md").exists()


def test_the_bundled_starter_is_not_written_to(tmp_path, monkeypatch, run) -> None:
    monkeypatch.chdir(tmp_path)
    done = typed("starter")
    assert isinstance(done.exception, BaseNotFound)
    assert "no such folder at ./starter. The model bundled with Personable" in str(done.exception)
    (run / "evaluation.json").unlink()
    run.rename(tmp_path / "starter")
    assert "personable evaluate ./starter --data PATH, then personable card ./starter again" in typed("starter").stderr


def test_the_command_says_where_the_card_is_and_what_it_lacks(run) -> None:
    (run / "evaluation.json").unlink()
    done = typed(run)
    assert done.exit_code == 0
    assert done.stdout.strip() == str(run / "README.md")
    assert "--licence" in done.stderr
    assert "not evaluated yet" in done.stderr
