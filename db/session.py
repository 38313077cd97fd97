"""Connections to PostgreSQL: one bounded pool a process, and one place that says which of its errors pass."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from core.errors import TransientFailure

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_PASSING_CLASSES: Final = ("08", "40", "53")
"""Connection lost; transaction rolled back (deadlock, serialization); out of resources (too many connections…)."""
_PASSING_STATES: Final = ("25006", "55P03", "57014", "57P01", "57P02", "57P03", "57P05")
"""Read-only while failing over; lock not available; statement timeout; the server shut down, crashed, is starting
up, or ended an idle session."""

UNAVAILABLE: Final = "database_unavailable"
"""Code of the TransientFailure that stands for every error here that is likely to pass."""


def make_engine(url: str, *, statement_timeout: float, pool_size: int) -> Engine:
    """A pool of at most `pool_size` connections, checked before use; opened when first needed.

    No statement takes longer than `statement_timeout` seconds, nobody waits longer for a free connection, and a
    server that vanished from the network is noticed within half a minute. Errors list no statement's parameters.
    """
    parts = make_url(url)
    if parts.drivername in ("postgres", "postgresql"):
        parts = parts.set(drivername="postgresql+psycopg2")
    return create_engine(
        parts,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=statement_timeout,
        pool_pre_ping=True,
        hide_parameters=True,
        json_serializer=_to_json,
        connect_args={
            "application_name": "docintake",
            "connect_timeout": 5,
            "options": f"-c statement_timeout={round(statement_timeout * 1000)} -c timezone=UTC",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 25_000,
        },
    )


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction, committed when the block ends and rolled back when it raises.

    Raises TransientFailure(`UNAVAILABLE`) for what is likely to pass: a lost or refused connection, no free
    one, a statement timeout, a deadlock, a serialization failure. Other database errors are faults of ours and stay
    as they are.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except PoolTimeout as error:
        raise TransientFailure(
            UNAVAILABLE, "every database connection of this process is in use; try again"
        ) from error
    except DBAPIError as error:
        if not _passes(error):
            raise
        raise TransientFailure(
            UNAVAILABLE,
            f"PostgreSQL cannot be reached or gave up (SQLSTATE {_sqlstate(error) or 'none'}); try again, and look "
            "into its log if this lasts",
        ) from error


def _passes(error: DBAPIError) -> bool:
    state = _sqlstate(error)
    if state is None:
        # psycopg2 gives no SQLSTATE for what the server did not say: the connection was refused, lost or closed.
        return error.connection_invalidated or isinstance(error, OperationalError)
    return error.connection_invalidated or state.startswith(_PASSING_CLASSES) or state in _PASSING_STATES


def _sqlstate(error: DBAPIError) -> str | None:
    state: str | None = getattr(error.orig, "pgcode", None)
    return state


# An escaped NUL: its backslash is not itself escaped.
_NUL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def _to_json(value: Any) -> str:
    # A damaged text layer yields NULs and lone surrogates, which PostgreSQL keeps in no text.
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _NUL.sub(r"\1\\ufffd", text).encode("utf-8", "replace").decode()
