"""Rows in PostgreSQL's binary format, in which bytes are bytes: the usual one has two digits for each."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from io import BytesIO
from struct import Struct
from typing import Any, Final

import psycopg2
from sqlalchemy import Compiled, Connection, Dialect, Select
from sqlalchemy.exc import DBAPIError

# https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format": eleven bytes that name it, flags that are
# not set, and the length of an extension that there is none of.
_BEGINNING: Final = 19
_FIELDS: Final = Struct(">h")
_SIZE: Final = Struct(">i")
_END: Final = -1
"""In place of a number of fields; and of a size, where the value is NULL."""


def copied(
    connection: Connection, statement: Select[*tuple[Any, ...]], parameters: Mapping[str, Any]
) -> Iterator[tuple[Any, ...]]:
    """What `connection.execute` finds, with values as they are sent: text in UTF-8, numbers as they are written from
    the big end on. Raises what it raises.
    """
    compiled = _compiled(statement, connection.dialect)
    line: Any = connection.connection.driver_connection
    found = BytesIO()
    try:
        with line.cursor() as cursor:
            asked = cursor.mogrify(str(compiled), compiled.construct_params(dict(parameters))).decode()
            cursor.copy_expert(f"COPY ({asked}) TO STDOUT (FORMAT binary)", found)
    except psycopg2.Error as error:
        raise DBAPIError.instance(
            str(compiled),
            None,
            error,
            psycopg2.Error,
            connection_invalidated=bool(line.closed),
            dialect=connection.dialect,
        ) from error
    return _rows(found.getvalue())


@lru_cache(maxsize=4)
def _compiled(statement: Select[*tuple[Any, ...]], dialect: Dialect) -> Compiled:
    return statement.compile(dialect=dialect)


def _rows(data: bytes) -> Iterator[tuple[Any, ...]]:
    at = _BEGINNING
    while (count := _FIELDS.unpack_from(data, at)[0]) != _END:
        at += _FIELDS.size
        row: list[bytes | None] = []
        for _ in range(count):
            (size,) = _SIZE.unpack_from(data, at)
            at += _SIZE.size
            if size == _END:
                row.append(None)
            else:
                row.append(data[at : at + size])
                at += size
        yield tuple(row)
