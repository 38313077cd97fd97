"""The database as a command sees it: the configured one, or the one that `docintake up` runs on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from core.settings import Settings

_MISSING: Final = ("42P01", "42703")
"""SQLSTATE of a table and of a column that is not there."""


@contextmanager
def opened(context: typer.Context) -> "Iterator[tuple[Settings, Engine]]":
    """The settings and a small engine, closed when the command ends.

    Raises TransientFailure when no server runs, RejectedInput(`not_migrated`) when a table is missing.
    """
    from core.settings import Settings
    from worker.embedded import locate

    settings = locate(Settings.load(context.obj))
    with connected(settings) as engine:
        yield settings, engine


@contextmanager
def connected(settings: "Settings") -> "Iterator[Engine]":
    """An engine for located settings; as `opened`."""
    from sqlalchemy.exc import ProgrammingError

    from core.errors import RejectedInput
    from db.session import make_engine

    url = settings.database.url
    engine = make_engine(
        url.get_secret_value() if url else "", statement_timeout=settings.database.statement_timeout, pool_size=1
    )
    try:
        yield engine
    except ProgrammingError as error:
        if getattr(error.orig, "pgcode", None) not in _MISSING:
            raise
        raise RejectedInput(
            "not_migrated", "the database lacks tables of this version; `docintake db upgrade` makes them"
        ) from error
    finally:
        engine.dispose()
