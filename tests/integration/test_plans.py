"""How PostgreSQL finds what a statement is about where tables are large: by an index, unless all of it is meant."""

import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from sqlalchemy import Connection, Engine, event

from db import queries
from db.session import make_engine, transaction
from samples.archive import CLASS_SET, fill

COUNT: Final = 20_000
LARGE: Final = frozenset(
    {"documents", "pages", "features", "jobs", "classifications", "inquiries", "answers", "corrections"}
)
"""Tables that grow with every request."""
READS_ALL: Final = {
    "count_jobs": "how many there are of each state is a question about all of them",
    "count_classifications": "how many there are of a class set is a question about all of them",
    "latest_classifications": "what a class set says of every document is compared",
    "latest_labels": "a class set learns from all its labels",
}
"""What a statement reads all of a large table for."""
SHA256: Final = "a" * 64
"""Of no document: what is looked for need not be there to be looked for in the same way."""
LONG_AGO: Final = datetime.now(UTC) - timedelta(days=85)

ARGUMENTS: Final[dict[str, Any]] = {
    "task_id": "archive-7",
    "task": "docintake.classify",
    "request": {},
    "external_id": "case-7",
    "node": "node@here",
    "state": "succeeded",
    "error_code": "broken",
    "error_message": "It is broken.",
    "silent_for": 60,
    "sha256": SHA256,
    "hashes": [SHA256, "b" * 64],
    "task_ids": ["archive-7", "archive-8"],
    "reader": "reader",
    "encoder": "encoder",
    "encoders": ["encoder"],
    "numbers": [1, 2],
    "class_set": CLASS_SET,
    "digest": "0" * 64,
    "version_id": 1,
    "number": 1,
    "correction_task_id": "correction-7",
    "correction_id": 10**9,
    "run_id": 1,
    "by": "ann",
    "checkpoint_id": 1,
    "ids": [1, 2],
    "promotion_id": 1,
    "checkpoints": [],
    "back_to": None,
    "pages": [1],
    "readers": {"What is the total?": "reader"},
    "when": LONG_AGO,
    "classes": {"payslip": LONG_AGO},
    "limit": 50,
    "places": ["file:///archive/7.pdf"],
    "fingerprint": "f" * 64,
    "result": {},
    "lapse": 600.0,
    "ended_for": 10.0,
    "since": datetime.now(UTC) - timedelta(days=1),
    "period": "day",
    "newest": 100,
    "lately": timedelta(hours=1),
    "note": "unclear",
}
"""What the functions are called with, by the names of their parameters."""
WRITES: Final = ("put_", "add_", "create_", "open_", "skip_")
"""They insert, which looks for nothing but its own keys."""


STATEMENTS: Final = [
    name
    for name, function in inspect.getmembers(queries, inspect.isfunction)
    if function.__module__ == queries.__name__ and not name.startswith(("_", *WRITES))
]


@pytest.fixture(scope="module")
def grown(fresh_database: Callable[[], AbstractContextManager[str]]) -> Iterator[Engine]:
    with fresh_database() as url:
        engine = make_engine(url, statement_timeout=60, pool_size=2)
        with transaction(engine) as connection:
            fill(connection, COUNT, reader="reader", encoder="encoder", features=b"features")
        yield engine
        engine.dispose()


def scanned(plan: dict[str, Any]) -> Iterator[str]:
    """Large tables that a plan reads from one end to the other."""
    if plan["Node Type"] in ("Seq Scan", "Parallel Seq Scan") and plan["Relation Name"] in LARGE:
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from scanned(part)


def explained(connection: Connection, call: Callable[[], Any]) -> list[dict[str, Any]]:
    """The plans of all statements that the call has PostgreSQL execute."""
    plans: list[dict[str, Any]] = []

    def explain(_c: Any, cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        with cursor.connection.cursor() as other:
            other.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
            found = other.fetchone()[0]
        plans.append((found if isinstance(found, list) else json.loads(found))[0]["Plan"])

    event.listen(connection, "before_cursor_execute", explain)
    try:
        # What is copied is found as it is otherwise, but where no event tells of it.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(queries, "copied", Connection.execute)
            found = call()
        if inspect.isgenerator(found):
            next(found, None)
            found.close()
    finally:
        event.remove(connection, "before_cursor_execute", explain)
    return plans


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_reads_a_large_table_from_end_to_end(grown: Engine, name: str) -> None:
    function = getattr(queries, name)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    arguments = {
        each.name: ARGUMENTS[each.name]
        for each in parameters
        if each.name in ARGUMENTS or each.default is inspect.Parameter.empty
    }
    with grown.connect() as connection:
        plans = explained(connection, lambda: function(connection, **arguments))
        connection.rollback()
    assert plans
    found = sorted({table for plan in plans for table in scanned(plan)})
    assert bool(found) == (name in READS_ALL), found


def test_a_part_of_the_classifications_is_found_by_an_index(grown: Engine) -> None:
    with grown.connect() as connection:
        (plan,) = explained(connection, lambda: queries.latest_classifications(connection, CLASS_SET, "20", "30"))
    assert not list(scanned(plan))
