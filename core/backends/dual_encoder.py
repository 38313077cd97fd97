"""CLIP, SigLIP and SigLIP 2: pages as they look and texts, in one space in which cosines say what fits.

Checkpoints are those for transformers' own classes; no code of theirs is run, and nothing is fetched.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from core.answer import Answerer
from core.backends import EncodePages, Vectors, nothing_to_unfreeze
from core.backends.about import about_module
from core.backends.pretrained import digest_of, dtype_on, folder_of, go_offline, load_weights, unloadable
from core.class_set import ClassSet
from core.cosines import Cosines
from core.device import available
from core.errors import ModelFailure
from core.page import Page
from core.picture import Pixels
from core.settings import Asking, Model
from core.zero_shot import EncodeTexts

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor, nn

DUAL_ENCODER: Final = "1"
"""Version of this code: vectors that another version made are of another space."""
TEXTS: Final = 64
"""Texts that are encoded at once."""
STRIP: Final = 8
"""Where a processor crops, sides beyond this ratio are trimmed first: scaled up as a whole, a strip would not fit
into memory, and all but its middle is thrown away.
"""


@dataclass(frozen=True, slots=True)
class Family:
    """What differs between checkpoints that are otherwise used alike.

    `processor` is transformers' class for images that needs no torchvision. `padded`: texts are filled up to the
    longest that fits, and the filling is looked at, for that is how these models learned.
    """

    processor: str
    padded: bool


FAMILIES: Final[Mapping[str, Family]] = {
    "clip": Family("CLIPImageProcessorPil", padded=False),
    "siglip": Family("SiglipImageProcessorPil", padded=True),
    "siglip2": Family("Siglip2ImageProcessorPil", padded=True),
}
"""By the checkpoint's `model_type`. SigLIP 2 of a fixed resolution calls itself `siglip`; `siglip2` is NaFlex, which
sees a page in its own proportions.
"""


class DualEncoder:
    """One vector a page, of what it looks like; texts are lower-cased and cut where the text tower ends.

    With `fuse_text` pages are read as well: their vectors are the same, and what is learned has their words beside.
    """

    needs_pixels = True
    shared = True

    def __init__(self, settings: Model) -> None:
        self.needs_text = settings.fuse_text
        self._settings = settings
        self._model: Any = None
        self.device = "cpu"

    @cached_property
    def fingerprint(self) -> str:
        """Of all safetensors and JSON files of the checkpoint. Raises ModelFailure(`model_missing`)."""
        try:
            digest = digest_of(self._folder)
        except OSError as error:
            raise ModelFailure(
                "model_missing", f"{self._folder} cannot be read; put the checkpoint there again"
            ) from error
        words = "-text" if self.needs_text else ""  # features without words are none of those with them
        return f"dual_encoder-{self._model_type}-{digest[:12]}{words} {DUAL_ENCODER}"

    def load(self, device: str) -> None:
        """Load both towers, tokenizer and image processor, and run them once.

        In float32 on a CPU and bfloat16 on a GPU, or float16 where that has no other half, unless the settings say
        otherwise. Raises ModelFailure: `no_such_device`, `model_missing` or `model_unloadable`.
        """
        folder, model_type = self._folder, self._model_type
        device = available(device)
        try:
            import torch
            import transformers

            if device == "cpu":
                # Beside the readers, which take a core each, more threads cost more than they bring.
                torch.set_num_threads(min(4, max(1, (os.cpu_count() or 1) // 2)))
            # At first in float32: in half of it, scale and bias would be off by a hundredth.
            model = load_weights(transformers.AutoModel, folder, torch.float32)
            family = FAMILIES[model_type]
            processor = getattr(transformers, family.processor)
            self._processor = processor.from_pretrained(folder, local_files_only=True)
            self._tokenizer = _tokenizer_of(folder, model.config.text_config.max_position_embeddings, family.padded)
            special = [
                token.content for token in self._tokenizer.get_added_tokens_decoder().values() if token.special
            ]
            self._special = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))))
            self._scale = exp(model.logit_scale.item())
            self._bias = model.logit_bias.item() if hasattr(model, "logit_bias") else None
            self.device = device
            self._dtype = dtype_on(device, self._settings.dtype)
            self._model = model.to(device=device, dtype=self._dtype).eval()
            self._run_once()
        except Exception as error:  # a broken checkpoint makes transformers raise whatever it stumbles over
            raise unloadable(folder, device, error) from error

    def about(self) -> dict[str, str]:
        return about_module(self._loaded())

    def prepare(self, page: Page, pixels: Pixels | None = None) -> "dict[str, Tensor]":
        """Scale the page as the checkpoint's image processor says.

        Raises ModelFailure: `no_pixels` or `scaling_failed`.
        """
        if pixels is None:
            raise ModelFailure("no_pixels", f"page {page.number} came without its pixels: a fault in the caller")
        try:
            return self._scaled(pixels)
        except Exception as error:
            raise ModelFailure(
                "scaling_failed",
                f"page {page.number} cannot be scaled ({type(error).__name__}); report it with the page",
            ) from error

    def weight(self, _prepared: "dict[str, Tensor]") -> int:
        return 1

    def encode_documents(self, batch: "Sequence[dict[str, Tensor]]") -> list[Vectors]:
        import torch

        model = self._loaded()
        with torch.inference_mode():
            inputs = {name: torch.stack([self._placed(name, page[name]) for page in batch]) for name in batch[0]}
            rows = _unit(model.get_image_features(**inputs).pooler_output)
        return list(rows[:, None])

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        import torch

        model = self._loaded()
        if not texts:
            return np.zeros((0, self._dimensions), dtype=np.float32)
        rows = []
        with torch.inference_mode():
            for start in range(0, len(texts), TEXTS):
                encodings = self._tokenizer.encode_batch([self._plain(text) for text in texts[start : start + TEXTS]])
                tokens = torch.tensor([encoding.ids for encoding in encodings], device=model.device)
                # Without a mask of the filling: SigLIP looks at it, and CLIP never looks that far ahead.
                rows.append(_unit(model.get_text_features(input_ids=tokens).pooler_output))
        return np.concatenate(rows)

    def zero_shot(self, class_set: ClassSet, encode_texts: EncodeTexts) -> Cosines:
        """By the scale, and the bias, that the checkpoint learned."""
        self._loaded()
        return Cosines.build(class_set, encode_texts, self._scale, self._bias)

    def answerer(self, asking: Asking) -> Answerer:
        """The default backend's: two towers can compare, but not read."""
        from core.backends.ocr_text import OcrText

        reader = OcrText(self._settings)
        reader.load(self.device)
        return reader.answerer(asking)

    def trainable(self, blocks: int) -> "nn.Module":
        nothing_to_unfreeze(blocks)

    def tuned(self, blocks: "Mapping[str, Tensor]") -> EncodePages:
        raise ModelFailure("checkpoint_unusable", "the checkpoint brings blocks, and this encoder has none: retrain")

    @cached_property
    def _folder(self) -> Path:
        """Where the checkpoint lies: the folder that the settings name, or that of the model in the hub's cache."""
        go_offline()
        weights = self._settings.weights
        if not weights:
            raise ModelFailure(
                "model_missing",
                "model.weights is not set: name a folder or a model, as google/siglip2-base-patch16-224",
            )
        return folder_of(weights)

    @cached_property
    def _model_type(self) -> str:
        try:
            model_type = str(json.loads((self._folder / "config.json").read_text(encoding="utf-8"))["model_type"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelFailure(
                "model_unloadable",
                f"{self._folder} has no config.json that says what it is: fetch the checkpoint again",
            ) from error
        if model_type not in FAMILIES:
            raise ModelFailure(
                "model_unloadable",
                f"{self._folder} is a {model_type!r}; this backend knows {', '.join(FAMILIES)}",
            )
        return model_type

    def _run_once(self) -> None:
        """Shows whether all parts fit together, before any page waits for it."""
        if self._settings.compile:
            # The blocks alone, which have all the work and no shapes that depend on a page.
            self._model.vision_model.encoder.compile()
        # It is compiled for one page, two, and then any number; with patches to spare, and without.
        for pages in (1, 2, 3) if self._settings.compile else (1,):
            for width in (48, 64):
                blank = self._scaled(np.full((64, width, 3), 255, dtype=np.uint8))
                self.encode_documents([blank] * pages)
        self._dimensions = len(self.encode_texts([""])[0])

    def _scaled(self, pixels: Pixels) -> "dict[str, Tensor]":
        if getattr(self._processor, "do_center_crop", None):
            pixels = _trimmed(pixels)
        inputs = self._processor(images=pixels, input_data_format="channels_last", return_tensors="pt")
        inputs["pixel_values"] = inputs["pixel_values"].to(self._dtype)
        on_gpu = self.device.startswith("cuda")
        return {name: tensor[0].pin_memory() if on_gpu else tensor[0] for name, tensor in inputs.items()}

    def _placed(self, name: str, tensor: "Tensor") -> "Tensor":
        # The model counts its patches on the CPU: from elsewhere it would wait for each page.
        return tensor if name == "spatial_shapes" else tensor.to(self.device, non_blocking=True)

    def _plain(self, text: str) -> str:
        """In lower case, as all these models learned, whether or not their tokenizers see to it; and without tokens
        that mean something to the model beside what they say.
        """
        return self._special.sub(" ", text.lower())

    def _loaded(self) -> Any:
        if self._model is None:
            raise ModelFailure("not_loaded", "encode was called before load: a fault in the caller")
        return self._model


def _tokenizer_of(folder: Path, longest: int, padded: bool) -> "Tokenizer":
    """The checkpoint's tokenizer.json as it stands: transformers' classes would rebuild it by rules of their own.

    What is too long loses its end, but not the token that ends it.
    """
    from tokenizers import Tokenizer

    tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    pad = config.get("pad_token")
    pad = pad["content"] if isinstance(pad, dict) else pad
    number = tokenizer.token_to_id(str(pad))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if number is None or not tokenizer.encode("a").special_tokens_mask[-1]:
        raise ValueError("the tokenizer names no padding, or does not end texts")
    tokenizer.enable_truncation(longest)
    tokenizer.enable_padding(pad_id=number, pad_token=str(pad), length=longest if padded else None)
    return tokenizer


def _trimmed(pixels: Pixels) -> Pixels:
    """The middle of a strip; any other page as it is."""
    longest = STRIP * min(pixels.shape[:2])
    top, left = (max(0, side - longest) // 2 for side in pixels.shape[:2])
    return pixels[top : top + longest, left : left + longest]


def _unit(rows: "Tensor") -> Vectors:
    from torch.nn import functional

    vectors: Vectors = functional.normalize(rows.float(), dim=-1).cpu().numpy()
    return vectors
