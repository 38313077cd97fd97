"""A client, and a node whose documents may be as bad as they say."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from deadly import __file__ as deadly
from node import Node, disconnect
from sqlalchemy import Engine
from world import Kept

from core.class_set import ClassSet, DocumentClass
from core.contract import IntakeClient
from core.settings import Node as NodeSettings
from core.settings import Reading, Settings
from db.session import transaction
from worker import class_sets


@pytest.fixture
def client(settings: Settings, database: Engine) -> Iterator[IntakeClient]:
    assert settings.broker.url
    with transaction(database) as connection:
        classes = tuple(DocumentClass(name=name, description=f"a {name}") for name in ("receipt", "letter"))
        class_sets.import_draft(connection, ClassSet(name="intake", classes=classes))
        class_sets.publish(connection, "intake")
    client = IntakeClient(settings.broker.url.get_secret_value(), key_prefix=settings.broker.key_prefix)
    yield client
    disconnect(client)


@pytest.fixture
def node(settings: Settings, tmp_path: Path) -> Iterator[Kept]:
    settings = settings.model_copy(
        update={
            "broker": settings.broker.model_copy(update={"visibility_timeout": 3, "restore_interval": 0.5}),
            "reading": Reading(processes=1),
            "node": NodeSettings(concurrency=5, retry_delay=0.3),
        }
    )
    program = [deadly]
    kept = Kept("node", lambda run: Node(settings, tmp_path, program=run), program)
    yield kept
    kept.process.__exit__()
