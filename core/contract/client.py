"""The client that a back office uses instead of writing messages by hand."""

from __future__ import annotations

import base64
import math
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .answer import AnswerRequest, AnswerResult
from .callback import Callback
from .classify import MANY_LIMIT, ClassifyManyRequest, ClassifyManyResult, ClassifyRequest, ClassifyResult, ManyItem
from .correct import CorrectRequest, CorrectResult
from .document import INLINE_LIMIT, DocumentReference, Wire
from .errors import IntakeError
from .names import ANSWER, CLASSIFY, CLASSIFY_MANY, CORRECT, PRIORITIES, QUEUES, RETRAIN
from .retrain import CaptionsFile, RetrainRequest, RetrainResult, TrainingProgress

if TYPE_CHECKING:
    from celery import Celery

ResultT = TypeVar("ResultT", bound=Wire)

_LOOK_EVERY = 5.0
"""Seconds."""


def inline(path: str | Path) -> DocumentReference:
    """Put a small local file itself into the message, for workers that cannot reach it by URI.

    Raises ValueError when it is over 1 MiB: put such a file where the worker may read it and send its URI.
    """
    data = Path(path).read_bytes()
    if len(data) > INLINE_LIMIT:
        raise ValueError(
            f"{path} has {len(data):,} bytes; only {INLINE_LIMIT:,} may travel in a message: send its URI"
        )
    return DocumentReference(content=base64.b64encode(data).decode("ascii"))


def encryption_of(url: str) -> dict[str, Any]:
    """Celery's settings for the line to a Redis of that URL, which may itself say more (`?ssl_ca_certs=…`).

    A `rediss:` URL checks the server's certificate. By itself kombu would trust any certificate, or with a transport
    of one's own speak plainly, and the result backend would take no URL that does not say.
    """
    if not url.startswith("rediss:"):
        return {}
    checked = {"ssl_cert_reqs": "required"}
    return {"broker_use_ssl": checked, "redis_backend_use_ssl": checked}


class Handle(Generic[ResultT]):
    """A request on its way."""

    def __init__(self, task: Any, result_type: type[ResultT]) -> None:
        self._task = task
        self._result_type = result_type

    @property
    def id(self) -> str:
        """The task id: names this request in results, corrections and the database."""
        return str(self._task.id)

    def ready(self) -> bool:
        """Whether the request has ended."""
        return bool(self._task.ready())

    def progress(self) -> TrainingProgress | None:
        """How far a retrain request is; None before it begins, after it ends, and for all other requests."""
        # One look: between two the state might change.
        meta = self._task.backend.get_task_meta(self.id)
        return TrainingProgress.model_validate(meta["result"]) if meta["status"] == "PROGRESS" else None

    def get(self, timeout: float | None = None) -> ResultT:
        """Wait for the result, at most `timeout` seconds.

        Raises IntakeError when the request ended without one, and `celery.exceptions.TimeoutError` when it has
        not ended in time; it then goes on, and `get` may be called again. ValueError when it was sent with
        `ignore_result`: nothing will ever come here.
        """
        if self._task.ignored:
            raise ValueError(f"request {self.id} was sent with ignore_result: its result stands in PostgreSQL alone")
        value = self._wait(timeout)
        if isinstance(value, BaseException):
            raise _as_intake_error(value) from value
        return self._result_type.model_validate(value)

    def _wait(self, timeout: float | None) -> Any:
        from celery.exceptions import TimeoutError as NotInTime

        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            # Celery waits a second for news before it takes what has come already, unless it was asked about that;
            # and news that came while its line to Redis was cut may never reach it.
            self._task.ready()
            left = deadline - time.monotonic()
            try:
                return self._task.get(timeout=min(max(left, 0.001), _LOOK_EVERY), propagate=False)
            except NotInTime:
                if left <= _LOOK_EVERY:
                    raise

    def forget(self) -> None:
        """Drop the copy that waits in the result backend; PostgreSQL keeps the result."""
        self._task.forget()


def _as_intake_error(error: BaseException) -> IntakeError:
    # Celery rebuilds a worker's exception from its class name and arguments.
    kind = "rejected" if type(error).__name__ == "RejectedInput" else "failed"
    if len(error.args) == 2 and all(isinstance(part, str) for part in error.args):
        return IntakeError(kind, error.args[0], error.args[1])  # type: ignore[arg-type]
    return IntakeError("failed", "unexpected", f"{type(error).__name__}; see the worker's log for this task")


class IntakeClient:
    """Sends documents to docintake.

    Built over the back office's own Celery app, or over a broker URL, where a small app of its own is made:
    `IntakeClient("redis://…")`, or encrypted `IntakeClient("rediss://…?ssl_ca_certs=/etc/ssl/redis-ca.pem")`;
    `key_prefix` is then the one in the worker's settings.
    """

    def __init__(self, app: Celery | str, *, key_prefix: str = "") -> None:
        if isinstance(app, str):
            from celery import Celery  # the contract imports without Celery

            url = app
            app = Celery("docintake_client", broker=url, backend=url, set_as_current=False)
            app.conf.update(
                task_serializer="json",
                result_serializer="json",
                accept_content=["json"],
                task_send_sent_event=True,
                broker_transport=f"{__package__}.transport:Transport",
                broker_transport_options={"global_keyprefix": key_prefix},
                result_backend_transport_options={"global_keyprefix": key_prefix},
                **encryption_of(url),
            )
        self._app = app

    def classify(
        self,
        document: str | DocumentReference,
        *,
        class_set: str | None = None,
        classes: Sequence[str] | dict[str, str] | None = None,
        pages: str | None = None,
        top_k: int = 5,
        external_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        priority: str = "normal",
        task_id: str | None = None,
        callback: Callback | dict[str, str] | None = None,
        ignore_result: bool = False,
    ) -> Handle[ClassifyResult]:
        """Enqueue one document.

        `task_id` may be chosen by the caller: sent twice, it is done once. With `ignore_result` nothing waits in
        the result backend; the result stands in PostgreSQL alone. With `callback`, `{"task": …, "queue": …}`, the
        outcome is sent to a task of the back office's own, as `Ended` has it. Raises pydantic.ValidationError when
        the request is not one.
        """
        request = ClassifyRequest(
            document=_reference(document),
            class_set=class_set,
            classes=_plain(classes),
            pages=pages,
            top_k=top_k,
            external_id=external_id,
            metadata=metadata or {},
            callback=_callback(callback),
        )
        return Handle(self._send(CLASSIFY, request, priority, task_id, ignore_result), ClassifyResult)

    def classify_many(
        self,
        documents: Iterable[str | DocumentReference | ManyItem],
        *,
        class_set: str | None = None,
        classes: Sequence[str] | dict[str, str] | None = None,
        pages: str | None = None,
        top_k: int = 5,
        priority: str = "bulk",
        callback: Callback | dict[str, str] | None = None,
        ignore_result: bool = False,
    ) -> list[Handle[ClassifyManyResult]]:
        """Enqueue any number of documents, up to 256 in a message: one handle a message, in order.

        A ManyItem gives a document an `external_id` and `metadata` of its own.
        """
        items = [
            document if isinstance(document, ManyItem) else ManyItem(document=_reference(document))
            for document in documents
        ]
        return [
            Handle(
                self._send(
                    CLASSIFY_MANY,
                    ClassifyManyRequest(
                        documents=items[start : start + MANY_LIMIT],
                        class_set=class_set,
                        classes=_plain(classes),
                        pages=pages,
                        top_k=top_k,
                        callback=_callback(callback),
                    ),
                    priority,
                    None,
                    ignore_result,
                ),
                ClassifyManyResult,
            )
            for start in range(0, len(items), MANY_LIMIT)
        ]

    def answer(
        self,
        document: str | DocumentReference,
        questions: str | Sequence[str],
        *,
        pages: str | None = None,
        external_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        priority: str = "normal",
        task_id: str | None = None,
        callback: Callback | dict[str, str] | None = None,
        ignore_result: bool = False,
    ) -> Handle[AnswerResult]:
        """Ask about one document; all that is asked about it at once costs little more than one question.

        Options are those of `classify`. Raises pydantic.ValidationError when the request is not one.
        """
        request = AnswerRequest(
            document=_reference(document),
            questions=[questions] if isinstance(questions, str) else list(questions),
            pages=pages,
            external_id=external_id,
            metadata=metadata or {},
            callback=_callback(callback),
        )
        return Handle(self._send(ANSWER, request, priority, task_id, ignore_result), AnswerResult)

    def correct(
        self,
        label: str,
        *,
        by: str,
        task_id: str | None = None,
        document: str | DocumentReference | None = None,
        class_set: str | None = None,
        note: str | None = None,
        callback: Callback | dict[str, str] | None = None,
    ) -> Handle[CorrectResult]:
        """Say what a document really is, by an earlier request's task id or by the document itself."""
        request = CorrectRequest(
            document=None if document is None else _reference(document),
            task_id=task_id,
            label=label,
            class_set=class_set,
            by=by,
            note=note,
            callback=_callback(callback),
        )
        return Handle(self._send(CORRECT, request, "urgent", None, False), CorrectResult)

    def retrain(
        self,
        class_set: str | None = None,
        *,
        captions: CaptionsFile | None = None,
        overrides: dict[str, Any] | None = None,
        task_id: str | None = None,
        callback: Callback | dict[str, str] | None = None,
        ignore_result: bool = False,
    ) -> Handle[RetrainResult]:
        """Have a class set learn from its labels. The handle's `progress` tells how far that is."""
        request = RetrainRequest(
            class_set=class_set, captions=captions, overrides=overrides or {}, callback=_callback(callback)
        )
        return Handle(self._send(RETRAIN, request, "normal", task_id, ignore_result), RetrainResult)

    def handle(self, task_id: str, result_type: type[ResultT]) -> Handle[ResultT]:
        """A request that was sent earlier, be it by another process: `client.handle(task_id, ClassifyResult)`.

        Whether there ever was one cannot be told: until it ends it is not ready.
        """
        return Handle(self._app.AsyncResult(task_id), result_type)

    def _send(self, name: str, request: Wire, priority: str, task_id: str | None, ignore_result: bool) -> Any:
        payload = request.model_dump(mode="json", exclude_defaults=True)
        headers: dict[str, Any] = {"sent_at": time.time()}
        if isinstance(tenant := payload.get("metadata", {}).get("tenant"), str):
            headers["tenant"] = tenant
        headers |= _trace()
        return self._app.send_task(
            name,
            kwargs=payload,
            headers=headers,
            # What monitors show of the request: its fields, and nothing that stands in them.
            argsrepr="",
            kwargsrepr=", ".join(payload),
            queue=QUEUES[name],
            # Redis makes a queue of the first message in it.
            declare=[],
            priority=PRIORITIES[priority],
            task_id=task_id,
            ignore_result=ignore_result,
        )


def _trace() -> dict[str, str]:
    """The sender's place in its trace, where it traces by OpenTelemetry: as W3C's `traceparent`."""
    if "opentelemetry.trace" not in sys.modules:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    found: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(found)
    return {name: value for name, value in found.items() if name == "traceparent"}


def _reference(document: str | DocumentReference) -> DocumentReference:
    return document if isinstance(document, DocumentReference) else DocumentReference(uri=document)


def _callback(callback: Callback | dict[str, str] | None) -> Callback | None:
    return callback if callback is None else Callback.model_validate(callback)


def _plain(classes: Sequence[str] | dict[str, str] | None) -> list[str] | dict[str, str] | None:
    return classes if classes is None or isinstance(classes, dict) else list(classes)
