"""Say which class a document is of, how sure that is, and whether a person should look."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, combinations
from statistics import fmean
from typing import Final, Literal, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from core.backends import Vectors
from core.contract import Reason
from core.features import Features
from core.settings import Thresholds
from core.sketch import PAGE_DECAY
from core.zero_shot import Scores, ZeroShot, log_sum_exp

SURE: Final = 0.9
"""Two pages that are as sure as that to be of different classes disagree."""
FEW: Final = 100
"""Classes that are put in order altogether, however many are listed."""
SIMILAR: Final = 0.8
"""Cosine of two classes' vectors above which people are warned that the classes say nearly the same. With MiniLM,
cheque and check have 0.84, memo and memorandum 0.82, driver's licence and identity card 0.74 at most."""


class PageDecision(NamedTuple):
    """What one page looks like by itself; no prediction for a blank one."""

    number: int
    prediction: str | None
    confidence: float | None


class Decision(NamedTuple):
    """What a document is.

    `probabilities` hold the likeliest classes by name, best first, given that it is one of the set's; those of all
    classes sum to 1. They are empty for a document of blank pages. `in_set` is the probability that it is of the set.
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

    def adjust(self, logits: Scores, documents: Sequence[Sequence[Features]]) -> Scores:
        """(D, C) logits of documents of these pages, with what was learned."""


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

    def logits(self, documents: Sequence[Sequence[Features]]) -> tuple[Scores, Scores]:
        """D documents, each of these pages, by descriptions alone: (D, C) logits, and (D,) of "none of these"."""
        return self.zero_shot.logits(self._scores(documents))

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
        chances, in_set = self.chances_of([pages])
        return chances[0], float(in_set[0])

    def chances_of(self, documents: Sequence[Sequence[Features]]) -> tuple[Scores, Scores]:
        """D documents, each of these pages: (D, C) and (D,), as `chances` gives them of one."""
        return self._chances(self._scores(documents), documents)

    def decide(
        self, pages: Sequence[tuple[int, Features | None]], thresholds: Thresholds, top: int | None = None
    ) -> Decision:
        """Decide about a document from its pages: (number, features), features being None for a blank page.

        The decision lists the probabilities of the `top` likeliest classes; without `top`, those of all.
        """
        return self.decide_all([pages], thresholds, top)[0]

    def decide_all(
        self,
        documents: Sequence[Sequence[tuple[int, Features | None]]],
        thresholds: Thresholds,
        top: int | None = None,
    ) -> list[Decision]:
        """Decide about each document; of many, each costs a fraction of what one costs alone."""
        top = len(self.names) if top is None else top
        in_order = [sorted(pages, key=lambda page: page[0]) for pages in documents]
        shown = [[features for _, features in pages if features is not None] for pages in in_order]
        pages = [page for document in shown for page in document]
        firsts = [*accumulate(map(len, shown), initial=0)]
        several = [index for index, document in enumerate(shown) if len(document) > 1]
        views = _Views([], [], [])
        if pages:
            scores = self.zero_shot.scores(pages)
            if several:
                joined = [_joined(scores[firsts[index] : firsts[index + 1]]) for index in several]
                scores = np.concatenate([scores, joined])
            seen = [*([page] for page in pages), *map(shown.__getitem__, several)]
            views = _Views.of(*self._chances(scores, seen), top)
        # A document of one page is what its page is.
        wholes = firsts[:-1]
        for row, index in enumerate(several, start=len(pages)):
            wholes[index] = row
        return [
            self._decision(numbered, views, first, whole, thresholds, top)
            for numbered, first, whole in zip(in_order, firsts, wholes, strict=False)
        ]

    def _decision(
        self,
        pages: Sequence[tuple[int, Features | None]],
        views: "_Views",
        first: int,
        whole: int,
        thresholds: Thresholds,
        top: int,
    ) -> Decision:
        """Of the views, `first` is that of the first page that is not blank, and `whole` that of all pages."""
        names, row = self.names, first
        results: list[PageDecision] = []
        sure: set[int] = set()
        for number, features in pages:
            if features is None:
                results.append(PageDecision(number, None, None))
                continue
            best, confidence = views.order[row][0], views.chances[row][0]
            if min(confidence, views.in_set[row]) >= SURE:
                sure.add(best)
            results.append(PageDecision(number, names[best], confidence))
            row += 1
        if row == first:
            return Decision("needs_review", ("blank_page",), None, 0.0, {}, 0.0, tuple(results))
        order, chances, in_set = views.order[whole], views.chances[whole], views.in_set[whole]
        found: dict[Reason, bool] = {
            "low_confidence": chances[0] < thresholds.confidence,
            "small_margin": chances[0] - chances[1] < thresholds.margin,
            "out_of_set": in_set < thresholds.in_set,
            "pages_disagree": len(sure) > 1,
        }
        reasons = tuple(reason for reason, holds in found.items() if holds)
        return Decision(
            status="needs_review" if reasons else "classified",
            reasons=reasons,
            prediction=names[order[0]],
            confidence=chances[0],
            probabilities={names[index]: chance for index, chance in zip(order[:top], chances, strict=False)},
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

    def _scores(self, documents: Sequence[Sequence[Features]]) -> Scores:
        """D documents, each of these pages, at least one: (D, any)"""
        pages = np.split(
            self.zero_shot.scores([page for document in documents for page in document]),
            np.cumsum([len(document) for document in documents[:-1]]),
        )
        return np.stack([_joined(scores) for scores in pages])

    def _chances(self, scores: Scores, views: Sequence[Sequence[Features]]) -> tuple[Scores, Scores]:
        """(D, any) scores of views, which consist of those pages → the (D, C) probabilities of classes, given that it
        is one of them, and the (D,) probability that it is.
        """
        classes, outside = self.zero_shot.logits(scores)
        if self.learned:
            temperature = fmean(item.temperature for item in self.learned)
            classes = np.mean([item.adjust(classes, views) for item in self.learned], axis=0) / temperature
            outside = outside / temperature
        inside = log_sum_exp(classes)
        chances: Scores = np.exp(classes - inside[:, None])
        return chances, np.exp(inside - np.logaddexp(inside, outside))


@dataclass(frozen=True, slots=True)
class _Views:
    """Pages and whole documents as a classifier sees them: a row each."""

    order: list[list[int]]
    """The likeliest classes, best first, and of equals the first ones first: two at least."""
    chances: list[list[float]]
    """Their probabilities, in that order."""
    in_set: list[float]

    @classmethod
    def of(cls, chances: Scores, in_set: Scores, top: int) -> Self:
        """Of (views, classes) probabilities."""
        top = max(top, 2)
        if chances.shape[1] <= max(top, FEW):
            order = np.argsort(-chances, axis=1, kind="stable")[:, :top]
        else:
            order = _likeliest(chances, top)
        return cls(order.tolist(), chances[np.arange(len(order))[:, None], order].tolist(), in_set.tolist())


def _likeliest(chances: Scores, top: int) -> NDArray[np.int64]:
    """The first `top` columns of what a stable sort gives: only what is as likely as the last of them is sorted."""
    least = np.partition(chances, -top, axis=1)[:, -top]
    # As np.nonzero of both dimensions, in a fifth of its time.
    rows, columns = np.divmod(np.flatnonzero(chances >= least[:, None]), chances.shape[1])
    by_chance = np.lexsort((-chances[rows, columns], rows))
    firsts = np.searchsorted(rows, np.arange(len(chances)))
    order: NDArray[np.int64] = columns[by_chance[firsts[:, None] + np.arange(top)]]
    return order


def _joined(pages: Scores) -> Scores:
    """(P, any) scores of a document's pages → (any,) its own."""
    weights = PAGE_DECAY ** np.arange(len(pages))
    joined: Scores = weights @ pages / weights.sum()
    return joined
