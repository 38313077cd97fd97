"""Optical character recognition: the pixels of a page → its lines, upright."""

from typing import Any, Final

import numpy as np

from core.page import Line, Page
from core.picture import Pixels, Raster

_LEAST_CONTRAST: Final = 24
"""Of 255. What differs less all over a page is paper, not print."""
_LONGEST_SHAPE: Final = 8
"""Longer side to shorter side: detection scales the shorter one up, so a long strip would become enormous."""
_SHORTEST_SIDE: Final = 32


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
        """Read one page; where no line is found it is blank."""
        height, width = raster.pixels.shape[:2]
        lines: list[Line] = []
        if int(raster.pixels.max()) - int(raster.pixels.min()) >= _LEAST_CONTRAST:
            lines = self._lines(_padded(raster.pixels))
        scale = raster.width / width, raster.height / height
        upright = tuple(_scaled(line, scale, (raster.width, raster.height)) for line in lines)
        return Page(number, raster.width, raster.height, "ocr" if upright else "blank", upright)

    def _lines(self, pixels: Pixels) -> list[Line]:
        found = self._engine(np.ascontiguousarray(pixels[:, :, ::-1]))
        if found.txts is None:
            return []
        return [
            Line(text, _around(quad), float(score))
            for text, quad, score in zip(found.txts, found.boxes, found.scores, strict=True)
        ]


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
