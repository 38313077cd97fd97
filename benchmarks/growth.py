"""What grows with classes, with history, with labels, and with the rows of the database; and what does not."""

import gc
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from core.backends.fake import Fake
from core.class_set import ClassSet, DocumentClass
from core.classify import Classifier
from core.contract import IntakeClient
from core.features import Features, features_of
from core.genres import genres
from core.page import Line, Page
from core.reading import READER
from core.settings import Settings, Thresholds
from db import migrations, queries
from db.session import make_engine, transaction
from samples import render
from samples.archive import CLASS_SET, fill
from worker.class_sets import replay
from worker.embedded import Embedded
from worker.runtime import encoder_of
from worker.stack import Stack

CLASSES: Final = (10, 100, 1_000, 10_000)
DOCUMENTS: Final = 100_000
"""Of the history that is decided on anew."""
RESULTS: Final = 1_000_000
"""Of the database that has served for long."""
ASKED: Final = 300


def classes() -> dict[str, Any]:
    """Milliseconds of processor to decide about a page whose features are known, by the number of classes."""
    backend, chance = Fake(), random.Random(1)  # noqa: S311 - no secret
    pages = [_page(chance, backend) for _ in range(50)]
    figures: dict[str, Any] = {}
    for count in CLASSES:
        begun = time.process_time()
        classifier = Classifier(backend.zero_shot(_classes(chance, count), backend.encode_texts))
        built = time.process_time() - begun
        spent = _median(lambda page, classifier=classifier: classifier.decide([(1, page)], Thresholds()), pages)
        figures[f"{count} classes, ms"] = 1000 * spent
        figures[f"{count} classes, seconds to load"] = built
    figures["1,000 classes to 10"] = figures["1000 classes, ms"] / figures["10 classes, ms"]
    return figures


def history(folder: Path) -> dict[str, Any]:
    """Seconds in which every stored document is decided on anew, by another class set."""
    backend, chance = Fake(), random.Random(1)  # noqa: S311 - no secret
    features = _page(chance, backend)
    with Embedded(folder / "history") as addresses:
        engine = make_engine(addresses.database_url, statement_timeout=600, pool_size=1)
        migrations.upgrade(engine)
        with transaction(engine) as connection:
            fill(connection, DOCUMENTS, reader=READER, encoder=encoder_of(backend), features=features.to_bytes())
        with transaction(engine) as connection:
            version = queries.published_version(connection, CLASS_SET)
            assert version is not None  # noqa: S101 - the history has one
            classifier = Classifier(backend.zero_shot(_classes(chance, 20), backend.encode_texts))
            begun = time.perf_counter()
            found = replay(connection, version, classifier, Thresholds(), encoder_of(backend))
            seconds = time.perf_counter() - begun
        engine.dispose()
    documents = found.unchanged + len(found.moved)
    return {
        "documents": documents,
        "seconds": seconds,
        "seconds for 100,000": seconds * 100_000 / documents,
    }


def rows(folder: Path) -> dict[str, Any]:
    """Milliseconds from enqueue to result of a known document, with an empty database and with one that has a million
    results; in turn, so that a noisy hour is both's.
    """
    path = folder / "asked.pdf"
    path.write_bytes(render("invoice", 1).pdf)
    settings = Settings.load()
    settings = settings.model_copy(
        update={
            "model": settings.model.model_copy(update={"backend": "fake"}),
            "documents": settings.documents.model_copy(update={"roots": (str(folder),)}),
            "schedule": settings.schedule.model_copy(update={"retrain": "disable", "purge": "disable"}),
        }
    )
    worlds = {"empty": 0, "full": RESULTS}
    config = folder / "rows.yaml"
    config.write_text("model: {backend: fake}\nschedule: {retrain: disable, purge: disable}\n", encoding="utf-8")
    times: dict[str, list[float]] = {}
    figures: dict[str, Any] = {}
    with_stacks = {
        name: Stack(settings.model_copy(update={"data_dir": folder / f"rows-{name}"}), config, lambda _line: None)
        for name in worlds
    }
    with with_stacks["empty"] as empty, with_stacks["full"] as full:
        for stack, count in ((empty, 0), (full, RESULTS)):
            if count:
                database = stack.settings.database.url
                assert database is not None  # noqa: S101 - the stack fills it in
                engine = make_engine(database.get_secret_value(), statement_timeout=3600, pool_size=1)
                begun = time.perf_counter()
                with transaction(engine) as connection:
                    fill(connection, count, reader=READER, encoder="history", features=b"history")
                figures["seconds to fill"] = time.perf_counter() - begun
                engine.dispose()
        clients = {"empty": _client(empty), "full": _client(full)}
        for client in clients.values():
            client.classify(path.as_uri()).get(timeout=120)
        for _ in range(ASKED):
            for name, client in clients.items():
                begun = time.perf_counter()
                client.classify(path.as_uri()).get(timeout=60)
                times.setdefault(name, []).append(1000 * (time.perf_counter() - begun))
        clients.clear()
        # Celery's results take leave of Redis when they are collected: while it is still there.
        gc.collect()
    for name, found in times.items():
        figures[f"{name}, ms"] = statistics.median(found)
        figures[f"{name}, 95th percentile, ms"] = statistics.quantiles(found, n=20)[-1]
    return figures | {"full to empty": figures["full, ms"] / figures["empty, ms"]}


def _client(stack: Stack) -> IntakeClient:
    broker = stack.settings.broker.url
    assert broker is not None  # noqa: S101 - the stack fills it in
    return IntakeClient(broker.get_secret_value())


def _words() -> list[str]:
    return sorted({word for genre in genres() for word in genre.sample.split() if word.isalpha()})


def _classes(chance: random.Random, count: int) -> ClassSet:
    words = _words()
    return ClassSet(
        name="made-up",
        classes=tuple(
            DocumentClass(name=f"class {number}", description=f"{' '.join(chance.choices(words, k=8))}.")
            for number in range(count)
        ),
    )


def _page(chance: random.Random, backend: Fake) -> Features:
    words = _words()
    lines = tuple(
        Line(" ".join(chance.choices(words, k=8)), (50.0, 24.0 * row, 500.0, 24.0 * row + 16)) for row in range(1, 41)
    )
    page = Page(1, 850, 1100, "text_layer", lines)
    return features_of(page, backend.encode_documents([backend.prepare(page)])[0])


def _median(work: Callable[[Features], object], pages: Sequence[Features]) -> float:
    """Seconds of processor that it takes for one of the pages."""
    spent = []
    for page in pages:
        begun = time.process_time()
        work(page)
        spent.append(time.process_time() - begun)
    return statistics.median(spent)
