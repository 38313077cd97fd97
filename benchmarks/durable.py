"""What it costs that nothing is lost: whole nodes on documents that are known, beside one whose task does nothing."""

import hashlib
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from celery import Celery
from sqlalchemy import NullPool, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks.contender import CeleryServer, environment_of, plain_app, prepare, rate, settings_of
from core.contract import CLASSIFY
from core.settings import Settings
from db.session import make_engine
from samples import CLASSES, render
from worker.app import make_app
from worker.embedded import Embedded

IN_FLIGHT: Final = 32
SECONDS: Final = 3.0
ROUNDS: Final = 5
EMPTY: Final = "empty"
NODES: Final = ("ours", EMPTY, "straightforward", "connecting")
"""Ours; the same node with a task that does nothing; one that opens a session and commits three times a task; and one
that connects for it."""


def rates(folder: Path) -> dict[str, Any]:
    """Tasks a second of each node, in turn, and their processor's time; medians of the rounds, and their spread."""
    paths = [folder / f"{name}.pdf" for name in CLASSES]
    for path in paths:
        path.write_bytes(render(path.stem, 1).pdf)
    uris = [path.as_uri() for path in paths]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in NODES}
    with ExitStack() as stack:
        nodes = stack.enter_context(_nodes(folder, uris))
        for node in nodes.values():
            node.drive(IN_FLIGHT, 0.5)
            node.halt()
        for _ in range(ROUNDS):
            for name, node in nodes.items():
                node.go_on()
                before = node.processor_seconds()
                times = node.drive(IN_FLIGHT, SECONDS)
                spent = node.processor_seconds() - before
                found[name].append((rate(times, IN_FLIGHT), 1000 * spent / (len(times) + IN_FLIGHT - 1)))
                node.halt()
    figures: dict[str, Any] = {}
    for name, rounds in found.items():
        figures[f"{name}, tasks/s"] = statistics.median(each for each, _ in rounds)
        figures[f"{name}, processor ms a task"] = statistics.median(each for _, each in rounds)
    for name in NODES[1:]:
        ratios = [mine / other for (mine, _), (other, _) in zip(found["ours"], found[name], strict=True)]
        figures[f"ours to {name}"] = statistics.median(ratios)
        figures[f"ours to {name}, spread"] = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return figures


@contextmanager
def _nodes(folder: Path, uris: list[str]) -> Iterator[dict[str, CeleryServer]]:
    with ExitStack() as stack:
        addresses = stack.enter_context(Embedded(folder / "durable"))
        prepare(addresses)
        engine = make_engine(addresses.database_url, statement_timeout=60, pool_size=1)
        _Table.metadata.create_all(engine)
        engine.dispose()
        nodes = {}
        for name in NODES:
            environment = environment_of(name, folder, addresses) | {
                "DOCINTAKE_MODEL__BACKEND": "fake",
                "DOCINTAKE_READING__PROCESSES": "1",
            }
            settings = settings_of(environment)
            node = CeleryServer(
                ["worker", "worker"] if name == "ours" else ["benchmarks.durable", name],
                make_app(settings) if name in ("ours", EMPTY) else _app(settings),
                lambda app, number, name=name: _send(app, name, uris[number % len(uris)]),
                folder / f"durable-{name}.log",
                environment,
            )
            stack.callback(node.end)
            nodes[name] = node
        yield nodes


def _send(app: Celery, name: str, uri: str) -> str:
    if name == "ours":
        return str(app.send_task(CLASSIFY, kwargs={"document": {"uri": uri}}).id)
    return str(app.send_task(name, [uri], queue="classify").id)


class _Table(DeclarativeBase):
    pass


class _Job(_Table):
    __tablename__ = "straightforward_jobs"

    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    finished_at: Mapped[datetime | None]


class _File(_Table):
    __tablename__ = "straightforward_files"

    sha256: Mapped[str] = mapped_column(primary_key=True)


class _Result(_Table):
    __tablename__ = "straightforward_results"

    id: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str]
    prediction: Mapped[str]


def _app(settings: Settings) -> Celery:
    """The usual one, with events as ours sends them."""
    app = plain_app(settings)
    app.conf.update(
        task_track_started=True,
        worker_send_task_events=True,
        worker_pool="threads",
        worker_concurrency=settings.node.concurrency,
    )
    return app


def _serve(name: str) -> None:
    settings = Settings.load()
    if name == EMPTY:
        app = make_app(settings)
        app.task(_nothing, name=EMPTY)
    else:
        app = _app(settings)
        _make_task(app, name, settings)
    app.Worker(hostname=f"{name}@localhost", queues="classify", without_mingle=True, quiet=True).start()


def _nothing(_uri: str) -> dict[str, str]:
    return {}


def _make_task(app: Celery, name: str, settings: Settings) -> None:
    assert settings.database.url is not None  # noqa: S101 - the environment has it
    url = settings.database.url.get_secret_value().replace("postgresql://", "postgresql+psycopg2://")
    pool = {"poolclass": NullPool} if name == "connecting" else {"pool_size": settings.node.concurrency}
    engine = create_engine(url, **pool)  # type: ignore[arg-type] # of several types

    def classify(task: Any, uri: str) -> dict[str, str]:
        with Session(engine) as session:
            job = _Job(id=task.request.id, state="started")
            session.add(job)
            session.commit()
            content = Path(unquote(urlsplit(uri).path)).read_bytes()
            session.merge(_File(sha256=hashlib.sha256(content).hexdigest()))
            session.commit()
            session.add(_Result(id=job.id, sha256=hashlib.sha256(content).hexdigest(), prediction="invoice"))
            job.state, job.finished_at = "succeeded", datetime.now(UTC).replace(tzinfo=None)
            session.commit()
            return {"prediction": "invoice"}

    app.task(classify, name=name, bind=True)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
