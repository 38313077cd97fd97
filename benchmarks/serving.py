"""What the worker adds: a document seen before, and the queue's own rate."""

import gc
import statistics
import time
from pathlib import Path
from typing import Any

from core.contract import IntakeClient
from core.settings import Settings
from samples import CLASSES, render
from worker.stack import Stack

KNOWN = 200
MANY = 1024


def documents(folder: Path) -> dict[str, Any]:
    """Milliseconds that new PDFs with a text layer and documents seen before take, one at a time."""
    paths = [folder / f"{name}.pdf" for name in CLASSES]
    for path in paths:
        path.write_bytes(render(path.stem, 1).pdf)
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
        figures = _measure(IntakeClient(broker.get_secret_value()), [path.as_uri() for path in paths])
        # Celery's results take leave of Redis when they are collected: while it is still there.
        gc.collect()
        return figures


def _measure(client: IntakeClient, uris: list[str]) -> dict[str, Any]:
    fresh = [client.classify(uri).get(timeout=120) for uri in uris]
    new = [
        1000 * sum(result.seconds.values())
        for result in fresh
        if all(page.source == "text_layer" for page in result.pages)
    ]
    uri, inside, around = uris[0], list[float](), list[float]()
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
        "new_text_pdfs": len(new),
        "new_text_pdf_in_the_worker_ms": statistics.median(new),
        "new_text_pdf_worst_ms": max(new),
        "seen_before_in_the_worker_ms": statistics.median(inside),
        "seen_before_in_the_worker_p95_ms": statistics.quantiles(inside, n=20)[-1],
        "seen_before_enqueue_to_result_ms": statistics.median(around),
        "seen_before_enqueue_to_result_p95_ms": statistics.quantiles(around, n=20)[-1],
        "classify_many_documents_a_second": rate,
    }
