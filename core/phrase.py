"""A phrase to look for on pages: whole words, whatever their case, accents or number, and with a reader's slips."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from typing import Final

from core.features import words_of
from core.page import Line, Page

_LONG: Final = 6
"""Letters of a word from which it is known again with a slip."""
_ALIKE: Final = 0.8
_RUN: Final = 8
"""Letters of a phrase from which it is known again where the reader lost the spaces around it."""


@dataclass(frozen=True)
class Phrase:
    """What is looked for, in plain words."""

    text: str

    @cached_property
    def words(self) -> list[str]:
        return words_of(self.text)

    def times_in(self, text: str) -> int:
        """How often a text holds it, as whole words in its order."""
        words, wanted = words_of(text), self.words
        if not wanted:
            return 0
        starts = range(len(words) - len(wanted) + 1)
        times = sum(all(map(alike, wanted, words[start : start + len(wanted)])) for start in starts)
        joined = "".join(wanted)
        if not times and len(joined) >= _RUN:
            times = "".join(words).count(joined)
        return times

    def on(self, pages: Sequence[Page]) -> Iterator[tuple[Page, Line, int]]:
        """The lines that hold it, each with its page and how often."""
        for page in pages:
            for line in page.lines:
                if times := self.times_in(line.text):
                    yield page, line, times


def alike(one: str, other: str) -> bool:
    """Whether two plain words are the same, but for number and, in long ones, a slip."""
    if one == other or _stem(one) == _stem(other):
        return True
    if min(len(one), len(other)) < _LONG or abs(len(one) - len(other)) > 1 or any(map(str.isdigit, one)):
        return False
    return SequenceMatcher(None, one, other, autojunk=False).ratio() > _ALIKE


def _stem(word: str) -> str:
    if len(word) <= 3 or word.endswith("ss"):
        return word
    for ending, singular in (("ies", "y"), ("oes", "o"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("s", "")):
        if word.endswith(ending):
            return word.removesuffix(ending) + singular
    return word
