"""Checkpoint files: safetensors, with what is to be known of them inside; there as a whole or not at all."""

import errno
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import safetensors
import safetensors.torch
from torch import Tensor

from core.errors import ModelFailure, TransientFailure

_ABOUT: Final = "docintake"
_LARGEST: Final = 8 * 1024**3
"""Bytes; more than any checkpoint has, with blocks of the largest encoder in it."""


def write(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    """Put tensors and `about` (plain JSON) into one file, and return the SHA-256 of its bytes, in hex.

    Whoever looks finds the file as it was before or all of the new one, even after a power failure. Raises
    TransientFailure(`store_not_writable`).
    """
    data = _packed(tensors, about)
    _replace(path, data, durable=True)
    return hashlib.sha256(data).hexdigest()


def save(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """As `write`, for what may be lost with the machine's power, though not with this process: many times quicker."""
    _replace(path, _packed(tensors, about), durable=False)


def _packed(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> bytes:
    return safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        metadata={_ABOUT: json.dumps(about, sort_keys=True, allow_nan=False)},
    )


def _replace(path: Path, data: bytes, *, durable: bool) -> None:
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
        if durable:
            _sync(path.parent)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise TransientFailure(
            "store_not_writable", f"{path} cannot be written: {error.strerror}; look at the folder and its disk"
        ) from error


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(path: Path, sha256: str | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write` put there: tensors on the CPU, and `about`.

    Raises ModelFailure: `checkpoint_missing`; `checkpoint_outside` where a link stands in its place;
    `checkpoint_damaged` where the file is none, or not the one that the hash stands for.
    """
    try:
        data = _bytes_of(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ModelFailure(
                "checkpoint_outside", f"{path} is a link; put the file itself into the store, as it was written"
            ) from error
        raise ModelFailure(
            "checkpoint_missing",
            f"{path} cannot be read: {error.strerror}; restore it, or serve another checkpoint: "
            "`docintake checkpoints rollback`",
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise ModelFailure(
            "checkpoint_damaged",
            f"{path} has SHA-256 {found[:12]}…, not {sha256[:12]}… as it was written; restore it from a backup",
        )
    try:
        size = int.from_bytes(data[:8], "little")
        about = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][_ABOUT])
        return safetensors.torch.load(data), about
    except (ValueError, KeyError, TypeError, RecursionError, safetensors.SafetensorError) as error:
        raise ModelFailure("checkpoint_damaged", f"{path} is no checkpoint of docintake") from error


def _bytes_of(path: Path) -> bytes:
    """Of a plain file, which is not waited for and no link. Raises OSError, ModelFailure(`checkpoint_damaged`)."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "It is no plain file")
        if status.st_size > _LARGEST:
            raise ModelFailure(
                "checkpoint_damaged", f"{path} has {status.st_size:,} bytes, more than any checkpoint: restore it"
            )
        return file.read(status.st_size)


def file_in(folder: Path, name: str) -> Path:
    """The file of that name in the store. Raises ModelFailure(`checkpoint_outside`) for a path to elsewhere."""
    if Path(name).name != name or name in ("", ".", ".."):
        raise ModelFailure("checkpoint_outside", f"{name!r} is no name of a file in the store")
    return folder / name
