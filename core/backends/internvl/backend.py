"""Pages as InternVL sees them, classes by what it would call a page, answers by what it says; MPNet for texts."""

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from core.answer import Answerer
from core.backends import EncodePages, Vectors, nothing_to_unfreeze
from core.backends.about import about_module
from core.backends.internvl.chat import Chat
from core.backends.internvl.checkpoint import Checkpoint
from core.backends.internvl.generation import InternVLAnswerer
from core.backends.internvl.likelihood import PROMPT, Likelihood
from core.backends.internvl.page import PreparedPage
from core.backends.internvl.sentences import Sentences
from core.backends.internvl.tiles import Cutter
from core.backends.internvl.tower import Tower
from core.class_set import ClassSet
from core.device import available
from core.errors import ModelFailure
from core.features import page_vector, part_texts
from core.likelihoods import Likelihoods
from core.page import Page
from core.picture import Pixels
from core.settings import Asking, Model
from core.zero_shot import EncodeTexts

if TYPE_CHECKING:
    from torch import Tensor, nn

INTERNVL: Final = "1"
"""Version of this code: vectors of another one are of another space."""
WEIGHTS: Final = "OpenGVLab/InternVL3-1B-hf"
TEXT_WEIGHTS: Final = "sentence-transformers/all-mpnet-base-v2"
BLANK: Final = (1414, 1000, 3)
"""Height, width and channels of a page with nothing on it, in the shape of most pages."""


class InternVL:
    """A page's vector is the mean of what the vision tower makes of its patches, over all its tiles.

    With `fuse_text` its other half is what the sentence encoder makes of the text that was read on it.
    """

    needs_pixels = True
    shared = False

    def __init__(self, settings: Model) -> None:
        self._settings = settings
        self.needs_text = settings.fuse_text
        self.device = settings.device
        self._chat: Chat | None = None
        self.fingerprint = "internvl, not loaded"

    def load(self, device: str) -> None:
        """Load both checkpoints. Raises ModelFailure: `no_such_device`, `model_missing` or `model_unloadable`."""
        settings = self._settings
        self.device = available(device)
        checkpoint = Checkpoint.load(settings.weights or WEIGHTS, self.device, settings.dtype)
        self._sentences = Sentences.load(settings.text_weights or TEXT_WEIGHTS, self.device)
        if self.device == "cpu":
            import torch

            # Beside the readers, which take a core each, more threads cost more than they bring.
            torch.set_num_threads(min(4, max(1, (os.cpu_count() or 1) // 2)))
        self._digest = checkpoint.digest
        self.fingerprint = (
            f"internvl-{INTERNVL}-{self._digest[:12]}-mpnet-{self._sentences.digest[:12]}-{settings.tiles}"
            f"{'-text' if settings.fuse_text else ''}"
        )
        self._cutter = Cutter(checkpoint.processor, checkpoint.model.dtype, pinned=self.device.startswith("cuda"))
        self._tower = Tower(checkpoint.model, compiled=settings.compile)
        blank = self._cutter.cut([np.full(BLANK, 255, np.uint8)], settings.tiles)
        self._chat = chat = Chat(checkpoint, self._tower)

        # The same names in two class sets are scored once, and what they are worth on a blank page is kept.
        @lru_cache(maxsize=64)
        def likelihood(names: tuple[str, ...]) -> Likelihood:
            return Likelihood(chat, names, blank if settings.subtract_prior else None)

        self._likelihood = likelihood

    def about(self) -> dict[str, str]:
        return about_module(self._loaded().model)

    def prepare(self, page: Page, pixels: Pixels | None = None) -> PreparedPage:
        """Raises ModelFailure(`tiling_failed`)."""
        self._loaded()
        if pixels is None:
            raise ModelFailure("no_pixels", f"page {page.number} came without its pixels: a fault in the caller")
        texts = part_texts(page) if self._settings.fuse_text and page.text.strip() else ()
        return PreparedPage(self._cutter.cut([pixels], self._settings.tiles), tuple(texts))

    def weight(self, prepared: PreparedPage) -> int:
        """Its tiles."""
        return len(prepared.tiles)

    def encode_documents(self, batch: Sequence[PreparedPage]) -> list[Vectors]:
        import torch

        self._loaded()
        with torch.inference_mode():
            sights = self._tower.see([page.tiles for page in batch])
            looks = torch.stack([sight.vectors.mean(0) for sight in sights]).cpu().numpy()
        vectors = _unit(looks)
        if self._settings.fuse_text:
            vectors = _unit(np.concatenate([vectors, self._read(batch)], axis=1))
        return list(vectors[:, None])

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        self._loaded()
        return self._sentences.encode(texts)

    def zero_shot(self, class_set: ClassSet, encode_texts: EncodeTexts) -> Likelihoods:
        self._loaded()
        told = f"{PROMPT} {'less a blank page' if self._settings.subtract_prior else ''}"
        return Likelihoods.build(class_set, encode_texts, self._likelihood, told)

    def answerer(self, asking: Asking) -> Answerer:
        return InternVLAnswerer(self._loaded(), self._cutter, asking.prompts, self._digest)

    def trainable(self, blocks: int) -> "nn.Module":
        nothing_to_unfreeze(blocks)

    def tuned(self, blocks: Mapping[str, "Tensor"]) -> EncodePages:
        raise ModelFailure("checkpoint_unusable", "the checkpoint brings blocks, and this encoder has none: retrain")

    def _read(self, batch: Sequence[PreparedPage]) -> Vectors:
        """(pages, dimensions): unit rows, and zeros for a page without text."""
        parts = self._sentences.encode([text for page in batch for text in page.texts])
        rows = np.split(parts, np.cumsum([len(page.texts) for page in batch])[:-1])
        empty = np.zeros(self._sentences.dimensions, np.float32)
        return _unit(np.stack([page_vector(own) if len(own) else empty for own in rows]))

    def _loaded(self) -> Chat:
        if self._chat is None:
            raise ModelFailure("not_loaded", "the model was used before load: a fault in the caller")
        return self._chat


def _unit(rows: Vectors) -> Vectors:
    """Rows of length 1; zeros stay as they are."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Vectors = (rows / np.where(lengths == 0, 1, lengths)).astype(np.float32)
    return unit
