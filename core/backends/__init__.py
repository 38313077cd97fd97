"""Backends turn pages and texts into vectors of one space. A new one is a file here and a line in the table."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from core.answer import Answerer
from core.errors import RejectedInput
from core.page import Page
from core.settings import Asking

Vectors = NDArray[np.float32]


class Backend(Protocol):
    """A model and what belongs around it.

    Its work has three parts: `prepare` runs on any thread and touches no device; `encode_documents` and
    `encode_texts` run on the one device thread, a batch at a time. All vectors are float32 with unit rows.
    """

    fingerprint: str
    """Names the weights and the code that make features: features of another fingerprint are of another space."""

    def load(self, device: str) -> None:
        """Load the weights once, before any other call. Raises ModelFailure if they are not the pinned ones."""

    def prepare(self, page: Page) -> Any:
        """What `encode_documents` needs of one page that is not blank."""

    def encode_documents(self, batch: Sequence[Any]) -> list[Vectors]:
        """Prepared pages → one (parts, dimensions) array each."""

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Texts → (texts, dimensions)."""

    def answerer(self, asking: Asking) -> Answerer:
        """Its way of answering questions. Called once, after `load`. Raises ModelFailure if it cannot be loaded."""


_BACKENDS: Final = {
    "ocr_text": "core.backends.ocr_text:OcrText",
    "fake": "core.backends.fake:Fake",
}


def make_backend(name: str) -> Backend:
    """The backend of that name, not loaded yet. Only its own file is imported."""
    if name not in _BACKENDS:
        raise RejectedInput("unknown_backend", f"no backend is called {name!r}; there are {', '.join(_BACKENDS)}")
    module, _, attribute = _BACKENDS[name].partition(":")
    return cast(Backend, getattr(import_module(module), attribute)())
