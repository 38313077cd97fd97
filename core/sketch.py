"""A document as an alignment sees it: its pages' vectors, and a bag of its words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.backends import Vectors
from core.features import Features

BUCKETS: Final = 4096
"""Terms share this many places; some five hundred are on a page."""
PAGE_DECAY: Final = 0.5
"""Weight of a page beside the one before it: what a document is stands on its first pages."""
_PLAIN: Final = 0.3
"""What a term in the smallest print counts; one that stands out entirely counts 1 more."""
_MIX: Final = 2654435761
"""Knuth's multiplicative hash, so that keys which differ little do not land side by side."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """`tokens`: (pages, dimensions) vectors of the pages that are not blank; `weights`: (pages,), summing to 1.

    `places`: (n,) distinct buckets in [0, BUCKETS), ascending, and `counts`: (n,) what their terms count; as a vector
    of BUCKETS numbers, of length 1 or less.
    """

    tokens: Vectors
    weights: Vectors
    places: NDArray[np.integer[Any]]
    counts: Vectors

    def bag(self) -> Vectors:
        """(BUCKETS,)"""
        dense = np.zeros(BUCKETS, dtype=np.float32)
        dense[self.places] = self.counts
        return dense

    def look(self) -> Vectors:
        """(dimensions,): the weighted mean of the tokens."""
        mean: Vectors = self.weights @ self.tokens
        return mean


def sketch_of(pages: Sequence[Features]) -> Sketch:
    """Join pages that are not blank, in order, at least one; each weighs half as much as the one before it."""
    weights = PAGE_DECAY ** np.arange(len(pages), dtype=np.float32)
    weights /= weights.sum()
    bag = np.zeros(BUCKETS, dtype=np.float32)
    for page, weight in zip(pages, weights, strict=True):
        single = np.zeros(BUCKETS, dtype=np.float32)
        places = (page.keys.astype(np.uint64) * np.uint64(_MIX) >> np.uint64(7)) % np.uint64(BUCKETS)
        np.maximum.at(single, places.astype(np.int64), _PLAIN + page.prominence.astype(np.float32) / 255)
        bag += weight * single / max(1e-6, float(np.linalg.norm(single)))
    found = np.flatnonzero(bag).astype(np.uint16)
    return Sketch(np.stack([page.vector for page in pages]), weights, found, bag[found])
