"""Documents for every part of a dataset, so that no test depends on where hashes happen to fall."""

import hashlib

from core.settings import Training
from core.training.dataset import Part, part_of


class Parts:
    """So many documents are to be had: a quarter to judge, a sixth to validate, the rest to learn from."""

    def __init__(self, count: int) -> None:
        judge, validate = count // 4, count // 6
        self._missing: dict[Part, int] = {"test": judge, "validation": validate, "train": count - judge - validate}

    def take(self, content: bytes) -> bool:
        """Whether a document with these bytes is one that was missing."""
        part = part_of(hashlib.sha256(content).hexdigest(), Training())
        self._missing[part] -= 1
        if self._missing[part] < 0:
            self._missing[part] = 0
            return False
        return True

    @property
    def complete(self) -> bool:
        return not any(self._missing.values())
