"""Devices: which there are, and one node pinned to each before anything can touch another."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from core.errors import RejectedInput

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
"""What CUDA reads once, when it starts: the devices that a process has, which it then counts from 0."""
_NAME: Final = re.compile(r"auto|cpu|cuda|cuda:\d+")


@dataclass(frozen=True, slots=True)
class Device:
    """`name` as settings have it, `cpu` or `cuda:1`; `label` as nodes are called after it, `cpu0` or `gpu1`."""

    name: str
    label: str

    @classmethod
    def choose(cls, chosen: str) -> list[Self]:
        """Those of `all`, or of such as `0,1` or `cpu,cpu`: numbers are those of GPUs. `all` of no GPU is the CPU.

        Raises RejectedInput(`unknown_device`).
        """
        words = [word.strip() for word in chosen.split(",")]
        count = _gpus() if words != ["cpu"] * len(words) else 0
        if words == ["all"]:
            words = [str(number) for number in range(count)] or ["cpu"]
        unknown = [word for word in words if word != "cpu" and not (word.isdecimal() and int(word) < count)]
        if unknown or len(set(words) - {"cpu"}) < len([word for word in words if word != "cpu"]):
            raise RejectedInput(
                "unknown_device",
                f"devices {chosen!r}: there are {count} GPUs here; say `all`, or numbers from 0 such as `0,1`, each "
                "once, or `cpu`",
            )
        return [
            cls("cpu", f"cpu{place}") if word == "cpu" else cls(f"cuda:{word}", f"gpu{word}")
            for place, word in enumerate(words)
        ]


def pin(name: str) -> str:
    """Leave this process no other GPU than the named one, and return what it is called from then on.

    `auto`, `cpu` and `cuda` are left as they are. To be called before torch is imported. Raises
    RejectedInput(`unknown_device`).
    """
    if not _NAME.fullmatch(name):
        raise RejectedInput("unknown_device", f"device {name!r}: it is `auto`, `cpu`, `cuda`, or such as `cuda:1`")
    _, _, number = name.partition(":")
    if not number:
        return name
    visible = _visible()
    if visible is not None and int(number) >= len(visible):
        raise RejectedInput(
            "unknown_device", f"device {name!r}: {VISIBLE} leaves {len(visible)} GPUs, which are counted from 0"
        )
    os.environ[VISIBLE] = number if visible is None else visible[int(number)]
    return "cuda"


def _visible() -> Sequence[str] | None:
    value = os.environ.get(VISIBLE)
    return None if value is None else [part.strip() for part in value.split(",") if part.strip()]


def _gpus() -> int:
    import torch

    # By the driver's library, so that this process gets no context on a GPU, and no memory of it.
    return torch.cuda.device_count()
