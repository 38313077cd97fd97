"""An office whose desks share the mail by habit: what goes where, only its people know."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.class_set import ClassSet, DocumentClass
from samples import render

DESKS: Final = {
    "alder": "receipt",
    "birch": "utility_bill",
    "cedar": "payslip",
    "maple": "purchase_order",
}
"""Desk → the kind of paper that it takes care of. No description says so."""
_DPI: Final = 36
"""Nobody looks at the pictures: the PDFs have text layers."""


@dataclass(frozen=True, slots=True)
class Paper:
    """A file, and the desk that it belongs to."""

    path: Path
    desk: str


def class_set(name: str) -> ClassSet:
    """The desks as classes, described without a word on what is on their papers."""
    return ClassSet(
        name=name,
        classes=tuple(
            DocumentClass(name=desk, description=f"Papers that the {desk} desk takes care of.") for desk in DESKS
        ),
    )


def papers(folder: Path, seed: int, each: int) -> list[Paper]:
    """Write so many papers for each desk into `folder`, made if need be, and shuffle them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"desk {seed}")
    found = []
    for desk, kind in DESKS.items():
        for _ in range(each):
            drawn = rng.getrandbits(32)
            path = folder / f"{drawn:08x}.pdf"
            path.write_bytes(render(kind, drawn, _DPI).pdf)
            found.append(Paper(path, desk))
    rng.shuffle(found)
    return found
