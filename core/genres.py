"""The genre lexicon: what an office clerk knows of common documents before anyone describes a class."""

import re
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
"""How much a class resembles a genre that its description mentions: `such as a loan application`."""
END: Final = 0.5
"""How much a class resembles a genre whose name ends its own: `complaint letter` and a letter."""
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
    layout: tuple[str, ...] = ()
    sample: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)

    @property
    def meaning(self) -> str:
        return f"{self.name}: {self.description}"

    @property
    def looks(self) -> tuple[str, ...]:
        """Texts that are near to pages of this genre in a sentence encoder."""
        wording = f"{self.name}: {', '.join(self.wording)}"
        return (self.meaning, wording, self.sample) if self.sample else (self.meaning, wording)


@cache
def genres() -> tuple[Genre, ...]:
    """The lexicon, in the file's order."""
    text = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    return tuple(
        Genre(
            name=name,
            aliases=tuple(fields["aliases"]),
            kinds=tuple(fields["kinds"]),
            description=fields["description"],
            wording=tuple(fields["wording"]),
            layout=tuple(fields.get("layout", ())),
            sample=fields.get("sample", ""),
        )
        for name, fields in yaml.safe_load(text).items()
    )


def resemblance(
    classes: Sequence[DocumentClass], class_vectors: Vectors, lexicon: Sequence[Genre], genre_vectors: Vectors
) -> Vectors:
    """How much each class resembles each genre, in [0, 1]: (classes, genres).

    By name (1 for a name or an alias), by kind, by mention, and by the cosine of the descriptions' vectors.
    """
    middle, width = ALIKE
    alike: Vectors = 1 / (1 + np.exp((middle - class_vectors @ genre_vectors.T) / width))
    names = [{_plain(name) for name in genre.names} for genre in lexicon]
    kinds = [{_plain(kind) for kind in genre.kinds} for genre in lexicon]
    for row, item in zip(alike, classes, strict=True):
        called, *parts = (_plain(part) for part in (item.words, *_EITHER.split(item.words)))
        ends = {called[start:] for start in range(1, len(called))}
        description = _runs(_plain(item.description))
        for column, (known, broader) in enumerate(zip(names, kinds, strict=True)):
            if called in known:
                row[column] = 1.0
            elif called in broader:
                row[column] = max(row[column], KIND)
            elif not known.isdisjoint(description.union(parts)):
                row[column] = max(row[column], MENTION)
            elif not known.isdisjoint(ends):
                row[column] = max(row[column], END)
    return alike


def _plain(phrase: str) -> _Words:
    """Content words in the singular."""
    return tuple(
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
        for word in words_of(phrase)
        if word not in STOPWORDS
    )


def _runs(words: _Words) -> set[_Words]:
    """All runs of two to six words: single words of a description say too little."""
    return {words[start : start + length] for length in range(2, 7) for start in range(len(words) - length + 1)}
