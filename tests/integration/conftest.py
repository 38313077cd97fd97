"""The command line in this process, and documents that were classified earlier."""

import hashlib
from collections.abc import Callable

import pytest
from click.testing import Result
from sqlalchemy import Engine
from typer.testing import CliRunner

from core.backends.fake import Fake
from core.classify import Classifier
from core.contract import CLASSIFY, ClassifyResult, DocumentInfo, PageResult
from core.features import features_of
from core.page import Line, Page
from core.settings import Settings, Thresholds
from db import queries
from db.session import transaction
from worker import class_sets
from worker.cli.main import app
from worker.runtime import encoder_of

Cli = Callable[..., Result]
Classified = Callable[..., str]


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
            classifier = Classifier.build(class_sets.read(connection, version), backend.encode_texts)
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
