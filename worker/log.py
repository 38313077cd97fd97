"""Logs: one JSON object a line on standard error, ours and the libraries' alike, with no document content in them."""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog
from structlog.typing import ExcInfo

from core.errors import IntakeError

_DOCUMENT: Final = "document_id"
_CONSUMER: Final = "celery.worker.consumer.consumer"


def configure_log(level: int = logging.INFO) -> None:
    """Set up this process's log. Celery's own line per task is left out: it would print results."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(_outline),
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    for chatty in ("celery", "multiprocessing"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # Celery's pool of processes keeps this one to itself.
    logging.getLogger("multiprocessing").handlers[:] = [handler]
    logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL)
    logging.getLogger(_CONSUMER).addFilter(_without_message)
    from celery import signals

    # Celery, which would set levels and handlers of its own, leaves logging alone where somebody listens to this.
    signals.setup_logging.connect(_leave_logging_alone)


@contextmanager
def about_task(task_id: str, trace_id: str | None = None) -> Iterator[None]:
    """Within the block, every line that this thread writes says which task it is about; and which document, once that
    is known, and which trace, where there is one.
    """
    known = {"task_id": task_id} if trace_id is None else {"task_id": task_id, "trace_id": trace_id}
    with structlog.contextvars.bound_contextvars(**known):
        try:
            yield
        finally:
            structlog.contextvars.unbind_contextvars(_DOCUMENT)


def name_document(document_id: str) -> None:
    """Have the lines about the task at hand say which document it is about."""
    structlog.contextvars.bind_contextvars(**{_DOCUMENT: document_id})


def configure_console() -> None:
    """Set up the log of a command that people look at: warnings alone, on standard error, as readable lines."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            # Not in structlog's own way, which would show what is in the variables.
            structlog.processors.ExceptionRenderer(_in_lines),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        # Where standard error is by then: a command may be one of several that a process runs, each with its own.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )


def _in_lines(exc_info: ExcInfo) -> str:
    """`_outline` for people."""
    return "\n".join(
        f"  {found['type']}{': ' if 'says' in found else ''}{found.get('says', '')}, at {' > '.join(found['frames'])}"
        for found in _outline(exc_info)
    )


def _leave_logging_alone(**_: Any) -> None:
    """Nothing to do: see above."""


def _outline(exc_info: ExcInfo) -> list[dict[str, Any]]:
    """An exception and its causes, the outermost first: what, where, and what it says only where that is ours.

    What a library says may quote what it was given: a document, a row, an address with its password.
    """
    outlines: list[dict[str, Any]] = []
    error: BaseException | None = exc_info[1]
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        outline: dict[str, Any] = {
            "type": f"{type(error).__module__}.{type(error).__qualname__}",
            "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
        }
        if isinstance(error, IntakeError):
            outline["says"] = str(error)
        outlines.append(outline)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return outlines


def _without_message(record: logging.LogRecord) -> bool:
    """Celery prints a message that it cannot use: keep what it says of it, less the message.

    A task that this node does not know is lost: no level is too high for that.
    """
    summary = str(record.msg).partition("\n")[0]
    if summary.startswith("Received unregistered task"):
        record.levelno, record.levelname = logging.CRITICAL, "CRITICAL"
    if "body" in str(record.msg):
        named = summary.endswith("%s.")
        record.msg = summary if named else summary.partition("%")[0].rstrip(": ")
        record.args = record.args[:1] if named and isinstance(record.args, tuple) else ()
    return True
