"""Zero-shot decisions by an encoder whose cosines mean something by themselves, because it learned to tell by them
which text belongs to which image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from math import log
from typing import Final, Self

import numpy as np

from core.backends import EncodePages, Vectors
from core.class_set import ClassSet, DocumentClass
from core.features import Features
from core.genres import KIND, genres, resemblance
from core.prompts import captioned, pictured
from core.zero_shot import NO_ENCODERS, EncodeTexts, Scores, log_sum_exp

STRANGERS: Final = 32_767
"""Texts of other images that stood beside an image's own when SigLIP and SigLIP 2 learned: batches of 32,768."""


@dataclass(frozen=True, slots=True)
class Cosines:
    """A ZeroShot: one class set's classes beside what else there could be.

    The logit of a class is `scale` · cosine + `bias`, both as the checkpoint learned them (Radford et al. 2021,
    arXiv 2103.00020, has no bias; Zhai et al. 2023, arXiv 2303.15343). Softmax over them is what the field calls
    zero-shot classification, for either kind of checkpoint: a bias moves all alike.

    "None of these" has no text of its own. It is what the genres of the lexicon say together that no class
    resembles, so that a purchase order is told from an invoice by a set without purchase orders. Before a document
    is looked at, it is as likely to be of the set as not; each half is shared evenly by those in it. Without that,
    170 genres would outvote a handful of classes by their number. This much holds for a softmax and for sigmoids,
    since it compares texts with each other only.

    A checkpoint with a bias knows more: how likely a text and an image belong together at all. Its logit is the log
    odds of that where one text in a batch of 32,768 is the right one; so a logit of 0 is no rival to ask for: a text
    that is 5,000 times as likely as a stranger's is still below it. Without those odds, a logit of -log(32,767) is
    that of a text which says nothing of the image, for or against: "nothing known", which is one rival more. For
    a softmax there is no such level.
    """

    names: tuple[str, ...]
    vectors: Vectors
    """(C + R, dimensions), unit rows: of the classes, and of the genres that are not a class's altogether."""
    meanings: Vectors
    """(C, dimensions), unit rows: what the classes mean, seen from the middle of all texts."""
    shares: Scores
    """(R,): log of what a rival weighs beside a class; with a bias (R + 1,), the last that of "nothing known"."""
    scale: float
    bias: float | None

    @classmethod
    def build(cls, class_set: ClassSet, encode_texts: EncodeTexts, scale: float, bias: float | None) -> Self:
        """Encode the classes, and find the genres that none of them resembles.

        `bias` is None for a checkpoint that learned by a softmax. The genres are encoded once for each
        `encode_texts`: pass the same function again, such as a bound method.
        """
        classes = sorted(class_set.classes, key=lambda item: item.name)
        vectors, meanings = _encode(encode_texts, classes)
        lexicon, lexicon_meanings = _encode_genres(encode_texts)
        # The text towers of such encoders put all that is said into a narrow cone, in which anything resembles
        # anything. Seen from its middle, texts that have nothing in common are at right angles again.
        middle = lexicon_meanings.mean(axis=0)
        meanings = _unit(meanings - middle)
        share = resemblance(classes, meanings, genres(), _unit(lexicon_meanings - middle))
        unclaimed = np.maximum(0, 1 - share.max(axis=0).astype(np.float64) / KIND)
        rivals = unclaimed > 0
        # Where the classes leave less than one genre, what is left weighs no more than that.
        weights = unclaimed[rivals] if bias is None else np.append(unclaimed[rivals], 1.0)
        return cls(
            names=tuple(item.name for item in classes),
            vectors=np.concatenate([vectors, lexicon[rivals]]),
            meanings=meanings,
            shares=np.log(weights) - log(max(1.0, weights.sum())) + log(len(classes)),
            scale=scale,
            bias=bias,
        )

    @property
    def class_vectors(self) -> Vectors:
        return self.vectors[: len(self.names)]

    @property
    def encoders(self) -> Mapping[str, EncodePages]:
        return NO_ENCODERS

    def scores(self, pages: Sequence[Features]) -> Scores:
        """(P, C + R): the cosines."""
        return (np.stack([page.vector for page in pages]) @ self.vectors.T).astype(np.float64)

    def logits(self, scores: Scores) -> tuple[Scores, Scores]:
        """The logit of "none of these" is -inf where every genre is a class's and the checkpoint has no bias."""
        logits = self.scale * scores + (self.bias or 0.0)
        classes, others = np.split(logits, [len(self.names)], axis=1)
        if self.bias is not None:
            strangers = np.full((len(others), 1), -log(STRANGERS))
            others = np.concatenate([others, strangers], axis=1)
        return classes, log_sum_exp(others + self.shares)


def _encode(encode_texts: EncodeTexts, items: Sequence[DocumentClass]) -> tuple[Vectors, Vectors]:
    """(items, dimensions) each: the unit mean vectors of all their captions, and of those by description."""
    told = [captioned(item) for item in items]
    groups = [[*pictured(item), *captions] for item, captions in zip(items, told, strict=True)]
    rows = encode_texts([text for group in groups for text in group])
    parts = np.split(rows, np.cumsum([len(group) for group in groups])[:-1])
    return (
        _unit(np.stack([part.mean(axis=0) for part in parts])),
        _unit(np.stack([part[-len(captions) :].mean(axis=0) for part, captions in zip(parts, told, strict=True)])),
    )


@lru_cache(maxsize=4)
def _encode_genres(encode_texts: EncodeTexts) -> tuple[Vectors, Vectors]:
    """The same of the genres, put in the words that classes are put in: else one side would have the better ones."""
    return _encode(encode_texts, _genres_as_classes())


@cache
def _genres_as_classes() -> tuple[DocumentClass, ...]:
    return tuple(DocumentClass(name=genre.name, description=genre.description) for genre in genres())


def _unit(rows: Vectors) -> Vectors:
    unit: Vectors = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit
