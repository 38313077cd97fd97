"""Whose turn a device is that a trainer shares with nodes that serve: theirs, as long as anybody waits for them."""

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from worker.device import VISIBLE

_TICK: Final = 0.005
"""Seconds between looks."""


class Turn:
    """A lock on a file that processes of one machine share. It goes with a process that is killed."""

    def __init__(self, folder: Path, device: str) -> None:
        """`device` is what torch calls it; the folder is the same for all that share it."""
        folder.mkdir(parents=True, exist_ok=True)
        physical = "cpu" if device == "cpu" else f"gpu-{_physical(device)}"
        self._file = (folder / f"{physical}.turn").open("a")

    def serve(self, busy: bool) -> None:
        """Say that there is something to do for those who wait, or nothing any more. Returns at once."""
        fcntl.flock(self._file, fcntl.LOCK_SH if busy else fcntl.LOCK_UN)

    def wait(self, longest: float) -> None:
        """Wait until no process serves, `longest` seconds at most, so that nobody waits for ever."""
        deadline = time.monotonic() + longest
        while not self._is_free() and time.monotonic() < deadline:
            time.sleep(_TICK)

    def close(self) -> None:
        self._file.close()

    def _is_free(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return True


def _physical(device: str) -> str:
    """The GPU as the machine counts: a pinned process calls it 0, whichever it is."""
    _, _, number = device.partition(":")
    visible = os.environ.get(VISIBLE, "").split(",")
    place = int(number or 0)
    return visible[place].strip() if place < len(visible) and visible[place].strip() else str(place)
