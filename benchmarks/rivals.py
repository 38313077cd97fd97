"""Whole servers on the same scans: ours, and the ways in which this is usually built."""

import io
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from celery import Celery, signals
from PIL import Image

from benchmarks.contender import PATIENCE, CeleryServer, Server, environment_of, plain_app, prepare, settings_of
from core.backends import make_backend
from core.class_set import ClassSet
from core.classify import Classifier
from core.contract import CLASSIFY
from core.features import features_of
from core.picture import Raster
from core.recognition import Recognizer
from core.settings import Model, Settings, Thresholds
from samples import CLASSES, render, wear
from worker.app import make_app
from worker.embedded import Embedded
from worker.stack import CLASSES as CLASS_SETS

LONE: Final = 5
CROWD: Final = 20
IN_FLIGHT: Final = 8
TAUGHT: Final = 8
"""Examples of each class that the way of paperless-ngx learns from; ours is shown none."""
OURS, PREFORK, PAPERLESS, LITSERVE = "ours", "a pipeline in a prefork task", "paperless-ngx's way", "LitServe"

Ask = Callable[[Path], str]
"""A file → what it is."""


def rivals(folder: Path) -> dict[str, Any]:
    """Of each server: documents a second with several in flight, seconds that a lone one takes, memory, and the share
    of documents that it says right.
    """
    figures: dict[str, Any] = {}
    if shutil.which("tesseract") is None:
        figures[PAPERLESS] = "missing: apt install tesseract-ocr"
    if find_spec("litserve") is None:
        figures[LITSERVE] = "missing: pip install -c constraints.txt -e '.[bench]'"
    with Embedded(folder / "rivals") as addresses, ExitStack() as stack:
        prepare(addresses)
        servers: dict[str, Any] = {}
        for name in (OURS, PREFORK, PAPERLESS):
            if name in figures:
                continue
            environment = environment_of(name.replace(" ", "-"), folder, addresses)
            settings = settings_of(environment)
            server = CeleryServer(
                ["worker", "worker"] if name == OURS else ["benchmarks.rivals", name],
                make_app(settings) if name == OURS else plain_app(settings),
                lambda *_: "",
                folder / f"{name}.log",
                environment,
            )
            stack.callback(server.end)
            servers[name] = (server, partial(_by_celery, server, name))
        if LITSERVE not in figures:
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = probe.getsockname()[1]
            web = Server(["benchmarks.litserve_node", "pipeline", str(port)], folder / "litserve.log")
            stack.callback(web.end)
            servers[LITSERVE] = (web, partial(_by_http, f"http://127.0.0.1:{port}"))
        for _, ask in servers.values():
            ask(_scans(folder, 0, 2), 2)
        for server, _ in servers.values():
            server.halt()
        for turn, (name, (server, ask)) in enumerate(servers.items(), start=1):
            server.go_on()
            lone, crowd = _scans(folder, 10 * turn, LONE), _scans(folder, 10 * turn + 1, CROWD)
            times, _ = ask(lone, 1)
            begun = time.perf_counter()
            together, said = ask(crowd, IN_FLIGHT)
            seconds = time.perf_counter() - begun
            figures[f"{name}: documents/s with {IN_FLIGHT} in flight"] = len(crowd) / seconds
            figures[f"{name}: seconds, alone"] = statistics.median(times)
            figures[f"{name}: seconds, with {IN_FLIGHT} in flight, 95th percentile"] = statistics.quantiles(
                together, n=20
            )[-1]
            figures[f"{name}: MiB"] = server.resident() / 2**20
            right = [file.stem.split("-")[0] == answer for file, answer in zip(crowd, said, strict=True)]
            figures[f"{name}: right"] = statistics.fmean(right)
            server.halt()
        for server, _ in servers.values():
            server.go_on()
    return figures


def _scans(folder: Path, turn: int, count: int) -> list[Path]:
    """Scans that nobody has seen, named after what they are."""
    files = []
    for number in range(count):
        name, seed = list(CLASSES)[(7 * number) % len(CLASSES)], 10_000 + 100 * turn + number
        path = folder / f"{name}-{seed}.jpg"
        wear.scanned(render(name, seed), seed).images[0].convert("RGB").save(path, quality=85)
        files.append(path)
    return files


def _by_celery(
    server: CeleryServer, name: str, files: Sequence[Path], in_flight: int
) -> tuple[list[float], list[str]]:
    waiting = iter(files)

    def send(app: Celery, _number: int) -> str:
        file = next(waiting)
        if name == OURS:
            return str(app.send_task(CLASSIFY, kwargs={"document": {"uri": file.as_uri()}}).id)
        return str(app.send_task(_TASK, [str(file)]).id)

    server.send_with(send)
    results = server.drive_all(len(files), in_flight)
    said = [str(result["prediction"] if name == OURS else result) for result in results]
    return server.latencies, said


def _by_http(url: str, files: Sequence[Path], in_flight: int) -> tuple[list[float], list[str]]:
    import requests

    def ask(file: Path) -> tuple[float, str]:
        begun = time.perf_counter()
        while True:
            try:
                answer = requests.post(f"{url}/predict", json={"file": str(file)}, timeout=300)
            except requests.ConnectionError:
                # It is not up yet.
                if time.perf_counter() - begun > PATIENCE:
                    raise
                time.sleep(0.2)
                continue
            answer.raise_for_status()
            return time.perf_counter() - begun, answer.json()["class"]

    with ThreadPoolExecutor(in_flight) as pool:
        answers = list(pool.map(ask, files))
    return [seconds for seconds, _ in answers], [said for _, said in answers]


def pipeline() -> Ask:
    """Our own reading, encoding and deciding, called one by one in the process that serves."""
    recognizer, backend = Recognizer(), make_backend(Model())
    backend.load("cpu")
    classifier = Classifier(backend.zero_shot(ClassSet.from_yaml(CLASS_SETS / "intake.yaml"), backend.encode_texts))

    def ask(file: Path) -> str:
        image = Image.open(file).convert("RGB")
        page = recognizer.page(1, Raster(np.asarray(image), *image.size))
        (vectors,) = backend.encode_documents([backend.prepare(page)])
        return str(classifier.decide([(1, features_of(page, vectors))], Thresholds()).prediction)

    return ask


def _paperless() -> Ask:
    """Tesseract's text, word counts, a perceptron of one layer: what paperless-ngx sorts by."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.neural_network import MLPClassifier

    labels = [name for name in CLASSES for _ in range(TAUGHT)]
    texts = [_text_of(render(name, 100 + number).pdf) for name in CLASSES for number in range(TAUGHT)]
    counter = CountVectorizer(analyzer="word", ngram_range=(1, 2), min_df=0.01)
    learned = MLPClassifier(tol=0.01, random_state=0).fit(counter.fit_transform(texts), labels)

    def ask(file: Path) -> str:
        read = subprocess.run(  # noqa: S603 - a file of ours
            ["tesseract", str(file), "-"],  # noqa: S607 - as the machine has it
            check=True,
            capture_output=True,
            text=True,
            env={"OMP_THREAD_LIMIT": "1", "PATH": "/usr/bin:/usr/local/bin"},
        )
        return str(learned.predict(counter.transform([read.stdout]))[0])

    return ask


def _text_of(pdf: bytes) -> str:
    import pypdfium2

    with pypdfium2.PdfDocument(io.BytesIO(pdf)) as document:
        return str(document[0].get_textpage().get_text_range())


_TASK: Final = "classify"


def _serve(name: str) -> None:
    """A node of Celery's usual kind, a process a core."""
    app, made = plain_app(Settings.load()), list[Ask]()
    make = _paperless if name == PAPERLESS else pipeline
    signals.worker_process_init.connect(lambda **_: made.append(make()), weak=False)

    def classify(file: str) -> str:
        return made[0](Path(file))

    app.task(classify, name=_TASK)
    app.Worker(hostname="rival@here", queues="classify", without_mingle=True, quiet=True).start()


if __name__ == "__main__":
    _serve(sys.argv[1])
