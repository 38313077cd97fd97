"""InternVL and MPNet in their smallest sizes, with weights of chance: what they say is nonsense, and that does it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from printed import picture
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLVisionConfig,
    MPNetConfig,
    MPNetModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

from core.page import Line, Page

SIDE = 28
SPECIAL = ["<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<|endoftext|>"]
WORDS = ["invoice", "receipt", "letter", "a", "of", "page", "document", "this", "is", "scanned", "the", "first", "."]
IMAGE = np.asarray(picture(size=(300, 200), text_height=20))
"""Cut into two tiles and more."""
SQUARE = (np.add.outer(np.arange(36), np.arange(36)) * 3).astype(np.uint8)[..., None].repeat(3, axis=2)
"""A single tile."""
BOX = (20.0, 20.0, 200.0, 40.0)
PAGE = Page(
    3,
    300,
    200,
    "ocr",
    (Line("Invoice INV-2043", BOX), Line("Date 31.12.2014", BOX), Line("Total £ 1,250.00", BOX)),
)


def config(vocabulary: dict[str, int], **vision: Any) -> InternVLConfig:
    return InternVLConfig(
        vision_config=InternVLVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=SIDE,
            patch_size=7,
            initializer_range=0.3,
            **vision,
        ),
        text_config=Qwen2Config(
            vocab_size=len(vocabulary),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            initializer_range=0.5,
            bos_token_id=None,
            eos_token_id=vocabulary["<|im_end|>"],
        ),
        image_token_id=vocabulary["<IMG_CONTEXT>"],
        image_seq_length=4,
    )


def model(vocabulary: dict[str, int], **vision: Any) -> InternVLForConditionalGeneration:
    torch.manual_seed(7)
    return InternVLForConditionalGeneration(config(vocabulary, **vision)).eval()


def save_internvl(folder: Path) -> Path:
    """A native checkpoint, whose tokens are bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: number for number, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",  # noqa: S106 - no password
        eos_token="<|im_end|>",  # noqa: S106 - no password
        padding_side="right",
    ).save_pretrained(folder)
    GotOcr2ImageProcessorPil(size={"height": SIDE, "width": SIDE}, crop_to_patches=True).save_pretrained(folder)
    model(tokenizer.get_vocab()).save_pretrained(folder)
    return folder


def save_mpnet(folder: Path, seed: int = 7) -> Path:
    """A checkpoint whose tokens are words, with a pooler as published ones have."""
    vocabulary = {word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106 - no password
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",  # noqa: S106 - no password
        unk_token="<unk>",  # noqa: S106 - no password
    ).save_pretrained(folder)
    torch.manual_seed(seed)
    MPNetModel(
        MPNetConfig(
            vocab_size=len(vocabulary),
            hidden_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=34,
            initializer_range=0.5,
        )
    ).save_pretrained(folder)
    return folder


class Calls:
    """How often each part of a model was run, and for how many rows and columns."""

    def __init__(self, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        inner = model.model
        self.vision: list[int] = []
        self.language: list[tuple[int, ...]] = []
        see, speak = inner.vision_tower.forward, inner.language_model.forward

        def seen(*args: Any, **options: Any) -> Any:
            self.vision.append(len(options["pixel_values"]))
            return see(*args, **options)

        def spoken(*args: Any, **options: Any) -> Any:
            self.language.append(tuple(options["inputs_embeds"].shape[:2]))
            return speak(*args, **options)

        monkeypatch.setattr(inner.vision_tower, "forward", seen)
        monkeypatch.setattr(inner.language_model, "forward", spoken)


def likelihood(model: Any, pixels: torch.Tensor, prompt: Sequence[int], name: Sequence[int]) -> float:
    """The mean logarithm of a name's tokens' probabilities, all of it in one forward pass of transformers' own."""
    ids = torch.tensor([[*prompt, *name]])
    with torch.inference_mode():
        logits = model(input_ids=ids, pixel_values=pixels).logits[0].log_softmax(-1)
    places = range(len(prompt) - 1, len(prompt) + len(name) - 1)
    return float(np.mean([logits[place, token] for place, token in zip(places, name, strict=True)]))
