"""A node that trains: one run at a time, each in a child process of its own, which is gone after it."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import structlog
from celery import Task
from celery.exceptions import Ignore, SoftTimeLimitExceeded
from kombu.exceptions import OperationalError
from redis import RedisError

from core.contract import TrainingProgress, Wire
from core.errors import ModelFailure
from db import queries
from db.queries import Job
from db.session import transaction
from worker import job
from worker.runtime import Runtime

log = structlog.get_logger()

GRACE: Final = 60.0
"""Seconds over its time that a run may take to end by itself, before its process is killed."""
IDLE: Final = 0.5
"""Seconds between looks for a run: nobody waits for its first second."""
NODE: Final = {
    "worker_pool": "prefork",
    "worker_concurrency": 1,
    "worker_max_tasks_per_child": 1,
    # A run whose turn has not come stays in Redis, where another trainer finds it.
    "worker_disable_prefetch": True,
    # Seconds that a child may take to come up: forking is quick, but a machine may have its hands full.
    "worker_proc_alive_timeout": 60,
}
"""Celery's settings for such a node."""


def task_options(time_limit: float) -> dict[str, Any]:
    """How Celery treats a task that is a run.

    At its time limit the run itself is interrupted and its job fails: started anew it would take as long. One that
    does not react hangs; it is killed, and sent again as every run whose process died.
    """
    return {
        "soft_time_limit": time_limit,
        "time_limit": time_limit + GRACE,
        # One that died before its job was opened goes back to the queue; later its message is gone already.
        "reject_on_worker_lost": True,
    }


def run(runtime: Runtime, kind: job.Kind[Any], task: Task, payload: Mapping[str, Any], time_limit: float) -> Wire:
    """`job.run` as a trainer does it: by one process at a time.

    The message is acknowledged as soon as the job's row says that it has started: a run may take longer than Redis
    waits for that. From there on the row speaks for it, and the reaper sends it again should its process die. Raises
    Ignore where another process is at it: this message came a second time.
    """
    with _alone(runtime, task.request.id) as alone:
        if not alone:
            log.info("another process is at this run", task_id=task.request.id)
            raise Ignore
        return job.run(runtime, _as_run(kind, task, time_limit), task.request.id, payload)


@contextmanager
def _alone(runtime: Runtime, task_id: str) -> Iterator[bool]:
    with transaction(runtime.engine.execution_options(isolation_level="AUTOCOMMIT")) as connection:
        # Never back into the pool with its lock.
        connection.detach()
        yield queries.lock_job(connection, task_id)


def show(task: Task, progress: TrainingProgress) -> None:
    """Tell how far a run is: its caller, who may ask, and monitors, to whom that is a state of their task's."""
    if not task.request.ignore_result:
        task.update_state(state="PROGRESS", meta=progress.model_dump(mode="json"))
    try:
        # Monitors know no other field that they would show.
        task.send_event("task-progress", result=f"{progress.phase} {progress.done}/{progress.total}")
    except (OperationalError, RedisError):
        log.info("monitors could not be told how far a run is", task_id=task.request.id)


def _as_run(kind: job.Kind[Any], task: Task, time_limit: float) -> job.Kind[Any]:

    def work(runtime: Runtime, started: Job, request: Wire) -> job.Done:
        _acknowledge(task)
        try:
            return kind.work(runtime, started, request)
        except SoftTimeLimitExceeded as error:
            raise ModelFailure(
                "time_limit",
                f"the run took longer than {time_limit:g} s; allow more in training.time_limit, or let it learn less",
            ) from error

    return dataclasses.replace(kind, work=work)


def _acknowledge(task: Task) -> None:
    try:
        with task.app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=3)
            connection.default_channel.basic_ack(task.request.properties["delivery_tag"])
    except (OperationalError, RedisError):
        # It comes a second time then, and is told how the first one ended.
        log.warning("a run's message could not be acknowledged", task_id=task.request.id)
