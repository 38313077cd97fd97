"""Classes as their descriptions have them, for encoders that see pages by what is written on them.

A page is scored against every class and against every genre of the lexicon, by sentence vectors and by the words that
are printed on it. A class stands for what its own words say and, beyond that, for the best of the genres that
it resembles. Genres that no class resembles compete as "none of these".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import accumulate
from math import log
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from core.backends import EncodePages, Vectors
from core.class_set import ClassSet, DocumentClass
from core.features import STOPWORDS, Features, mark_key, phrase_keys, words_of
from core.genres import KIND, Genre, genres, resemblance
from core.prompts import prompts_of
from core.zero_shot import NO_ENCODERS, EncodeTexts, Scores, log_sum_exp, means_of

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
NEAREST: Final = 8
"""Genres that are looked at first, where there are very many classes."""
END: Final = 18
"""Bits of a key that tell most of what is on a page from what is none: a quarter of a megabyte, 2 % of it set."""
TEMPERATURE: Final = 1.1
"""Makes probabilities of scores: the one number that was fitted, over many class sets; see docs/decisions.md."""


@dataclass(frozen=True, slots=True)
class Descriptions:
    """A ZeroShot.

    Columns are what pages are scored against: G genres by how they look, the same G by what they are called and
    mean, then C classes by what they are called and mean.
    """

    names: tuple[str, ...]
    vectors: Vectors
    """(2 G + C, dimensions), unit rows."""
    terms: "_Terms"
    claims: "_Claims"
    original: Scores
    """(C,): log of the share of a class that is like no genre, and its bonus."""
    unclaimed: Scores
    """(G,): log of the share of a genre that no class has; a class that names its kind has it all."""

    @classmethod
    def build(cls, class_set: ClassSet, encode_texts: EncodeTexts) -> Self:
        """Encode the classes and relate them to the genres.

        The genres are encoded once for each `encode_texts`: pass the same function again, such as a bound method.
        """
        classes = sorted(class_set.classes, key=lambda item: item.name)
        looks, meanings = _encode_genres(encode_texts)
        vectors = means_of(encode_texts, [prompts_of(item) for item in classes])
        share = resemblance(
            classes, means_of(encode_texts, [[_meaning(item)] for item in classes]), genres(), meanings
        )
        best = share.max(axis=0)
        with np.errstate(divide="ignore"):
            claimed = (share * (share / best) ** RIVALRY).astype(np.float64)
            claims = _Claims.of(np.log(claimed).astype(np.float32))
            original = np.log(1 - claimed.max(axis=1)) + ORIGINAL
            unclaimed = np.log(np.maximum(0, 1 - best.astype(np.float64) / KIND))
        return cls(
            names=tuple(item.name for item in classes),
            vectors=np.concatenate([looks, meanings, vectors]),
            terms=_tabulate(classes),
            claims=claims,
            original=original,
            unclaimed=unclaimed,
        )

    @property
    def class_vectors(self) -> Vectors:
        return self.vectors[-len(self.names) :]

    @property
    def meanings(self) -> Vectors:
        return self.class_vectors

    @property
    def encoders(self) -> Mapping[str, EncodePages]:
        return NO_ENCODERS

    def scores(self, pages: Sequence[Features]) -> Scores:
        # As np.stack, in a fifth of its time.
        cosines = np.concatenate([page.vector for page in pages]).reshape(len(pages), -1) @ self.vectors.T
        lengths = np.array([page.words for page in pages]).clip(SHORT, LONG) / 100
        scores = self.terms.weigh(pages)
        # In place: of many pages, each array is more than a cache holds.
        scores /= np.sqrt(lengths)[:, None]
        cosines *= COSINE
        scores += cosines
        return scores

    def logits(self, scores: Scores) -> tuple[Scores, Scores]:
        genres_ = len(self.unclaimed)
        looks, meanings, own = scores[:, :genres_], scores[:, genres_ : 2 * genres_], scores[:, 2 * genres_ :]
        classes = (own + np.maximum(own + self.original, self.claims.borrowed(looks))) / TEMPERATURE
        others = log_sum_exp((meanings + looks + self.unclaimed) / TEMPERATURE)
        return classes, np.logaddexp(others, FLOOR / TEMPERATURE)


@dataclass(frozen=True, slots=True)
class _Claims:
    """What each class has of each genre: logs of shares."""

    by_class: Vectors
    """(C, G)"""
    by_genre: Vectors
    """(G, C): the same."""
    nearest: NDArray[np.int64]
    """(NEAREST, C): the genres of which a class has most."""
    greatest: Vectors
    """(NEAREST, C): what it has of these."""
    beyond: Vectors
    """(C,): the most that it has of any other."""

    @classmethod
    def of(cls, claims: Vectors) -> Self:
        order = np.argpartition(-claims, NEAREST, axis=1)[:, : NEAREST + 1]
        ordered = np.take_along_axis(claims, order, axis=1)
        return cls(
            by_class=claims,
            by_genre=np.ascontiguousarray(claims.T),
            nearest=np.ascontiguousarray(order[:, :NEAREST].T),
            greatest=np.ascontiguousarray(ordered[:, :NEAREST].T),
            beyond=ordered[:, NEAREST],
        )

    def borrowed(self, looks: Scores) -> Vectors:
        """(D, G) scores of genres → (D, C): the best of them for each class, counting what it has of each."""
        rows = looks.astype(np.float32)
        # One class or one document after the other, whichever there are fewer of: all documents times all classes and
        # genres would be more than a cache holds.
        if len(self.by_class) <= len(rows):
            return np.stack([(rows + own).max(axis=1) for own in self.by_class], axis=1)
        borrow = self._of_few if len(self.by_class) <= len(self.by_genre) else self._of_many
        return np.stack([borrow(row) for row in rows])

    def _of_few(self, looks: Vectors) -> Vectors:
        best: Vectors = (self.by_class + looks).max(axis=1)
        return best

    def _of_many(self, looks: Vectors) -> Vectors:
        """The best of the genres that are nearest to a class, and of those that the page looks most like. Another one
        is looked for only where it could be better: hardly ever.
        """
        order = np.argpartition(looks, -NEAREST - 1)
        likest, least = order[-NEAREST:], looks[order[-NEAREST - 1]]
        best: Vectors = np.maximum(
            (self.greatest + looks[self.nearest]).max(axis=0),
            (self.by_genre[likest] + looks[likest, None]).max(axis=0),
        )
        (unsure,) = np.nonzero(best < self.beyond + least)
        if len(unsure):
            best[unsure] = (self.by_class[unsure] + looks).max(axis=1)
        return best


@dataclass(frozen=True, slots=True)
class _Terms:
    """What a term on a page counts for each column. Few terms count for few columns: only these are kept."""

    keys: NDArray[np.uint32]
    """(terms,), sorted."""
    ends: NDArray[np.bool_]
    """(2 ** `END`,): which last bits some key has. Most terms on a page are none, and this tells of most of them."""
    starts: NDArray[np.int64]
    """(terms + 1,): where those of each term begin among what follows."""
    columns: NDArray[np.int64]
    weights: Vectors
    width: int
    """Columns."""

    @classmethod
    def of(cls, keys: NDArray[np.uint32], columns: Sequence[Mapping[int, float]]) -> Self:
        """`columns` hold key → weight."""
        sizes = [len(terms) for terms in columns]
        places = np.searchsorted(
            keys, np.fromiter((key for terms in columns for key in terms), np.uint32, sum(sizes))
        )
        weights = np.fromiter((weight for terms in columns for weight in terms.values()), np.float32, sum(sizes))
        order = np.argsort(places, kind="stable")
        ends = np.zeros(1 << END, dtype=np.bool_)
        ends[_end_of(keys)] = True
        return cls(
            keys=keys,
            ends=ends,
            starts=np.searchsorted(places[order], np.arange(len(keys) + 1)),
            columns=np.repeat(np.arange(len(columns)), sizes)[order],
            weights=weights[order],
            width=len(columns),
        )

    @property
    def counts(self) -> NDArray[np.int64]:
        """(terms,): columns that each counts for."""
        return np.diff(self.starts)

    def scaled(self, factors: Vectors) -> Self:
        """Each term's weights times a factor of its own."""
        return replace(self, weights=self.weights * np.repeat(factors, self.counts))

    def beside(self, other: Self) -> Self:
        """The columns of both, of the same terms."""
        order = np.argsort(
            np.concatenate([np.repeat(np.arange(len(self.keys)), each.counts) for each in (self, other)]),
            kind="stable",
        )
        return replace(
            self,
            starts=self.starts + other.starts,
            columns=np.concatenate([self.columns, other.columns + self.width])[order],
            weights=np.concatenate([self.weights, other.weights])[order],
            width=self.width + other.width,
        )

    def weigh(self, pages: Sequence[Features]) -> Scores:
        """(P, columns): what the terms on each page count, prominent ones more."""
        # By methods of arrays where there are any: of one page's few terms, it is the calls that take the time.
        keys = np.concatenate([page.keys for page in pages])
        (likely,) = self.ends[_end_of(keys)].nonzero()
        asked = keys[likely]
        places = self.keys.searchsorted(asked)
        # Of a key beyond the last one, the last: another one.
        is_known = self.keys.take(places, mode="clip") == asked
        known, places = likely[is_known], places[is_known]
        row = np.array([*accumulate(len(page.keys) for page in pages)]).searchsorted(known, side="right")
        prominence = np.concatenate([page.prominence for page in pages])[known]
        emphasis = 1 + PROMINENCE / 255 * prominence.astype(np.float32)
        starts = self.starts[places]
        counts = self.starts[places + 1] - starts
        ends = counts.cumsum()
        # Of each term, its run of entries, one run after the other.
        entries = (starts - ends + counts).repeat(counts)
        entries += np.arange(len(entries))
        cells = (row * self.width).repeat(counts)
        cells += self.columns[entries]
        weights = emphasis.repeat(counts)
        weights *= self.weights[entries]
        counted = np.bincount(cells, weights, len(pages) * self.width).astype(np.float64, copy=False)
        return counted.reshape(len(pages), self.width)


def _end_of(keys: NDArray[np.uint32]) -> NDArray[np.uint32]:
    end: NDArray[np.uint32] = keys & np.uint32((1 << END) - 1)
    return end


def _meaning(item: DocumentClass) -> str:
    return f"{item.words}: {item.description}" if item.description else item.words


@lru_cache(maxsize=4)
def _encode_genres(encode_texts: EncodeTexts) -> tuple[Vectors, Vectors]:
    """The genres' vectors, by how they look and by what they mean: (genres, dimensions) each."""
    return (
        means_of(encode_texts, [(genre.meaning, genre.sample) for genre in genres()]),
        means_of(encode_texts, [[genre.meaning] for genre in genres()]),
    )


def _tabulate(classes: Sequence[DocumentClass]) -> _Terms:
    """The terms of genres and classes, and what each counts for each: its weight times its rarity among genres."""
    looks, meanings = _genre_terms()
    own = [_meaning_terms(item.words, item.description, item.wording) for item in classes]
    keys = np.array(sorted({key for terms in (*looks, *meanings, *own) for key in terms}), dtype=np.uint32)
    by_look, by_meaning = _Terms.of(keys, looks), _Terms.of(keys, [*meanings, *own])
    in_looks, in_meanings = (np.maximum(1, terms.counts) for terms in (by_look, by_meaning))
    return by_look.scaled(_rarity(in_looks, len(looks))).beside(
        by_meaning.scaled(_rarity(np.maximum(in_looks, in_meanings), len(meanings) + len(own)))
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
