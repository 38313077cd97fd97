"""InternVL's checkpoints, for transformers' native classes."""

from dataclasses import dataclass
from typing import Any, Final, Self

from core.backends.pretrained import Dtype, digest_of, dtype_on, folder_of, go_offline, load_weights, unloadable

START: Final = "<|im_start|>"
END: Final = "<|im_end|>"
IMAGE: Final = "<IMG_CONTEXT>"
"""Stands for what the model sees of a tile, once for each of its tokens."""
MARKS: Final = (START, END, "<img>", "</img>", IMAGE)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An InternVL: `model` is an InternVLForConditionalGeneration on its device, `processor` its image processor.

    `digest` is the SHA-256 of all that the checkpoint holds.
    """

    model: Any
    tokenizer: Any
    processor: Any
    digest: str

    @classmethod
    def load(cls, weights: str, device: str, dtype: Dtype = "auto") -> Self:
        """Load a folder, or what the hub's cache holds of a repository: an InternVL whose name ends in -hf.

        Raises ModelFailure: `model_missing` or `model_unloadable`.
        """
        go_offline()
        folder = folder_of(weights)
        try:
            from transformers import AutoTokenizer, InternVLForConditionalGeneration
            from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

            model = load_weights(
                InternVLForConditionalGeneration, folder, dtype_on(device, dtype), attn_implementation="sdpa"
            )
            if "sliding_attention" in model.config.text_config.layer_types:
                raise ValueError("its language model does not see all that stands before a word")
            # Not its processor, which wants torchvision for videos.
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            processor = GotOcr2ImageProcessorPil.from_pretrained(folder, local_files_only=True)
            known = tokenizer.get_vocab()
            if any(mark not in known for mark in MARKS) or known[IMAGE] != model.config.image_token_id:
                raise ValueError("the tokenizer lacks the marks of InternVL's chat")
            return cls(model.to(device).eval(), tokenizer, processor, digest_of(folder))
        except Exception as error:  # a broken checkpoint makes transformers raise whatever it stumbles over
            raise unloadable(folder, device, error) from error
