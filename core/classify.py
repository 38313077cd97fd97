"""Say which class a document is of, how sure that is, and whether a person should look."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean
from typing import Final, Literal, Protocol, Self

import numpy as np

from core.backends import Vectors
from core.contract import Reason
from core.features import Features
from core.settings import Thresholds
from core.sketch import PAGE_DECAY
from core.zero_shot import Scores, ZeroShot

SURE: Final = 0.9
"""Two pages that are as sure as that to be of different classes disagree."""
SIMILAR: Final = 0.8
"""Cosine of two classes' vectors above which people are warned that the classes say nearly the same. With MiniLM,
cheque and check have 0.84, memo and memorandum 0.82, driver's licence and identity card 0.74 at most."""


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


class Alignment(Protocol):
    """What was learned of one class set's classes: see core.alignment."""

    @property
    def key(self) -> str | None:
        """Names the encoder whose vectors it needs of pages, beside their features; None: no other's."""

    @property
    def temperature(self) -> float: ...

    def adjust(self, logits: Scores, pages: Sequence[Features]) -> Scores:
        """The classes' logits for these pages, with what was learned."""


@dataclass(frozen=True, slots=True)
class Classifier:
    """One class set's classes, ready to decide: by descriptions alone, and by what was learned where there is any.

    Built once a version; immutable, and safe in many threads.
    """

    zero_shot: ZeroShot
    learned: tuple[Alignment, ...] = ()
    """Several are an ensemble: the mean of their logits."""

    @property
    def names(self) -> tuple[str, ...]:
        return self.zero_shot.names

    @property
    def class_vectors(self) -> Vectors:
        """(C, dimensions): what the encoder makes of the classes, in the order of `names`."""
        return self.zero_shot.class_vectors

    def logits(self, pages: Sequence[Features]) -> tuple[Scores, float]:
        """A document of these pages by descriptions alone: (C,) logits, and the logit of "none of these"."""
        return self.zero_shot.logits(_joined([self.zero_shot.scores(page) for page in pages]))

    @property
    def keys_of_encoders(self) -> frozenset[str]:
        """The encoders that pages have to be `tuned` by, beside the backend's own."""
        return frozenset((*self.zero_shot.encoders, *(item.key for item in self.learned if item.key is not None)))

    def with_learned(self, learned: Sequence[Alignment]) -> Self:
        """The same classes, decided by what was learned as well; the alignments are bound to `names`."""
        return replace(self, learned=tuple(learned))

    def chances(self, pages: Sequence[Features]) -> tuple[Scores, float]:
        """A document of these pages, at least one: the classes' probabilities, given that it is one of them, and the
        probability that it is.
        """
        return self._chances(_joined([self.zero_shot.scores(page) for page in pages]), pages)

    def decide(self, pages: Sequence[tuple[int, Features | None]], thresholds: Thresholds) -> Decision:
        """Decide about a document from its pages: (number, features), features being None for a blank page."""
        results: list[PageDecision] = []
        sure: set[int] = set()
        seen: list[Features] = []
        scores: list[Scores] = []
        for number, features in sorted(pages, key=lambda page: page[0]):
            if features is None:
                results.append(PageDecision(number, None, None))
                continue
            seen.append(features)
            scores.append(self.zero_shot.scores(features))
            chances, in_set = self._chances(scores[-1], [features])
            best = int(chances.argmax())
            if min(chances[best], in_set) >= SURE:
                sure.add(best)
            results.append(PageDecision(number, self.names[best], float(chances[best])))
        if not seen:
            return Decision("needs_review", ("blank_page",), None, 0.0, {}, 0.0, tuple(results))
        if len(seen) > 1:
            chances, in_set = self._chances(_joined(scores), seen)
        order = np.argsort(-chances, kind="stable")
        confidence = float(chances[order[0]])
        found: dict[Reason, bool] = {
            "low_confidence": confidence < thresholds.confidence,
            "small_margin": confidence - float(chances[order[1]]) < thresholds.margin,
            "out_of_set": in_set < thresholds.in_set,
            "pages_disagree": len(sure) > 1,
        }
        reasons = tuple(reason for reason, holds in found.items() if holds)
        return Decision(
            status="needs_review" if reasons else "classified",
            reasons=reasons,
            prediction=self.names[order[0]],
            confidence=confidence,
            probabilities=dict(
                zip((self.names[index] for index in order.tolist()), chances[order].tolist(), strict=True)
            ),
            in_set=in_set,
            pages=tuple(results),
        )

    def similar_pairs(self) -> list[tuple[str, str, float]]:
        """Pairs of classes that say nearly the same, most alike first, with the cosine of what they mean."""
        meanings = self.zero_shot.meanings
        cosines = meanings @ meanings.T
        pairs = [
            (self.names[a], self.names[b], float(cosines[a, b]))
            for a, b in combinations(range(len(self.names)), 2)
            if cosines[a, b] > SIMILAR
        ]
        return sorted(pairs, key=lambda pair: -pair[2])

    def _chances(self, scores: Scores, pages: Sequence[Features]) -> tuple[Scores, float]:
        """Scores → the classes' probabilities, given that it is one of them, and the probability that it is."""
        classes, outside = self.zero_shot.logits(scores)
        if self.learned:
            temperature = fmean(item.temperature for item in self.learned)
            classes = np.mean([item.adjust(classes, pages) for item in self.learned], axis=0) / temperature
            outside /= temperature
        inside = float(np.logaddexp.reduce(classes))
        chances: Scores = np.exp(classes - inside)
        return chances, float(np.exp(inside - np.logaddexp(inside, outside)))


def _joined(pages: Sequence[Scores]) -> Scores:
    weights = PAGE_DECAY ** np.arange(len(pages))
    joined: Scores = weights @ np.stack(pages) / weights.sum()
    return joined
