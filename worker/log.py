"""Logs: one JSON object a line on standard error, ours and the libraries' alike, with no document content in them."""

import logging
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer


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
                # Local variables would put document content into the log.
                structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    for chatty in ("celery", "sentence_transformers"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL)
