"""Real servers for the tests: one PostgreSQL and one Redis a session, a fresh database and key prefix a test."""

import gc
import logging
import shutil
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr
from sqlalchemy import Engine, text

from core.settings import Broker, Database, Documents, Model, Reading, Settings
from db import migrations
from db.session import make_engine, transaction
from worker.embedded import Addresses, Embedded

# In the background of a shell it would be ignored, here and in all that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def logged() -> None:
    """As structlog does by itself, whatever a command made of it, but without what is in the variables of a
    traceback: that takes seconds to write.
    """
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=structlog.PrintLoggerFactory(),
    )


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the repository with real documents; tests that need it are skipped without it."""
    folder = Path(__file__).resolve().parent.parent.parent / "shared"
    if not folder.is_dir():
        pytest.skip("there is no ../shared here")
    return folder


@pytest.fixture(scope="session")
def servers() -> Iterator[Addresses]:
    """Servers of the session's own, which forget everything at its end."""
    folder = Path(tempfile.mkdtemp(prefix="docintake-tests-"))
    # Started by root, PostgreSQL runs as nobody, who must come this far.
    folder.chmod(0o755)
    with Embedded(folder / "data", durable=False) as addresses:
        yield addresses
        # Celery's results unsubscribe when they are collected, for which their server must still be there.
        gc.collect()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def redis_url(servers: Addresses) -> str:
    return servers.redis_url


@pytest.fixture(scope="session")
def postgres_url(servers: Addresses) -> str:
    """A database to make others from; its user may do everything."""
    return servers.database_url


@pytest.fixture(scope="session")
def admin(postgres_url: str) -> Iterator[Engine]:
    engine = make_engine(postgres_url, statement_timeout=60, pool_size=1)
    yield engine.execution_options(isolation_level="AUTOCOMMIT")
    engine.dispose()


@pytest.fixture(scope="session")
def migrated(admin: Engine) -> str:
    """Name of a database with every migration applied, to be copied and left alone."""
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE migrated"))
    engine = make_engine(_url_of(admin, "migrated"), statement_timeout=60, pool_size=1)
    migrations.upgrade(engine)
    engine.dispose()
    return "migrated"


FreshDatabase = Callable[[], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def fresh_database(admin: Engine, migrated: str) -> FreshDatabase:
    """Entering it makes a database with all its tables, empty, and gives its URL; after it, nobody is connected.

    A database whose schema is still as it was is emptied and given to the next, at a tenth of what a new one costs.
    """
    empty: list[tuple[str, int]] = []

    def new() -> tuple[str, int]:
        name = f"test_{uuid.uuid4().hex}"
        with admin.connect() as connection:
            # Half of what it costs to have the copy go through the log.
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {migrated} STRATEGY FILE_COPY"))
            return name, connection.execute(text("SELECT txid_current()")).scalar_one()

    @contextmanager
    def fresh() -> Iterator[str]:
        name, made = empty.pop() if empty else new()
        yield _url_of(admin, name)
        if _emptied(admin, name, made):
            empty.append((name, made))
        else:
            with admin.connect() as connection:
                connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))

    return fresh


_EMPTY = text("""
    DO $$
    DECLARE
        stored regclass;
    BEGIN
        SET LOCAL session_replication_role = replica;
        FOR stored IN SELECT oid FROM pg_class
            WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
        LOOP
            EXECUTE format('DELETE FROM %s', stored);
        END LOOP;
        PERFORM setval(oid, 1, false) FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace;
    END $$
""")
_DISCONNECT = text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :name")
_IS_AS_MADE = text("""
    SELECT NOT EXISTS (SELECT FROM pg_class WHERE xmin::text::bigint >= :made)
       AND NOT EXISTS (SELECT FROM pg_attribute WHERE xmin::text::bigint >= :made)
       AND NOT EXISTS (SELECT FROM pg_proc WHERE xmin::text::bigint >= :made)
       AND NOT EXISTS (SELECT FROM pg_namespace WHERE xmin::text::bigint >= :made)
       AND NOT EXISTS (SELECT FROM pg_default_acl WHERE xmin::text::bigint >= :made)
       AND NOT EXISTS (SELECT FROM pg_db_role_setting WHERE xmin::text::bigint >= :made)
       AND (SELECT count(*) FROM alembic_version WHERE xmin::text::bigint < :made) = 1
""")


def _emptied(admin: Engine, name: str, made: int) -> bool:
    """Whether the database is as it was made: its rows are gone, and all who were connected. Else leave it alone."""
    engine = make_engine(_url_of(admin, name), statement_timeout=60, pool_size=1)
    try:
        with admin.connect() as connection:
            connection.execute(_DISCONNECT, {"name": name})
        with transaction(engine) as connection:
            is_as_made: bool = connection.execute(_IS_AS_MADE, {"made": made}).scalar_one()
            if is_as_made:
                connection.execute(_EMPTY)
        return is_as_made
    finally:
        engine.dispose()


@pytest.fixture
def database_url(fresh_database: FreshDatabase) -> Iterator[str]:
    """URL of a fresh database with all its tables, empty."""
    with fresh_database() as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    """An engine on the database of `database_url`."""
    engine = make_engine(database_url, statement_timeout=30, pool_size=5)
    yield engine
    engine.dispose()


@pytest.fixture
def settings(redis_url: str, database_url: str, tmp_path: Path) -> Settings:
    """The `fake` backend on the session's servers; documents come from `tmp_path`."""
    return Settings(
        data_dir=tmp_path / "data",
        broker=Broker(url=SecretStr(redis_url), key_prefix=f"{uuid.uuid4().hex}:"),
        database=Database(url=SecretStr(database_url)),
        documents=Documents(roots=(str(tmp_path),)),
        reading=Reading(processes=1),
        model=Model(backend="fake"),
    )


def _url_of(engine: Engine, name: str) -> str:
    return engine.url.set(database=name).render_as_string(hide_password=False)
