"""What tests of integration take from their fixtures, and a runtime and a real node's office to work on."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from click.testing import Result
from printed import pdf
from pydantic import SecretStr
from sqlalchemy import Engine

from core.class_set import ClassSet, DocumentClass
from core.contract import Wire
from core.settings import Broker, Callbacks, Database, Documents, Model, Node, Reading, Settings
from db import queries
from db.session import make_engine, transaction
from worker import class_sets, job
from worker.runtime import Runtime
from worker.tasks import JOBS

Cli = Callable[..., Result]
Classified = Callable[..., str]


@dataclass
class Serving:
    """A runtime as a node holds it, `fake` backend, on a database of its own, and the folder that it may read."""

    runtime: Runtime
    inbox: Path
    database: Engine
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def file(self, *lines: str, pages: int = 1) -> str:
        """The URI of a new PDF that says these lines, and something that no other says, on each page."""
        # Counted, not drawn: which part a document is in for training hangs on its content.
        path = self.inbox / f"{next(self._numbers)}.pdf"
        path.write_bytes(pdf([*lines, f"Number {path.stem}"], pages=pages))
        return path.as_uri()

    def publish(self, name: str, **classes: str) -> int:
        """Put a class set, name → description, into service; returns its version's number."""
        described = tuple(DocumentClass(name=key, description=value) for key, value in classes.items())
        with transaction(self.database) as connection:
            class_sets.import_draft(connection, ClassSet(name=name, classes=described))
            return class_sets.publish(connection, name).now.number

    def job(self, task_id: str) -> queries.Job:
        with transaction(self.database) as connection:
            found = queries.get_job(connection, task_id)
        assert found
        return found

    def run(self, name: str, payload: dict[str, Any], task_id: str | None = None) -> Wire:
        """Run a task as a node does on receiving it."""
        return job.run(self.runtime, JOBS[name], task_id or uuid.uuid4().hex, payload)


Serve = Callable[..., AbstractContextManager[Serving]]


@contextmanager
def fake_office(
    database_url: str, redis_url: str, key_prefix: str, folder: Path
) -> Iterator[tuple[Settings, Engine]]:
    """Settings of a real node with the `fake` backend and a set `intake` of receipts and letters, and its database;
    documents lie in `folder`, data in `folder / "data"`, and outcomes may be sent to the queue `backoffice`.
    """
    settings = Settings(
        data_dir=folder / "data",
        broker=Broker(url=SecretStr(redis_url), key_prefix=key_prefix),
        database=Database(url=SecretStr(database_url)),
        documents=Documents(roots=(str(folder),)),
        reading=Reading(processes=1),
        model=Model(backend="fake"),
        callbacks=Callbacks(queues=("backoffice",)),
        node=Node(concurrency=4, retry_delay=0.2, class_refresh=0.2),
    )
    database = make_engine(database_url, statement_timeout=30, pool_size=2)
    classes = tuple(DocumentClass(name=name, description=f"a {name}") for name in ("receipt", "letter"))
    with transaction(database) as connection:
        class_sets.import_draft(connection, ClassSet(name="intake", classes=classes))
        class_sets.publish(connection, "intake")
    yield settings, database
    database.dispose()
