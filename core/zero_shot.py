"""How well pages fit classes by the classes' descriptions alone, before anything was learned."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from core.backends import EncodePages, Vectors
from core.features import Features

Scores = NDArray[np.float64]
EncodeTexts = Callable[[Sequence[str]], Vectors]
_LEAST: Final = -1e300
"""A logit below all others and above -inf, so that differences to it are numbers."""
NO_ENCODERS: Final[Mapping[str, EncodePages]] = MappingProxyType({})


class ZeroShot(Protocol):
    """One class set's classes as one backend tells them apart. Immutable, and safe in many threads."""

    @property
    def names(self) -> tuple[str, ...]:
        """The C classes, sorted."""

    @property
    def class_vectors(self) -> Vectors:
        """(C, dimensions): what the backend's text encoder makes of the classes, unit rows."""

    @property
    def meanings(self) -> Vectors:
        """(C, any): unit rows, near to each other where classes say nearly the same."""

    @property
    def encoders(self) -> Mapping[str, EncodePages]:
        """Encoders, by key, that pages have to be seen by beside the backend's own: for these classes alone."""

    def scores(self, pages: Sequence[Features]) -> Scores:
        """(P, any): each page against all that classes are told by; a document's scores are a weighted mean of its
        pages'.
        """

    def logits(self, scores: Scores) -> tuple[Scores, Scores]:
        """(D, any) scores → (D, C) logits of the classes, and (D,) logits of "none of these"."""


def means_of(encode_texts: EncodeTexts, groups: Sequence[Sequence[str]]) -> Vectors:
    """(groups, dimensions): the unit mean vector of each group of texts."""
    rows = encode_texts([text for group in groups for text in group])
    means = np.stack([part.mean(axis=0) for part in np.split(rows, np.cumsum([len(group) for group in groups])[:-1])])
    unit: Vectors = means / np.linalg.norm(means, axis=1, keepdims=True)
    return unit


def log_sum_exp(logits: Scores) -> Scores:
    """(D, any) → (D,): the logit of "one of these", -inf where there is none of them.

    As np.logaddexp.reduce, in a tenth of its time.
    """
    best = logits.max(axis=1, keepdims=True, initial=_LEAST)
    with np.errstate(divide="ignore"):
        whole: Scores = best[:, 0] + np.log(np.exp(logits - best).sum(axis=1))
    return whole
