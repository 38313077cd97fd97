"""What the worker adds: a document seen before, and the queue's own rate."""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from core.contract import IntakeClient
from core.settings import Settings
from samples import render
from worker.stack import Stack

KNOWN = 200
MANY = 1024


def known_documents(folder: Path) -> dict[str, Any]:
    """Milliseconds that a document seen before takes in the worker, and from enqueue to result, one at a time."""
    path = folder / "invoice.pdf"
    path.write_bytes(render("invoice", 1).pdf)
    settings = Settings.load()
    settings = settings.model_copy(
        update={
            "data_dir": folder / "data",
            "documents": settings.documents.model_copy(update={"roots": (str(folder),)}),
        }
    )
    with Stack(settings, None, say=lambda _line: None) as stack:
        broker = stack.settings.broker.url
        assert broker is not None  # noqa: S101 - the stack fills it in
        return _measure(IntakeClient(broker.get_secret_value()), path.as_uri())


def _measure(client: IntakeClient, uri: str) -> dict[str, Any]:
    client.classify(uri).get(timeout=120)
    inside, around = [], []
    for _ in range(KNOWN):
        start = time.perf_counter()
        result = client.classify(uri).get(timeout=60)
        around.append(1000 * (time.perf_counter() - start))
        inside.append(1000 * sum(result.seconds.values()))
    start = time.perf_counter()
    for handle in client.classify_many([uri] * MANY):
        handle.get(timeout=300)
    rate = MANY / (time.perf_counter() - start)
    return {
        "in_the_worker_ms": statistics.median(inside),
        "in_the_worker_p95_ms": statistics.quantiles(inside, n=20)[-1],
        "enqueue_to_result_ms": statistics.median(around),
        "enqueue_to_result_p95_ms": statistics.quantiles(around, n=20)[-1],
        "classify_many_documents_a_second": rate,
    }


def command_line() -> dict[str, Any]:
    """Seconds of `docintake --help`."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "worker", "--help"], check=True, capture_output=True)
    return {"help_seconds": time.perf_counter() - start}
