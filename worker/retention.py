"""What is older than settings.retention allows is removed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from celery import Celery
from sqlalchemy import Connection

from core.errors import TransientFailure
from db import queries
from db.session import transaction
from worker.runtime import Runtime

log = structlog.get_logger()

PURGE: Final = "docintake.purge"
_BATCH: Final = 200
"""Rows a transaction: few enough that nobody waits for it."""


def purge(runtime: Runtime, _app: Celery) -> None:
    """Remove documents that were not used, and jobs that ended, before the days that settings.retention keeps.

    Raises TransientFailure when the node is told to stop before all are gone: another one goes on.
    """
    days = runtime.settings.retention.days
    if days is None:
        return
    before = datetime.now(UTC) - timedelta(days=days)
    documents = _until_none_is_left(runtime, lambda connection: queries.forget_before(connection, before, _BATCH))
    jobs = _until_none_is_left(runtime, lambda connection: queries.forget_jobs_before(connection, before, _BATCH))
    log.info("purged", documents=documents, jobs=jobs)


def _until_none_is_left(runtime: Runtime, forget: Callable[[Connection], int]) -> int:
    forgotten = 0
    while True:
        if runtime.stopping():
            raise TransientFailure("node_stopping", "this node is stopping; another one goes on removing")
        with transaction(runtime.engine) as connection:
            batch = forget(connection)
        if not batch:
            return forgotten
        forgotten += batch
