"""Optical character recognition: the pixels of a page → its lines, upright."""

from typing import Any, Final

import numpy as np
from PIL import Image

from core.page import Line, Page
from core.picture import LEAST_CONTRAST, Pixels, Raster

_LEAST_CONFIDENCE: Final = 0.5
_CLEAR_MAJORITY: Final = 0.6
_LONGEST_SHAPE: Final = 8
"""Longer side to shorter side."""
_SHORTEST_SIDE: Final = 32
_SHORTEST_DETECTED: Final = 736
_LONGEST_DETECTED: Final = 1440
"""Pixels, for finding lines; they are recognised at the page's full LONGEST_SIDE."""
_STEP: Final = 32
"""Pixels, of which the sides of what the detector sees are multiples."""
_LINE_HEIGHT: Final = 48
_LEAST_RECOGNISED: Final = 96
"""Pixels that a line is widened to, at least. RapidOCR's 320 are mostly blank: three lines of four are shorter, and
time goes with the width."""
_JUDGED: Final = 12
"""Lines, whose direction tells which way up the page stands."""
_TOLD_WELL: Final = 8.0
"""Times its height that a line may be long: longer ones are squeezed until the model cannot tell, and misjudged one
time in five, shorter ones one time in ten.
"""
_SIDEWAYS: Final = 1.5
"""A line that is so many times as tall as it is wide lies on its side: RapidOCR turns it before it is read."""
_MOST_ENLARGED: Final = 4.0
"""More does not make print legible that is not at this size, and costs as much time as a page."""


class Recognizer:
    """RapidOCR on one thread: many processes with one thread each outdo one process with many."""

    def __init__(self) -> None:
        import cv2
        from rapidocr import RapidOCR

        cv2.setNumThreads(1)
        self._engine: Any = RapidOCR(
            params={
                "Global.log_level": "critical",
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def page(self, number: int, raster: Raster) -> Page:
        """Read one page, turned upright first; where no line is found it is blank."""
        turns, lines = 0, list[Line]()
        pixels = _enlarged(raster.pixels)
        if int(pixels.max()) - int(pixels.min()) >= LEAST_CONTRAST:
            turns, lines = self._read(pixels)
        height, width = pixels.shape[:2]
        scale = raster.width / width, raster.height / height
        size = raster.width, raster.height
        if turns % 2:
            scale, size = scale[::-1], size[::-1]
        upright = tuple(_scaled(line, scale, size) for line in in_reading_order(lines))
        return Page(number, *size, "ocr" if upright else "blank", upright, turns)

    def _read(self, pixels: Pixels, may_turn: bool = True) -> tuple[int, list[Line]]:
        """The quarter turns, counter-clockwise, that made the page upright, and its lines in pixels after them."""
        padded = np.ascontiguousarray(_padded(pixels))
        quads = self._find(padded)
        if not len(quads):
            return 0, []
        crops = self._engine.crop_text_regions(padded, quads)
        is_sideways, judged = _telling(quads)
        turned, directions = self._engine.cls_and_rotate([crops[index] for index in judged])
        turns = _turns_to_upright(quads[judged], directions.cls_res)
        if turns and may_turn:
            # The lines could be read as they are, but detection does better on an upright page.
            return turns, self._read(np.rot90(pixels, turns), may_turn=False)[1]
        for index, crop in zip(judged, turned, strict=True):
            # A line on its side may lie either way; the others stand as the page does, whatever was said of one.
            if is_sideways[index]:
                crops[index] = crop
        read = [(quad, *self._recognise(crop)) for quad, crop in zip(quads, crops, strict=True)]
        return 0, [
            Line(text, _around(quad), score)
            for quad, text, score in read
            if text.strip() and score >= _LEAST_CONFIDENCE
        ]

    def _find(self, pixels: Pixels) -> Any:
        """The corners of each line: (lines, 4, 2), from the upper left clockwise, in pixels."""
        import cv2

        detector = self._engine._load_det_model()
        height, width = pixels.shape[:2]
        scale = min(1.0, _LONGEST_DETECTED / max(height, width))
        across, down = (max(_STEP, round(int(side * scale) / _STEP) * _STEP) for side in (width, height))
        seen = _levelled(cv2.resize(pixels, (across, down)))
        quads, _ = detector.postprocess_op(detector.session(seen), (height, width))
        return detector.sorted_boxes(quads)

    def _recognise(self, crop: Pixels) -> tuple[str, float]:
        """A line's text, and how sure it is. One at a time: on one thread a batch saves nothing, and its padding
        costs a twelfth of the time.
        """
        import cv2

        recogniser = self._engine._load_rec_model()
        height, width = crop.shape[:2]
        seen = _levelled(cv2.resize(crop, (max(1, _LINE_HEIGHT * width // height), _LINE_HEIGHT)))
        seen = np.pad(seen, ((0, 0), (0, 0), (0, 0), (0, max(0, _LEAST_RECOGNISED - seen.shape[3]))))
        ((text, score),), _ = recogniser.postprocess_op(recogniser.session(seen))
        return text, float(score)


def _levelled(pixels: Any) -> Any:
    """As RapidOCR's models were taught: one picture (1, 3, height, width), blue first, from -1 to 1."""
    import cv2

    return cv2.dnn.blobFromImage(pixels, 1 / 127.5, mean=(127.5, 127.5, 127.5), swapRB=True)


def _telling(quads: Any) -> tuple[Any, Any]:
    """Whether each line lies on its side; and which lines have their direction judged: those, and of the others the
    longest that can be told well.
    """
    across, down = _sides(quads)
    is_sideways = down >= _SIDEWAYS * across
    is_judged = is_sideways.copy()
    is_judged[np.argsort(np.where(across <= _TOLD_WELL * down, across, 0))[-_JUDGED:]] = True
    return is_sideways, np.flatnonzero(is_judged)


def _turns_to_upright(quads: Any, directions: list[tuple[str, float]]) -> int:
    """Which way up the page stands: long lines have the say, as single characters look alike from all sides."""
    votes = [0.0] * 4
    for across, down, (direction, _) in zip(*_sides(quads), directions, strict=True):
        # A line that is taller than wide was turned counter-clockwise once before its direction was judged.
        is_sideways, is_upside_down = down >= _SIDEWAYS * across, "180" in direction
        votes[is_sideways + 2 * is_upside_down] += float(max(across, down))
    best = max(range(4), key=votes.__getitem__)
    return best if votes[best] > _CLEAR_MAJORITY * sum(votes) else 0


def _sides(quads: Any) -> tuple[Any, Any]:
    """How far each line goes across and down, in pixels."""
    return np.linalg.norm(quads[:, 1] - quads[:, 0], axis=1), np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1)


def in_reading_order(lines: list[Line]) -> list[Line]:
    """Row by row, each from left to right; a line belongs to the row whose first line it stands beside."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: line.box[1] + line.box[3]):
        middle = (line.box[1] + line.box[3]) / 2
        if rows and rows[-1][0].box[1] <= middle <= rows[-1][0].box[3]:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.box[0])]


def _enlarged(pixels: Pixels) -> Pixels:
    """Small pages are scaled up, as the detector was not taught to see text of a few pixels."""
    height, width = pixels.shape[:2]
    factor = min(_SHORTEST_DETECTED / min(height, width), _LONGEST_DETECTED / max(height, width), _MOST_ENLARGED)
    if factor <= 1:
        return pixels
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def _padded(pixels: Pixels) -> Pixels:
    """White at the right and the bottom, where the page is too small or too long a strip for the detector."""
    height, width = pixels.shape[:2]
    least = max(_SHORTEST_SIDE, -(-max(height, width) // _LONGEST_SHAPE))
    down, across = max(least - height, 0), max(least - width, 0)
    return np.pad(pixels, ((0, down), (0, across), (0, 0)), constant_values=255) if down or across else pixels


def _scaled(line: Line, scale: tuple[float, float], size: tuple[int, int]) -> Line:
    left, top, right, bottom = (
        min(max(side * scale[axis % 2], 0.0), float(size[axis % 2])) for axis, side in enumerate(line.box)
    )
    return Line(line.text, (left, top, right, bottom), line.confidence)


def _around(quad: Any) -> tuple[float, float, float, float]:
    (left, top), (right, bottom) = quad.min(axis=0), quad.max(axis=0)
    return float(left), float(top), float(right), float(bottom)
