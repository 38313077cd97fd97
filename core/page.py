"""A page as the reader saw it: its lines of text, where they stand, and how they were read."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

Source = Literal["text_layer", "ocr", "image", "blank"]
"""`image`: its pixels were looked at, and nothing was read."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text.

    `box` is (left, top, right, bottom) in pixels of the upright page, origin top left; `confidence` is the
    reader's own, in [0, 1], and 1 for a text layer.
    """

    text: str
    box: tuple[float, float, float, float]
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Page:
    """One page: 1-based `number`, size in pixels, lines in reading order, and where the text came from.

    `turns` are the quarter turns, counter-clockwise, that made it upright.
    """

    number: int
    width: int
    height: int
    source: Source
    lines: tuple[Line, ...]
    turns: int = 0

    @property
    def is_blank(self) -> bool:
        return self.source == "blank"

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        lines = tuple(Line(line["text"], tuple(line["box"]), line["confidence"]) for line in value["lines"])
        return cls(value["number"], value["width"], value["height"], value["source"], lines, value.get("turns", 0))
