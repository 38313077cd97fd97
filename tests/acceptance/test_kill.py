"""Whatever is killed under load, each task ends exactly once and every caller is answered.

Real nodes on a real PostgreSQL and Redis, real reading processes; the `fake` backend.
"""

import gc
import shutil
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import pytest
from node import PATIENCE, Node, disconnect, wait_until
from printed import pdf
from pydantic import SecretStr
from sqlalchemy import Engine, text

from core.class_set import ClassSet, DocumentClass
from core.contract import ClassifyResult, Handle, IntakeClient
from core.settings import Broker, Database, Documents, Model, Reading, Settings
from core.settings import Node as NodeSettings
from db import migrations
from db.session import make_engine, transaction
from worker import class_sets
from worker.embedded import Addresses, Embedded

TASKS = 40
SLOTS = 8
"""Tasks in flight in one node."""
VISIBILITY = 8
"""Seconds until a dead node's tasks go to another; longer than a task takes here."""
NEVER = 3600
"""The same where no node dies: nothing may have to wait for it, however slow the machine."""


class Office:
    """A back office with documents that take a while, and the database that the nodes write to."""

    def __init__(self, settings: Settings, folder: Path, database: Engine) -> None:
        assert settings.broker.url
        self.settings = settings
        self.folder = folder
        self.database = database
        self.client = IntakeClient(settings.broker.url.get_secret_value(), key_prefix=settings.broker.key_prefix)

    def node(self, name: str) -> Node:
        return Node(self.settings, self.folder, name)

    def send(self, count: int = TASKS) -> list[Handle[ClassifyResult]]:
        """That many documents, no two alike; their twelve pages each take a tenth of a second or more."""
        handles = []
        for number in range(count):
            file = self.folder / f"{number}.pdf"
            lines = [f"a letter to a dear person in house {row}, street {number}" for row in range(25)]
            file.write_bytes(pdf(lines, pages=12))
            handles.append(self.client.classify(file.as_uri(), pages="all"))
        return handles

    def states(self) -> dict[str, str]:
        with transaction(self.database) as connection:
            return dict(connection.execute(text("SELECT task_id, state FROM jobs")).all())

    def until_under_way(self) -> None:
        """Some tasks have ended, and a node has its hands full."""

        def under_way() -> bool:
            count = Counter(self.states().values())
            return count["succeeded"] >= 2 and count["started"] >= SLOTS // 2

        wait_until(under_way, "tasks in flight")

    def attempts(self) -> int:
        with transaction(self.database) as connection:
            return int(connection.execute(text("SELECT sum(attempts) FROM jobs")).scalar_one())

    def check(self, handles: list[Handle[ClassifyResult]]) -> None:
        """Every caller has its own document's answer, and each task stands in the database exactly once."""
        results = [handle.get(PATIENCE) for handle in handles]
        assert [result.task_id for result in results] == [handle.id for handle in handles]
        assert len({result.document.document_id for result in results}) == len(handles)
        assert self.states() == dict.fromkeys((handle.id for handle in handles), "succeeded")
        with transaction(self.database) as connection:
            rows = connection.execute(text("SELECT task_id, result FROM classifications")).all()
        assert len(rows) == len(handles)
        assert dict(rows) == {result.task_id: result.model_dump(mode="json") for result in results}


@pytest.fixture
def office(
    fresh_database: Callable[[], AbstractContextManager[str]], redis_url: str, tmp_path: Path
) -> Iterator[Office]:
    with fresh_database() as url, office_on(redis_url, url, tmp_path) as office:
        yield office


@pytest.fixture
def patient_office(
    fresh_database: Callable[[], AbstractContextManager[str]], redis_url: str, tmp_path: Path
) -> Iterator[Office]:
    """Its tasks go to another node only when they are handed over."""
    with fresh_database() as url, office_on(redis_url, url, tmp_path, NEVER) as office:
        yield office


@contextmanager
def office_on(redis_url: str, database_url: str, folder: Path, visibility: float = VISIBILITY) -> Iterator[Office]:
    settings = Settings(
        data_dir=folder / "data",
        broker=Broker(
            url=SecretStr(redis_url),
            key_prefix=f"{uuid.uuid4().hex}:",
            visibility_timeout=visibility,
            restore_interval=1,
        ),
        database=Database(url=SecretStr(database_url)),
        documents=Documents(roots=(str(folder),)),
        reading=Reading(processes=2),
        model=Model(backend="fake"),
        node=NodeSettings(concurrency=SLOTS, retry_delay=0.3),
    )
    database = make_engine(database_url, statement_timeout=30, pool_size=2)
    classes = tuple(DocumentClass(name=name, description=f"a {name}") for name in ("receipt", "letter"))
    with transaction(database) as connection:
        class_sets.import_draft(connection, ClassSet(name="intake", classes=classes))
        class_sets.publish(connection, "intake")
    office = Office(settings, folder, database)
    yield office
    disconnect(office.client)
    database.dispose()


def until_gone(processes: list[psutil.Process]) -> None:
    _, left = psutil.wait_procs(processes, timeout=PATIENCE)
    assert not left


def report(**figures: float) -> None:
    """For `pytest -rP`."""
    print(", ".join(f"{name} {figure:g}" for name, figure in figures.items()))


def test_a_node_killed_with_tasks_in_flight_loses_none_and_doubles_none(
    office: Office,
) -> None:
    with office.node("first") as first:
        first.until_ready()
        handles = office.send()
        office.until_under_way()
        readers = first.kill()
        killed = time.monotonic()
        in_flight = Counter(office.states().values())["started"]
        assert in_flight
        until_gone(readers)
    with office.node("second") as second:
        second.until_ready()
        office.check(handles)
        report(
            tasks=TASKS,
            in_flight=in_flight,
            attempts=office.attempts(),
            seconds=round(time.monotonic() - killed, 1),
        )
        assert second.terminate()[0] == 0


def test_a_node_told_to_stop_finishes_what_it_has_and_leaves_the_rest(
    patient_office: Office,
) -> None:
    with patient_office.node("first") as first:
        first.until_ready()
        handles = patient_office.send()
        patient_office.until_under_way()
        readers = first.children()
        status, seconds = first.terminate()
        left = Counter(patient_office.states().values())
        until_gone(readers)
    assert status == 0
    # What it had begun it ended: nothing has to wait for the visibility timeout.
    assert left["started"] == 0
    assert 0 < left["succeeded"] < TASKS
    with patient_office.node("second") as second:
        second.until_ready()
        start = time.monotonic()
        patient_office.check(handles)
        report(tasks=TASKS, stopped_after=round(seconds, 1), attempts=patient_office.attempts())
        assert patient_office.attempts() == TASKS
        assert time.monotonic() - start < PATIENCE
        assert second.terminate()[0] == 0


def test_reading_processes_that_are_killed_harm_nobody(
    patient_office: Office,
) -> None:
    kills = 0
    with patient_office.node("first") as node:
        node.until_ready()
        handles = patient_office.send()
        patient_office.until_under_way()
        # One at a time, and far enough apart that no page meets two of them: that would be held against the page.
        while kills < 3 and not all(handle.ready() for handle in handles):
            node.children()[kills % 2].kill()
            kills += 1
            ended = Counter(patient_office.states().values())["succeeded"]
            wait_until(
                lambda ended=ended: Counter(patient_office.states().values())["succeeded"] >= min(TASKS, ended + 5),  # type: ignore[misc] # bound early
                "five more results",
            )
        patient_office.check(handles)
        report(tasks=TASKS, kills=kills, attempts=patient_office.attempts())
        assert kills == 3
        assert patient_office.attempts() == TASKS
        assert node.terminate()[0] == 0


@pytest.fixture
def servers_of_its_own() -> Iterator[tuple[Path, Embedded, Addresses]]:
    """Servers that a test may kill, and their data folder."""
    folder = Path(tempfile.mkdtemp(prefix="docintake-kill-"))
    folder.chmod(0o755)
    embedded = Embedded(folder / "data")
    with embedded as addresses:
        yield folder / "data", embedded, addresses
        # Celery's results unsubscribe when they are collected, for which their server must still be there.
        gc.collect()
    shutil.rmtree(folder)


# Celery drops its connections to a Redis that went away without closing them.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_redis_killed_under_load_loses_nothing_of_what_it_held(
    servers_of_its_own: tuple[Path, Embedded, Addresses],
    tmp_path: Path,
) -> None:
    data, embedded, addresses = servers_of_its_own
    engine = make_engine(addresses.database_url, statement_timeout=60, pool_size=1)
    migrations.upgrade(engine)
    engine.dispose()
    with office_on(addresses.redis_url, addresses.database_url, tmp_path) as office, office.node("first") as node:
        node.until_ready()
        handles = office.send()
        for _ in range(2):
            office.until_under_way()
            (server,) = [
                process
                for process in psutil.process_iter(["cmdline"])
                if str(data / "redis" / "redis.conf") in (process.info["cmdline"] or [])
            ]
            server.kill()
            time.sleep(0.5)
            assert embedded.start() == addresses
            ended = Counter(office.states().values())["succeeded"]
            wait_until(
                lambda ended=ended: Counter(office.states().values())["succeeded"] >= min(TASKS, ended + 3),  # type: ignore[misc] # bound early
                "results after the restart",
            )
        killed = time.monotonic()
        office.check(handles)
        seconds = round(time.monotonic() - killed, 1)
        report(tasks=TASKS, kills=2, attempts=office.attempts(), seconds=seconds)
        assert node.process.poll() is None
        del handles
