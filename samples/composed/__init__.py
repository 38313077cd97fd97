"""Composed pages: an endless source of documents with known answers, for training a question reader.

They are made directly as lines with boxes, as if read: nothing is rendered. Layout, wording, language and noise are
drawn anew for each, so that what learns from them learns to read and not a template.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from core.page import Page
from samples.composed import bill, card, filing, form, letter, prose, receipt, statement
from samples.composed.draft import Draft
from samples.composed.noise import Box, Noise, Place
from samples.composed.question import Topic, phrased

_KINDS: Final[dict[str, tuple[float, Callable[[random.Random], Draft]]]] = {
    "receipt": (5, receipt.draft),
    "bill": (4, bill.draft),
    "card": (3, card.draft),
    "form": (4, form.draft),
    "prose": (5, prose.draft),
    "letter": (2, letter.draft),
    "filing": (2, filing.draft),
    "statement": (2, statement.draft),
}
KINDS: Final = tuple(_KINDS)
MOST: Final = 14
"""Questions about one document."""
UNANSWERABLE: Final = 0.28
"""Share of questions to which the document holds no answer."""

_SEVERAL_LINES: Final = 0.7
"""How often an answer of several lines is asked for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and its answer as the page shows it, its lines joined by newlines; None: the pages do not hold it.

    `field` is a name of the field lexicon, or None for what no lexicon knows. `page` is the answer's 1-based page, 0
    without one, and `box` goes around all of its lines, in pixels.
    """

    question: str
    field: str | None
    answer: str | None
    page: int
    box: Box


@dataclass(frozen=True, slots=True)
class Composition:
    """A document of one of `KINDS` and what is known about it."""

    pages: tuple[Page, ...]
    questions: tuple[Asked, ...]
    kind: str


def compose(seed: int) -> Composition:
    """The document of this number: always the same one."""
    rng = random.Random(f"composed {seed}")
    kind = rng.choices(KINDS, [share for share, _ in _KINDS.values()])[0]
    draft = _KINDS[kind][1](rng)
    noise = Noise(rng)
    pages: list[Page] = []
    places: dict[str, list[Place]] = {}
    for number, rows in enumerate(draft.pages, 1):
        page, found = noise.page(number, rows, draft.width, draft.height)
        pages.append(page)
        for mark, where in found.items():
            places.setdefault(mark, []).extend(where)
    return Composition(tuple(pages), tuple(_questions(draft, places)), kind)


def _questions(draft: Draft, places: dict[str, list[Place]]) -> list[Asked]:
    rng = draft.rng
    marks = [mark for mark in draft.topics if mark in places and _whole(draft, places[mark])]
    marks = rng.sample(marks, min(len(marks), round(MOST * (1 - UNANSWERABLE))))
    asked = [_asked(draft, draft.topics[mark], places[mark]) for mark in marks]
    absent = round((len(asked) + rng.random()) * UNANSWERABLE / (1 - UNANSWERABLE))
    asked += [_asked(draft, about, []) for about in rng.sample(draft.missing, min(len(draft.missing), absent))]
    rng.shuffle(asked)
    return asked


def _whole(draft: Draft, places: list[Place]) -> bool:
    """Whether no page's end tears the answer in two, nor, mostly, a line's end."""
    if len({number for number, _, _ in places}) > 1:
        return False
    return len(places) == 1 or draft.rng.random() < _SEVERAL_LINES


def _asked(draft: Draft, about: Topic, places: list[Place]) -> Asked:
    question = phrased(draft.rng, about, draft.document)
    if not places:
        return Asked(question, about.field, None, 0, (0, 0, 0, 0))
    lefts, tops, rights, bottoms = zip(*(box for _, _, box in places), strict=True)
    answer = "\n".join(text for _, text, _ in places)
    return Asked(question, about.field, answer, places[0][0], (min(lefts), min(tops), max(rights), max(bottoms)))
