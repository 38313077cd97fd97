"""Rows in PostgreSQL's binary format, and what becomes of errors while they are sent."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import (
    Engine,
    FunctionElement,
    Integer,
    LargeBinary,
    Text,
    bindparam,
    column,
    func,
    literal_column,
    select,
    values,
)
from sqlalchemy.exc import ProgrammingError

from core.errors import TransientFailure
from db.copy import copied
from db.session import make_engine, transaction


@pytest.fixture
def engine(database: Engine) -> Iterator[Engine]:
    engine = make_engine(database.url.render_as_string(hide_password=False), statement_timeout=1, pool_size=1)
    yield engine
    engine.dispose()


def test_values_are_what_was_kept_byte_by_byte(engine: Engine) -> None:
    table = values(column("said", Text), column("number", Integer), column("data", LargeBinary), name="rows")
    kept = table.data([("a'\n\\%", 1, b"\x00\xff\\"), ("ünï", -2, b""), (None, None, None), ("no", 3, b"no")])
    said = select(kept).where(column("said").is_distinct_from(bindparam("other")))
    with transaction(engine) as connection:
        assert list(copied(connection, said, {"other": "no"})) == [
            (b"a'\n\\%", (1).to_bytes(4), b"\x00\xff\\"),
            ("ünï".encode(), (-2).to_bytes(4, signed=True), b""),
            (None, None, None),
        ]
        assert list(copied(connection, select(kept).where(column("number") > 3), {})) == []


@pytest.mark.parametrize("killed", [func.pg_sleep(30), func.pg_terminate_backend(func.pg_backend_pid())])
def test_one_that_is_cut_off_fails_as_a_statement_does_and_the_next_one_works(
    engine: Engine, killed: FunctionElement[Any]
) -> None:
    with pytest.raises(TransientFailure, match="database_unavailable"), transaction(engine) as connection:
        copied(connection, select(killed), {})
    with transaction(engine) as connection:
        assert list(copied(connection, select(literal_column("'x'")), {})) == [(b"x",)]


def test_what_is_wrong_with_a_statement_stays_as_it_is(engine: Engine) -> None:
    with pytest.raises(ProgrammingError, match="no_such_column"), transaction(engine) as connection:
        copied(connection, select(column("no_such_column")), {})
