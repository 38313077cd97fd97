"""Runs whose trainer died are sent again, and so are outcomes that could not be."""

from typing import Final

import structlog
from celery import Celery

from core.contract import PRIORITIES, QUEUES, RETRAIN
from db import queries
from db.session import transaction
from worker import callback
from worker.runtime import Runtime

log = structlog.get_logger()

REAP: Final = "docintake.reap"


def reap(runtime: Runtime, app: Celery) -> None:
    """Send what nobody else sends any more. May run twice at once."""
    _send_runs(runtime, app)
    callback.deliver_left(runtime, app)


def _send_runs(runtime: Runtime, app: Celery) -> None:
    """Send those open retrain jobs again, under their own ids, that are silent and that no message stands for.

    A job is locked while it is looked at, and a message that was sent is found. The start that follows is counted, so
    that a run which keeps killing its trainer is set aside.
    """
    # Sent before the commit: a trainer that is quicker waits for the row's lock.
    with transaction(runtime.engine) as connection:
        silent = queries.interrupted_jobs(connection, RETRAIN, runtime.settings.training.silent_for)
        if not silent:
            return
        with app.connection_for_write() as broker:
            broker.ensure_connection(max_retries=1, interval_start=0, timeout=5)
            waiting = broker.default_channel.waiting(QUEUES[RETRAIN])
        for job in silent:
            if job.task_id not in waiting:
                app.send_task(
                    RETRAIN,
                    kwargs=job.request,
                    queue=QUEUES[RETRAIN],
                    priority=PRIORITIES["normal"],
                    task_id=job.task_id,
                )
                log.warning("run sent again", task_id=job.task_id, attempts=job.attempts, node=job.node)
