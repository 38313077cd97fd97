"""The Celery app: JSON only, explicit names, queues and routes; the model is loaded before a node takes work."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from celery import Celery, Task, signals
from celery.exceptions import Reject
from celery.worker.request import Request

from core.contract import QUEUES
from core.errors import ModelFailure, RejectedInput, TransientFailure
from core.settings import Settings
from worker import job
from worker.embedded import locate
from worker.runtime import Runtime
from worker.tasks import JOBS

log = structlog.get_logger()

LONGEST_DELAY = 60.0
"""Seconds; a retried task counts as unacknowledged while it waits, so this stays below the visibility timeout."""


def make_app(settings: Settings) -> Celery:
    """The app of one set of settings. Callers may have several at a time."""
    settings = locate(settings)
    if settings.broker.url is None:
        raise ValueError("settings.broker.url is not set: locate(settings) fills it in")
    url = settings.broker.url.get_secret_value()
    app = Celery("docintake", broker=url, backend=url, set_as_current=False)
    # Each of these was settled by experiment: docs/design.md, "Celery on Redis".
    transport = {
        "global_keyprefix": settings.broker.key_prefix,
        "visibility_timeout": settings.broker.visibility_timeout,
        "unacked_restore_interval": settings.broker.restore_interval,
        "unacked_restore_throttle": 1,
        "queue_order_strategy": "priority",
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "retry_on_timeout": True,
    }
    app.conf.update(
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        broker_transport="worker.transport:Transport",
        broker_connection_retry_on_startup=True,
        broker_transport_options=transport,
        result_backend_transport_options={"global_keyprefix": settings.broker.key_prefix},
        result_expires=settings.broker.result_expires,
        # Otherwise a task whose work is done fails for its caller when Redis is away just then.
        result_backend_always_retry=True,
        result_backend_max_sleep_between_retries_ms=1000,
        task_routes={name: {"queue": queue} for name, queue in QUEUES.items()},
        task_default_queue="classify",
        task_create_missing_queues=True,
        task_acks_late=True,
        task_track_started=True,
        task_send_sent_event=True,
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,
        worker_hijack_root_logger=False,
        worker_concurrency=settings.node.concurrency,
        worker_pool="threads",
    )
    # What Celery would tell of a task's arguments and result in its headers and events, where monitors show it.
    app.amqp.argsrepr_maxsize = app.amqp.kwargsrepr_maxsize = 0
    held = _Held(settings)
    for name in QUEUES:
        app.task(
            _job_task(held, settings, name),
            name=name,
            bind=True,
            throws=(RejectedInput, ModelFailure),
            max_retries=None,
            Request=f"{__name__}:{DiscreetRequest.__name__}",
            resultrepr_maxsize=0,
        )

    def load(sender: Any, **_: Any) -> None:
        if getattr(sender, "app", None) is app:
            held.open(sender.hostname)

    def unload(sender: Any, **_: Any) -> None:
        if getattr(sender, "app", None) is app:
            held.close()

    signals.worker_init.connect(load, weak=False)
    signals.worker_shutdown.connect(unload, weak=False)
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
    """A message as the node holds it, without what its sender put into the headers to show of its arguments."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._argsrepr = self._kwargsrepr = ""


class _Held:
    """The process's runtime, opened once, by the node before it takes work."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runtime: Runtime | None = None

    def open(self, node: str) -> None:
        # Celery swallows what a signal's receiver raises, but not an exit: a node without its model must not serve.
        try:
            self._runtime = Runtime(self._settings, node)
        except Exception as error:
            log.critical("the node cannot start", exc_info=True)
            raise SystemExit(f"docintake: the node cannot start: {error}") from error

    def close(self) -> None:
        if self._runtime is not None:
            self._runtime.close()
            self._runtime = None

    def get(self) -> Runtime:
        if self._runtime is None:
            raise TransientFailure("node_stopping", "this node is stopping; the task goes to another one")
        return self._runtime


def _job_task(held: _Held, settings: Settings, name: str) -> Callable[..., dict[str, Any]]:
    def run_job(task: Task, /, *args: Any, **payload: Any) -> dict[str, Any]:
        if args:
            # Refused as every other field that no request has, so that this too leaves a row.
            payload["args"] = args
        try:
            result = job.run(held.get(), JOBS[name], task.request.id, payload)
        except TransientFailure as error:
            raise _again(task, error, settings.node.retry_delay) from None
        except (RejectedInput, ModelFailure) as error:
            # Celery sends the traceback to the result backend and to monitors: causes stay in this node's log.
            raise error from None
        return result.model_dump(mode="json")

    return run_job


def _again(task: Task, error: TransientFailure, first_delay: float) -> Exception:
    """Send the task again, with a delay that doubles each time."""
    jitter = random.uniform(0.5, 1.5)  # noqa: S311 - no secret
    delay = min(LONGEST_DELAY, first_delay * 2 ** min(task.request.retries, 10)) * jitter
    try:
        again: Exception = task.retry(exc=error, countdown=delay, throw=False)
    except Reject:
        # The broker is away. Celery would drop the message; unacknowledged, it comes back.
        again = Reject(error, requeue=True)
    return again
