"""What grows with classes, with history, with labels, and with the rows of the database; and what does not."""

import gc
import hashlib
import multiprocessing
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from pydantic import SecretStr
from sqlalchemy import Connection, insert
from threadpoolctl import threadpool_limits

from core.backends.fake import DIMENSIONS, Fake
from core.class_set import ClassSet, DocumentClass
from core.classify import Classifier
from core.contract import IntakeClient
from core.features import Features, features_of
from core.genres import genres
from core.page import Line, Page
from core.reading import READER
from core.settings import Settings, Thresholds, Training
from core.training.dataset import Dataset
from db import migrations, models, queries
from db.session import make_engine, transaction
from samples import render
from samples.archive import CLASS_SET, fill
from worker import class_sets, job
from worker.embedded import Embedded
from worker.examples import gather
from worker.runtime import Runtime, encoder_of
from worker.stack import Stack
from worker.tasks import CLASSIFY_JOB

CLASSES: Final = (10, 100, 1_000, 10_000)
TOP: Final = 5
"""Classes that a result lists."""
TURNS: Final = 9
KNOWN: Final = 200
"""Turns of the task about a known document."""
DOCUMENTS: Final = 100_000
"""Of the history that is decided on anew."""
LABELS: Final = (100, 1_000, 10_000)
EPOCHS: Final = 3
"""Of the rehearsal, and as many at most of the training after it."""
RESULTS: Final = 1_000_000
"""Of the database that has served for long."""
ASKED: Final = 300


def classes(folder: Path) -> dict[str, Any]:
    """Milliseconds of processor to decide about a page whose features are known, by the number of classes; and of all
    that a node does for a known document, Celery aside.
    """
    backend, chance = Fake(), random.Random(1)  # noqa: S311 - no secret
    pages = [_page(chance, backend) for _ in range(50)]
    figures: dict[str, Any] = {}
    # As in every process of docintake.
    with threadpool_limits(1, user_api="blas"):
        classifiers: dict[int, Classifier] = {}
        for count in CLASSES:
            begun = time.process_time()
            classifiers[count] = Classifier(backend.zero_shot(_classes(chance, count), backend.encode_texts))
            figures[f"{count} classes, seconds to load"] = time.process_time() - begun
        # In turn, so that a noisy minute is all of theirs.
        spent: dict[int, list[float]] = {count: [] for count in CLASSES}
        for _ in range(TURNS):
            for count, classifier in classifiers.items():
                decide = partial(_decide, classifier)
                spent[count].append(1000 * _median(decide, pages))
        figures |= {f"{count} classes, ms": statistics.median(own) for count, own in spent.items()}
        figures |= _tasks(folder)
    figures["1,000 classes to 10"] = figures["1000 classes, ms"] / figures["10 classes, ms"]
    figures["1,000 classes to 10, whole task"] = figures["1000 classes, task, ms"] / figures["10 classes, task, ms"]
    return figures


def _decide(classifier: Classifier, page: Features) -> None:
    classifier.decide([(1, page)], Thresholds(), TOP)


def _tasks(folder: Path) -> dict[str, float]:
    """Milliseconds of processor of the job about a known document, with 10 classes and with 1,000, in turn."""
    path = folder / "known.pdf"
    path.write_bytes(render("invoice", 1).pdf)
    settings = Settings.load()
    times: dict[int, list[float]] = {}
    with Embedded(folder / "tasks") as addresses:
        engine = make_engine(addresses.database_url, statement_timeout=60, pool_size=1)
        migrations.upgrade(engine)
        with transaction(engine) as connection:
            for count in (10, 1_000):
                class_set = _classes(random.Random(1), count)  # noqa: S311 - no secret
                class_sets.import_draft(connection, class_set.model_copy(update={"name": str(count)}))
                class_sets.publish(connection, str(count))
        engine.dispose()
        runtime = Runtime(
            settings.model_copy(
                update={
                    "data_dir": folder / "node",
                    "model": settings.model.model_copy(update={"backend": "fake"}),
                    "documents": settings.documents.model_copy(update={"roots": (str(folder),)}),
                    "database": settings.database.model_copy(update={"url": SecretStr(addresses.database_url)}),
                }
            ),
            "benchmark",
        )
        for turn in range(KNOWN):
            for count in (10, 1_000):
                request = {"document": {"uri": path.as_uri()}, "class_set": str(count)}
                begun = time.process_time()
                job.run(runtime, CLASSIFY_JOB, f"{count} {turn}", request)
                times.setdefault(count, []).append(1000 * (time.process_time() - begun))
        runtime.close()
    return {f"{count} classes, task, ms": statistics.median(own) for count, own in times.items()}


def history(folder: Path) -> dict[str, Any]:
    """Seconds that `docintake classes replay` takes to decide anew on every stored document, by a draft of 20
    classes, on all cores and on one of them: on the clock, and of processor without PostgreSQL's.
    """
    backend, chance = Fake(), random.Random(1)  # noqa: S311 - no secret
    features = _page(chance, backend)
    config = folder / "history.yaml"
    config.write_text("model: {backend: fake}\n", encoding="utf-8")
    figures: dict[str, Any] = {}
    with Embedded(folder / "history") as addresses:
        engine = make_engine(addresses.database_url, statement_timeout=600, pool_size=1)
        migrations.upgrade(engine)
        with transaction(engine) as connection:
            fill(connection, DOCUMENTS, reader=READER, encoder=encoder_of(backend), features=features.to_bytes())
            documents = queries.count_classifications(connection, CLASS_SET)
            class_sets.import_draft(connection, _classes(chance, 20).model_copy(update={"name": CLASS_SET}))
        engine.dispose()
        servers = {
            "DOCINTAKE_DATABASE__URL": addresses.database_url,
            "DOCINTAKE_BROKER__URL": addresses.redis_url,
        }
        all_cores = os.sched_getaffinity(0)
        for cores in ({min(all_cores)}, all_cores):
            os.sched_setaffinity(0, cores)
            begun, before = time.perf_counter(), os.times()
            subprocess.run(  # noqa: S603 - our own module
                [sys.executable, "-m", "worker", "--config", str(config), "classes", "replay", CLASS_SET],
                env=os.environ | servers,
                stdout=subprocess.DEVNULL,
                check=True,
            )
            after = os.times()
            of_processor = sum(after[2:4]) - sum(before[2:4])
            for what, seconds in (("", time.perf_counter() - begun), (" of processor", of_processor)):
                figures[f"{len(cores)} cores, seconds{what} for 100,000"] = seconds * 100_000 / documents
        os.sched_setaffinity(0, all_cores)
    return {"documents": documents, **figures}


def labels(folder: Path) -> dict[str, Any]:
    """Seconds of processor to learn from labelled documents whose features are kept, and the memory that it takes."""
    figures: dict[str, Any] = {}
    for count in LABELS:
        # In a process of its own: the most memory that it ever had is then this run's.
        with (
            Embedded(folder / f"labels-{count}") as addresses,
            ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process,
        ):
            found = process.submit(_learn, addresses.database_url, folder, count).result()
        figures |= {f"{count} labels, {what}": value for what, value in found.items()}
    for what in ("seconds to collect", "seconds an epoch", "seconds to learn"):
        fewer, more = (figures[f"{count} labels, {what}"] / count for count in LABELS[-2:])
        figures[f"{what}, of a label among {LABELS[-1]:,} to one among {LABELS[-2]:,}"] = more / fewer
    return figures


def _learn(database_url: str, folder: Path, count: int) -> dict[str, float]:
    # torch: only for those who train.
    from core.training.lesson import Subject, learn

    settings = Settings.load()
    settings = settings.model_copy(
        update={
            "data_dir": folder,
            "model": settings.model.model_copy(update={"backend": "fake"}),
            "database": settings.database.model_copy(update={"url": SecretStr(database_url)}),
        }
    )
    training = Training(max_samples_per_class=count, epochs=EPOCHS)
    engine = make_engine(database_url, statement_timeout=600, pool_size=1)
    migrations.upgrade(engine)
    class_set = _classes(random.Random(1), 20)  # noqa: S311 - no secret
    with transaction(engine) as connection:
        class_sets.import_draft(connection, class_set)
        class_sets.publish(connection, class_set.name)
        _label(connection, class_set, count)
    engine.dispose()
    with threadpool_limits(1, user_api="blas"):
        runtime = Runtime(settings, "benchmark")
        choice = runtime.catalogue.published(class_set.name)
        with transaction(runtime.engine) as connection:
            said = queries.latest_labels(connection, class_set.name)
        before, times, told = psutil.Process().memory_info().rss, [time.process_time()], list[float]()
        gathered = gather(runtime, said, [], set(class_set.names), training, choice, lambda _done, _total: None)
        times.append(time.process_time())
        lesson = learn(
            Dataset.part(gathered.examples, training),
            Subject(
                class_set=class_set,
                version=1,
                classifier=choice.classifier,
                serving=choice.classifier,
                encode_texts=runtime.encode_texts,
                encoder=runtime.encoder,
            ),
            training,
            skipped={},
            device="cpu",
            state=folder / f"{count}.safetensors",
            report=lambda _progress: told.append(time.process_time()),
        )
        times.append(time.process_time())
        runtime.close()
    return {
        "seconds to collect": times[1] - times[0],
        "seconds an epoch": statistics.median(np.diff(told)),
        "seconds to learn": times[2] - times[1],
        "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before / 2**20,
        "accuracy after": lesson.report.after.accuracy or 0.0,
    }


def _label(connection: Connection, class_set: ClassSet, count: int) -> None:
    """Keep so many documents of a page each, with their features and labels: as many of every class."""
    chance, names, encoder = np.random.default_rng(1), class_set.names, encoder_of(Fake())
    printed = chance.integers(0, 2**32, (len(names), 200), dtype=np.uint32)
    anywhere = chance.integers(0, 2**32, 4000, dtype=np.uint32)

    def page(label: int) -> bytes:
        """Some of the words of its class, and many that are on pages of any class."""
        keys = np.union1d(chance.choice(printed[label], 80), chance.choice(anywhere, 400))
        vector = chance.standard_normal(DIMENSIONS, dtype=np.float32)
        prominence = chance.integers(0, 256, len(keys), dtype=np.uint8)
        return Features(vector / np.linalg.norm(vector), keys, prominence, 300).to_bytes()

    for start in range(0, count, 1000):
        numbers = range(start, min(start + 1000, count))
        ids = [hashlib.sha256(f"label {number}".encode()).hexdigest() for number in numbers]
        labels_ = [number % len(names) for number in numbers]
        for model, rows_ in (
            (
                models.Document,
                [{"sha256": id_, "media_type": "application/pdf", "page_count": 1, "size": 1} for id_ in ids],
            ),
            (
                models.Feature,
                [
                    {"sha256": id_, "page": 1, "encoder": encoder, "data": page(label)}
                    for id_, label in zip(ids, labels_, strict=True)
                ],
            ),
            (
                models.Correction,
                [
                    {
                        "sha256": id_,
                        "class_set": class_set.name,
                        "label": names[label],
                        "correction_task_id": id_,
                        "by": "ann",
                    }
                    for id_, label in zip(ids, labels_, strict=True)
                ],
            ),
        ):
            connection.execute(insert(model), rows_)


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
