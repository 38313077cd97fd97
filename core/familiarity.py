"""How familiar a document is: whether what was learned from labels has anything to say about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from core.backends import Vectors
from core.sketch import Sketch

ANCHORS: Final = 1024
"""Labelled documents that are remembered, at most; each class has an equal share."""
TOGETHER: Final = 64
"""Documents that are compared at a time, of many."""
_PRIOR: Final = 0.01
"""Pull of the steepness towards none, for few labels."""


@dataclass(frozen=True, slots=True)
class Familiarity:
    """What labelled documents are like, and how near to one of them a document must come to be of its class.

    `anchors`: (BUCKETS, documents) unit columns of their words; or where there is an `origin`, (dimensions,), those
    of what they look like from there, (dimensions, documents): encoders put all that they see into a narrow cone.
    `steepness` and `middle` make a chance of the cosine to the nearest one: that it is of the same class, as labelled
    documents are among each other.
    """

    anchors: Vectors
    steepness: float
    middle: float
    origin: Vectors | None = None

    @classmethod
    def fit(cls, sketches: Sequence[Sketch], labels: Sequence[int], *, by_words: bool = True) -> Self:
        """Learn from labelled documents how alike those of one class are, and those of different classes.

        Where no class has two documents, or there is only one class, nothing is familiar.
        """
        kept = _evenly(labels)
        origin = None
        matrix = np.stack([sketches[index].bag() if by_words else sketches[index].look() for index in kept])
        if not by_words:
            origin = matrix.mean(axis=0)
            matrix -= origin
        matrix /= np.maximum(1e-6, np.linalg.norm(matrix, axis=1, keepdims=True))
        # As coarse as checkpoints keep it, so that what is measured is what is served.
        matrix = matrix.astype(np.float16).astype(np.float32)
        label = np.asarray(labels)[kept]
        alike = matrix @ matrix.T
        same = label[:, None] == label[None, :]
        np.fill_diagonal(alike, -1)
        near, far = alike.max(axis=1, where=same, initial=-1), alike.max(axis=1, where=~same, initial=-1)
        steepness, middle = _logistic(near[near >= 0], far[far >= 0])
        return cls(np.ascontiguousarray(matrix.T), steepness, middle, origin)

    def of(self, sketches: Sequence[Sketch]) -> NDArray[np.float64]:
        """(sketches,) in [0, 1]: 0 where it is as likely of another class as of that of its nearest labelled one."""
        parts = [sketches[start : start + TOGETHER] for start in range(0, len(sketches), TOGETHER)]
        nearest = np.concatenate([np.zeros(0, np.float32), *map(self._nearest, parts)])
        chance = 1 / (1 + np.exp(-self.steepness * (nearest.astype(np.float64) - self.middle)))
        return np.clip(2 * chance - 1, 0, 1)

    def _nearest(self, sketches: Sequence[Sketch]) -> Vectors:
        """Each document's cosine to the labelled one that is nearest."""
        if self.origin is None and len(sketches) == 1:
            # Of one document, few words matter; of many together, most do.
            known, alike = sketches[0].counts[None], sketches[0].counts[None] @ self.anchors[sketches[0].places]
        else:
            rows = [one.bag() if self.origin is None else one.look() - self.origin for one in sketches]
            known = np.stack(rows)
            alike = known @ self.anchors
        nearest: Vectors = alike.max(axis=1) / np.maximum(1e-6, np.linalg.norm(known, axis=1))
        return nearest


def _evenly(labels: Sequence[int]) -> NDArray[np.int64]:
    """Which documents are kept: as many of each class, the first ones, up to ANCHORS in all."""
    label = np.asarray(labels)
    # Two of a class at least, or none would be seen to be alike; of very many classes, those that come first.
    names = np.unique(label)[: ANCHORS // 2]
    share = max(2, ANCHORS // len(names))
    return np.sort(np.concatenate([np.flatnonzero(label == name)[:share] for name in names]))


def _logistic(near: Vectors, far: Vectors) -> tuple[float, float]:
    """Steepness and middle of the curve that tells cosines within classes from those between them.

    Both kinds weigh the same, whatever their numbers; Newton's method on the logistic loss.
    """
    if not len(near) or not len(far):
        return 1.0, 2.0
    cosine = np.concatenate([near, far]).astype(np.float64)
    truth = np.concatenate([np.ones(len(near)), np.zeros(len(far))])
    weight = np.concatenate([np.full(len(near), 0.5 / len(near)), np.full(len(far), 0.5 / len(far))])
    design = np.stack([cosine, np.ones_like(cosine)], axis=1)
    solution = np.zeros(2)
    prior = np.diag([_PRIOR / 100, 1e-9])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-design @ solution))
        gradient = design.T @ (weight * (chance - truth)) + prior @ solution
        hessian = (design * (weight * chance * (1 - chance))[:, None]).T @ design + prior
        step = np.linalg.solve(hessian, gradient)
        solution -= step * min(1.0, 20 / max(1e-9, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-8:
            break
    if solution[0] <= 0:
        # Documents of one class are no more alike than others are: words tell nothing here.
        return 1.0, 2.0
    return float(solution[0]), float(-solution[1] / solution[0])
