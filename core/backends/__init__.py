"""Backends turn pages and texts into vectors of one space. A new one is a file here and a line in the table."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from core.class_set import ClassSet
from core.errors import RejectedInput
from core.page import Page
from core.settings import Asking, Model

if TYPE_CHECKING:
    from torch import Tensor, nn

    from core.answer import Answerer
    from core.picture import Pixels
    from core.zero_shot import EncodeTexts, ZeroShot

Vectors = NDArray[np.float32]
EncodePages = Callable[[Sequence[Any]], Sequence[Vectors]]
"""Prepared pages → an array each."""


class Backend(Protocol):
    """A model and what belongs around it.

    Its work has three parts: `prepare` runs on any thread and touches no device; `encode_documents` and
    `encode_texts` run on the one device thread, a batch at a time. All vectors are float32 with unit rows.
    """

    fingerprint: str
    """Names the weights and the code that make features: features of another fingerprint are of another space."""

    device: str
    """That it was loaded on, as torch calls it."""
    needs_pixels: bool
    """Whether pages are seen by their pixels."""
    needs_text: bool
    """Whether pages are seen by what the reader read on them: if not, classifying does without reading."""
    shared: bool
    """Whether pages and texts lie in one space before anything is learned."""

    def load(self, device: str) -> None:
        """Load the weights once, before any other call, as `core.device.available` takes the name.

        Raises ModelFailure if there is no such device, or they are not the pinned ones.
        """

    def about(self) -> dict[str, str]:
        """What there is to know about it as loaded, for people: dtype, attention, parameters."""

    def prepare(self, page: Page, pixels: "Pixels | None" = None) -> Any:
        """What encoders of pages need of one that is not blank; its pixels come along if they are needed."""

    def weight(self, prepared: Any) -> int:
        """What the page adds to a batch: its tiles, or 1."""

    def encode_documents(self, batch: Sequence[Any]) -> list[Vectors]:
        """Prepared pages → one (parts, dimensions) array each."""

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Texts → (texts, dimensions)."""

    def zero_shot(self, class_set: ClassSet, encode_texts: "EncodeTexts") -> "ZeroShot":
        """How it tells these classes apart by their descriptions. `encode_texts` does what its own does, and may
        remember: pass the same function again, such as a bound method.
        """

    def answerer(self, asking: Asking) -> "Answerer":
        """Its way of answering questions. Called once, after `load`. Raises ModelFailure if it cannot be loaded."""

    def trainable(self, blocks: int) -> "nn.Module":
        """The document encoder with so many last blocks of its own, which can learn: its parameters, as float32.

        It makes prepared pages into (pages, dimensions), as `core.features.page_vector` joins their parts. What is
        below the blocks is shared, copies included, and stays as it is. Raises RejectedInput(`nothing_to_unfreeze`).
        """

    def tuned(self, blocks: Mapping[str, "Tensor"]) -> EncodePages:
        """The document encoder with the blocks that `trainable` made a state of: prepared pages → (dimensions,) each.

        Raises ModelFailure(`checkpoint_unusable`) for any others.
        """


_BACKENDS: Final = {
    "ocr_text": "core.backends.ocr_text:OcrText",
    "internvl": "core.backends.internvl.backend:InternVL",
    "dual_encoder": "core.backends.dual_encoder:DualEncoder",
    "fake": "core.backends.fake:Fake",
}


def backends() -> tuple[str, ...]:
    """Names of all there are, the default one first."""
    return tuple(_BACKENDS)


def nothing_to_unfreeze(blocks: int) -> NoReturn:
    """Stands for `trainable` where an encoder has no blocks that could learn."""
    raise RejectedInput(
        "nothing_to_unfreeze", f"this encoder has no {blocks} blocks that could learn: set unfreeze_last_blocks to 0"
    )


def make_backend(settings: Model) -> Backend:
    """The backend that the settings name, not loaded yet. Only its own file is imported."""
    name = settings.backend
    if name not in _BACKENDS:
        raise RejectedInput("unknown_backend", f"no backend is called {name!r}; there are {', '.join(_BACKENDS)}")
    module, _, attribute = _BACKENDS[name].partition(":")
    return cast(Backend, getattr(import_module(module), attribute)(settings))
