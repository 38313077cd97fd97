"""How docintake is doing, all of it: queues, nodes, class sets, jobs. What is away is said, and left out."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from kombu.exceptions import OperationalError
from redis import RedisError

from core.errors import IntakeError, TransientFailure
from db import queries
from db.models import JobState, RunState
from db.session import transaction
from worker import backlog, roll_call
from worker.backlog import Backlog
from worker.roll_call import Node

if TYPE_CHECKING:
    from celery import Celery
    from sqlalchemy import Connection, Engine

LATELY: Final = timedelta(hours=1)

FoundT = TypeVar("FoundT")


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest run of a class set: what came of it, and why. `at`: when it ended, or began if it still runs."""

    id: int
    state: RunState
    at: datetime
    reasons: Sequence[str]


@dataclass(frozen=True, slots=True)
class ClassSetStatus:
    """One class set. `version` is none where none is in service, `checkpoints` are empty while descriptions alone
    decide; `new_labels` are documents that were labelled since the last run that trained.
    """

    name: str
    version: int | None
    version_since: datetime | None
    checkpoints: Sequence[int]
    checkpoints_since: datetime | None
    new_labels: int
    last_run: LastRun | None
    to_review: int
    oldest_to_review: datetime | None


@dataclass(frozen=True, slots=True)
class Work:
    """What Redis and the nodes tell."""

    queues: Sequence[Backlog]
    nodes: Sequence[Node]


@dataclass(frozen=True, slots=True)
class Ledger:
    """What PostgreSQL tells. `lately`: task → state → jobs that ended in the last hour; `unfinished`: state → jobs.

    `one_off_to_review` are documents that were classified by classes that came along.
    """

    class_sets: Sequence[ClassSetStatus]
    lately: Mapping[str, Mapping[JobState, int]]
    unfinished: Mapping[JobState, int]
    one_off_to_review: int


@dataclass(frozen=True, slots=True)
class Status:
    """Either half is none where its server is away: `errors` say so, code → message."""

    work: Work | None
    ledger: Ledger | None
    errors: Mapping[str, str]


def look(app: "Celery", engine: "Engine") -> Status:
    """Both halves at the same time: nodes may take seconds to answer."""
    errors: dict[str, str] = {}

    def half(of: Callable[[], FoundT]) -> FoundT | None:
        try:
            return of()
        except IntakeError as error:
            errors[error.code] = error.message
            return None

    with ThreadPoolExecutor(1) as beside:
        work = beside.submit(half, lambda: _work(app))
        ledger = half(lambda: _ledger(engine))
        return Status(work.result(), ledger, errors)


def _work(app: "Celery") -> Work:
    queues = backlog.look(app)
    try:
        return Work(queues, roll_call.call(app))
    except (OperationalError, RedisError) as error:
        raise TransientFailure(
            "broker_unavailable", "the broker went away while nodes were asked; `docintake doctor` says more"
        ) from error


def _ledger(engine: "Engine") -> Ledger:
    with transaction(engine) as connection:
        waiting = queries.review_backlogs(connection)
        names = [item.name for item in queries.list_class_sets(connection)]
        lately: dict[str, dict[JobState, int]] = {}
        for task, state, count in queries.count_ended(connection, LATELY):
            lately.setdefault(task, {})[state] = count
        one_off = waiting.get(None)
        return Ledger(
            [_class_set(connection, name, waiting.get(name)) for name in names],
            lately,
            queries.count_unfinished(connection),
            one_off.count if one_off else 0,
        )


def _class_set(connection: "Connection", name: str, waiting: queries.ReviewBacklog | None) -> ClassSetStatus:
    version = queries.published_version(connection, name)
    promotion = queries.serving(connection, name)
    trained = queries.latest_trained(connection, name)
    newest = queries.list_runs(connection, name, limit=1)
    return ClassSetStatus(
        name=name,
        version=version.number if version else None,
        version_since=version.published_at if version else None,
        checkpoints=promotion.checkpoints if promotion else (),
        checkpoints_since=promotion.created_at if promotion and promotion.checkpoints else None,
        new_labels=queries.count_labels_since(connection, name, trained.labels_up_to if trained else 0),
        last_run=_last_run(newest[0]) if newest else None,
        to_review=waiting.count if waiting else 0,
        oldest_to_review=waiting.oldest if waiting else None,
    )


def _last_run(run: queries.Run) -> LastRun:
    return LastRun(run.id, run.state, run.finished_at or run.started_at, (run.result or {}).get("reasons", ()))
