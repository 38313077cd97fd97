"""Connections to PostgreSQL: one bounded pool a process, and one place that says which of its errors pass."""

import json
import re
import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from core.errors import TransientFailure

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_PASSING_CLASSES: Final = ("08", "40", "53")
"""Connection lost; transaction rolled back (deadlock, serialization); out of resources (too many connections…)."""
_PASSING_STATES: Final = ("25006", "55P03", "57014", "57P01", "57P02", "57P03", "57P05")
"""Read-only while failing over; lock not available; statement timeout; the server shut down, crashed, is starting
up, or ended an idle session."""
_NOT_PERMITTED: Final = "42501"

UNAVAILABLE: Final = "database_unavailable"
"""Code of the TransientFailure that stands for every error here that is likely to pass."""
REFUSED: Final = "database_refused"
"""Code of the one that passes as soon as somebody gives this user the right that it lacks."""

STATEMENTS: Final = 4
"""Connections for single statements, each of which has one for less than a millisecond."""
_STATEMENTS: Final = "docintake_statements"

_ADVICE: Final = (
    ("certificate verify failed", "sslrootcert must name the CA that signed the server's certificate"),
    ("does not match host name", "connect by a name that stands in the server's certificate"),
    ("root certificate file", "sslrootcert must name a readable file with the CA's certificate"),
    ("valid client certificate", "sslcert and sslkey must name a certificate that the server accepts, and its key"),
    ("certificate required", "sslcert and sslkey must name a certificate that the server accepts, and its key"),
    ("no encryption", "the server takes encrypted connections alone: sslmode=verify-full&sslrootcert=… in the URL"),
    ("server does not support SSL", "turn `ssl` on in postgresql.conf, or have the line encrypted by other means"),
    ("private key file", "sslkey must name a key that its owner alone can read"),
    ("password authentication failed", "check user and password in DOCINTAKE_DATABASE__URL"),
)
"""What libpq says of a connection that it could not make, in part → what to do."""


def make_engine(url: str, *, statement_timeout: float, pool_size: int) -> Engine:
    """A pool of at most `pool_size` connections for transactions, and one of at most `STATEMENTS` for single
    statements, all looked at before use; opened when first needed.

    No statement takes longer than `statement_timeout` seconds, nobody waits longer for a free connection, and a
    server that vanished from the network is noticed within half a minute. Errors list no statement's parameters.
    """
    parts = make_url(url)
    if parts.drivername in ("postgres", "postgresql"):
        parts = parts.set(drivername="postgresql+psycopg2")

    def pool(size: int, **options: Any) -> Engine:
        engine = create_engine(
            parts,
            pool_size=size,
            max_overflow=0,
            pool_timeout=statement_timeout,
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
            **options,
        )

        def look(connection: Any, _record: object, _proxy: object) -> None:
            # The server says so when it ends a session, and closes the line: only then is there something to read
            # from one that is idle. SQLAlchemy's own check asks it each time, at a tenth of what a task costs.
            line = select.poll()
            line.register(connection, select.POLLIN)
            if not line.poll(0):
                return
            try:
                engine.dialect.do_ping(connection)
            except engine.dialect.loaded_dbapi.Error as error:
                raise DisconnectionError("the server ended the session") from error

        event.listen(engine, "checkout", look)
        return engine

    statements = pool(min(pool_size, STATEMENTS), isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)
    engine = pool(pool_size, execution_options={_STATEMENTS: statements})
    event.listen(engine, "engine_disposed", lambda _engine: statements.dispose())
    return engine


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction, committed when the block ends and rolled back when it raises.

    Raises TransientFailure: `UNAVAILABLE` for what is likely to pass: a lost or refused connection, no free one, a
    statement timeout, a deadlock, a serialization failure; `REFUSED` where the user lacks a right. Other database
    errors are faults of ours and stay as they are.
    """
    with _sorted_out(engine), engine.begin() as connection:
        yield connection


@contextmanager
def statement(engine: Engine) -> Iterator[Connection]:
    """A connection for one statement that is a transaction by itself, at a third of the messages to the server: there
    is no BEGIN and no COMMIT. Raises what `transaction` raises.
    """
    statements: Engine = engine.get_execution_options()[_STATEMENTS]
    with _sorted_out(engine), statements.connect() as connection:
        yield connection


@contextmanager
def _sorted_out(engine: Engine) -> Iterator[None]:
    """Tell the errors that are likely to pass from those that are not."""
    try:
        yield
    except PoolTimeout as error:
        raise TransientFailure(
            UNAVAILABLE, "every database connection of this process is in use; try again"
        ) from error
    except DBAPIError as error:
        if _sqlstate(error) == _NOT_PERMITTED:
            raise TransientFailure(
                REFUSED,
                f"PostgreSQL refuses its user {engine.url.username}: {_said(error)}; use one whose role may do that, "
                "as in docs/access.md, or have `docintake db roles` run if none may",
            ) from error
        if not _passes(error):
            raise
        raise TransientFailure(UNAVAILABLE, f"PostgreSQL {_what_happened(error)}") from error


def _what_happened(error: DBAPIError) -> str:
    state = _sqlstate(error)
    if state is not None:
        return f"gave up (SQLSTATE {state}); try again, and look into its log if this lasts"
    # What libpq says by itself is about the connection, and holds neither statements nor passwords.
    said = _said(error)
    advice = next((advice for part, advice in _ADVICE if part in said), "")
    return f"cannot be reached: {said}; {advice or 'try again, and look into its log if this lasts'}"


def _said(error: DBAPIError) -> str:
    """The message alone, on one line."""
    diagnosis = getattr(error.orig, "diag", None)
    return " ".join(str(getattr(diagnosis, "message_primary", None) or error.orig).split())


def _passes(error: DBAPIError) -> bool:
    state = _sqlstate(error)
    if state is None:
        # psycopg2 gives no SQLSTATE for what the server did not say: the connection was refused, lost or closed.
        return error.connection_invalidated or isinstance(error, OperationalError)
    return error.connection_invalidated or state.startswith(_PASSING_CLASSES) or state in _PASSING_STATES


def _sqlstate(error: DBAPIError) -> str | None:
    state: str | None = getattr(error.orig, "pgcode", None)
    return state


_JSON: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
# An escaped NUL: its backslash is not itself escaped.
_NUL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def _to_json(value: Any) -> str:
    # A damaged text layer yields NULs and lone surrogates, which PostgreSQL keeps in no text.
    text = _JSON.encode(value)
    if r"\u0000" in text:
        text = _NUL.sub(r"\1\\ufffd", text)
    return text.encode("utf-8", "replace").decode()
