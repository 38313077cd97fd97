"""Checkpoints that others trained, from a local folder or the hub's cache: safetensors, and nothing missing."""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.errors import ModelFailure

if TYPE_CHECKING:
    import torch

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


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
                f"{weights} is no folder, and no model in the hub's cache: `hf download {weights}` where there is a "
                "network, and copy it here",
            ) from error
    if not any(folder.glob("*.safetensors")):
        raise ModelFailure(
            "model_missing",
            f"{folder} holds no safetensors; pickled weights are never loaded: put there all files of a checkpoint "
            "in that form",
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
    """What is to be said of any error that a broken checkpoint makes transformers raise."""
    return ModelFailure(
        "model_unloadable",
        f"the checkpoint in {folder} cannot be loaded on {device} ({error}): fetch all of its files again",
    )
