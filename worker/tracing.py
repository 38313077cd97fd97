"""What a task went through, for OpenTelemetry: from its sending to its commit, where the settings say who is told."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from core.errors import IntakeError, RejectedInput
from core.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

_OFF: Final = nullcontext()
_NANOSECONDS: Final = 1e9

_tracer: "Tracer | None" = None


@contextmanager
def traced(settings: Settings, node: str) -> Iterator[None]:
    """Within the block, what this process does is sent to `tracing.endpoint`; without one nothing is, and nothing of
    OpenTelemetry is imported.

    Raises RejectedInput(`no_tracing`) where it is not installed.
    """
    global _tracer  # noqa: PLW0603 - of a process there is one, as there is one log
    endpoint = settings.tracing.endpoint
    if endpoint is None:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise RejectedInput(
            "no_tracing",
            "tracing.endpoint is set, but OpenTelemetry is not installed: pip install 'docintake[tracing]'",
        ) from error
    provider = TracerProvider(
        resource=Resource.create({"service.name": "docintake", "service.instance.id": node}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
    _tracer = provider.get_tracer("docintake")
    try:
        yield
    finally:
        _tracer = None
        provider.shutdown()


def span(name: str) -> AbstractContextManager[object]:
    """A stage of the task that this thread is at."""
    return _OFF if _tracer is None else _stage(_tracer, name)


@contextmanager
def task(name: str, task_id: str, parent: str | None, queued: float | None) -> Iterator[str | None]:
    """One start of a task, from when it was sent, `queued` seconds ago; gives the id of its trace, none where nobody
    traces. `parent` is its sender's place in a trace, as W3C's `traceparent` says it.
    """
    if _tracer is None:
        yield None
        return
    from opentelemetry.trace import SpanKind

    now = time.time_ns()
    sent = now - round((queued or 0) * _NANOSECONDS)
    with _tracer.start_as_current_span(
        name,
        _context_of(parent),
        SpanKind.CONSUMER,
        {"docintake.task_id": task_id},
        start_time=sent,
        record_exception=False,
        set_status_on_exception=False,
    ) as whole:
        if queued is not None:
            _tracer.start_span("queued", start_time=sent).end(now)
        with _judged(whole):
            yield f"{whole.get_span_context().trace_id:032x}"


def name_document(document_id: str) -> None:
    """Say of the stage at hand which document it is about."""
    if _tracer is not None:
        from opentelemetry.trace import get_current_span

        get_current_span().set_attribute("docintake.document_id", document_id)


def place() -> str | None:
    """Where in its trace this thread is, as W3C's `traceparent` says it."""
    if _tracer is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def _context_of(parent: str | None) -> "Context":
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({} if parent is None else {"traceparent": parent})


@contextmanager
def _stage(tracer: "Tracer", name: str) -> Iterator[None]:
    with (
        tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as stage,
        _judged(stage),
    ):
        yield


@contextmanager
def _judged(stage: "Span") -> Iterator[None]:
    """What an exception says may be private: only its code or kind is told."""
    from opentelemetry.trace import Status, StatusCode

    try:
        yield
    except BaseException as error:
        code = error.code if isinstance(error, IntakeError) else type(error).__name__
        stage.set_status(Status(StatusCode.ERROR, code))
        raise
