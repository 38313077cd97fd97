"""What is purged and what is kept, on a real PostgreSQL."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest
from sqlalchemy import Connection, Engine, func, select, update
from structlog.testing import capture_logs

from core.contract import CLASSIFY
from core.errors import TransientFailure
from core.settings import Retention, Settings
from db import models, queries
from db.session import transaction
from worker import retention
from worker.app import make_app
from worker.retention import purge
from worker.runtime import Runtime


@pytest.fixture
def runtime(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """Keeps for seven days, and removes three rows at a time."""
    monkeypatch.setattr(retention, "_BATCH", 3)
    with closing(Runtime(settings.model_copy(update={"retention": Retention(days=7)}), "test-node")) as runtime:
        yield runtime


@pytest.fixture(autouse=True)
def _rows(database: Engine) -> None:
    """Eight documents and ended jobs of a month ago, three of now, and a job of a month ago that goes on."""
    names = [hashlib.sha256(bytes([number])).hexdigest() for number in range(11)]
    long_ago = func.now() - timedelta(days=30)
    with transaction(database) as connection:
        for name in names:
            queries.put_document(connection, sha256=name, media_type="image/png", page_count=1, size=1, uri=None)
            start(connection, name)
            queries.finish_job(connection, task_id=name, state="failed")
        start(connection, "open")
        old = models.Document.sha256.in_(names[:8])
        connection.execute(update(models.Document).where(old).values(created_at=long_ago))
        connection.execute(update(models.Job).where(models.Job.task_id.in_(names[:8])).values(finished_at=long_ago))
        connection.execute(update(models.Job).where(models.Job.task_id == "open").values(received_at=long_ago))


def start(connection: Connection, task_id: str) -> None:
    queries.start_job(connection, task_id=task_id, task=CLASSIFY, request={}, external_id=None, node=None)


def left(database: Engine) -> tuple[int, int]:
    """Documents and jobs."""
    with transaction(database) as connection:
        documents = connection.execute(select(func.count()).select_from(models.Document)).scalar_one()
        jobs = connection.execute(select(func.count()).select_from(models.Job)).scalar_one()
    return documents, jobs


def test_what_is_too_old_is_removed_to_the_last_and_counted(
    runtime: Runtime, settings: Settings, database: Engine
) -> None:
    with capture_logs() as said:
        purge(runtime, make_app(settings))
    assert [line for line in said if line["event"] == "purged"] == [
        {"event": "purged", "log_level": "info", "documents": 8, "jobs": 8}
    ]
    assert left(database) == (3, 4)
    purge(runtime, make_app(settings))
    assert left(database) == (3, 4)


def test_without_days_nothing_is_ever_removed(settings: Settings, database: Engine) -> None:
    with closing(Runtime(settings, "test-node")) as runtime:
        purge(runtime, make_app(settings))
    assert left(database) == (11, 12)


def test_a_node_that_is_to_stop_leaves_the_rest_to_another_one(
    runtime: Runtime, settings: Settings, database: Engine
) -> None:
    looks = iter([False, False, True])
    runtime.stopping = lambda: next(looks)
    with pytest.raises(TransientFailure, match="node_stopping"):
        purge(runtime, make_app(settings))
    assert left(database) == (5, 12)
    runtime.stopping = lambda: False
    purge(runtime, make_app(settings))
    assert left(database) == (3, 4)
