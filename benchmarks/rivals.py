"""Whole servers on the same scans: ours, and the ways in which this is usually built."""

import io
import operator
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
from core.page import Page
from core.picture import Raster
from core.recognition import Recognizer
from core.settings import Model, Settings, Thresholds
from samples import CLASSES, render, wear
from worker.app import make_app
from worker.embedded import Addresses, Embedded
from worker.stack import CLASSES as CLASS_SETS

LOADS: Final = {1: 4, 8: 12, 64: 64}
"""Documents in flight → documents sent."""
_KINDS: Final = (
    "business_card",
    "contract",
    "drivers_license",
    "identity_card",
    "insurance_card",
    "letter",
    "medical_report",
    "passport",
    "receipt",
)
"""Of some 20 lines a page, so that the whole ends within minutes."""
TAUGHT: Final = 8
"""Examples of each class that the way of paperless-ngx learns from; ours is shown none."""
_DPI: Final = 50
"""Their text is what counts, so their pictures may be small."""
BATCH: Final = 4
"""Documents that celery-batches hands to a process at once: with 8 in flight, two processes have work."""
LINGER: Final = 0.05
"""Seconds after which it hands on what there is."""
OURS, PREFORK, BATCHES = "ours", "a pipeline in a prefork task", "celery-batches"
LITSERVE, PAPERLESS = "LitServe", "paperless-ngx's way"
_MODULES: Final = {BATCHES: "celery_batches", LITSERVE: "litserve"}
SERVERS: Final = (OURS, PREFORK, BATCHES, LITSERVE, PAPERLESS)

Ask = Callable[[Sequence[Path]], list[str]]
"""Files → what each is."""
Drive = Callable[[Sequence[Path], int], tuple[list[float], list[str]]]
"""Files, and how many may be in flight → seconds that each took, and what each is."""


def rivals(folder: Path) -> dict[str, Any]:
    """Of each server and load: documents a second, seconds that one takes, the processor's; its memory, and the share
    of documents that it says right.

    All get the same documents, and none of them twice; servers that are not measured are halted.
    """
    figures: dict[str, Any] = _missing()
    right: dict[str, list[bool]] = {}
    with Embedded(folder / "rivals") as addresses, ExitStack() as stack:
        prepare(addresses)
        servers: dict[str, tuple[Server, Drive]] = {}
        for name in SERVERS:
            if name in figures:
                continue
            # One after the other: seven models that load at once take minutes.
            servers[name] = server, drive = _started(name, folder, addresses, stack)
            drive(_scans(folder, 0, 2), 2)
            server.halt()
        for in_flight, count in LOADS.items():
            files = _scans(folder, in_flight, count)
            truths = [file.stem.split("-")[0] for file in files]
            for name, (server, drive) in servers.items():
                server.go_on()
                measured, said = _measured(server, drive, files, in_flight)
                figures |= {f"{name}, {in_flight} in flight: {what}": value for what, value in measured.items()}
                right.setdefault(name, []).extend(map(operator.eq, said, truths))
                figures[f"{name}: right"] = statistics.fmean(right[name])
                figures[f"{name}: MiB"] = server.resident() / 2**20
                server.halt()
        for server, _ in servers.values():
            server.go_on()
    return figures


def _measured(
    server: Server, drive: Drive, files: Sequence[Path], in_flight: int
) -> tuple[dict[str, float], list[str]]:
    """What a server needs for these files, and what it says that they are."""
    before, begun = server.processor_seconds(), time.perf_counter()
    seconds, said = drive(files, in_flight)
    took = time.perf_counter() - begun
    spent = server.processor_seconds() - before
    return {
        "documents/s": len(files) / took,
        "seconds": statistics.median(seconds),
        "seconds, 95th percentile": statistics.quantiles(seconds, n=20, method="inclusive")[-1],
        "processor seconds a document": spent / len(files),
    }, said


def _missing() -> dict[str, Any]:
    """The servers that this machine lacks something for, and what to do about it."""
    bench = "missing: pip install -c constraints.txt -e '.[bench]'"
    return {name: bench for name, module in _MODULES.items() if find_spec(module) is None} | (
        {} if shutil.which("tesseract") else {PAPERLESS: "missing: apt install tesseract-ocr"}
    )


def _started(name: str, folder: Path, addresses: Addresses, stack: ExitStack) -> tuple[Server, Drive]:
    log = folder / f"{name}.log"
    if name == LITSERVE:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        web = Server(["benchmarks.litserve_node", "pipeline", str(port)], log)
        stack.callback(web.end)
        return web, partial(_by_http, f"http://127.0.0.1:{port}")
    environment = environment_of(f"rival{SERVERS.index(name)}", folder, addresses)
    settings = settings_of(environment)
    node = CeleryServer(
        ["worker", "worker"] if name == OURS else ["benchmarks.rivals", name],
        make_app(settings) if name == OURS else plain_app(settings),
        lambda *_: "",
        log,
        environment,
    )
    stack.callback(node.end)
    return node, partial(_by_celery, node, name)


def _scans(folder: Path, turn: int, count: int) -> list[Path]:
    """Scans that nobody has seen, named after what they are."""
    files = []
    for number in range(count):
        name, seed = _KINDS[number % len(_KINDS)], 10_000 + 100 * turn + number
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
    """Our own reading, encoding and deciding, called one after the other in the process that serves."""
    recognizer, backend = Recognizer(), make_backend(Model())
    backend.load("cpu")
    classifier = Classifier(backend.zero_shot(ClassSet.from_yaml(CLASS_SETS / "intake.yaml"), backend.encode_texts))

    def read(file: Path) -> Page:
        image = Image.open(file).convert("RGB")
        return recognizer.page(1, Raster(np.asarray(image), *image.size))

    def ask(files: Sequence[Path]) -> list[str]:
        pages = [read(file) for file in files]
        vectors = backend.encode_documents([backend.prepare(page) for page in pages])
        features = [features_of(*each) for each in zip(pages, vectors, strict=True)]
        return [str(classifier.decide([(1, each)], Thresholds()).prediction) for each in features]

    return ask


def _paperless() -> Ask:
    """Tesseract's text, word counts, a perceptron of one layer: what paperless-ngx sorts by.

    It is spared the PDF that paperless-ngx also makes of each scan.
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.neural_network import MLPClassifier

    labels = [name for name in CLASSES for _ in range(TAUGHT)]
    texts = [_text_of(render(name, 100 + number, _DPI).pdf) for name in CLASSES for number in range(TAUGHT)]
    counter = CountVectorizer(analyzer="word", ngram_range=(1, 2), min_df=0.01)
    learned = MLPClassifier(tol=0.01, random_state=0).fit(counter.fit_transform(texts), labels)

    def ask(files: Sequence[Path]) -> list[str]:
        return [str(each) for each in learned.predict(counter.transform([_tesseract(file) for file in files]))]

    return ask


def _tesseract(file: Path) -> str:
    read = subprocess.run(  # noqa: S603 - a file of ours
        ["tesseract", str(file), "-"],  # noqa: S607 - as the machine has it
        check=True,
        capture_output=True,
        text=True,
    )
    return read.stdout


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

    if name == BATCHES:
        from celery_batches import Batches

        def classify_all(requests: Sequence[Any]) -> None:
            answers = made[0]([Path(request.args[0]) for request in requests])
            for request, answer in zip(requests, answers, strict=True):
                app.backend.mark_as_done(request.id, answer, request=request)

        # As many messages as both processes may have at once: they are acknowledged late.
        app.conf.worker_prefetch_multiplier = BATCH
        app.task(classify_all, name=_TASK, base=Batches, flush_every=BATCH, flush_interval=LINGER)
    else:

        def classify(file: str) -> str:
            return made[0]([Path(file)])[0]

        app.task(classify, name=_TASK)
    app.Worker(hostname="rival@here", queues="classify", without_mingle=True, quiet=True).start()


if __name__ == "__main__":
    _serve(sys.argv[1])
