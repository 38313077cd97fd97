"""Hashed words in place of a model: deterministic, instant, no torch and no file. For tests and for trying things."""

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from core.answer import Answerer
from core.backends import EncodePages, Vectors, nothing_to_unfreeze
from core.class_set import ClassSet
from core.descriptions import Descriptions
from core.errors import ModelFailure
from core.features import part_texts
from core.page import Page
from core.picture import Pixels
from core.settings import Asking, Model
from core.zero_shot import EncodeTexts

if TYPE_CHECKING:
    from torch import Tensor, nn

DIMENSIONS: Final = 256


class Fake:
    """Bags of hashed words as unit vectors: texts that share words are near, and nothing more is known of them."""

    device = "cpu"
    needs_pixels = False
    needs_text = True
    shared = True

    def __init__(self, _settings: Model | None = None) -> None:
        self.fingerprint = f"fake-{DIMENSIONS}"

    def load(self, device: str) -> None:
        """Nothing to load."""

    def about(self) -> dict[str, str]:
        return {"dtype": "float32", "attention": "none", "parameters": "0"}

    def prepare(self, page: Page, pixels: Pixels | None = None) -> list[str]:
        return part_texts(page)

    def weight(self, _prepared: list[str]) -> int:
        return 1

    def encode_documents(self, batch: Sequence[list[str]]) -> list[Vectors]:
        return [self.encode_texts(parts) for parts in batch]

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in re.findall(r"\w{3,}", text.lower()):
                row[zlib.crc32(word.encode()) % DIMENSIONS] += 1
            if not row.any():
                row[0] = 1
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def zero_shot(self, class_set: ClassSet, encode_texts: EncodeTexts) -> Descriptions:
        return Descriptions.build(class_set, encode_texts)

    def answerer(self, asking: Asking) -> Answerer:
        # For those alone who ask: all that it knows of values and fields is compiled as it is imported.
        from core.extraction.extractor import Extractor
        from core.field import lexicon_of

        return Extractor(self.fingerprint, self.encode_texts, lexicon_of(asking.fields))

    def trainable(self, blocks: int) -> "nn.Module":
        nothing_to_unfreeze(blocks)

    def tuned(self, blocks: Mapping[str, "Tensor"]) -> EncodePages:
        raise ModelFailure("checkpoint_unusable", "the checkpoint brings blocks, and this encoder has none: retrain")
