"""Whether a backend works on this machine: loaded and tried once, with what it is and what it takes."""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from core.backends import Backend, Vectors
from core.errors import IntakeError, ModelFailure
from core.page import Line, Page
from core.picture import Pixels

PAGES: Final = 5
"""Pages that the steady time is the median of, unless they take longer than PATIENCE."""
PATIENCE: Final = 5.0
"""Seconds."""
TEXTS: Final = ("a delivery note", "a letter to a person")
_LINES: Final = ("Delivery note 4711", "Two boxes of paper, white", "Received in good order", "Total 12.50")
_WIDTH: Final = 1000
_HEIGHT: Final = 1414


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found. Times are seconds; `about` is what the backend tells of itself.

    `hardware` is the device by its own name. `memory` is in bytes: what was taken of a GPU at most, else what this
    process holds of the machine's. `warm_up` is a first page and a first text after loading, `page` one page when it
    runs, from pixels or lines to vectors. `page_shape` is (parts, dimensions).
    """

    fingerprint: str
    device: str
    hardware: str
    about: Mapping[str, str]
    memory: int
    load: float
    warm_up: float
    page: float
    page_shape: tuple[int, int]
    text_dimensions: int


def examine(backend: Backend, device: str, say: Callable[[str], None]) -> Examination:
    """Load it on that device as a node would, and have it encode a page of the examination's own and two texts.

    Raises ModelFailure: whatever `load` raises, `model_unusable` where encoding fails, or `wrong_vectors`.
    """
    say("loading")
    start = time.perf_counter()
    backend.load(device)
    loaded = time.perf_counter()
    try:
        say("a first page and a first text")
        sample, pixels = _page()
        encode = partial(_encode, backend, sample, pixels if backend.needs_pixels else None)
        page = encode()
        texts = backend.encode_texts(TEXTS)
        warm = time.perf_counter()
        say("more pages")
        seconds: list[float] = []
        while len(seconds) < PAGES and sum(seconds) < PATIENCE:
            before = time.perf_counter()
            encode()
            seconds.append(time.perf_counter() - before)
        memory, hardware = _memory(backend.device), _hardware(backend.device)
    except IntakeError:
        raise
    except Exception as error:  # torch raises whatever it stumbles over
        raise ModelFailure(
            "model_unusable",
            f"it is loaded on {backend.device}, but cannot encode ({error}): another device or dtype may do, "
            "or less at a time, by model.tiles",
        ) from error
    _check("a page", page, backend)
    _check("texts", texts, backend)
    if backend.shared and page.shape[1] != texts.shape[1]:
        raise _wrong(f"pages have {page.shape[1]} dimensions, and texts {texts.shape[1]}", backend)
    if np.allclose(texts[0], texts[1], atol=1e-4):
        raise _wrong("different texts are the same to it", backend)
    return Examination(
        backend.fingerprint,
        backend.device,
        hardware,
        backend.about(),
        memory,
        load=loaded - start,
        warm_up=warm - loaded,
        page=statistics.median(seconds),
        page_shape=(page.shape[0], page.shape[1]),
        text_dimensions=texts.shape[1],
    )


def _page() -> tuple[Page, Pixels]:
    """A few lines, as text and as bars in their places."""
    boxes = [(100.0, 200.0 * row, 700.0, 200.0 * row + 30) for row in range(1, len(_LINES) + 1)]
    page = Page(1, _WIDTH, _HEIGHT, "text_layer", tuple(map(Line, _LINES, boxes)))
    pixels: Pixels = np.full((_HEIGHT, _WIDTH, 3), 255, dtype=np.uint8)
    for left, top, right, bottom in boxes:
        pixels[int(top) : int(bottom), int(left) : int(right)] = 40
    return page, pixels


def _encode(backend: Backend, page: Page, pixels: Pixels | None) -> Vectors:
    return backend.encode_documents([backend.prepare(page, pixels)])[0]


def _check(what: str, vectors: Vectors, backend: Backend) -> None:
    if not np.isfinite(vectors).all():
        raise _wrong(f"the vectors of {what} are not finite", backend)
    lengths = np.linalg.norm(vectors, axis=-1)
    if not np.allclose(lengths, 1, atol=1e-3):
        far = lengths[np.abs(lengths - 1).argmax()]
        raise _wrong(f"the vectors of {what} have length {far:.3g}, not 1", backend)


def _wrong(fault: str, backend: Backend) -> ModelFailure:
    dtype = backend.about()["dtype"]
    return ModelFailure(
        "wrong_vectors",
        f"{fault} (on {backend.device}, {dtype}): set model.dtype to float32, or fetch the checkpoint again",
    )


def _memory(device: str) -> int:
    import psutil

    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_reserved(device)
    return int(psutil.Process().memory_info().rss)


def _hardware(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return f"{os.cpu_count()} cores"
