"""Outcomes that back offices have sent to tasks of their own, at least once.

A row of `callbacks` is written in the transaction that ends the job, and marked by whoever sends the outcome: the
node that did the job, at once, or the reaper where that could not.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from pydantic import ValidationError
from redis import RedisError
from sqlalchemy import Connection

from core.contract import (
    ANSWER,
    CLASSIFY,
    CLASSIFY_MANY,
    AnswerResult,
    Callback,
    ClassifyManyResult,
    ClassifyResult,
    CorrectResult,
    Ended,
    ErrorInfo,
    Outcome,
    RetrainResult,
    Wire,
)
from core.errors import RejectedInput
from core.settings import Callbacks
from db import queries
from db.queries import Job
from db.session import transaction
from worker.runtime import Runtime

log = structlog.get_logger()

FORGOTTEN: Final = ErrorInfo(
    kind="rejected", code="forgotten", message="this document was erased after it was asked about"
)
_BATCH: Final = 200
"""Outcomes that the reaper sends at a time: a broker that was away for long gets them over several times."""
_RETRIES: Final = {"max_retries": 1, "interval_start": 0, "interval_step": 0.2}
"""Of sending: the reaper is there for brokers that are away for longer."""


def of(payload: Mapping[str, Any]) -> Callback | None:
    """What a request says of where its outcome goes, though all else in it may be wrong."""
    if payload.get("callback") is None:
        return None
    try:
        return Callback.model_validate(payload["callback"])
    except ValidationError:
        return None


def refusal(settings: Callbacks, callback: Callback) -> RejectedInput | None:
    """Why nothing is sent there, if so."""
    if any(fnmatchcase(callback.queue, pattern) for pattern in settings.queues):
        return None
    return RejectedInput(
        "callback_not_allowed",
        f"no outcome may be sent to queue {callback.queue!r}: the worker's callbacks.queues have to name it, in the "
        f"environment DOCINTAKE_CALLBACKS__QUEUES='[\"{callback.queue}\"]'",
    )


def deliver(runtime: Runtime, app: Celery, task_id: str) -> bool:
    """Send the outcome of a job that has ended, if it is to be sent and was not yet; False: the broker is away.

    Nothing happens where another one is just sending it. Raises TransientFailure when the database is away.
    """
    # Sent before the commit: what is lost between the two is sent again, rather than never.
    with transaction(runtime.engine) as connection:
        row = queries.lock_callback(connection, task_id)
        job = queries.get_job(connection, task_id) if row else None
        if row is None or job is None or job.finished_at is None:
            return True
        try:
            _send(app, row, _ended(connection, job))
        except (OperationalError, RedisError) as error:
            log.warning("outcome not sent", task_id=task_id, error=type(error).__name__)
            return False
        queries.mark_callback_sent(connection, task_id)
    log.info("outcome sent", task_id=task_id)
    return True


def deliver_left(runtime: Runtime, app: Celery) -> None:
    """Send the outcomes that are still to be sent after settings.callbacks.resend_after, the oldest first."""
    with transaction(runtime.engine) as connection:
        left = queries.unsent_callbacks(connection, runtime.settings.callbacks.resend_after, _BATCH)
    for task_id in left:
        if not deliver(runtime, app, task_id):
            return


def _send(app: Celery, row: queries.Callback, ended: Ended) -> None:
    app.send_task(
        row.task,
        kwargs={"outcome": ended.model_dump(mode="json")},
        queue=row.queue,
        # Always the same for one end, so that what comes twice is known. Not the job's own: whoever keeps results
        # where we do would write what the callback returned over what the job did.
        task_id=f"{row.task_id}:callback-{row.endings}",
        ignore_result=True,
        add_to_parent=False,
        # Results are private, and monitors show these.
        argsrepr="",
        kwargsrepr="outcome",
        retry_policy=_RETRIES,
    )


def _ended(connection: Connection, job: Job) -> Ended:
    ended: dict[str, Any] = {"task_id": job.task_id, "task": job.task, "external_id": job.external_id}
    if job.state == "succeeded":
        result = _result(connection, job)
        if result is not None:
            return Ended(**ended, state="succeeded", result=result)
        return Ended(**ended, state="rejected", error=FORGOTTEN)
    return Ended(**ended, state="rejected" if job.state == "rejected" else "failed", error=_error(job))


def _result(connection: Connection, job: Job) -> Wire | None:
    """As it is kept, which is none where it was forgotten."""
    if job.task == CLASSIFY_MANY:
        return _outcomes(connection, job)
    if job.task == CLASSIFY:
        classified = queries.get_classification(connection, job.task_id)
        return ClassifyResult.model_validate(classified) if classified else None
    if job.task == ANSWER:
        answered = queries.get_inquiry(connection, job.task_id)
        return AnswerResult.model_validate(answered) if answered else None
    correction = queries.get_correction(connection, job.task_id)
    if correction is not None:
        return CorrectResult(
            task_id=job.task_id,
            correction_id=correction.id,
            document_id=correction.sha256,
            class_set=correction.class_set,
            label=correction.label,
            previous=correction.previous,
        )
    run = queries.get_run_of(connection, job.task_id)
    return RetrainResult.model_validate(run.result) if run and run.result else None


def _outcomes(connection: Connection, job: Job) -> ClassifyManyResult:
    names = [f"{job.task_id}/{index}" for index in range(job.request["documents"])]
    parts = queries.get_parts(connection, names)
    return ClassifyManyResult(
        task_id=job.task_id, outcomes=[_outcome(*parts.get(name, (None, None))) for name in names]
    )


def _outcome(part: Job | None, result: dict[str, Any] | None) -> Outcome:
    if result is not None:
        return Outcome(result=ClassifyResult.model_validate(result))
    return Outcome(error=FORGOTTEN if part is None or part.state == "succeeded" else _error(part))


def _error(job: Job) -> ErrorInfo:
    kind = "rejected" if job.state == "rejected" else "failed"
    return ErrorInfo(kind=kind, code=job.error_code or "", message=job.error_message or "")
