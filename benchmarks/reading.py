"""Reading a page: our recogniser against RapidOCR's own call, in one process, on one thread, on the same pages.

In processor time, which other work on the machine disturbs least.
"""

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from rapidocr import RapidOCR

from core.contract import DocumentReference
from core.documents import fetch
from core.picture import Raster
from core.reading import Reader
from core.recognition import Recognizer
from core.settings import Documents, Reading
from samples import CLASSES, render, wear

ROUNDS = 1
PAGES = CLASSES[::4]


def against_rapidocr() -> dict[str, Any]:
    """Seconds a page, ours and RapidOCR's, as the median of their ratios over a few worn pages."""
    ours = Recognizer()
    rapid = RapidOCR(
        params={
            "Global.log_level": "critical",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
    ratios, mine, theirs = [], [], []
    for seed, name in enumerate(PAGES):
        image = wear.scanned(render(name, seed), seed).images[0].convert("RGB")
        pixels = np.asarray(image)
        a, b = [], []
        for _ in range(ROUNDS):
            a.append(_seconds(lambda pixels=pixels, image=image: ours.page(1, Raster(pixels, *image.size))))
            b.append(_seconds(lambda pixels=pixels: rapid(np.ascontiguousarray(pixels[:, :, ::-1]))))
        mine.append(statistics.median(a))
        theirs.append(statistics.median(b))
        ratios.append(mine[-1] / theirs[-1])
    return {
        "pages": len(ratios),
        "ratio_to_rapidocr": statistics.median(ratios),
        "worst_ratio": max(ratios),
        "seconds_a_page": statistics.median(mine),
        "rapidocr_seconds_a_page": statistics.median(theirs),
    }


def text_layers(folder: Path) -> dict[str, Any]:
    """Wall-clock seconds for a PDF with a text layer, through a reading process of its own."""
    limits = Documents(roots=(str(folder),))
    reader = Reader(Reading(processes=1), limits)
    try:
        seconds = []
        for seed, name in enumerate(CLASSES):
            path = folder / f"{name}.pdf"
            path.write_bytes(render(name, seed).pdf)
            document = fetch(DocumentReference(uri=path.as_uri()), limits)
            reader.read(document, "all")
            start = time.perf_counter()
            read = reader.read(document, "all")
            if all(page.source == "text_layer" for page in read.pages):
                seconds.append(time.perf_counter() - start)
    finally:
        reader.close()
    return {
        "documents": len(CLASSES),
        "text_layer_trusted": len(seconds),
        "median_seconds": statistics.median(seconds),
        "worst_seconds": max(seconds),
    }


def _seconds(work: Any) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
