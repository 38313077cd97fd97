"""What is older than settings.retention allows is removed."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from celery import Celery
from sqlalchemy import Connection, Engine

from core.errors import RejectedInput, TransientFailure
from core.settings import Retention
from db import queries
from db.session import transaction
from worker.runtime import Runtime

log = structlog.get_logger()

PURGE: Final = "docintake.purge"
_BATCH: Final = 200
"""Rows a transaction: few enough that nobody waits for it."""

_LookAt = Callable[[Connection, tuple[datetime, str] | None], queries.Look]


@dataclass(frozen=True, slots=True)
class Removed:
    """How many documents were removed with all that was known of them, and how many jobs."""

    documents: int = 0
    jobs: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """What is old: documents of these classes that were last used before their moment; all others, and jobs, by
    `others`; None: those never are.
    """

    classes: Mapping[str, datetime]
    others: datetime | None

    @classmethod
    def of(cls, retention: Retention, days: int | None = None, class_name: str | None = None) -> "Terms":
        """By the settings, where `days` may stand in for those of all classes that have none of their own; or for
        one class alone, where it stands in for those of this class.

        Raises RejectedInput(`no_retention`) where nothing says how old is too old.
        """
        now = datetime.now(UTC)
        if class_name is not None:
            own = days or retention.classes.get(class_name) or retention.days
            classes, others = ({} if own is None else {class_name: own}), None
        else:
            classes, others = dict(retention.classes), days or retention.days
        if not classes and others is None:
            raise RejectedInput(
                "no_retention",
                "nothing says how old is too old: set retention.days or retention.classes (in the environment "
                "DOCINTAKE_RETENTION__DAYS), or give --days",
            )
        return cls(
            {name: now - timedelta(days=days) for name, days in classes.items()},
            None if others is None else now - timedelta(days=others),
        )


def purge(runtime: Runtime, _app: Celery) -> None:
    """Remove documents that were not used, and jobs that ended, before the days that settings.retention keeps.

    Raises TransientFailure when the node is told to stop before all are gone: another one goes on.
    """
    retention = runtime.settings.retention
    if retention.days is None and not retention.classes:
        return

    def go_on(_: Removed) -> None:
        if runtime.stopping():
            raise TransientFailure("node_stopping", "this node is stopping; another one goes on removing")

    removed = remove(runtime.engine, Terms.of(retention), go_on)
    log.info("purged", documents=removed.documents, jobs=removed.jobs)


def remove(
    engine: Engine, terms: Terms, tell: Callable[[Removed], None] = lambda _: None, *, dry_run: bool = False
) -> Removed:
    """Remove what is old, the oldest first, documents with the jobs that have results about them; or with `dry_run`
    say how much that is. `tell` hears before each batch what is gone by then, and may raise to end it.
    """
    removed = Removed()
    counted: set[str] = set()

    def forget_jobs(connection: Connection, task_ids: Collection[str]) -> int:
        if not dry_run:
            return queries.forget_jobs(connection, task_ids)
        new = queries.tasks_among(connection, task_ids).keys() - counted
        counted.update(new)
        return len(new)

    def forget_documents(connection: Connection, due: list[str]) -> Removed:
        jobs = forget_jobs(connection, queries.tasks_about(connection, due))
        return Removed(len(due) if dry_run else queries.forget_documents(connection, due), jobs)

    def all_of(look: _LookAt, forget: Callable[[Connection, list[str]], Removed]) -> None:
        nonlocal removed
        after = None
        while True:
            tell(removed)
            with transaction(engine) as connection:
                found = look(connection, after)
                gone = forget(connection, found.due) if found.due else Removed()
            removed = Removed(removed.documents + gone.documents, removed.jobs + gone.jobs)
            if found.end is None:
                return
            after = found.end

    all_of(
        lambda connection, after: queries.due_documents(connection, terms.others, terms.classes, _BATCH, after),
        forget_documents,
    )
    before = terms.others
    if before is not None:
        all_of(
            lambda connection, after: queries.due_jobs(connection, before, terms.classes, _BATCH, after),
            lambda connection, due: Removed(0, forget_jobs(connection, due)),
        )
    return removed
