"""`docintake forget`, as typed, on a real PostgreSQL and a real broker."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from core.errors import RejectedInput
from db import queries
from db.session import transaction
from worker.cli.main import app

Cli = Callable[..., Any]


@pytest.fixture
def document(cli: Cli, classified: Callable[..., str], tmp_path: Path) -> str:
    file = tmp_path / "papers.yaml"
    file.write_text("name: papers\nclasses: {letter: a letter, bill: a bill}")
    cli("classes", "import", file, "--publish")
    return classified("Dear Ann\nsincerely")


def is_there(database: Engine, document: str) -> bool:
    with transaction(database) as connection:
        return queries.get_document(connection, document) is not None


def test_a_case_is_erased_once_somebody_says_yes(
    cli: Cli, database: Engine, document: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    words = ["forget", "--document", document]
    refused = CliRunner().invoke(app, words, input="n\n")
    assert refused.exit_code == 1
    assert "This will be erased:\n       1 documents\n" in refused.stdout
    assert is_there(database, document)
    done = CliRunner().invoke(app, words, input="y\n")
    assert done.exit_code == 0
    assert "Erased:\n       1 documents\n" in done.stdout
    assert not is_there(database, document)


def test_a_dry_run_erases_nothing_and_yes_asks_nothing(cli: Cli, database: Engine, document: str) -> None:
    looked = json.loads(cli("forget", "--document", document, "--dry-run", "--json").stdout)
    assert (looked["dry_run"], looked["document"], looked["counts"]["documents"]) == (True, document, 1)
    assert is_there(database, document)
    erased = json.loads(cli("forget", "--document", document, "--yes", "--json").stdout)
    assert erased == {**looked, "dry_run": False}
    assert not is_there(database, document)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], "bad_arguments"),
        (["--document", "a" * 64, "--external-id", "x"], "bad_arguments"),
        (["--document", "scan.pdf"], "bad_arguments"),
        (["--external-id", "x", "--json"], "bad_arguments"),
        (["--external-id", "x", "--yes"], "unknown_case"),
        (["--document", "a" * 64, "--dry-run"], "unknown_case"),
    ],
)
def test_what_names_no_case_is_refused(cli: Cli, database: Engine, words: list[str], code: str) -> None:
    error = cli("forget", *words).exception
    assert isinstance(error, RejectedInput)
    assert error.code == code
