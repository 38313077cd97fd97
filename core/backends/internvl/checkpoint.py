"""Checkpoints from a local folder or the hub's offline cache: native classes, safetensors, and nothing missing."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from core.errors import ModelFailure

if TYPE_CHECKING:
    import torch

Dtype = Literal["auto", "float32", "bfloat16", "float16"]

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


def go_offline() -> None:
    """Keep transformers from the network and from talking; before it is imported, for it reads these once."""
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"


def folder_of(weights: str) -> Path:
    """The folder of that path, or of that repository in the hub's cache. Raises ModelFailure(`model_missing`)."""
    folder = Path(weights).expanduser()
    if not folder.is_dir():
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        try:
            folder = Path(snapshot_download(weights, local_files_only=True))
        except (HFValidationError, LocalEntryNotFoundError) as error:
            raise ModelFailure(
                "model_missing",
                f"{weights} is neither a folder nor a repository in the cache of the hub; "
                f"fetch it with `hf download {weights}`, or name a folder in model.weights or model.text_weights",
            ) from error
    if not all(any(folder.glob(pattern)) for pattern in ("*.safetensors", "*.json")):
        raise ModelFailure(
            "model_missing",
            f"{folder} holds no checkpoint; put there all files of one with weights in safetensors, "
            "of an InternVL one whose name ends in -hf",
        )
    return folder


def dtype_on(device: str, dtype: Dtype) -> "torch.dtype":
    """What numbers a model is made of: asked for, or the fastest that the device calculates with in hardware."""
    import torch

    if dtype != "auto":
        chosen: torch.dtype = getattr(torch, dtype)
        return chosen
    if torch.device(device).type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16


def load_weights(model: Any, folder: Path, dtype: "torch.dtype", **options: Any) -> Any:
    """An instance of a class of transformers. Raises whatever it raises, and ValueError where weights are missing."""
    loaded, report = model.from_pretrained(
        folder,
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
        **options,
    )
    if report["missing_keys"] or report["mismatched_keys"]:
        # transformers fills them with chance and goes on.
        raise ValueError("weights are missing")
    return loaded


def digest_of(folder: Path) -> str:
    """SHA-256 of the SHA-256s of its weights and its JSON files."""
    digest = hashlib.sha256()
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("*.json")]):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def unloadable(folder: Path, device: str, error: Exception) -> ModelFailure:
    return ModelFailure(
        "model_unloadable",
        f"the checkpoint in {folder} cannot be loaded on {device} ({error}): fetch it again, in its -hf form",
    )
