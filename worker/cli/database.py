"""The database as a command sees it: the settings' own, or the one that `docintake up` runs on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from core.settings import Settings


@contextmanager
def opened(context: typer.Context) -> "Iterator[tuple[Settings, Engine]]":
    """The settings and a small engine, closed when the command ends.

    Raises RejectedInput: what `locate` says when no server runs, and `not_migrated` when a table is missing.
    """
    from sqlalchemy.exc import ProgrammingError

    from core.errors import RejectedInput
    from core.settings import Settings
    from db.session import make_engine
    from worker.embedded import locate

    settings = locate(Settings.load(context.obj))
    url = settings.database.url
    engine = make_engine(
        url.get_secret_value() if url else "", statement_timeout=settings.database.statement_timeout, pool_size=1
    )
    try:
        yield settings, engine
    except ProgrammingError as error:
        if getattr(error.orig, "pgcode", None) not in _MISSING:
            raise
        raise RejectedInput(
            "not_migrated", "the database lacks tables of this version; `docintake db upgrade` makes them"
        ) from error
    finally:
        engine.dispose()


_MISSING = ("42P01", "42703")
"""SQLSTATE of a table and of a column that is not there."""
