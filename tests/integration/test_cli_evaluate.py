"""`docintake evaluate`, as typed: real pages, really read, in one process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont
from printed import pdf
from typer.testing import CliRunner

from core.errors import RejectedInput
from worker.cli.main import app

Cli = Callable[..., Any]

PAGES = {
    "letter/ann.png": "Letter\nDear Ann\nSincerely yours",
    "recipe/cake.png": "Recipe\nteaspoon of salt\nbake in the oven",
    "poem/rain.png": "Rain\non the roof\nall night",
}


@pytest.fixture(autouse=True)
def without_servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither queue nor database is there to be asked."""
    for name, value in {
        "MODEL__BACKEND": "fake",
        "DATA_DIR": str(tmp_path / "none"),
        "READING__PROCESSES": "1",
        "TRAINING__EPOCHS": "2",
    }.items():
        monkeypatch.setenv(f"DOCINTAKE_{name}", value)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def run() -> Cli:
    return lambda *words: CliRunner().invoke(app, ["evaluate", "classify", *(str(word) for word in words)])


@pytest.fixture
def ask() -> Cli:
    return lambda *words: CliRunner().invoke(app, ["evaluate", "ask", *(str(word) for word in words)])


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    file = tmp_path / "classes.yaml"
    file.write_text(
        "name: papers\n"
        "classes:\n"
        "  letter: {description: a letter to a person, wording: [dear, sincerely]}\n"
        "  recipe: {description: how a dish is cooked, wording: [teaspoon, oven]}\n"
    )
    return file


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """One page for each of two classes of the set, and one of another class."""
    folder = tmp_path / "documents"
    for name, text in PAGES.items():
        page = Image.new("L", (700, 500), 255)
        ImageDraw.Draw(page).text((60, 80), text, fill=0, font=ImageFont.load_default(56))
        (folder / name).parent.mkdir(parents=True)
        page.save(folder / name)
    return folder


def test_the_report_has_the_figures_that_were_promised(run: Cli, documents: Path, classes: Path) -> None:
    result = run(documents, "--classes", classes, "--json")
    assert result.exception is None, result.exception
    report = json.loads(result.stdout)
    assert list(report) == [
        "documents",
        "accuracy",
        "macro_accuracy",
        "ece",
        "review_share",
        "accuracy_without_review",
        "out_of_set_documents",
        "out_of_set_review_share",
        "per_class",
        "confusion",
        "seconds_per_document",
    ]
    assert (report["documents"], report["out_of_set_documents"]) == (2, 1)
    assert report["per_class"].keys() == {"letter", "recipe"}
    assert report["accuracy"] == 1
    assert report["confusion"]["letter"] == {"letter": 1}
    assert report["confusion"].keys() == {"letter", "recipe", "poem"}


def test_people_get_a_table_and_a_drawing(run: Cli, documents: Path, classes: Path, tmp_path: Path) -> None:
    (documents / "letter" / "broken.pdf").write_bytes(b"this is no PDF")
    plot = tmp_path / "confusion.png"
    result = run(documents, "--classes", classes, "--plot", plot, "--pages", "first")
    assert result.exception is None, result.exception
    assert "papers: 3 documents of 2 of the set's 2 classes" in result.stdout
    assert "66.7%" in result.stdout
    assert "letter → (nothing)" in result.stdout
    assert "of 1 documents whose class the set does not name" in result.stdout
    assert "broken.pdf: unsupported_type" in result.stderr
    with Image.open(plot) as drawn:
        assert drawn.format == "PNG"


@pytest.fixture
def more(documents: Path) -> Path:
    """Three different pages of either class of the set, as PDFs, which are quickly read."""
    for index, who in enumerate(("Bob", "Cleo", "Dan")):
        letter = ["Letter", f"Dear {who}", "Sincerely yours"]
        recipe = ["Recipe", f"{index} teaspoons of salt", f"{who} bakes in the oven"]
        (documents / "letter" / f"{who}.pdf").write_bytes(pdf(letter))
        (documents / "recipe" / f"{who}.pdf").write_bytes(pdf(recipe))
    (documents / "letter" / "copy.pdf").write_bytes((documents / "letter" / "Bob.pdf").read_bytes())
    return documents


def test_with_shots_it_learns_and_is_compared_with_the_usual_ways(run: Cli, more: Path, classes: Path) -> None:
    words = ["--shots", "2", "--seeds", "2", "--fewest", "4"]
    result = run(more, "--classes", classes, *words, "--json")
    assert result.exception is None, result.exception
    report = json.loads(result.stdout)
    assert list(report) == [
        "shots",
        "seeds",
        "documents",
        "tested",
        "ways",
        "without_shots",
        "out_of_set",
        "rounds",
    ]
    assert (report["documents"], report["tested"]) == ({"letter": 4, "recipe": 4}, 4)
    assert list(report["ways"]) == ["zero_shot", "trained", "tf_idf", "linear_probe", "word_counts"]
    assert list(report["ways"]["trained"]) == ["macro_accuracy", "accuracy", "ece", "per_class"]
    assert report["out_of_set"]["documents"] == 1
    assert [item["seed"] for item in report["rounds"]] == [0, 1]
    assert "letter/copy.pdf: duplicate" in result.stderr


def test_people_get_tables_of_what_shots_are_worth(run: Cli, more: Path, classes: Path, tmp_path: Path) -> None:
    plot = tmp_path / "ways.png"
    words = ["--shots", "1", "--seeds", "1", "--fewest", "4", "--plot", plot]
    result = run(more, "--classes", classes, *words)
    assert result.exception is None, result.exception
    assert "papers: learned from 1 of each of 2 classes, tested on the other 6 documents" in result.stdout
    assert "linear probe on the encoder" in result.stdout
    assert "choose among the 2 classes with shots alone" in result.stdout
    assert "of 1 documents whose class the set does not name" in result.stdout
    assert "Drew the comparison into" in result.stderr
    with Image.open(plot) as drawn:
        assert drawn.format == "PNG"


def test_too_few_documents_are_told_before_any_is_read(run: Cli, documents: Path, classes: Path) -> None:
    error = run(documents, "--classes", classes, "--shots", "5").exception
    assert isinstance(error, RejectedInput)
    assert error.code == "too_few_documents"
    assert "letter (1), recipe (1)" in error.message


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--pages", "last"], "bad_pages"),
        (["--plot", "/no/such/folder/plot.png"], "not_writable"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_read(
    run: Cli, tmp_path: Path, classes: Path, words: list[str], code: str
) -> None:
    error = run(tmp_path / "nothing", "--classes", classes, *words).exception
    assert isinstance(error, RejectedInput)
    assert error.code == code


def test_a_folder_without_documents_is_refused(run: Cli, tmp_path: Path, classes: Path) -> None:
    error = run(tmp_path / "nothing", "--classes", classes).exception
    assert isinstance(error, RejectedInput)
    assert error.code == "no_documents"


def test_answers_are_measured_on_questions_whose_answers_are_known(ask: Cli, tmp_path: Path) -> None:
    (tmp_path / "bill.pdf").write_bytes(pdf(["INVOICE", "Invoice number: MI616887", "Total: $604.80"]))
    (tmp_path / "broken.pdf").write_bytes(b"this is no PDF")
    questions = tmp_path / "questions.jsonl"
    lines = [
        {"file": "bill.pdf", "question": "Does this contain MI616887?", "answers": ["yes"], "field": "number"},
        {"file": "bill.pdf", "question": "What is the patient's blood type?", "answers": []},
        {"file": "broken.pdf", "question": "What is the invoice number?", "answers": ["4711"], "field": "number"},
    ]
    questions.write_text("\n".join(map(json.dumps, lines)))

    as_json = ask(questions, "--documents", tmp_path, "--json")
    assert as_json.exception is None, as_json.exception
    report = json.loads(as_json.stdout)
    figures = ["questions", "exact_match", "anls", "not_found_f1", "evidence_hit_rate", "seconds_per_question"]
    assert list(report) == [*figures, "by_field"]
    assert list(report["by_field"]["number"]) == figures
    assert (report["questions"], report["exact_match"], report["not_found_f1"]) == (3, 0.5, 1)
    assert "broken.pdf: unsupported_type" in as_json.stderr

    shown = ask(questions, "--documents", tmp_path, "--pages", "first")
    assert shown.exception is None, shown.exception
    assert "exact match         50.0%" in shown.stdout
    assert "4711" in shown.stdout
    assert "Misses" not in ask(questions, "--documents", tmp_path, "--misses", "0").stdout


def test_a_bad_line_of_questions_is_named(ask: Cli, tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"file": "a.pdf", "question": "What is the total?"}')
    error = ask(questions, "--documents", tmp_path).exception
    assert isinstance(error, RejectedInput)
    assert error.code == "bad_questions"
    assert "line 1: answers: Field required" in error.message
