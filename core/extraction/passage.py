"""Running text: the lines of a paragraph as one text, and its sentences."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from core.extraction.layout import NONE, Layout, follower

_WORDS: Final = 5
"""Words that a line of running text has at least, but for a paragraph's last one."""
_SENTENCE_END: Final = re.compile(r"(?<=[.!?;])[\"')\]]?\s+(?=[\"'(\[]?[A-ZÀ-Þ0-9])")
_ABBREVIATED: Final = re.compile(
    r"\b(?:[A-Za-z]|No|Nr|Inc|Ltd|Co|Corp|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|e\.g|i\.e|U\.S|approx|Art|Sec|Fig|Jan|Feb|"
    r"Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec)\.$"
)


@dataclass(frozen=True, slots=True)
class Passage:
    """`text`: the lines joined by spaces; `starts`: where each of `lines` starts in it."""

    lines: tuple[int, ...]
    starts: tuple[int, ...]
    text: str
    is_prose: bool

    def lines_of(self, start: int, end: int) -> tuple[int, ...]:
        """The lines that the characters from `start` to `end` stand in."""
        first = bisect_right(self.starts, start) - 1
        last = bisect_right(self.starts, max(start, end - 1)) - 1
        return self.lines[first : last + 1]

    def sentences(self) -> Iterator[tuple[int, int]]:
        """Start and end of each sentence."""
        start = 0
        for match in _SENTENCE_END.finditer(self.text):
            if self.text[match.start() - 1] == "." and _ABBREVIATED.search(self.text, start, match.start()):
                continue
            yield start, match.start()
            start = match.end()
        yield start, len(self.text)


def passages(layout: Layout) -> list[Passage]:
    """Every line once: paragraphs of running text as a whole, other lines each by itself."""
    lines = layout.page.lines
    counts = [len(line.text.split()) for line in lines]
    taken: set[int] = set()
    found = []
    for first in sorted(range(len(lines)), key=lambda index: (layout.boxes[index, 1], layout.boxes[index, 0])):
        if first in taken:
            continue
        run = [first]
        while counts[run[-1]] >= _WORDS and (following := follower(layout, run[-1])) != NONE:
            if following in taken or following in run:
                break
            run.append(following)
        taken.update(run)
        found.append(_joined([lines[index].text for index in run], run, is_prose=counts[first] > _WORDS))
    return found


def _joined(texts: list[str], lines: list[int], is_prose: bool) -> Passage:
    text, starts = "", []
    for piece in texts:
        if text.endswith("-") and len(text) > 1 and text[-2].islower() and piece[:1].islower():
            text = text[:-1]
        elif text:
            text += " "
        starts.append(len(text))
        text += piece
    return Passage(tuple(lines), tuple(starts), text, is_prose)
