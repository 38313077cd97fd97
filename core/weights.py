"""Checkpoints of models that are at hand on this machine, and what they are for. Nothing is loaded or fetched."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from core.backends.pretrained import go_offline
from core.settings import Model

Setting = Literal["weights", "text_weights"]

ORIGINAL: Final = "internvl_chat"
"""What InternVL's checkpoints call themselves as published, which need code of their own."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A checkpoint in safetensors. `name` is what the settings take; `size` is that of its weights, in bytes.

    `model_type` is what its config.json says, or empty. `missing` are files of weights that it lists but lacks.
    """

    name: str
    folder: Path
    model_type: str
    size: int
    missing: tuple[str, ...] = ()

    @property
    def use(self) -> tuple[str, Setting] | None:
        """The backend that loads it, and the setting that names it then; None if there is no such backend."""
        from core.backends import backends

        use = _uses().get(self.model_type)
        return use if use and use[0] in backends() else None


def find(name: str) -> Weights | None:
    """The folder of that name, or the model of that name in the hub's cache, if it holds safetensors."""
    folder = Path(name)
    if not folder.is_dir():
        go_offline()
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            cached = try_to_load_from_cache(name, "config.json")
        except HFValidationError:  # a folder's name, most likely
            return None
        if not isinstance(cached, str):
            return None
        folder = Path(cached).parent
    return _in(folder, name)


def at_hand(settings: Model) -> tuple[Weights, ...]:
    """What the settings name, then all of the hub's cache, by name."""
    named = [found for name in (settings.weights, settings.text_weights) if name and (found := find(name))]
    return (*named, *(found for found in _cached() if found.name not in {item.name for item in named}))


def cache() -> Path:
    """The hub's cache on this machine, which need not exist."""
    go_offline()
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _cached() -> list[Weights]:
    folder = cache()
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        scanned = scan_cache_dir(folder)
    except CacheNotFound:
        return []
    found = []
    for repository in sorted(scanned.repos, key=lambda repository: repository.repo_id):
        if repository.repo_type != "model":
            continue
        for revision in sorted(repository.revisions, key=lambda revision: revision.commit_hash):
            # By the name of the repository its main revision is loaded, any other by its folder.
            name = repository.repo_id if "main" in revision.refs else str(revision.snapshot_path)
            weights = _in(revision.snapshot_path, name)
            if weights:
                found.append(weights)
    return found


def _in(folder: Path, name: str) -> Weights | None:
    files = list(folder.glob("*.safetensors"))
    if not files:
        return None
    listed: set[str] = set()
    for index in folder.glob("*.safetensors.index.json"):
        listed |= set(_read(index).get("weight_map", {}).values())
    missing = tuple(sorted(listed - {file.name for file in files}))
    model_type = str(_read(folder / "config.json").get("model_type", ""))
    return Weights(name, folder, model_type, sum(file.stat().st_size for file in files), missing)


def _read(file: Path) -> dict[str, Any]:
    """What a JSON file holds, or nothing where it cannot be read: then the checkpoint does not say what it is."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _uses() -> Mapping[str, tuple[str, Setting]]:
    """By `model_type`."""
    from core.backends.dual_encoder import FAMILIES

    return {
        **dict.fromkeys(FAMILIES, ("dual_encoder", "weights")),
        "internvl": ("internvl", "weights"),
        "mpnet": ("internvl", "text_weights"),
    }
