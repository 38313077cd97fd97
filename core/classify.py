"""Say which class a document is of, how sure that is, and whether a person should look.

A page is scored against every class and against every genre of the lexicon, by sentence vectors and by the words that
are printed on it. A class stands for what its own words say and, beyond that, for the best of the genres that
it resembles. Genres that no class resembles compete as "none of these".
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import combinations
from math import log
from statistics import fmean
from typing import Final, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from core.backends import Vectors
from core.class_set import ClassSet, DocumentClass
from core.contract import Reason
from core.features import STOPWORDS, Features, mark_key, phrase_keys, words_of
from core.genres import KIND, Genre, genres, resemblance
from core.prompts import prompts_of
from core.settings import Thresholds
from core.sketch import PAGE_DECAY

Scores = NDArray[np.float64]
EncodeTexts = Callable[[Sequence[str]], Vectors]

COSINE: Final = 15.0
"""Weight of a cosine beside the words: one rare word counts 1."""
PROMINENCE: Final = 2.0
"""A term that stands out entirely counts this much more than one in running text."""
PRINTED: Final = 1.0
"""Weight of a term that is printed on a genre."""
SHORT, LONG = 20, 300
"""Words on a page between which a match counts the less, the longer the page is: it may be chance."""
NAME, WORDING, NAME_WORD, DESCRIPTION_WORD = 1.5, 0.5, 0.6, 0.3
"""Weights of what a class says of itself. Its wording adds to what the genres have, which mostly know it already."""
ORIGINAL: Final = 2.0
"""Bonus of a class that is seen by its own words alone, since these are fewer than a genre's."""
RIVALRY: Final = 2.0
"""How strongly a genre prefers the class that resembles it most."""
FLOOR: Final = 10.0
"""Score of "nothing known", which competes with classes and genres."""
TEMPERATURE: Final = 1.1
"""Makes probabilities of scores: the one number that was fitted, over many class sets; see docs/decisions.md."""
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
    """One class set's classes, ready to score. Built once a version; immutable, and safe in many threads.

    Columns are what pages are scored against: G genres by how they look, the same G by what they are called and
    mean, then C classes by what they are called and mean.
    """

    names: tuple[str, ...]
    vectors: Vectors
    """(2 G + C, dimensions), unit rows."""
    keys: NDArray[np.uint32]
    """(terms,), sorted."""
    table: Vectors
    """(terms, 2 G + C): what a term on a page counts."""
    claims: Scores
    """(C, G): log of the share that a class has in a genre."""
    original: Scores
    """(C,): log of the share of a class that is like no genre, and its bonus."""
    unclaimed: Scores
    """(G,): log of the share of a genre that no class has; a class that names its kind has it all."""
    learned: tuple[Alignment, ...] = ()
    """Several are an ensemble: the mean of their logits."""

    @classmethod
    def build(cls, class_set: ClassSet, encode_texts: EncodeTexts) -> Self:
        """Encode the classes and relate them to the genres.

        The genres are encoded once for each `encode_texts`: pass the same function again, such as a bound method.
        """
        classes = sorted(class_set.classes, key=lambda item: item.name)
        looks, meanings = _encode_genres(encode_texts)
        vectors = _means(encode_texts, [prompts_of(item) for item in classes])
        share = resemblance(classes, _means(encode_texts, [[_meaning(item)] for item in classes]), genres(), meanings)
        best = share.max(axis=0)
        with np.errstate(divide="ignore"):
            claimed = (share * (share / best) ** RIVALRY).astype(np.float64)
            claims = np.log(claimed)
            original = np.log(1 - claimed.max(axis=1)) + ORIGINAL
            unclaimed = np.log(np.maximum(0, 1 - best.astype(np.float64) / KIND))
        keys, table = _tabulate(classes)
        return cls(
            names=tuple(item.name for item in classes),
            vectors=np.concatenate([looks, meanings, vectors]),
            keys=keys,
            table=table,
            claims=claims,
            original=original,
            unclaimed=unclaimed,
        )

    @property
    def class_vectors(self) -> Vectors:
        """(C, dimensions): what the encoder makes of the classes, in the order of `names`."""
        return self.vectors[-len(self.names) :]

    def logits(self, pages: Sequence[Features]) -> tuple[Scores, float]:
        """A document of these pages by descriptions alone: (C,) logits, and the logit of "none of these"."""
        return self._logits(self._joined([self._scores(page) for page in pages]))

    @property
    def keys_of_encoders(self) -> frozenset[str]:
        """The encoders that pages have to be `tuned` by for what was learned to be of use."""
        return frozenset(item.key for item in self.learned if item.key is not None)

    def with_learned(self, learned: Sequence[Alignment]) -> Self:
        """The same classes, decided by what was learned as well; the alignments are bound to `names`."""
        return replace(self, learned=tuple(learned))

    def chances(self, pages: Sequence[Features]) -> tuple[Scores, float]:
        """A document of these pages, at least one: the classes' probabilities, given that it is one of them, and the
        probability that it is.
        """
        return self._chances(self._joined([self._scores(page) for page in pages]), pages)

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
            scores.append(self._scores(features))
            chances, in_set = self._chances(scores[-1], [features])
            best = int(chances.argmax())
            if min(chances[best], in_set) >= SURE:
                sure.add(best)
            results.append(PageDecision(number, self.names[best], float(chances[best])))
        if not seen:
            return Decision("needs_review", ("blank_page",), None, 0.0, {}, 0.0, tuple(results))
        chances, in_set = self._chances(self._joined(scores), seen)
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
            probabilities={self.names[index]: float(chances[index]) for index in order},
            in_set=in_set,
            pages=tuple(results),
        )

    def similar_pairs(self) -> list[tuple[str, str, float]]:
        """Pairs of classes whose descriptions are nearly the same, most alike first, with their cosine."""
        vectors = self.class_vectors
        cosines = vectors @ vectors.T
        pairs = [
            (self.names[a], self.names[b], float(cosines[a, b]))
            for a, b in combinations(range(len(self.names)), 2)
            if cosines[a, b] > SIMILAR
        ]
        return sorted(pairs, key=lambda pair: -pair[2])

    def _scores(self, features: Features) -> Scores:
        """One page against every column."""
        cosine = self.vectors @ features.vector
        places = np.searchsorted(self.keys, features.keys)
        places[places == len(self.keys)] = 0
        known = self.keys[places] == features.keys
        emphasis = 1 + PROMINENCE / 255 * features.prominence[known].astype(np.float32)
        words = emphasis @ self.table[places[known]] / (min(max(features.words, SHORT), LONG) / 100) ** 0.5
        scores: Scores = (COSINE * cosine + words).astype(np.float64)
        return scores

    @staticmethod
    def _joined(pages: Sequence[Scores]) -> Scores:
        weights = PAGE_DECAY ** np.arange(len(pages))
        joined: Scores = weights @ np.stack(pages) / weights.sum()
        return joined

    def _logits(self, scores: Scores) -> tuple[Scores, float]:
        looks, meanings, own = np.split(scores, [self.claims.shape[1], 2 * self.claims.shape[1]])
        classes = (own + np.maximum(own + self.original, (self.claims + looks).max(axis=1))) / TEMPERATURE
        others = np.append(meanings + looks + self.unclaimed, FLOOR) / TEMPERATURE
        return classes, float(np.logaddexp.reduce(others))

    def _chances(self, scores: Scores, pages: Sequence[Features]) -> tuple[Scores, float]:
        """Scores → the classes' probabilities, given that it is one of them, and the probability that it is."""
        classes, outside = self._logits(scores)
        if self.learned:
            temperature = fmean(item.temperature for item in self.learned)
            classes = np.mean([item.adjust(classes, pages) for item in self.learned], axis=0) / temperature
            outside /= temperature
        inside = float(np.logaddexp.reduce(classes))
        chances: Scores = np.exp(classes - inside)
        return chances, float(np.exp(inside - np.logaddexp(inside, outside)))


def _meaning(item: DocumentClass) -> str:
    return f"{item.words}: {item.description}" if item.description else item.words


def _means(encode_texts: EncodeTexts, groups: Sequence[Sequence[str]]) -> Vectors:
    """The unit mean vector of each group of texts."""
    rows = encode_texts([text for group in groups for text in group])
    means = np.stack([part.mean(axis=0) for part in np.split(rows, np.cumsum([len(group) for group in groups])[:-1])])
    unit: Vectors = means / np.linalg.norm(means, axis=1, keepdims=True)
    return unit


@lru_cache(maxsize=4)
def _encode_genres(encode_texts: EncodeTexts) -> tuple[Vectors, Vectors]:
    """The genres' vectors, by how they look and by what they mean: (genres, dimensions) each."""
    return (
        _means(encode_texts, [(genre.meaning, genre.sample) for genre in genres()]),
        _means(encode_texts, [[genre.meaning] for genre in genres()]),
    )


def _tabulate(classes: Sequence[DocumentClass]) -> tuple[NDArray[np.uint32], Vectors]:
    """The terms of genres and classes, and what each counts for each: its weight times its rarity among genres."""
    looks, meanings = _genre_terms()
    own = [_meaning_terms(item.words, item.description, item.wording) for item in classes]
    keys = np.array(sorted({key for terms in (*looks, *meanings, *own) for key in terms}), dtype=np.uint32)
    place = {int(key): index for index, key in enumerate(keys)}

    def table_of(columns: Sequence[dict[int, float]]) -> Vectors:
        table = np.zeros((len(keys), len(columns)), dtype=np.float32)
        for column, terms in enumerate(columns):
            for key, weight in terms.items():
                table[place[key], column] = weight
        return table

    by_look, by_meaning = table_of(looks), table_of([*meanings, *own])
    in_looks, in_meanings = (np.maximum(1, (table > 0).sum(axis=1)) for table in (by_look, by_meaning))
    return keys, np.concatenate(
        [
            by_look * _rarity(in_looks, len(looks))[:, None],
            by_meaning * _rarity(np.maximum(in_looks, in_meanings), len(meanings) + len(own))[:, None],
        ],
        axis=1,
    )


def _rarity(counts: NDArray[np.int64], of: int) -> Vectors:
    """Inverse document frequency, scaled so that a term of one column counts 1."""
    rarity: Vectors = (np.log((of + 1) / counts) / log(of + 1)).astype(np.float32)
    return rarity


@cache
def _genre_terms() -> tuple[list[dict[int, float]], list[dict[int, float]]]:
    """The genres' terms, by how they look and by what they mean."""
    return (
        [_look_terms(genre) for genre in genres()],
        [_meaning_terms(genre.name, genre.description, ()) for genre in genres()],
    )


def _look_terms(genre: Genre) -> dict[int, float]:
    """What is printed on such documents: key → weight."""
    return _heaviest(
        [
            *((mark_key(mark), PRINTED) for mark in genre.layout),
            *_phrase_terms(genre.wording, PRINTED),
            *_phrase_terms(genre.names, NAME),
        ]
    )


def _meaning_terms(name: str, description: str, wording: Iterable[str]) -> dict[int, float]:
    """What the name, the words of the description and the wording say: key → weight."""
    return _heaviest(
        [
            *_phrase_terms(_content_words(description), DESCRIPTION_WORD),
            *_phrase_terms(_content_words(name), NAME_WORD),
            *_phrase_terms(wording, WORDING),
            *_phrase_terms([name], NAME),
        ]
    )


def _content_words(text: str) -> list[str]:
    """Words of three letters and more, the plural ones also as they would stand in the singular."""
    words = [word for word in words_of(text) if len(word) >= 3 and word not in STOPWORDS]
    return words + [word[:-1] for word in words if len(word) > 3 and word.endswith("s") and not word.endswith("ss")]


def _phrase_terms(phrases: Iterable[str], weight: float) -> list[tuple[int, float]]:
    """A phrase has its whole weight as a whole; the runs of a long one share as much."""
    return [
        (key, weight / max(1, len(keys) - 1) if position else weight)
        for keys in map(phrase_keys, phrases)
        for position, key in enumerate(keys)
    ]


def _heaviest(terms: Iterable[tuple[int, float]]) -> dict[int, float]:
    heaviest: dict[int, float] = {}
    for key, weight in terms:
        heaviest[key] = max(weight, heaviest.get(key, 0.0))
    return heaviest
