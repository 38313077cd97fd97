"""Say which class a document is of, how sure that is, and whether a person should look."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from core.backends import Vectors
from core.class_set import ClassSet
from core.contract import Reason
from core.features import Features, phrase_key, words_of
from core.prompts import prompts_of
from core.settings import Thresholds

Scores = NDArray[np.float64]
SIMILAR: Final = 0.9
"""Cosine of two classes' vectors above which people are warned that the classes say nearly the same."""


@dataclass(frozen=True, slots=True)
class PageDecision:
    """What one page looks like by itself; no prediction for a blank one."""

    number: int
    prediction: str | None
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a document is.

    `probabilities` hold every class by name, best first, given that it is one of them: they sum to 1, and are empty
    for a document of blank pages. `in_set` is the probability that it is one of them.
    """

    status: Literal["classified", "needs_review"]
    reasons: tuple[Reason, ...]
    prediction: str | None
    confidence: float
    probabilities: dict[str, float]
    in_set: float
    pages: tuple[PageDecision, ...]


@dataclass(frozen=True, slots=True)
class Classifier:
    """One class set's classes, ready to score. Built once a version; immutable, and safe in many threads."""

    names: tuple[str, ...]
    vectors: Vectors
    keys: NDArray[np.uint32]
    table: Vectors

    @classmethod
    def build(cls, class_set: ClassSet, encode_texts: Callable[[Sequence[str]], Vectors]) -> Self:
        """Encode the classes' prompts and gather their words."""
        classes = sorted(class_set.classes, key=lambda item: item.name)
        prompts = [prompts_of(item) for item in classes]
        rows = np.split(
            encode_texts([text for texts in prompts for text in texts]),
            np.cumsum([len(texts) for texts in prompts])[:-1],
        )
        vectors = np.stack([row.mean(axis=0) for row in rows])
        vocabulary: list[dict[int, float]] = []
        for item in classes:
            own = {phrase_key(word): 0.5 for word in words_of(item.description) if len(word) > 3}
            own |= {phrase_key(phrase): 1.0 for phrase in item.wording}
            own |= {phrase_key(item.words): 3.0}
            vocabulary.append(own)
        keys = np.array(sorted({key for own in vocabulary for key in own}), dtype=np.uint32)
        table = np.array([[own.get(int(key), 0.0) for own in vocabulary] for key in keys], dtype=np.float32)
        return cls(
            names=tuple(item.name for item in classes),
            vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
            keys=keys,
            table=table,
        )

    def decide(self, pages: Sequence[tuple[int, Features | None]], thresholds: Thresholds) -> Decision:
        """Decide about a document from its pages: (number, features), features being None for a blank page."""
        results: list[PageDecision] = []
        total = np.zeros(len(self.names))
        weight = 0.0
        for number, features in sorted(pages, key=lambda page: page[0]):
            if features is None:
                results.append(PageDecision(number, None, None))
                continue
            scores = self._scores(features)
            chances = _softmax(scores)
            best = int(chances.argmax())
            results.append(PageDecision(number, self.names[best], float(chances[best])))
            total += scores / (1 + len(results))
            weight += 1 / (1 + len(results))
        if not weight:
            return Decision("needs_review", ("blank_page",), None, 0.0, {}, 0.0, tuple(results))
        chances = _softmax(total / weight)
        order = np.argsort(-chances, kind="stable")
        confidence = float(chances[order[0]])
        reasons: list[Reason] = []
        if confidence < thresholds.confidence:
            reasons.append("low_confidence")
        if confidence - float(chances[order[1]]) < thresholds.margin:
            reasons.append("small_margin")
        return Decision(
            "needs_review" if reasons else "classified",
            tuple(reasons),
            self.names[order[0]],
            confidence,
            {self.names[index]: float(chances[index]) for index in order},
            1.0,
            tuple(results),
        )

    def similar_pairs(self) -> list[tuple[str, str, float]]:
        """Pairs of classes whose descriptions are nearly the same, most alike first, with their cosine."""
        cosines = self.vectors @ self.vectors.T
        pairs = [
            (self.names[a], self.names[b], float(cosines[a, b]))
            for a, b in combinations(range(len(self.names)), 2)
            if cosines[a, b] > SIMILAR
        ]
        return sorted(pairs, key=lambda pair: -pair[2])

    def _scores(self, features: Features) -> Scores:
        similarity = (features.parts @ self.vectors.T).mean(axis=0)
        _, mine, theirs = np.intersect1d(self.keys, features.keys, assume_unique=True, return_indices=True)
        lexical = (1 + features.prominence[theirs] / 64) @ self.table[mine]
        total: Scores = 20.0 * similarity.astype(np.float64) + lexical
        return total


def _softmax(scores: Scores) -> Scores:
    powers: Scores = np.exp(scores - scores.max())
    powers /= powers.sum()
    return powers
