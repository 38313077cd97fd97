"""`docintake purge`, as typed, on a real PostgreSQL."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, update

from core.errors import RejectedInput
from db import models, queries
from db.session import transaction

Cli = Callable[..., Any]


@pytest.fixture
def documents(cli: Cli, classified: Callable[..., str], database: Engine, tmp_path: Path) -> dict[str, str]:
    """A letter and a bill of a month ago, and a bill of now: their ids."""
    file = tmp_path / "papers.yaml"
    file.write_text("name: papers\nclasses: {letter: dear sincerely, bill: total amount due}")
    cli("classes", "import", file, "--publish")
    texts = {"letter": "dear Ann sincerely", "bill": "total amount due", "new": "total amount due soon"}
    found = {name: classified(words) for name, words in texts.items()}
    with transaction(database) as connection:
        for name in ("letter", "bill"):
            for model, moment in (
                (models.Document, "created_at"),
                (models.Classification, "created_at"),
                (models.Job, "finished_at"),
            ):
                key = (
                    model.task_id == f"job-{found[name][:8]}" if model is models.Job else model.sha256 == found[name]
                )
                connection.execute(update(model).where(key).values({moment: func.now() - timedelta(days=30)}))
    return found


def there(database: Engine, documents: dict[str, str]) -> set[str]:
    with transaction(database) as connection:
        return {name for name, key in documents.items() if queries.get_document(connection, key)}


def test_without_any_retention_the_command_says_what_to_do(cli: Cli, database: Engine) -> None:
    error = cli("purge").exception
    assert isinstance(error, RejectedInput)
    assert error.code == "no_retention"
    assert "--days" in error.message


def test_what_is_old_is_removed_and_counted(cli: Cli, database: Engine, documents: dict[str, str]) -> None:
    assert cli("purge", "--days", 7, "--dry-run").stdout.startswith("This would be removed:\n       2 documents")
    assert there(database, documents) == {"letter", "bill", "new"}
    assert cli("purge", "--days", 7).stdout.startswith("Removed:\n       2 documents")
    assert there(database, documents) == {"new"}
    assert cli("purge", "--days", 7).stdout.startswith("Removed:\n       0 documents")


def test_one_class_is_removed_by_days_of_its_own_and_the_others_stay(
    cli: Cli, database: Engine, documents: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCINTAKE_RETENTION__CLASSES", '{"bill": 20}')
    said = json.loads(cli("purge", "--class", "bill", "--json").stdout)
    before = datetime.fromisoformat(said.pop("before")["classes"]["bill"])
    assert said == {"dry_run": False, "documents": 1, "jobs": 1}
    assert (datetime.now(UTC) - before).days == 20
    assert there(database, documents) == {"letter", "new"}


def test_days_of_the_settings_are_those_of_the_command(
    cli: Cli, database: Engine, documents: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCINTAKE_RETENTION__DAYS", "20")
    monkeypatch.setenv("DOCINTAKE_RETENTION__CLASSES", '{"letter": 3650}')
    printed = cli("purge").stdout
    assert printed.startswith("Removed:\n       1 documents")
    assert "letter: not used since" in printed
    assert there(database, documents) == {"letter", "new"}
