"""What the queue costs beside the work itself, and what a second node adds."""

import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from benchmarks.contender import CeleryServer, environment_of, prepare, rate, settings_of
from core.backends import make_backend
from core.class_set import ClassSet
from core.classify import Classifier
from core.contract import CLASSIFY, DocumentReference
from core.documents import fetch
from core.features import features_of
from core.reading import Reader
from core.settings import Settings, Thresholds
from samples import CLASSES, render, wear
from worker.app import make_app
from worker.embedded import Embedded
from worker.stack import CLASSES as CLASS_SETS

ROUNDS: Final = 2
SCANS: Final = 8
PDFS: Final = 40
NODES: Final = (1, 2, 4)
STEP: Final = 0.1
"""Seconds of a page on the simulated device."""
SECONDS: Final = 6.0
AT_ONCE: Final = 16
"""Documents in flight, through the queue and without it."""


def overhead(folder: Path) -> dict[str, Any]:
    """Documents a second through Celery, Redis and PostgreSQL ÷ those of the bare loop that reads, encodes and
    decides, on the same cores; new documents each time, in turn.
    """
    figures: dict[str, Any] = {}
    with Embedded(folder / "queueing") as addresses:
        environment = environment_of("queueing", folder, addresses)
        settings = Settings.load()
        settings = settings.model_copy(
            update={"documents": settings.documents.model_copy(update={"roots": (str(folder),)})}
        )
        prepare(addresses)
        app = make_app(settings_of(environment))
        node = CeleryServer(["worker", "worker"], app, lambda *_: "", folder / "queueing.log", environment)
        try:
            bare = _Bare(settings)
            for kind, count in (("scans", SCANS), ("PDFs with a text layer", PDFS)):
                ratios, alone = list[float](), list[float]()
                for turn in range(ROUNDS + 1):
                    first, second = (_documents(folder, kind, count, 2 * turn + half) for half in (0, 1))
                    node.halt()
                    without = count / _seconds(lambda uris=first: bare.run(uris))
                    node.go_on()
                    through = count / _seconds(lambda uris=second: _through(node, uris))
                    # The first turn warms both up.
                    if turn:
                        ratios.append(through / without)
                        alone.append(without)
                figures[f"{kind}: through the queue, of the bare loop"] = statistics.median(ratios)
                figures[f"{kind}: spread"] = f"{min(ratios):.2f} to {max(ratios):.2f}"
                figures[f"{kind}: bare loop, documents/s"] = statistics.median(alone)
            bare.close()
        finally:
            node.end()
    return figures


def nodes(folder: Path) -> dict[str, Any]:
    """Documents a second of one, two and four nodes, each with a simulated device that is the limit."""
    found: dict[int, float] = {}
    with Embedded(folder / "nodes") as addresses, ExitStack() as stack:
        prepare(addresses)
        environment = environment_of("nodes", folder, addresses) | {
            "DOCINTAKE_MODEL__BACKEND": "fake",
            "DOCINTAKE_MODEL__MAX_BATCH": "1",
            "DOCINTAKE_READING__PROCESSES": "1",
        }
        fresh = _fresh(folder)
        servers: list[CeleryServer] = []
        for count in NODES:
            while len(servers) < count:
                server = CeleryServer(
                    ["benchmarks.queueing", f"node{len(servers)}@here"],
                    make_app(settings_of(environment)),
                    lambda app, _number: str(app.send_task(CLASSIFY, kwargs={"document": {"uri": next(fresh)}}).id),
                    folder / f"node{len(servers)}.log",
                    environment,
                )
                stack.callback(server.end)
                servers.append(server)
            in_flight = AT_ONCE * count
            while len(servers[0].app.control.ping(timeout=1.0)) < count:
                time.sleep(0.2)
            servers[0].drive(in_flight, 1.0)
            times = servers[0].drive(in_flight, SECONDS)
            found[count] = rate(times, in_flight)
    figures: dict[str, Any] = {"one device's best, documents/s": 1 / STEP}
    for count in NODES:
        figures[f"{count} nodes, documents/s"] = found[count]
        figures[f"{count} nodes, of {count} times one"] = found[count] / found[1] / count
    return figures


class _Bare:
    """Reading, encoding and deciding, with neither queue nor database."""

    def __init__(self, settings: Settings) -> None:
        self._limits = settings.documents
        self._pages = settings.documents.pages
        self._reader = Reader(settings.reading, settings.documents)
        self._backend = make_backend(settings.model)
        self._backend.load(settings.model.device)
        class_set = ClassSet.from_yaml(CLASS_SETS / "intake.yaml")
        self._classifier = Classifier(self._backend.zero_shot(class_set, self._backend.encode_texts))
        self._device = ThreadPoolExecutor(1)
        self._pool = ThreadPoolExecutor(AT_ONCE)

    def run(self, uris: Sequence[str]) -> None:
        list(self._pool.map(self._one, uris))

    def close(self) -> None:
        self._pool.shutdown()
        self._device.shutdown()
        self._reader.close()

    def _one(self, uri: str) -> None:
        document = fetch(DocumentReference(uri=uri), self._limits)
        read = self._reader.read(document, self._pages)
        prepared = [self._backend.prepare(page) for page in read.pages]
        vectors = self._device.submit(self._backend.encode_documents, prepared).result()
        pages = [(page.number, features_of(page, each)) for page, each in zip(read.pages, vectors, strict=True)]
        self._classifier.decide(pages, Thresholds())


def _through(node: CeleryServer, uris: Sequence[str]) -> None:
    """All of them, so many in flight at a time."""
    waiting = iter(uris)
    node.send_with(lambda app, _number: str(app.send_task(CLASSIFY, kwargs={"document": {"uri": next(waiting)}}).id))
    node.drive_all(len(uris), AT_ONCE)


def _documents(folder: Path, kind: str, count: int, turn: int) -> list[str]:
    """URIs of documents that nobody has seen."""
    uris = []
    for number in range(count):
        name, seed = list(CLASSES)[number % len(CLASSES)], 1000 * turn + number
        paper = render(name, seed)
        if kind == "scans":
            path = folder / f"{turn}-{number}.jpg"
            wear.scanned(paper, seed).images[0].convert("RGB").save(path, quality=85)
        else:
            path = folder / f"{turn}-{number}.pdf"
            path.write_bytes(paper.pdf)
        uris.append(path.as_uri())
    return uris


def _fresh(folder: Path) -> Iterator[str]:
    """URIs of documents that nobody has seen: bytes after its end change nothing about a PDF."""
    pdf, number = render("letter", 1).pdf, 0
    while True:
        path = folder / f"fresh-{number}.pdf"
        path.write_bytes(pdf + f"\n%{number}\n".encode())
        number += 1
        yield path.as_uri()


def _seconds(work: Any) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _serve(name: str) -> None:
    """A node of ours whose device is busy with each page for `STEP`, and the processor free meanwhile."""
    from core.backends.fake import Fake

    encode = Fake.encode_documents

    def slow(self: Fake, batch: Sequence[Any]) -> Any:
        time.sleep(STEP * len(batch))
        return encode(self, batch)

    Fake.encode_documents = slow  # type: ignore[method-assign] # of this process alone
    make_app(Settings.load()).Worker(hostname=name, queues="classify", without_mingle=True, quiet=True).start()


if __name__ == "__main__":
    _serve(sys.argv[1])
