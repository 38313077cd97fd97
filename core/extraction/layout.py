"""Where the lines of a page stand to each other: what is beside, above and below."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.page import Page

NONE: Final = -1
"""In place of the index of a line that is not there."""
_SAME_ROW: Final = 0.45
"""Share of the lower line's height by which two lines of one row overlap at least."""
_SAME_COLUMN: Final = 0.25
"""Share of the narrower line's width by which two lines of one column overlap at least."""
_FURTHEST_HEADER: Final = 40
"""Line heights."""
_LINE_SPACING: Final = 1.6
"""Line heights from the top of one line of a paragraph or an address to the top of the next, at most."""

_LEAST_LINES: Final = 6
"""Fewer tell nothing about how the page lies."""
_LEAST_SLANT: Final = 0.012
_MOST_SLANT: Final = 0.25
"""Pixels down or up a pixel across."""
_LEAST_CORRELATION: Final = 0.5
"""Of the lines' widths with their heights: below, it is headings that are higher and not the page that is askew."""

Indices = NDArray[np.intp]
Numbers = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Layout:
    """The neighbours of each of a page's lines, by index, or NONE. All arrays have one entry a line.

    `left`: the nearest one to the left in its row; `label`: the nearest one to the left that holds words; `above` and
    `below`: the nearest ones in its column; `header`: the nearest one above that holds words; `section`: the line
    that begins the block of lines it stands in, or stands just above that. `boxes`: (lines, 4), pixels; `height`:
    the page's usual line height; both as if the page lay straight.
    """

    page: Page
    boxes: Numbers
    height: float
    left: Indices
    label: Indices
    above: Indices
    below: Indices
    header: Indices
    section: Indices


def layout_of(page: Page) -> Layout:
    """Find each line's neighbours."""
    boxes = np.array([line.box for line in page.lines], dtype=np.float32).reshape(-1, 4)
    if page.source == "ocr":
        boxes = _straightened(boxes)
    wordy = np.array([_holds_words(line.text) for line in page.lines], dtype=bool)
    heights = np.maximum(boxes[:, 3] - boxes[:, 1], 1)
    height = float(median(heights)) if len(heights) else 1.0
    across = _overlaps(boxes[:, 0], boxes[:, 2]) / np.maximum(np.minimum.outer(*[boxes[:, 2] - boxes[:, 0]] * 2), 1)
    down = _overlaps(boxes[:, 1], boxes[:, 3]) / np.minimum.outer(heights, heights)
    same_row = down >= _SAME_ROW
    column = (across >= _SAME_COLUMN) & ~same_row
    # [i, j]: how far line j is to the left of, above, or below line i; infinite where it is not.
    gap_left = np.where(same_row, boxes[:, 0][:, None] - boxes[:, 2][None, :], np.inf)
    gap_left[gap_left < -height] = np.inf
    np.fill_diagonal(gap_left, np.inf)
    gap_above = np.where(column, boxes[:, 1][:, None] - boxes[:, 3][None, :], np.inf)
    gap_above[gap_above < -height / 2] = np.inf
    np.fill_diagonal(gap_above, np.inf)
    header = np.where(wordy[None, :] & (gap_above < _FURTHEST_HEADER * height), gap_above, np.inf)
    above, below = _nearest(gap_above), _nearest(gap_above.T)
    return Layout(
        page,
        boxes,
        height,
        _nearest(gap_left),
        _nearest(np.where(wordy[None, :], gap_left, np.inf)),
        above,
        below,
        _nearest(header),
        _sections(boxes, heights, above),
    )


def runs(layout: Layout, longest: int) -> list[tuple[int, ...]]:
    """Lines that follow each other closely in a column: every run of 2 to `longest`, from every first line."""
    found = []
    for first in range(len(layout.boxes)):
        run = [first]
        while len(run) < longest and (following := follower(layout, run[-1])) != NONE and following not in run:
            run.append(following)
            found.append(tuple(run))
    return found


def follower(layout: Layout, line: int) -> int:
    """The next line of the same paragraph, address or list; NONE after its last one."""
    following = int(layout.below[line])
    if following == NONE or layout.above[following] != line:
        return NONE
    upper, lower = layout.boxes[line], layout.boxes[following]
    tall = max(upper[3] - upper[1], lower[3] - lower[1])
    flush = abs(upper[0] - lower[0]) <= 1.5 * tall
    centred = abs(upper[0] + upper[2] - lower[0] - lower[2]) <= 3 * tall
    return following if lower[1] - upper[1] <= _LINE_SPACING * tall and (flush or centred) else NONE


def _straightened(boxes: Numbers) -> Numbers:
    """The boxes as they would be if the page lay straight: in a photo askew, what is one row stands on a slant.

    A line's box is higher the longer the line is, by the slant; which way it goes is what puts more lines into rows.
    """
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    if len(boxes) < _LEAST_LINES or np.ptp(widths) < 4 * np.median(heights):
        return boxes
    slant = float(np.cov(widths, heights)[0, 1] / widths.var())
    if not _LEAST_SLANT < slant < _MOST_SLANT or np.corrcoef(widths, heights)[0, 1] < _LEAST_CORRELATION:
        return boxes
    across, down = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    straight = np.maximum(heights - slant * widths, 0.4 * heights)

    def shifted(way: int) -> Numbers:
        middle = down - way * slant * across
        return np.stack([boxes[:, 0], middle - straight / 2, boxes[:, 2], middle + straight / 2], axis=1)

    return max(shifted(0), shifted(-1), shifted(1), key=_rows_shared)


def _rows_shared(boxes: Numbers) -> int:
    """How many pairs of lines stand side by side in one row."""
    middle = (boxes[:, 1] + boxes[:, 3]) / 2
    near = abs(middle[:, None] - middle[None, :]) < 0.5 * np.median(boxes[:, 3] - boxes[:, 1])
    return int((near & (boxes[:, 2][:, None] <= boxes[:, 0][None, :])).sum())


def _sections(boxes: Numbers, heights: Numbers, above: Indices) -> Indices:
    section = np.full(len(boxes), NONE, dtype=np.intp)
    for line in np.argsort(boxes[:, 1], kind="stable"):
        before = above[line]
        if before == NONE:
            continue
        close = boxes[line, 1] - boxes[before, 3] <= 0.9 * heights[line]
        section[line] = section[before] if close and section[before] != NONE else before
    return section


def _overlaps(starts: Numbers, ends: Numbers) -> Numbers:
    shared: Numbers = np.minimum.outer(ends, ends) - np.maximum.outer(starts, starts)
    return np.maximum(shared, 0)


def _nearest(gaps: NDArray[np.floating]) -> Indices:
    if not gaps.size:
        return np.zeros(0, dtype=np.intp)
    best: Indices = gaps.argmin(axis=1)
    best[~np.isfinite(gaps[np.arange(len(gaps)), best])] = NONE
    return best


def _holds_words(text: str) -> bool:
    letters = sum(map(str.isalpha, text))
    return letters >= 2 and letters >= 0.5 * sum(map(str.isalnum, text))


def in_reading_order(lines: Sequence[int], layout: Layout) -> list[int]:
    """Line indices from top to bottom, and from left to right where they share a row."""
    return sorted(
        lines, key=lambda index: (round(float(layout.boxes[index, 1]) / layout.height), layout.boxes[index, 0])
    )
