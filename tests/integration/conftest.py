"""The command line in this process, documents that were classified earlier, and a runtime as a node holds it."""

import gc
import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr
from serving import Classified, Cli, Serve, Serving
from sqlalchemy import Engine
from typer.testing import CliRunner

from core.backends.fake import Fake
from core.classify import Classifier
from core.contract import CLASSIFY, ClassifyResult, DocumentInfo, IntakeClient, PageResult
from core.descriptions import Descriptions
from core.features import features_of
from core.page import Line, Page
from core.settings import Broker, Database, Documents, Model, Node, Reading, Settings, Thresholds
from db import queries
from db.session import transaction
from worker import class_sets
from worker.cli.main import app
from worker.runtime import Runtime, encoder_of


@pytest.fixture(autouse=True)
def clients_of_commands(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have commands leave no line to Redis, which they leave to their process's end: Python, when it collects them,
    may find the socket first, and warns in whatever test that is.
    """
    made: list[IntakeClient] = []

    def make(*args: Any, **options: Any) -> IntakeClient:
        made.append(IntakeClient(*args, **options))
        return made[-1]

    monkeypatch.setattr("core.contract.IntakeClient", make)
    yield
    if made:
        # Results that are collected later would connect anew to take their leave.
        gc.collect()
    for client in made:
        client._app.backend.result_consumer.stop()
        client._app.backend.client.connection_pool.disconnect()


@pytest.fixture
def cli(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run `docintake` with these words, on the test's servers; errors come back as `exception`."""
    assert settings.broker.url
    assert settings.database.url
    environment = {
        "BROKER__URL": settings.broker.url.get_secret_value(),
        "BROKER__KEY_PREFIX": settings.broker.key_prefix,
        "DATABASE__URL": settings.database.url.get_secret_value(),
        "MODEL__BACKEND": settings.model.backend,
        "DATA_DIR": str(settings.data_dir),
        "DOCUMENTS__ROOTS": f'["{settings.documents.roots[0]}"]',
    }
    for name, value in environment.items():
        monkeypatch.setenv(f"DOCINTAKE_{name}", value)
    # Wide enough that nothing is broken into two lines.
    monkeypatch.setenv("COLUMNS", "250")
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def classified(database: Engine) -> Classified:
    """Keep a one-page document with that text as a node would have: classified by the set's published version.

    Returns the document's id. Without `encoder` its features are those of the `fake` backend.
    """

    def keep(text: str, class_set: str = "papers", encoder: str | None = None, uri: str | None = None) -> str:
        backend = Fake()
        lines = tuple(
            Line(line, (50.0, 40.0 * row, 500.0, 40.0 * row + 20))
            for row, line in enumerate(text.splitlines(), start=1)
        )
        page = Page(1, 850, 1100, "text_layer", lines)
        features = features_of(page, backend.encode_documents([backend.prepare(page)])[0])
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        with transaction(database) as connection:
            version = class_sets.find(connection, class_set)
            classifier = Classifier(Descriptions.build(class_sets.read(connection, version), backend.encode_texts))
            decision = classifier.decide([(1, features)], Thresholds())
            queries.start_job(
                connection, task_id=f"job-{sha256[:8]}", task=CLASSIFY, request={}, external_id=None, node="test"
            )
            queries.put_document(
                connection, sha256=sha256, media_type="application/pdf", page_count=1, size=len(text), uri=uri
            )
            queries.put_features(
                connection, sha256, encoder_of(backend) if encoder is None else encoder, {1: features.to_bytes()}
            )
            result = ClassifyResult(
                task_id=f"job-{sha256[:8]}",
                document=DocumentInfo(document_id=sha256, media_type="application/pdf", page_count=1),
                status=decision.status,
                reasons=list(decision.reasons),
                prediction=decision.prediction,
                confidence=decision.confidence,
                probabilities=decision.probabilities,
                pages=[
                    PageResult(
                        number=1,
                        source="text_layer",
                        prediction=decision.prediction,
                        confidence=decision.confidence,
                    )
                ],
                class_set=class_set,
                class_set_version=version.number,
                backend="fake",
                checkpoint=None,
                cached=False,
                seconds={},
            )
            queries.put_classification(connection, result, version.id)
            queries.finish_job(connection, task_id=result.task_id, state="succeeded", seconds={})
        return sha256

    return keep


@pytest.fixture(scope="module")
def serve(
    fresh_database: Callable[[], AbstractContextManager[str]],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Serve:
    """Entering it, with sections of settings, opens a runtime on a database and an inbox of its own."""

    @contextmanager
    def opened(**sections: BaseModel) -> Iterator[Serving]:
        inbox = tmp_path_factory.mktemp("inbox")
        with fresh_database() as url:
            settings = Settings(
                data_dir=tmp_path_factory.mktemp("data"),
                broker=Broker(url=SecretStr(redis_url)),
                database=Database(url=SecretStr(url)),
                documents=Documents(roots=(str(inbox),)),
                reading=Reading(processes=1),
                **{"node": Node(concurrency=4, class_refresh=0.2), **sections},
            )
            with closing(Runtime(settings, "test-node")) as runtime:
                yield Serving(runtime, inbox, runtime.engine)

    return opened


@pytest.fixture(scope="module")
def serving(serve: Serve) -> Iterator[Serving]:
    """One runtime for a whole module, with the class set `intake`: receipts and letters."""
    node = Node(concurrency=4, max_attempts=3, max_retries=2, class_refresh=0.2)
    with serve(model=Model(backend="fake"), node=node) as serving:
        serving.publish("intake", receipt="a shop's receipt for goods paid", letter="a letter to a person")
        yield serving
