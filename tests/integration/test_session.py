"""Which database errors pass, and how connections are made."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from core.errors import TransientFailure
from db import queries
from db.session import UNAVAILABLE, make_engine, statement, transaction


@pytest.fixture
def engine(database: Engine) -> Iterator[Engine]:
    """An engine with short waits on the test's database."""
    engine = make_engine(database.url.render_as_string(hide_password=False), statement_timeout=1, pool_size=2)
    yield engine
    engine.dispose()


def test_a_block_that_ends_commits_and_one_that_raises_rolls_back(engine: Engine) -> None:
    with transaction(engine) as connection:
        queries.create_class_set(connection, "kept")

    def create_and_fail() -> None:
        with transaction(engine) as connection:
            queries.create_class_set(connection, "lost")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        create_and_fail()
    with transaction(engine) as connection:
        assert [row.name for row in queries.list_class_sets(connection)] == ["kept"]


def test_a_statement_that_takes_too_long_is_a_transient_failure(engine: Engine) -> None:
    with pytest.raises(TransientFailure) as caught, transaction(engine) as connection:
        connection.execute(text("SELECT pg_sleep(30)"))
    assert caught.value.code == "database_unavailable"
    assert "57014" in caught.value.message
    assert isinstance(caught.value.__cause__, DBAPIError)


def test_a_killed_connection_is_a_transient_failure_and_the_next_transaction_works(
    engine: Engine, database: Engine
) -> None:
    def work_while_killed() -> None:
        with transaction(engine) as connection:
            terminate(database, backend(connection))
            queries.ping(connection)

    with pytest.raises(TransientFailure, match="database_unavailable"):
        work_while_killed()
    with transaction(engine) as connection:
        queries.ping(connection)


def test_a_connection_that_died_in_the_pool_is_replaced_unnoticed(engine: Engine, database: Engine) -> None:
    with transaction(engine) as connection:
        first = backend(connection)
    terminate(database, first)
    with transaction(engine) as connection:
        assert backend(connection) != first


def test_a_server_that_is_not_there_is_a_transient_failure() -> None:
    engine = make_engine("postgresql://someone:secret@127.0.0.1:1/none", statement_timeout=1, pool_size=1)
    with pytest.raises(TransientFailure) as caught, transaction(engine):
        pass
    assert caught.value.code == "database_unavailable"
    assert "secret" not in str(caught.value)


def test_a_pool_without_a_free_connection_is_a_transient_failure(engine: Engine) -> None:
    with (
        transaction(engine),
        transaction(engine),
        pytest.raises(TransientFailure, match="every database connection"),
        transaction(engine),
    ):
        pass


def test_a_deadlock_fails_one_side_transiently_and_lets_the_other_through(database: Engine) -> None:
    engine = make_engine(database.url.render_as_string(hide_password=False), statement_timeout=20, pool_size=2)
    with transaction(engine) as connection:
        queries.create_class_set(connection, "a")
        queries.create_class_set(connection, "b")
    both_hold_one = threading.Barrier(2)

    def lock(first: str, second: str) -> bool:
        try:
            with transaction(engine) as connection:
                queries.lock_class_set(connection, first)
                both_hold_one.wait(timeout=30)
                queries.lock_class_set(connection, second)
        except TransientFailure:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(lock, "ab", "ba")) == [False, True]
    engine.dispose()


def test_a_serialization_failure_is_transient(engine: Engine) -> None:
    with transaction(engine) as connection:
        queries.create_class_set(connection, "a")

    def be_overtaken() -> None:
        with transaction(engine) as slow:
            slow.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            queries.list_class_sets(slow)
            with transaction(engine) as quick:
                queries.create_version(quick, "a", "digest")
            queries.create_version(slow, "a", "digest")

    with pytest.raises(TransientFailure, match="40001"):
        be_overtaken()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (lambda c: c.execute(text("SELECT nothing FROM nowhere")), ProgrammingError),
        (lambda c: c.execute(text("INSERT INTO class_sets VALUES (NULL)")), IntegrityError),
        (lambda c: c.execute(text("SELECT 1 / 0")), DBAPIError),
    ],
)
def test_a_fault_of_ours_is_not_transient(
    engine: Engine, fault: Callable[[Connection], object], kind: type[Exception]
) -> None:
    with pytest.raises(kind), transaction(engine) as connection:
        fault(connection)


def test_errors_do_not_list_the_parameters_of_a_statement(engine: Engine) -> None:
    with pytest.raises(DBAPIError) as caught, transaction(engine) as connection:
        connection.execute(text("SELECT CAST(:content AS text), 1 / 0"), {"content": "salary 4711"})
    assert "4711" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_any_way_to_write_the_url_uses_the_same_driver(scheme: str) -> None:
    assert make_engine(f"{scheme}://user@host/name", statement_timeout=1, pool_size=1).driver == "psycopg2"


def test_json_keeps_all_text_but_what_postgresql_has_no_place_for(database: Engine) -> None:
    request = {"nul": "a\0\0b", "escaped": "\\u0000 \\\0", "surrogate": "\ud800", "kept": 'é 漢 😀 "\n\\'}
    with transaction(database) as connection:
        job = queries.start_job(connection, task_id="t", task="x", request=request, external_id=None, node=None)
    assert job is not None
    assert job.request == {
        "nul": "a\ufffd\ufffdb",
        "escaped": "\\u0000 \\\ufffd",
        "surrogate": "?",
        "kept": 'é 漢 😀 "\n\\',
    }


def backend(connection: Connection) -> int:
    pid: int = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    return pid


def terminate(database: Engine, pid: int) -> None:
    with transaction(database) as connection:
        assert connection.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid}).scalar_one()


def test_a_single_statement_is_committed_by_itself_and_its_errors_are_told_apart(engine: Engine) -> None:
    with statement(engine) as connection:
        connection.execute(text("CREATE TABLE noted (id integer)"))
    with statement(engine) as connection:
        connection.execute(text("INSERT INTO noted VALUES (1)"))
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM noted")).scalar_one() == 1
        connection.execute(text("DROP TABLE noted"))
    with pytest.raises(TransientFailure) as caught, statement(engine) as connection:
        connection.execute(text("SELECT pg_sleep(5)"))
    assert caught.value.code == UNAVAILABLE


def test_an_engine_that_is_disposed_of_keeps_no_connection_for_single_statements(
    engine: Engine, database: Engine
) -> None:
    with statement(engine) as connection:
        process = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    engine.dispose()
    alive = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :process")
    deadline = time.monotonic() + 10
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while connection.execute(alive, {"process": process}).scalar_one():
            assert time.monotonic() < deadline
            time.sleep(0.01)
