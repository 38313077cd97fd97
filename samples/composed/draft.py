"""A document in the making: pieces of text are put on its pages from the top down, and some are marked as answers."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from samples.composed.question import Topic, entry_of, topic
from samples.composed.values import Hand

Manner = Literal["inline", "far", "column", "below", "caption", "bare"]
"""Where a value stands: behind its label in one line; at the far right of its row; in a column beside the labels;
below its label; above it; or without any label."""

_NARROW: Final = frozenset(" .,:;'|!-iljtfI1()/")
_JOINTS: Final = [
    ": ",
    ": ",
    ": ",
    ":",
    " : ",
    " ",
    " - ",
    ". ",
    " # ",
    " ....... ",
    "  ",
    " = ",
    ".: ",
    " :",
    "_____ ",
]


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text; `mark` names the answer that it is (part of)."""

    text: str
    mark: str | None = None


@dataclass(slots=True)
class Row:
    """A line as put on a page: left and top in pixels, and its type's height."""

    pieces: list[Piece]
    left: float
    top: float
    size: float
    width: float

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Style:
    """How a part of a document prints its labels and values."""

    manner: Manner
    joint: str
    capitals: bool
    at: float
    """Where the value column begins, as a share of the region's width."""


@dataclass
class Draft:
    """Pages as rows, what can be asked of them, and the pen: where the next row begins.

    `size` is the usual type height and `pitch` a letter's usual width by it; `left` and `right` bound the region
    that is being written, all in pixels.
    """

    rng: random.Random
    document: str
    width: float
    height: float
    size: float
    pitch: float
    left: float
    right: float
    top: float
    spacing: float
    hand: Hand
    pages: list[list[Row]] = field(default_factory=lambda: [[]])
    topics: dict[str, Topic] = field(default_factory=dict)
    missing: list[Topic] = field(default_factory=list)
    """What may be asked though the document does not hold it."""

    def __post_init__(self) -> None:
        self.y = self.top
        self.style = self.new_style()
        self._kept_together = 0

    # Text

    def measure(self, text: str, size: float) -> float:
        """The width of a text in pixels."""
        narrow = sum(1 for letter in text if letter in _NARROW)
        wide = sum(1 for letter in text if letter.isupper())
        return (len(text) - 0.45 * narrow + 0.25 * wide) * size * self.pitch

    def put(
        self,
        text: str | Sequence[Piece],
        left: float | None = None,
        align: str = "left",
        size: float | None = None,
        advance: bool = True,
    ) -> None:
        """One row; `left` is its left, middle or right edge, by `align`. The pen moves on unless told otherwise."""
        pieces = [Piece(text)] if isinstance(text, str) else list(text)
        size = size or self.size
        width = sum(self.measure(piece.text, size) for piece in pieces)
        if left is None:
            left = {"left": self.left, "centre": (self.left + self.right) / 2, "right": self.right}[align]
        left -= {"left": 0.0, "centre": width / 2, "right": width}[align]
        self.pages[-1].append(Row(pieces, max(left, 1.0), self.y, size, width))
        if advance:
            self.y += size * self.spacing

    def gap(self, rows: float = 1.0) -> None:
        self.y += rows * self.size

    def need(self, rows: float) -> None:
        """A new page, unless so many rows still fit on this one."""
        if not self._kept_together and self.y + rows * self.size * self.spacing > self.height - self.top:
            self.pages.append([])
            self.y = self.top

    def mark(self, name: str, text: str, about: Topic | None = None) -> Piece:
        """A piece that answers a question: about the field of that name, or `about` something else."""
        self.topics.setdefault(name, about or topic(name))
        return Piece(text, name)

    # Labels and values

    def new_style(self) -> Style:
        rng = self.rng
        manners: tuple[Manner, ...] = ("inline", "far", "column", "below", "caption")
        manner = rng.choices(manners, (5, 2.5, 2.5, 2, 0.3))[0]
        return Style(manner, rng.choice(_JOINTS), rng.random() < 0.25, rng.uniform(0.28, 0.6))

    @contextmanager
    def styled(self, style: Style) -> Iterator[None]:
        before, self.style = self.style, style
        yield
        self.style = before

    @contextmanager
    def region(self, left: float, right: float) -> Iterator[None]:
        """Write between these edges, in pixels."""
        before = self.left, self.right
        self.left, self.right = left, right
        yield
        self.left, self.right = before

    def label(self, name: str, foreign: float = 0.85) -> str:
        """How the field's label is printed, in the document's language where it is known."""
        entry = entry_of(name)
        language = self.hand.language
        if language in entry and self.rng.random() < foreign:
            text = str(self.rng.choice(entry[language]))
            if self.rng.random() < 0.15:
                text = f"{text} / {self.rng.choice(entry['labels'])}"
        else:
            text = str(self.rng.choice(entry["labels"]))
        return text.upper() if self.style.capitals else text

    def pair(self, name: str, value: str, label: str | None = None, about: Topic | None = None) -> None:
        """A labelled value in the present style, its lines parted by newlines; only a field's first one is marked."""
        label = self.label(name) if label is None else label
        if about is None and not label.startswith("("):
            label = label.rstrip(":")
        again = name in self.topics
        lines = [Piece(line) if again else self.mark(name, line, about) for line in value.split("\n")]
        style = self.style
        if self.rng.random() < 0.1:
            style = self.new_style()
        manner = style.manner
        room = self.right - self.left
        if manner in {"far", "column"} and self.measure(label + value, self.size) > room * 0.95:
            manner = "below"
        if manner == "inline":
            self.put([Piece(label + style.joint), lines[0]])
            indent = self.measure(label, self.size) if self.rng.random() < 0.5 else 0.0
            self._rest(lines[1:], self.left + indent)
        elif manner == "far":
            self.put(label + self.rng.choice(("", ":")), advance=False)
            for line in lines:
                self.put([line], align="right")
        elif manner == "column":
            at = max(self.left + style.at * room, self.left + self.measure(label, self.size) + self.size)
            self.put(label + (":" if ":" in style.joint else ""), advance=False)
            self._rest(lines, at)
        elif manner == "below":
            self.put(label + (":" if style.joint == ": " else ""), size=self.size * self.rng.choice((0.75, 0.9, 1)))
            self._rest(lines, self.left)
        elif manner == "caption":
            self._rest(lines, self.left)
            self.put(label, size=self.size * 0.8)
        else:
            self._rest(lines, self.left)

    def _rest(self, lines: Sequence[Piece], left: float) -> None:
        for line in lines:
            self.put([line], left)

    def pairs(self, fields: Sequence[tuple[str, str]], columns: int = 1) -> None:
        """Labelled values, in rows of so many columns."""
        if columns == 1:
            for name, value in fields:
                self.need(3)
                self.pair(name, value)
            return
        room = (self.right - self.left) / columns
        for start in range(0, len(fields), columns):
            self.need(4)
            group = fields[start : start + columns]
            self.beside([lambda item=item: self.pair(*item) for item in group], room)  # type: ignore[misc]

    def beside(self, blocks: Sequence[Callable[[], None]], room: float | None = None) -> None:
        """Blocks side by side, all beginning at the pen; it goes on below the longest."""
        room = room or (self.right - self.left) / max(len(blocks), 1)
        top = lowest = self.y
        self._kept_together += 1
        for index, block in enumerate(blocks):
            self.y = top
            with self.region(self.left + index * room, self.left + (index + 0.92) * room):
                block()
            lowest = max(lowest, self.y)
        self._kept_together -= 1
        self.y = lowest

    def table(
        self,
        header: Sequence[str | Sequence[Piece]],
        rows: Sequence[Sequence[str | Piece | None]],
        shares: Sequence[float],
        right_aligned: Sequence[bool],
    ) -> None:
        """Columns whose widths are `shares` of the region's."""
        room = (self.right - self.left) / sum(shares)
        edges = [self.left]
        for share in shares:
            edges.append(edges[-1] + share * room)
        for number, cells in enumerate([header, *rows]):
            if not cells:
                continue
            if number:
                self.need(1)
            for index, cell in enumerate(cells):
                if cell:
                    at = edges[index + 1] - self.size * 0.5 if right_aligned[index] else edges[index]
                    pieces = [Piece(cell)] if isinstance(cell, str) else [cell] if isinstance(cell, Piece) else cell
                    self.put(pieces, at, "right" if right_aligned[index] else "left", advance=False)
            self.y += self.size * self.spacing

    def paragraph(self, pieces: Sequence[Piece], align: str = "left") -> None:
        """Running text, wrapped to the region."""
        room = self.right - self.left
        row: list[Piece] = []
        used = 0.0
        for piece in pieces:
            for index, word in enumerate(piece.text.split(" ")):
                spaced = f" {word}" if index and row else word
                width = self.measure(spaced, self.size)
                if row and used + width > room and word:
                    self._wrapped(row, align)
                    row, used, spaced = [], 0.0, word
                    width = self.measure(word, self.size)
                if row and row[-1].mark == piece.mark:
                    row[-1] = Piece(row[-1].text + spaced, piece.mark)
                elif spaced.startswith(" ") and row:
                    row += [Piece(" "), Piece(spaced[1:], piece.mark)] if piece.mark else [Piece(spaced)]
                else:
                    row.append(Piece(spaced, piece.mark))
                used += width
        if row:
            self._wrapped(row, align)

    def _wrapped(self, row: list[Piece], align: str) -> None:
        self.need(1)
        self.put([piece for piece in row if piece.text], align=align)

    def title(self, text: str, align: str | None = None) -> None:
        """A heading, larger than the rest."""
        size = self.size * self.rng.uniform(1.0, 2.2)
        width = self.measure(text, size)
        if width > self.right - self.left:
            size *= (self.right - self.left) / width
        self.put(text, align=align or self.rng.choice(("left", "centre", "right")), size=size)

    def absent(self, *names: str) -> None:
        """Fields that a document of this kind may hold: those that it does not may be asked as missing."""
        for name in names:
            near = entry_of(name).get("near", ())
            if not {name, *near} & self._held():
                self.missing.append(topic(name))

    def _held(self) -> set[str]:
        return set(self.topics) | {about.field for about in self.topics.values() if about.field}
