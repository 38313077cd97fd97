"""The genre lexicon: what an office clerk knows of common documents before anyone describes a class."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import yaml

from core.backends import Vectors
from core.class_set import DocumentClass
from core.features import STOPWORDS, words_of

KIND: Final = 0.7
"""How much a class resembles a genre whose broader kind it names: `tax form` and a W-2."""
MENTION: Final = 0.8
"""… a genre that its description mentions in two words or more, as in `such as a loan application`, or begins with,
as in `An invoice that …`, or that its name mentions beside others, as in `letter or memo`."""
PARTLY: Final = 0.5
"""… a genre whose name ends its own, as in `complaint letter`, or that has a kind with its name in it: `tax`."""
ALIKE: Final = (0.6, 0.05)
"""Cosine of two descriptions at which they resemble each other by half, and how steep that is."""

_Words = tuple[str, ...]
_EITHER: Final = re.compile(r"\bor\b|\band\b|[/&,]")


@dataclass(frozen=True, slots=True)
class Genre:
    """One document type of the lexicon; the fields are those of genres.yaml."""

    name: str
    aliases: tuple[str, ...]
    kinds: tuple[str, ...]
    description: str
    wording: tuple[str, ...]
    layout: tuple[str, ...]
    sample: str

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)

    @property
    def meaning(self) -> str:
        return f"{self.name}: {self.description}"


@cache
def genres() -> tuple[Genre, ...]:
    """The lexicon, in the file's order."""
    text = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    # The loader in C, where there is one, takes a sixth of the time.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return tuple(
        Genre(
            name=name,
            aliases=tuple(fields["aliases"]),
            kinds=tuple(fields["kinds"]),
            description=fields["description"],
            wording=tuple(fields["wording"]),
            layout=tuple(fields.get("layout", ())),
            sample=fields["sample"],
        )
        for name, fields in yaml.load(text, loader).items()  # noqa: S506 - a safe one
    )


def resemblance(
    classes: Sequence[DocumentClass], class_vectors: Vectors, lexicon: Sequence[Genre], genre_vectors: Vectors
) -> Vectors:
    """How much each class resembles each genre, in [0, 1]: (classes, genres).

    By name (1 for a name or an alias), by kind, by mention, and by the cosine of the descriptions' vectors. What a
    class resembles most is likely meant by it, however it is put: a weak best is raised to `KIND`, or doubled.
    """
    middle, width = ALIKE
    alike: Vectors = 1 / (1 + np.exp((middle - class_vectors @ genre_vectors.T) / width))
    named, of_kind, of_kinds_word = (defaultdict[_Words, list[int]](list) for _ in range(3))
    for column, genre in enumerate(lexicon):
        kinds = {_plain(kind) for kind in genre.kinds}
        for found, phrases in (
            (named, {_plain(name) for name in genre.names}),
            (of_kind, kinds),
            (of_kinds_word, {run for kind in kinds for run in _runs(kind, 1)}),
        ):
            for phrase in phrases:
                found[phrase].append(column)
    for row, item in zip(alike, classes, strict=True):
        called, *parts = (_plain(part) for part in (item.words, *_EITHER.split(item.words)))
        said = _plain(item.description)
        mentioned = _runs(said, 2).union(parts, [said[:1]])
        ends = {called[start:] for start in range(1, len(called))}
        for degree, found, phrases in (
            (1.0, named, {called}),
            (MENTION, named, mentioned),
            (KIND, of_kind, {called}),
            (PARTLY, of_kinds_word, {called}),
            (PARTLY, named, ends),
        ):
            for phrase in phrases:
                for column in found.get(phrase, ()):
                    row[column] = max(row[column], degree)
    best = alike.max(axis=1, keepdims=True)
    raised: Vectors = alike * np.clip(KIND / best, 1, 2)
    return raised


def _plain(phrase: str) -> _Words:
    """Content words in the singular; where there is none, as in `will`, whatever words there are."""
    words = words_of(phrase)
    return tuple(
        word[:-1] if len(word) > 2 and word.endswith("s") and not word.endswith(("ss", "is", "us")) else word
        for word in [word for word in words if word not in STOPWORDS] or words
    )


def _runs(words: _Words, least: int) -> set[_Words]:
    """All runs of that many words up to six."""
    return {words[start : start + length] for length in range(least, 7) for start in range(len(words) - length + 1)}
