"""The Celery app: JSON only, explicit names, queues and routes; every node knows every task."""

import mmap
import random
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import structlog
from billiard.einfo import ExceptionInfo
from celery import Celery, Task, signals
from celery.bootsteps import StartStopStep
from celery.exceptions import Ignore, Reject, Retry, TimeLimitExceeded, WorkerLostError
from celery.worker.request import Request

from core.contract import CLASSIFY, QUEUES, RETRAIN
from core.contract.client import encryption_of
from core.errors import ModelFailure, RejectedInput, TransientFailure
from core.settings import Settings
from worker import (
    callback,
    job,
    metrics,
    roll_call,  # noqa: F401 - every node answers to it
    trainer,
)
from worker.embedded import locate
from worker.events import Events, Telling
from worker.forgotten import is_forgotten
from worker.reaper import REAP, reap
from worker.results import Results
from worker.retention import PURGE, purge
from worker.runtime import Runtime
from worker.tasks import JOBS

log = structlog.get_logger()

Chore = Callable[[Runtime, Celery], None]

CHORES: Final[dict[str, Chore]] = {REAP: reap, PURGE: purge}
"""What inference nodes do beside jobs, by task name; it may be done twice, and leaves no row."""

LONGEST_DELAY = 60.0
"""Seconds; a retried task counts as unacknowledged while it waits, so this stays below the visibility timeout."""
GRACE = 25.0
"""Seconds in which a node that was told to stop finishes what it has; what then is still being read is handed back.
Less than supervisors wait before they kill: 30 s in Kubernetes, 60 s in `docintake up`.
"""

RESTORING = 10.0
"""Seconds that a node may take to give unacknowledged messages back to their queues, a few at a time."""


def make_app(settings: Settings, *, trains: bool = False) -> Celery:
    """The app of one set of settings. Callers may have several at a time.

    A node of it loads its model before it takes work, and works in threads; one that `trains` does both in child
    processes, when there is something to do. What the node holds is the app's `held`.
    """
    # Beat and monitors ask nothing of the database: a node looks for it when it opens its runtime.
    settings = settings if settings.broker.url is not None else locate(settings)
    if settings.broker.url is None:
        raise ValueError("settings.broker.url is not set: locate(settings) fills it in")
    url = settings.broker.url.get_secret_value()
    app = Celery("docintake", broker=url, backend=url, events=Events, set_as_current=False)
    Results.serve(app)
    # Each of these was settled by experiment: docs/design.md, "Celery on Redis".
    transport = {
        "global_keyprefix": settings.broker.key_prefix,
        "visibility_timeout": settings.broker.visibility_timeout,
        "unacked_restore_interval": settings.broker.restore_interval,
        "unacked_restore_throttle": 1,
        # One node at a time gives back what others hold; one that is killed at it keeps all from it for as long.
        "unacked_mutex_expire": RESTORING,
        "queue_order_strategy": "priority",
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "retry_on_timeout": True,
    }
    if trains:
        transport |= {"idle": trainer.IDLE, "groups_acks": False}
    app.conf.update(
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        broker_transport="worker.transport:Transport",
        **encryption_of(url),
        broker_connection_retry_on_startup=True,
        broker_transport_options=transport,
        result_backend_transport_options={"global_keyprefix": settings.broker.key_prefix},
        result_expires=settings.broker.result_expires,
        # Otherwise a task whose work is done fails for its caller when Redis is away just then.
        result_backend_always_retry=True,
        result_backend_max_sleep_between_retries_ms=1000,
        task_routes={name: {"queue": queue} for name, queue in QUEUES.items()}
        | {name: {"queue": QUEUES[CLASSIFY]} for name in CHORES},
        task_default_queue="classify",
        task_create_missing_queues=True,
        task_acks_late=True,
        task_send_sent_event=True,
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,
        worker_hijack_root_logger=False,
        worker_concurrency=settings.node.concurrency,
        worker_pool="threads",
    )
    if trains:
        app.conf.update(trainer.NODE)
    # What Celery would tell of a task's arguments and result in its headers and events, where monitors show it.
    app.amqp.argsrepr_maxsize = app.amqp.kwargsrepr_maxsize = 0
    app.held = held = Held(settings, in_children=trains)
    common = {"bind": True, "max_retries": None, "Request": f"{__name__}:{DiscreetRequest.__name__}"}
    for name in QUEUES:
        app.task(
            _job_task(held, settings, name),
            name=name,
            throws=(RejectedInput, ModelFailure),
            resultrepr_maxsize=0,
            track_started=name == RETRAIN,
            **(common | (_run_options(settings) if name == RETRAIN else {})),
        )
    for name, chore in CHORES.items():
        app.task(_chore_task(held, settings, chore), name=name, ignore_result=True, **common)

    def start(sender: Any, **_: Any) -> None:
        if getattr(sender, "app", None) is app:
            held.start(sender.hostname)

    def close(sender: Any, **_: Any) -> None:
        # A child process has no sender to tell, and no other app.
        if sender is None or getattr(sender, "app", None) is app:
            held.close()

    def count_dropped(sender: Any, **_: Any) -> None:
        if sender.app is app:
            metrics.DROPPED.inc()

    class Stop(StartStopStep):  # type: ignore[misc] # Celery has no types
        # Not at the signal: the node's loop may lose what a child says while it ends, and then waits for it.
        requires = ("celery.worker.components:Pool",)

        def stop(self, _worker: Any) -> None:
            held.stop()

    app.steps["worker"].add(Stop)
    app.steps["consumer"].add(Telling)
    for dropped in (signals.task_unknown, signals.task_rejected):
        dropped.connect(count_dropped, weak=False)
    signals.worker_init.connect(start, weak=False)
    signals.worker_process_shutdown.connect(close, weak=False)
    signals.worker_shutdown.connect(close, weak=False)
    return app


def mark_ready(app: Celery, file: Path) -> None:
    """Touch `file` once a node of this app takes work, and remove it when the node stops."""

    def ready(sender: Any, **_: Any) -> None:
        if sender.app is app:
            file.touch()

    def stopping(**_: Any) -> None:
        file.unlink(missing_ok=True)

    signals.worker_ready.connect(ready, weak=False)
    signals.worker_shutting_down.connect(stopping, weak=False)


class DiscreetRequest(Request):  # type: ignore[misc] # Celery has no types
    """A message as the node holds it, without what its sender put into the headers to show of its arguments.

    Nothing is said to its sender when its process was killed: it is sent again, and has not ended.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._argsrepr = self._kwargsrepr = ""

    def revoked(self) -> bool:
        if not is_forgotten(self.id):
            return bool(super().revoked())
        # Not even that it was.
        self._ignore_result = True
        self._announce_revoked("forgotten", False, None, False)
        return True

    def on_timeout(self, soft: bool, timeout: float) -> None:
        if soft:
            super().on_timeout(soft, timeout)

    def on_failure(self, exc_info: ExceptionInfo, send_failed_event: bool = True, return_ok: bool = False) -> None:
        if exc_info.type is TimeLimitExceeded:
            exc_info.exception = WorkerLostError("it did not stop at its time limit, and its process was killed")
        super().on_failure(exc_info, send_failed_event, return_ok)


class RunRequest(DiscreetRequest):
    """A run as its trainer holds it, and counts: what the child that does it counts is gone with the child."""

    def send_event(self, event: str, **fields: Any) -> None:
        # Of a success a request hears nothing else: Celery makes `on_success` anew for each task.
        if event == "task-succeeded":
            metrics.RUNS.ended("succeeded")
        super().send_event(event, **fields)

    def on_failure(self, exc_info: ExceptionInfo, send_failed_event: bool = True, return_ok: bool = False) -> None:
        error = exc_info.exception
        if isinstance(error, Retry | WorkerLostError):
            metrics.RUNS.ended("postponed")
        elif not isinstance(error, Ignore):
            metrics.RUNS.ended("rejected" if isinstance(error, RejectedInput) else "failed")
        super().on_failure(exc_info, send_failed_event, return_ok)


def _run_options(settings: Settings) -> dict[str, Any]:
    options = trainer.task_options(settings.training.time_limit)
    return {**options, "Request": f"{__name__}:{RunRequest.__name__}"}


class Held:
    """A node's runtime: opened before it takes work, or `in_children` by each of its child processes at its task."""

    def __init__(self, settings: Settings, *, in_children: bool) -> None:
        self._settings = settings
        self._in_children = in_children
        self._node = ""
        self._runtime: Runtime | None = None
        # Children that are forked see what their parent writes. No lock: a child may be killed holding one.
        self._stopping = mmap.mmap(-1, 1)

    @property
    def runtime(self) -> Runtime | None:
        """What this process has opened, if it has."""
        return self._runtime

    @property
    def stopping(self) -> bool:
        """Whether the node was told to stop."""
        return self._stopping[0] == 1

    @stopping.setter
    def stopping(self, value: bool) -> None:
        self._stopping[0] = value

    def start(self, node: str) -> None:
        self._node = node
        if self._in_children:
            return
        # Celery swallows what a signal's receiver raises, but not an exit: a node without its model must not serve.
        try:
            self._open()
        except Exception as error:
            log.critical("the node cannot start", exc_info=True)
            raise SystemExit(f"docintake: the node cannot start: {error}") from error

    def stop(self) -> None:
        self.stopping = True
        if self._runtime is not None:
            # Whoever waits for a page then is told that another node reads it.
            handing_back = threading.Timer(GRACE, self._runtime.reader.close)
            handing_back.daemon = True
            handing_back.start()

    def close(self) -> None:
        if self._runtime is not None:
            self._runtime.close()
            self._runtime = None

    def get(self) -> Runtime:
        if self._runtime is not None:
            return self._runtime
        if not self._in_children:
            raise TransientFailure("node_stopping", "this node is stopping; the task goes to another one")
        try:
            return self._open()
        except Exception as error:
            log.critical("the trainer cannot load its model", exc_info=True)
            raise TransientFailure(
                "trainer_broken", "this trainer cannot load its model; its log says why"
            ) from error

    def _open(self) -> Runtime:
        self._runtime = Runtime(locate(self._settings), self._node, lambda: self.stopping, trains=self._in_children)
        return self._runtime


def _job_task(held: Held, settings: Settings, name: str) -> Callable[..., dict[str, Any]]:
    def run_job(task: Task, /, *args: Any, **payload: Any) -> dict[str, Any]:
        if args:
            # Refused as every other field that no request has, so that this too leaves a row.
            payload["args"] = args
        try:
            runtime, kind = held.get(), JOBS[name]
            if name == RETRAIN:
                result = trainer.run(runtime, kind, task, payload, settings.training.time_limit)
            else:
                result = job.run(runtime, kind, task.request.id, payload, _delivery(task))
        except TransientFailure as error:
            # What has a row must end: its message does not expire any more.
            raise _again(task, error, settings.node.retry_delay, expires=None) from None
        except (RejectedInput, ModelFailure) as error:
            _call_back(runtime, task, payload)
            # Celery sends the traceback to the result backend and to monitors: causes stay in this node's log.
            raise error from None
        _call_back(runtime, task, payload)
        return result.model_dump(mode="json")

    return run_job


def _call_back(runtime: Runtime, task: Task, payload: Mapping[str, Any]) -> None:
    if "callback" not in payload:
        return
    try:
        callback.deliver(runtime, task.app, task.request.id)
    except TransientFailure as error:
        # The job has ended for all that; the reaper sends what is left.
        log.warning("outcome not sent", task_id=task.request.id, error=error.code)


def _delivery(task: Task) -> job.Delivery:
    sent_at = task.request.get("sent_at")
    # Its sender's clock may be ahead.
    queued = round(max(0.0, time.time() - sent_at), 6) if isinstance(sent_at, int | float) else None
    if queued is not None:
        metrics.QUEUED_SECONDS.labels(task.name).observe(queued)
    return job.Delivery(
        redelivered=bool(task.request.delivery_info.get("redelivered")),
        queued=queued,
        trace=task.request.get("traceparent"),
    )


def _chore_task(held: Held, settings: Settings, chore: Chore) -> Callable[[Task], None]:
    def run_chore(task: Task) -> None:
        try:
            chore(held.get(), task.app)
        except TransientFailure as error:
            log.warning("chore postponed", task=task.name, code=error.code)
            raise _again(task, error, settings.node.retry_delay) from None
        except Exception:
            # Left at that: its next time comes.
            log.exception("chore failed", task=task.name)

    return run_chore


def _again(task: Task, error: TransientFailure, first_delay: float, **options: Any) -> Exception:
    """Send the task again, with a delay that doubles each time."""
    jitter = random.uniform(0.5, 1.5)  # noqa: S311 - no secret
    delay = min(LONGEST_DELAY, first_delay * 2 ** min(task.request.retries, 10)) * jitter
    try:
        again: Exception = task.retry(exc=error, countdown=delay, throw=False, **options)
    except Reject:
        # The broker is away. Celery would drop the message; unacknowledged, it comes back. Runs have the reaper.
        again = Reject(error, requeue=True)
    return again
