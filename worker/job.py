"""A job's life: opened before the work, ended once, its outcome persisted here and nowhere else."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar

import structlog
from pydantic import ValidationError
from sqlalchemy import Connection

from core.contract import Callback, Wire
from core.errors import IntakeError, ModelFailure, RejectedInput, TransientFailure
from db import queries
from db.session import REFUSED, UNAVAILABLE, statement, transaction
from worker import callback, metrics, tracing
from worker.log import about_task
from worker.runtime import Runtime

RequestT = TypeVar("RequestT", bound=Wire)

log = structlog.get_logger()

STOPPING: Final = "node_stopping"
"""Code of the TransientFailure of a job whose node stops: however often that happens, it goes on elsewhere."""
_FAULTS: Final = 10
"""Faults of a request that its refusal names; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Done:
    """Work that has come to a result: `store` puts it into the transaction that also ends the job."""

    store: Callable[[Connection], Wire]
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Kind(Generic[RequestT]):
    """One kind of job: the request it takes, the work it does, and how its stored result is found again."""

    name: str
    request: type[RequestT]
    work: Callable[[Runtime, queries.Job, RequestT], Done]
    recall: Callable[[Runtime, str, RequestT], Wire]
    is_divided: bool = False
    """Whether the work consists of jobs, which are set aside each by itself."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a job's message came: how often it was sent again after transient failures; whether some node had it in its
    hands before, and may have died of it; and the seconds since it was first sent, where its sender says. `trace` is
    its sender's place in a trace, if it has one.
    """

    retries: int = 0
    redelivered: bool = False
    queued: float | None = None
    trace: str | None = None


def run(
    runtime: Runtime,
    kind: Kind[RequestT],
    task_id: str,
    payload: Mapping[str, Any],
    delivery: Delivery = Delivery(),
) -> Wire:
    """Do the job once, whatever happens: a task id that has ended returns what it ended with.

    Raises, after persisting it: RejectedInput; ModelFailure; TransientFailure, where the job is to be run again,
    which its row counts. A database that is away is waited for without end, since nothing can be ended without it.
    """
    with (
        tracing.task(kind.name, task_id, delivery.trace, delivery.queued) as trace_id,
        about_task(task_id, trace_id),
        _in_turn(runtime, task_id) if delivery.redelivered and not kind.is_divided else nullcontext(),
    ):
        return _run(runtime, kind, task_id, payload, delivery)


def _run(
    runtime: Runtime, kind: Kind[RequestT], task_id: str, payload: Mapping[str, Any], delivery: Delivery
) -> Wire:
    request, fault = _validate(kind, payload)
    told = callback.of(payload)
    refusal = told and callback.refusal(runtime.settings.callbacks, told)
    told = None if refusal else told
    with statement(runtime.engine) as connection:
        job = queries.start_job(
            connection,
            task_id=task_id,
            task=kind.name,
            request=_for_the_ledger(payload, request),
            external_id=getattr(request, "external_id", None),
            node=runtime.node,
        )
    if job is None:
        return _as_it_ended(runtime, kind, task_id, request)
    try:
        if request is None:
            raise fault
        if refusal:
            raise refusal
        _refuse_poison(runtime, kind, job)
        done = kind.work(runtime, job, request)
        with tracing.span("commit"), transaction(runtime.engine) as connection:
            # The same task may have been delivered twice, and the other delivery have ended first.
            seconds = done.seconds if delivery.queued is None else {"queued": delivery.queued, **done.seconds}
            mine = queries.finish_job(connection, task_id=task_id, state="succeeded", seconds=seconds)
            result = done.store(connection) if mine else None
            if told and mine:
                queries.put_callback(connection, task_id=task_id, task=told.task, queue=told.queue)
    except TransientFailure as error:
        retries = max(delivery.retries, job.retries)
        if retries >= runtime.settings.node.max_retries and error.code not in (UNAVAILABLE, REFUSED, STOPPING):
            _end_without_result(runtime, kind, task_id, _worn_out(error), told)
        else:
            with transaction(runtime.engine) as connection:
                queries.postpone_job(connection, task_id=task_id, error_code=error.code, error_message=error.message)
            metrics.job_ended(kind.name, "postponed")
            log.warning("job postponed", task=kind.name, code=error.code, retries=retries)
            raise
    except (RejectedInput, ModelFailure) as error:
        _end_without_result(runtime, kind, task_id, error, told)
    except Exception as error:
        log.exception("job raised what nobody expected", task=kind.name)
        failure = ModelFailure(
            "unexpected", f"{type(error).__name__} in {kind.name}; the log of {runtime.node} has more"
        )
        _end_without_result(runtime, kind, task_id, failure, told)
    else:
        if result is not None:
            metrics.job_ended(kind.name, "succeeded", done.seconds, result)
            log.info("job ended", task=kind.name, state="succeeded", **done.seconds)
            return result
    return _as_it_ended(runtime, kind, task_id, request)


def _validate(kind: Kind[RequestT], payload: Mapping[str, Any]) -> tuple[RequestT | None, RejectedInput]:
    try:
        return kind.request.model_validate(payload), RejectedInput("bad_request", "")
    except ValidationError as error:
        faults = [
            f"{_field(fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        ]
        more = f"; and {len(faults) - _FAULTS} more" if len(faults) > _FAULTS else ""
        return None, RejectedInput(
            "bad_request", f"this is no {kind.name} request: {'; '.join(faults[:_FAULTS])}{more}"
        )


def _field(place: tuple[str | int, ...]) -> str:
    # What classes are called that came along is the caller's own affair.
    parts = place[:1] if place[:1] == ("classes",) else place
    return ".".join(map(_shown, parts)) or "request"


def _shown(name: str | int) -> str:
    # Callers may send any field: of any length, and with characters that PostgreSQL keeps in no text.
    return "".join(character if character.isprintable() else "?" for character in str(name)[:100])


def _for_the_ledger(payload: Mapping[str, Any], request: Wire | None) -> dict[str, Any]:
    """What the job's row keeps of the request: enough to send it again, but no document's bytes."""
    if request is None:
        return {"fields": sorted(map(_shown, payload))}
    kept = request.model_dump(mode="json", exclude_defaults=True, exclude={"documents": True})
    if kept.get("document", {}).pop("content", None) is not None:
        kept["document"]["inline"] = True
    if "documents" in payload:
        kept["documents"] = len(payload["documents"])
    return kept


@contextmanager
def _in_turn(runtime: Runtime, task_id: str) -> Iterator[None]:
    # Tasks of a node that died come back together, and one of them may have killed it. Each has its last try while
    # none of the others is at work, and so is not set aside with the one that kills.
    with transaction(runtime.engine) as connection:
        is_last = queries.count_deaths(connection, task_id) >= runtime.settings.node.max_attempts - 1
    with runtime.suspects if is_last else nullcontext():
        yield


def _refuse_poison(runtime: Runtime, kind: Kind[Any], job: queries.Job) -> None:
    # Attempts are counted before the work, so one that took its process along has been counted.
    deaths, most = job.attempts - job.retries - 1, runtime.settings.node.max_attempts
    if deaths >= most and kind.is_divided:
        # Its parts have died in turn, and been set aside at the start after their last.
        with transaction(runtime.engine) as connection:
            most = most * (1 + queries.count_poisoned_parts(connection, job.task_id)) + 1
    if deaths >= most:
        raise ModelFailure(
            "poison",
            f"its node died {deaths} times while it ran; look at the document, then "
            f"`docintake jobs retry {job.task_id}`",
        )


def _worn_out(error: TransientFailure) -> ModelFailure:
    return ModelFailure(
        error.code, f"{error.message} (given up after several tries; `docintake jobs retry` starts anew)"
    )


def _end_without_result(
    runtime: Runtime, kind: Kind[Any], task_id: str, error: IntakeError, told: Callback | None
) -> None:
    state: Literal["rejected", "failed"] = "rejected" if isinstance(error, RejectedInput) else "failed"
    with transaction(runtime.engine) as connection:
        mine = queries.finish_job(
            connection, task_id=task_id, state=state, error_code=error.code, error_message=error.message
        )
        if told and mine:
            queries.put_callback(connection, task_id=task_id, task=told.task, queue=told.queue)
    if mine:
        metrics.job_ended(kind.name, state)
    log.info("job ended", task=kind.name, state=state, code=error.code)


def _as_it_ended(runtime: Runtime, kind: Kind[RequestT], task_id: str, request: RequestT | None) -> Wire:
    with transaction(runtime.engine) as connection:
        job = queries.get_job(connection, task_id)
    if job is None:
        raise TransientFailure("job_gone", f"the row of job {task_id} was removed while it was looked at")
    if job.task != kind.name:
        raise RejectedInput("task_id_taken", f"task id {task_id} belongs to a {job.task} job; choose another one")
    if job.state == "succeeded":
        if request is None:
            raise RejectedInput("task_id_taken", f"task id {task_id} has a result already; choose another one")
        return kind.recall(runtime, task_id, request)
    if job.state in ("received", "started"):
        raise TransientFailure("job_reopened", f"job {task_id} was opened again while it was looked at")
    raise (RejectedInput if job.state == "rejected" else ModelFailure)(job.error_code or "", job.error_message or "")
