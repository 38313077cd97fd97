"""`docintake classes`, as typed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.class_set import ClassSet
from core.errors import RejectedInput

Cli = Callable[..., Any]

PAPERS = """\
name: papers
classes:
  letter: {description: a letter to a person, wording: [dear, sincerely], captions: [to aunt Ann]}
  bill: a supplier's bill
"""
RECIPE = "  recipe: {description: how a dish is cooked, wording: [teaspoon, oven]}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "papers.yaml"
    path.write_text(PAPERS)
    return path


def as_json(result: Any) -> Any:
    assert result.exception is None, result.exception
    return json.loads(result.stdout)


def test_a_set_is_imported_published_changed_and_rolled_back(cli: Cli, file: Path) -> None:
    assert "Imported as version 1 of papers" in cli("classes", "import", file).stdout
    assert "none yet" in cli("classes", "list").stdout
    assert "Version 1 of papers is in service." in cli("classes", "publish", "papers").stdout
    assert "in service already" in cli("classes", "publish", "papers", "--version", 1).stdout

    file.write_text(PAPERS + RECIPE)
    imported = cli("classes", "import", file, "--publish").stdout
    assert "version 2" in imported
    assert "in place of version 1" in imported
    assert as_json(cli("classes", "list", "--json"))[0]["published"] == 2

    assert "Version 1 of papers is in service, in place of version 2." in cli("classes", "rollback", "papers").stdout
    assert as_json(cli("classes", "rollback", "papers", "--to", 2, "--json")) == {
        "class_set": "papers",
        "version": 2,
        "before": 1,
        "changed": True,
    }


def test_importing_the_same_file_again_says_that_nothing_changed(cli: Cli, file: Path) -> None:
    cli("classes", "import", file)
    assert "Nothing changed" in cli("classes", "import", file).stdout
    again = as_json(cli("classes", "import", file, "--publish", "--json"))
    assert (again["new"], again["version"], again["state"]) == (False, 1, "published")


def test_classes_that_say_nearly_the_same_are_warned_of(cli: Cli, file: Path) -> None:
    file.write_text(PAPERS + "  bills: a supplier's bill\n  supplier_bill: a supplier's bill\n")
    assert "bill and supplier_bill say nearly the same" in cli("classes", "import", file).stdout
    file.write_text(PAPERS + "  supplier_bill: a supplier's bill\n")
    (pair,) = as_json(cli("classes", "import", file, "--json"))["similar"]
    assert pair["classes"] == ["bill", "supplier_bill"]
    assert 0.9 < pair["similarity"] <= 1
    file.write_text(PAPERS)
    assert as_json(cli("classes", "import", file, "--json"))["similar"] == []


def test_a_shown_set_can_be_imported_again(cli: Cli, file: Path, tmp_path: Path) -> None:
    cli("classes", "import", file)
    shown = tmp_path / "shown.yaml"
    shown.write_text(cli("classes", "show", "papers", "--yaml").stdout)
    assert ClassSet.from_yaml(shown) == ClassSet.from_yaml(file)
    assert "Nothing changed" in cli("classes", "import", shown).stdout


def test_a_set_is_shown_with_its_versions_and_descriptions(cli: Cli, file: Path) -> None:
    cli("classes", "import", file, "--publish")
    file.write_text(PAPERS + RECIPE)
    cli("classes", "import", file)
    shown = cli("classes", "show", "papers").stdout
    assert "papers version 1 (in service), 2 classes" in shown
    assert "1 in service · 2 draft" in shown
    assert "a supplier's bill" in shown
    assert "recipe" not in shown
    assert "recipe" in cli("classes", "show", "papers", "--version", 2).stdout


def test_a_difference_is_between_what_is_in_service_and_the_newest_draft(cli: Cli, file: Path) -> None:
    cli("classes", "import", file, "--publish")
    file.write_text(PAPERS.replace("a supplier's bill", "a bill") + RECIPE)
    cli("classes", "import", file)
    printed = [line.strip() for line in cli("classes", "diff", "papers").stdout.splitlines()]
    assert "papers: version 1 (in service) → version 2 (draft)" in printed
    assert "+ recipe  how a dish is cooked" in printed
    assert {"~ bill", "- a supplier's bill", "+ a bill"} <= set(printed)
    back = as_json(cli("classes", "diff", "papers", 2, 1, "--json"))
    assert [item["name"] for item in back["removed"]] == ["recipe"]
    assert back["changed"] == {"bill": {"description": {"from": "a bill", "to": "a supplier's bill"}}}
    assert "They say just the same." in cli("classes", "diff", "papers", 1, 1).stdout


def test_a_replay_shows_which_documents_would_move(cli: Cli, file: Path, classified: Callable[..., str]) -> None:
    cli("classes", "import", file, "--publish")
    moved = classified("Recipe\none teaspoon of salt\nbake it in the oven", uri="file:///inbox/cake.pdf")
    unknown = classified("Dear Bob\nSincerely", encoder="an older model")
    file.write_text(PAPERS + RECIPE)
    cli("classes", "import", file)

    printed = cli("classes", "replay", "papers").stdout
    assert "of 2 documents 0 keep their class, 1 change it" in printed
    assert "1 document has no stored features of the present model and reader" in printed
    assert "cake.pdf" in printed
    found = as_json(cli("classes", "replay", "papers", "--version", 2, "--json"))
    assert (found["documents"], found["unchanged"], found["without_features"]) == (2, 0, [unknown])
    assert [(move["document_id"], move["new"]) for move in found["moved"]] == [(moved, "recipe")]


def test_a_replay_without_documents_says_so(cli: Cli, file: Path) -> None:
    cli("classes", "import", file)
    assert "no document was classified by this set yet" in cli("classes", "replay", "papers").stdout


def test_documentation_is_written_as_markdown_or_json(cli: Cli, file: Path, tmp_path: Path) -> None:
    cli("classes", "import", file)
    page = tmp_path / "papers.md"
    assert cli("classes", "docs", "papers", "--output", page).stdout == ""
    assert page.read_text() == cli("classes", "docs", "papers").stdout
    assert "- to aunt Ann" in page.read_text()
    assert as_json(cli("classes", "docs", "papers", "--json"))["classes"][0]["captions"] == ["to aunt Ann"]
    unwritable = cli("classes", "docs", "papers", "--output", tmp_path / "nowhere" / "papers.md")
    assert isinstance(unwritable.exception, RejectedInput)


def test_what_cannot_be_done_is_refused_with_what_to_do(cli: Cli, file: Path) -> None:
    unknown = cli("classes", "show", "papers").exception
    assert isinstance(unknown, RejectedInput)
    assert "docintake classes import" in unknown.message
    cli("classes", "import", file, "--publish")
    for words in (["publish", "papers"], ["diff", "papers"], ["replay", "papers"]):
        refused = cli("classes", *words).exception
        assert isinstance(refused, RejectedInput)
        assert refused.code == "no_draft"


def test_sets_that_docintake_brings_are_published_once_and_left_alone_then(cli: Cli) -> None:
    assert as_json(cli("classes", "defaults", "--json")) == {"published": ["intake"]}
    assert "they are there already" in cli("classes", "defaults").stdout
