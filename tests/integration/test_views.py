"""What reports stand on: the views' columns, what stands in them, and that they are found by indexes."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from logins import logins
from serving import Serving
from sqlalchemy import Engine, text

from core.contract import CLASSIFY, CORRECT
from core.settings import PROJECT
from db import roles
from db.session import make_engine, transaction

COLUMNS = {
    "results_v1": {
        "task_id": "text",
        "external_id": "text",
        "tenant": "text",
        "document_id": "text",
        "media_type": "text",
        "page_count": "integer",
        "class_set": "text",
        "class_set_version": "integer",
        "prediction": "text",
        "confidence": "double precision",
        "status": "text",
        "reasons": "text[]",
        "backend": "text",
        "checkpoint": "text",
        "cached": "boolean",
        "corrected_to": "text",
        "corrected_by": "text",
        "corrected_at": "timestamp with time zone",
        "received_at": "timestamp with time zone",
        "finished_at": "timestamp with time zone",
        "queued_seconds": "double precision",
        "seconds": "double precision",
    },
    "review_queue_v1": {
        "task_id": "text",
        "external_id": "text",
        "tenant": "text",
        "document_id": "text",
        "class_set": "text",
        "class_set_version": "integer",
        "prediction": "text",
        "confidence": "double precision",
        "reasons": "text[]",
        "waiting_since": "timestamp with time zone",
        "claimed_by": "text",
        "claimed_at": "timestamp with time zone",
    },
}
"""A release may add columns at the end; these stay, or the view has another name."""


@pytest.mark.parametrize("view", COLUMNS)
def test_columns_keep_their_names_types_and_order(filled: Engine, view: str) -> None:
    with transaction(filled) as connection:
        found = connection.execute(
            text(
                "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
                "WHERE attrelid = CAST(:view AS regclass) AND attnum > 0 ORDER BY attnum"
            ),
            {"view": view},
        )
        assert dict(found.all()) == COLUMNS[view]


@pytest.mark.parametrize("view", COLUMNS)
def test_every_column_is_documented(view: str) -> None:
    page = (PROJECT / "docs" / "integration.md").read_text()
    section = page.partition(f"`{view}`: ")[2].partition("\n#")[0]
    assert [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")] == list(COLUMNS[view])


def test_a_row_tells_what_became_of_a_document(serving: Serving) -> None:
    task_id, document = uuid.uuid4().hex, serving.file("receipt")
    serving.run(CLASSIFY, {"document": document, "external_id": "1", "metadata": {"tenant": "acme"}}, task_id)
    row = the_row(serving, task_id)
    assert (row["external_id"], row["tenant"], row["class_set"], row["prediction"]) == (
        "1",
        "acme",
        "intake",
        "receipt",
    )
    assert (row["corrected_to"], row["corrected_by"], row["queued_seconds"]) == (None, None, None)
    assert 0 < row["seconds"] < 60
    for label in ("receipt", "letter"):
        serving.run(CORRECT, {"document": document, "label": label, "by": "ann"})
    row = the_row(serving, task_id)
    assert (row["corrected_to"], row["corrected_by"]) == ("letter", "ann")
    assert row["corrected_at"]


def test_one_off_classes_are_of_no_set(serving: Serving) -> None:
    task_id = uuid.uuid4().hex
    serving.run(CLASSIFY, {"document": serving.file("receipt"), "classes": ["a", "receipt"]}, task_id)
    row = the_row(serving, task_id)
    assert (row["class_set"], row["class_set_version"], row["prediction"]) == (None, None, "receipt")


def the_row(serving: Serving, task_id: str) -> dict[str, Any]:
    with transaction(serving.database) as connection:
        found = connection.execute(text("SELECT * FROM results_v1 WHERE task_id = :task_id"), {"task_id": task_id})
        return dict(found.one()._mapping)


def test_reports_may_read_the_views(admin: Engine, database: Engine, database_url: str) -> None:
    with transaction(database) as connection:
        roles.set_up(connection)
    with logins(admin, database_url) as users:
        reader = make_engine(users.read, statement_timeout=30, pool_size=1)
        for view in COLUMNS:
            with transaction(reader) as connection:
                connection.execute(text(f"TABLE {view}"))
        reader.dispose()


FILL = """
INSERT INTO class_sets (name) VALUES ('intake');
INSERT INTO class_versions (class_set, number, digest) VALUES ('intake', 1, 'd');
INSERT INTO documents (sha256, media_type, page_count, size)
SELECT lpad(to_hex(n), 64, '0'), 'application/pdf', 1, 1 FROM generate_series(1, 20000) AS n;
INSERT INTO jobs (task_id, task, state, request, external_id, received_at, finished_at)
SELECT 'task-' || n, 'docintake.classify', 'succeeded', '{}', 'case-' || n, now() - n * interval '1 min', now()
FROM generate_series(1, 20000) AS n;
INSERT INTO classifications
(task_id, sha256, class_version_id, confidence, status, reasons, result, external_id, created_at)
SELECT 'task-' || n, lpad(to_hex(n), 64, '0'), (SELECT id FROM class_versions), 0.5,
CASE WHEN n % 50 = 10 THEN 'needs_review' ELSE 'classified' END, '{}', '{}', 'case-' || n,
now() - n * interval '1 min'
FROM generate_series(1, 20000) AS n;
INSERT INTO corrections (sha256, class_set, label, correction_task_id, by)
SELECT lpad(to_hex(n), 64, '0'), 'intake', 'a', 'correction-' || n, 'ann' FROM generate_series(1, 20000) AS n
WHERE n % 20 = 0;
ANALYZE;
"""


@pytest.fixture(scope="module")
def filled(fresh_database: Callable[[], Any]) -> Any:
    with fresh_database() as url:
        engine = make_engine(url, statement_timeout=60, pool_size=1)
        with transaction(engine) as connection:
            connection.execute(text(FILL))
        yield engine
        engine.dispose()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM results_v1 WHERE task_id = 'task-7'",
        "SELECT * FROM results_v1 WHERE external_id = 'case-7'",
        "SELECT * FROM results_v1 WHERE document_id = lpad('7', 64, '0')",
        "SELECT prediction, count(*) FROM results_v1 WHERE received_at > now() - interval '10 min' GROUP BY 1",
        "SELECT * FROM review_queue_v1 WHERE task_id = 'task-10'",
        "SELECT * FROM review_queue_v1 ORDER BY waiting_since LIMIT 1",
    ],
)
def test_indexes_answer_what_reports_ask(filled: Engine, query: str) -> None:
    with transaction(filled) as connection:
        plan = connection.execute(text(f"EXPLAIN (FORMAT JSON) {query}")).scalar_one()
    scans = scans_of(plan[0]["Plan"])
    # Of sets and of who looks there are a few rows.
    assert [table for kind, table in scans if kind == "Seq Scan" and table not in ("class_versions", "reviews")] == []


def scans_of(plan: dict[str, Any]) -> list[tuple[str, str]]:
    own = [(plan["Node Type"], plan["Relation Name"])] if "Relation Name" in plan else []
    return own + [scan for part in plan.get("Plans", []) for scan in scans_of(part)]
