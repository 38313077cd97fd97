"""A document ready to be asked: its candidates, what surrounds them, and how they look. No question yet."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.backends import Vectors
from core.extraction import licence, mrz
from core.extraction.candidate import FORMS, Candidate, candidates_of
from core.extraction.layout import NONE, Layout, layout_of
from core.extraction.shape import shape
from core.features import STOPWORDS, words_of
from core.field import FieldLexicon
from core.page import Page
from core.value import read_amount

Floats = NDArray[np.float32]

RELATIONS: Final = (
    "inline",
    "left",
    "label",
    "above",
    "header",
    "below",
    "section",
    "self",
    "line",
    "after",
    "sentence",
)
"""What surrounds a candidate, each a text of the document or nothing."""
KINDS: Final = ("date", "time", "amount", "number", "percent", "phone", "email", "url", "identifier")
_WHOLE: Final = frozenset({"line", "rest", "value"})
"""Forms of candidates that may be all of a value, and not a part of one."""
_LETTERS: Final = 3
PLACE: Final = (
    "page",
    "x",
    "y",
    "width",
    "height",
    "from_top",
    "from_bottom",
    "tallest",
    "centred",
    "repeats",
    "crowd",
    "confidence",
    "largest",
    "greater",
    "last_of_kind",
    "first_of_kind",
    "alone_of_kind",
    "is_label",
    "ends_with_colon",
    "block_follows",
    "block_precedes",
    *(f"far_{name}" for name in ("left", "label", "above", "header", "below")),
)
"""Names of the numbers that say where a candidate stands."""


@dataclass(slots=True)
class Sheet:
    """`keys`: each candidate's text, the same in whatever case and spacing. `texts`: each text of the document once;
    `around`: (candidates, relations) indices into them, or NONE. `shapes`, `kinds`, `forms`, `places`: a row a
    candidate. `words`: word → the texts that hold it, whose numbers of words are `counts`; `labelled`: field →
    (texts,) how much each text looks like a label of it. `vectors` (texts, dimensions) come from the device.
    """

    pages: tuple[Page, ...]
    layouts: list[Layout]
    candidates: list[Candidate]
    keys: list[str]
    texts: list[str]
    around: NDArray[np.intp]
    shapes: Floats
    kinds: Floats
    forms: Floats
    places: Floats
    words: dict[str, list[int]]
    counts: Floats
    labelled: dict[str, Floats]
    vectors: Vectors | None = field(default=None)

    def encode(self, encode_texts: Callable[[Sequence[str]], Vectors]) -> None:
        """Fill in `vectors`; those of texts that hold no words are zero."""
        worded = [index for index, text in enumerate(self.texts) if sum(map(str.isalpha, text)) >= _LETTERS]
        vectors = encode_texts([self.texts[index] for index in worded])
        self.vectors = np.zeros((len(self.texts), vectors.shape[1]), dtype=np.float32)
        self.vectors[worded] = vectors


def sheet_of(pages: Sequence[Page], lexicon: FieldLexicon) -> Sheet:
    """Prepare the pages that are not blank."""
    layouts = [layout_of(page) for page in pages if not page.is_blank]
    candidates = mrz.with_labels(licence.with_labels(candidates_of(layouts, lexicon), layouts), pages)
    numbers: dict[str, int] = {}
    around = np.full((len(candidates), len(RELATIONS)), NONE, dtype=np.intp)
    for row, candidate in enumerate(candidates):
        for column, text in enumerate(_surroundings(candidate, layouts[candidate.layout])):
            if text:
                around[row, column] = numbers.setdefault(text, len(numbers))
    texts = list(numbers)
    words: dict[str, list[int]] = {}
    counts = np.ones(len(texts), dtype=np.float32)
    labelled: dict[str, Floats] = {}
    for index, text in enumerate(texts):
        found = set(words_of(text)) - STOPWORDS
        counts[index] = max(len(found), 1)
        for word in found:
            words.setdefault(word, []).append(index)
        for name, score in lexicon.fields_labelled(text).items():
            labelled.setdefault(name, np.zeros(len(texts), dtype=np.float32))[index] = score
    labels = np.array([_is_label(candidate, lexicon) for candidate in candidates], dtype=np.float32)
    return Sheet(
        tuple(pages),
        layouts,
        candidates,
        [_squeezed(candidate.text) for candidate in candidates],
        texts,
        around,
        np.array([shape(candidate.text) for candidate in candidates], dtype=np.float32),
        np.array([[kind in candidate.kinds for kind in KINDS] for candidate in candidates], dtype=np.float32),
        np.array([[form == candidate.form for form in FORMS] for candidate in candidates], dtype=np.float32),
        _places(candidates, layouts, labels),
        words,
        counts,
        labelled,
    )


def _is_label(candidate: Candidate, lexicon: FieldLexicon) -> float:
    return max(lexicon.fields_labelled(candidate.text).values(), default=0.0) if not candidate.sentence else 0.0


def _surroundings(candidate: Candidate, layout: Layout) -> tuple[str, ...]:
    lines = layout.page.lines
    first, last = candidate.lines[0], candidate.lines[-1]

    def text(index: int) -> str:
        return "" if index == NONE else lines[index].text

    return (
        candidate.inline,
        text(layout.left[first]),
        text(layout.label[first]),
        text(layout.above[first]),
        text(layout.header[first]),
        text(layout.below[last]),
        text(layout.section[first]),
        candidate.text if candidate.form == "line" else "",
        lines[first].text if candidate.form != "line" and not candidate.sentence else "",
        candidate.after,
        candidate.sentence,
    )


def _places(candidates: Sequence[Candidate], layouts: Sequence[Layout], labels: Floats) -> Floats:
    repeats = Counter(_squeezed(candidate.text) for candidate in candidates if candidate.form != "part")
    places = np.zeros((len(candidates), len(PLACE)), dtype=np.float32)
    crowd = math.log1p(sum(len(layout.boxes) for layout in layouts)) / 8
    ranks = [np.argsort(np.argsort(layout.boxes[:, 1], kind="stable")) for layout in layouts]
    tallest = [max(float((layout.boxes[:, 3] - layout.boxes[:, 1]).max()), 1.0) for layout in layouts]
    for row, candidate in enumerate(candidates):
        layout = layouts[candidate.layout]
        page, first, last = layout.page, candidate.lines[0], candidate.lines[-1]
        boxes = layout.boxes[list(candidate.lines)]
        left, top, right, bottom = boxes[:, 0].min(), boxes[:, 1].min(), boxes[:, 2].max(), boxes[:, 3].max()
        height = float(layout.boxes[first, 3] - layout.boxes[first, 1])
        rank = int(ranks[candidate.layout][first])
        gaps = (
            _gap(layout, layout.left[first], first, across=True),
            _gap(layout, layout.label[first], first, across=True),
            _gap(layout, layout.above[first], first),
            _gap(layout, layout.header[first], first),
            _gap(layout, last, layout.below[last]),
        )
        places[row] = (
            min(candidate.layout, 3) / 3,
            (left + right) / 2 / page.width,
            (top + bottom) / 2 / page.height,
            (right - left) / page.width,
            min(height / layout.height, 4) / 4,
            min(rank, 20) / 20,
            min(len(layout.boxes) - 1 - rank, 20) / 20,
            height / tallest[candidate.layout],
            abs((left + right) / 2 / page.width - 0.5) < 0.06,
            math.log(max(repeats[_squeezed(candidate.text)], 1)),
            crowd,
            page.lines[first].confidence,
            0,
            0,
            0,
            0,
            0,
            labels[row],
            candidate.text.rstrip().endswith(":")
            or (candidate.form == "line" and page.lines[first].text.rstrip()[-1:] in ":："),
            _is_close(layout, last, int(layout.below[last])),
            _is_close(layout, int(layout.above[first]), first),
            *gaps,
        )
    _compare(candidates, places)
    return places


def _compare(candidates: Sequence[Candidate], places: Floats) -> None:
    """Fill in how each value stands among those of its kind."""
    largest, greater = PLACE.index("largest"), PLACE.index("greater")
    last, first, alone = (PLACE.index(name) for name in ("last_of_kind", "first_of_kind", "alone_of_kind"))
    for kind in KINDS:
        rows = [
            row for row, candidate in enumerate(candidates) if kind in candidate.kinds and candidate.form in _WHOLE
        ]
        if not rows:
            continue
        places[rows[0], first] = places[rows[-1], last] = 1
        if len(rows) == 1:
            places[rows[0], alone] = 1
        if kind == "amount":
            amounts = [read_amount(candidates[row].text) for row in rows]
            sizes = np.array([0.0 if amount is None else float(amount.amount) for amount in amounts])
            places[rows, largest] = sizes >= sizes.max()
            places[rows, greater] = (sizes[:, None] > sizes[None, :]).mean(axis=1)


def _gap(layout: Layout, first: int, second: int, *, across: bool = False) -> float:
    """Line heights between two neighbours, over ten, at most 1; 1 where one of them is not there."""
    if NONE in (first, second):
        return 1.0
    side = 0 if across else 1
    gap = float(layout.boxes[second, side] - layout.boxes[first, side + 2])
    return min(max(gap, 0) / layout.height, 10) / 10


def _is_close(layout: Layout, upper: int, lower: int) -> bool:
    return NONE not in (upper, lower) and bool(layout.boxes[lower, 1] - layout.boxes[upper, 3] < 0.9 * layout.height)


def _squeezed(text: str) -> str:
    return "".join(text.split()).casefold()
