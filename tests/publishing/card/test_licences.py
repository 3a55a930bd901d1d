"""What is known of bases and data, and what a recipe states of them."""

from __future__ import annotations

import pytest

from personable.errors import RecipeError
from personable.publishing.card.lineage import (
    CITATIONS,
    HUB_LICENCES,
    base_lineage,
    data_lineage,
    hub_licence,
    last_name,
)
from personable.training import make_recipe, read_recipe
from personable.training.recipe import write_recipe


@pytest.mark.parametrize(
    ("source", "name", "licence"),
    [
        ("starter", "the dialogues bundled with Personable", "apache-2.0"),
        ("corpora/convai2/train_self_original_no_cands.txt.xz", "ConvAI2 (PersonaChat)", "cc-by-4.0"),
        ("C:\\data\\valid_both_revised.txt", "ConvAI2 (PersonaChat)", "cc-by-4.0"),
        ("New-Persona-New-Conversations.csv.gz", "Synthetic-Persona-Chat", "cc-by-4.0"),
        ("google/Synthetic-Persona-Chat:train", "Synthetic-Persona-Chat", "cc-by-4.0"),
        ("nazlicanto/persona-based-chat", "persona-based-chat", "cc"),
        ("Cynaptics/persona-chat", "persona-chat of Cynaptics", ""),
    ],
)
def test_published_data_is_known_by_its_name(source, name, licence) -> None:
    found = data_lineage(source)
    assert found
    assert (found.name, found.licence) == (name, licence)


@pytest.mark.parametrize(
    "source", ["train.txt", "me/persona-based-chat", "train_self_original.txt.bak", "starter.jsonl"]
)
def test_other_data_is_unknown(source) -> None:
    assert data_lineage(source) is None


def test_bases_are_known_by_spec_and_their_facts_are_whole() -> None:
    for spec in ("starter", "smollm2-135m", "microsoft/DialoGPT-medium", "microsoft/DialoGPT-small"):
        found = base_lineage(spec)
        assert found
        assert found.licence in HUB_LICENCES
        assert set(found.citations) <= set(CITATIONS)
    assert base_lineage("runs/rita") is None


def test_a_citation_is_filed_under_its_own_key() -> None:
    assert all(entry.partition("{")[2].startswith(f"{key},") for key, entry in CITATIONS.items())


@pytest.mark.parametrize(
    ("stated", "metadata"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("cc by 4.0", {"license": "cc-by-4.0"}),
        ("GPL-3.0-only", {"license": "other", "license_name": "gpl-3.0-only"}),
        ("Ours: ask!", {"license": "other", "license_name": "ours-ask"}),
        ("!", {"license": "other", "license_name": "other"}),
    ],
)
def test_a_licence_becomes_an_identifier_of_the_hub(stated, metadata) -> None:
    assert hub_licence(stated) == metadata


@pytest.mark.parametrize(
    ("path", "name"), [("/a/b.txt", "b.txt"), ("b.txt", "b.txt"), ("a/b/", "b"), ("D:\\x\\y.csv", "y.csv"), ("/", "/")]
)
def test_of_a_path_its_last_name_is_shown(path, name) -> None:
    assert last_name(path) == name


# In a recipe

STATED = {
    "base": "me/base",
    "base_licence": "mit",
    "licence": "cc-by-4.0",
    "data": {"train": "a.jsonl", "licence": "cc0-1.0", "language": "de"},
}


def test_a_recipe_states_licences_and_language(tmp_path) -> None:
    recipe = make_recipe(STATED)
    assert (recipe.base_licence, recipe.licence) == ("mit", "cc-by-4.0")
    assert (recipe.data.licence, recipe.data.language) == ("cc0-1.0", "de")
    write_recipe(recipe, tmp_path / "recipe.yaml")
    assert read_recipe(tmp_path / "recipe.yaml") == recipe


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"license": "mit"}, r"unknown key 'license'; did you mean 'licence'\?"),
        ({"data": {"license": "mit"}}, r"unknown key 'data.license'; did you mean 'licence'\?"),
        ({"licence": ""}, "licence: .*at least 1 character, found ''"),
        ({"data": {"language": "English"}}, "data.language: .*found 'English'"),
    ],
)
def test_a_wrong_statement_is_named(settings, said) -> None:
    with pytest.raises(RecipeError, match=said):
        make_recipe(settings)


def test_statements_go_with_what_they_are_about() -> None:
    other_base = make_recipe(STATED, changes={"base": "starter"})
    assert (other_base.base_licence, other_base.licence, other_base.data.licence) == (None, None, "cc0-1.0")
    other_data = make_recipe(STATED, changes={"data.train": ("b.jsonl",)})
    assert (other_data.base_licence, other_data.licence) == ("mit", None)
    assert (other_data.data.licence, other_data.data.language) == (None, None)
    other_settings = make_recipe(STATED, changes={"data.max_dialogues": 3, "base": "me/base"})
    assert (other_settings.licence, other_settings.data.licence) == ("cc-by-4.0", "cc0-1.0")
    stated_anew = make_recipe(STATED, changes={"base": "starter", "licence": "mit"})
    assert stated_anew.licence == "mit"


def test_a_recipe_written_before_there_were_statements_is_the_same_recipe() -> None:
    """What `--resume` compares."""
    old = {"base": "starter", "data": {"train": ["a.jsonl"], "validation": []}}
    assert make_recipe(old).data == make_recipe({"data": {"train": "a.jsonl"}}).data
