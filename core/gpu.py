"""The GPUs of this machine, as the driver and torch see them."""

import csv
import shutil
import subprocess
from dataclasses import dataclass, replace
from typing import Final

_ASKED: Final = ("--query-gpu=uuid,name,memory.total,memory.free", "--format=csv,noheader,nounits")
_PATIENCE: Final = 20
"""Seconds; a driver that wakes up takes some, and one that hangs never answers."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU; `device` is what torch calls it, None where torch cannot use it. `total` and `free` are bytes."""

    name: str
    device: str | None = None
    total: int | None = None
    free: int | None = None

    def __str__(self) -> str:
        told = [self.name if self.device is None else f"{self.device} {self.name}"]
        if self.total is not None:
            told.append(f"{self.total / 1024**3:.1f} GiB")
        if self.free is not None:
            told.append(f"{self.free / 1024**3:.1f} GiB free")
        return ", ".join(told)


def gpus() -> tuple[Gpu, ...]:
    """Those that torch can use, in its order; if there are none, those that the driver knows all the same.

    What is free is told by the driver's own `nvidia-smi`, for torch would take some of it to tell; without that
    program it stays unknown.
    """
    import torch

    told = _told_by_driver()
    found = []
    for number in range(torch.cuda.device_count()):
        device = f"cuda:{number}"
        properties = torch.cuda.get_device_properties(number)
        known = told.pop(str(properties.uuid), None) or Gpu(properties.name, total=properties.total_memory)
        found.append(replace(known, device=device))
    # The others are hidden from torch on purpose, most likely.
    return tuple(found or told.values())


def build() -> str:
    """Which torch this is, and for which GPUs it was built."""
    import torch

    if torch.version.cuda:
        return f"torch {torch.__version__} for CUDA {torch.version.cuda}"
    return f"torch {torch.__version__}, built without CUDA"


def _told_by_driver() -> dict[str, Gpu]:
    """By what torch calls the `uuid` of each; none where there is no driver, or it is out of order."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    try:
        # Fixed words, and a program of the machine's own.
        said = subprocess.run(  # noqa: S603
            [program, *_ASKED], capture_output=True, text=True, check=True, timeout=_PATIENCE
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    rows = [[value.strip() for value in row] for row in csv.reader(said.splitlines())]
    return {
        row[0].removeprefix("GPU-"): Gpu(row[1], total=_bytes(row[2]), free=_bytes(row[3]))
        for row in rows
        if len(row) == 4
    }


def _bytes(mebibytes: str) -> int | None:
    """GPUs that share the memory of the machine say `[N/A]`."""
    return int(mebibytes) * 1024**2 if mebibytes.isdecimal() else None
