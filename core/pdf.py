"""PDF pages: their text layer where it can be believed, their rendering where it cannot."""

import math
from typing import Any, Final

import numpy as np
import pypdfium2
import pypdfium2.raw as pdfium

from core.errors import RejectedInput
from core.page import Line
from core.picture import LONGEST_SIDE, Pixels, Raster
from core.text_layer import oddity, text_lines

_LARGEST_SCALE: Final = 300 / 72
"""Pixels a point: 300 dpi, so that a small page is not blown up to LONGEST_SIDE."""


class Pdf:
    """A PDF file. PDFium is not thread-safe: one thread at a time."""

    def __init__(self, content: bytes) -> None:
        """Raises RejectedInput: `encrypted` or `unreadable`."""
        try:
            self._document = pypdfium2.PdfDocument(content)
            # Before anything else is asked of it, or filled-in fields would neither be drawn nor read.
            if self._document.get_formtype() != pdfium.FORMTYPE_NONE:
                self._document.init_forms()
            self.page_count = len(self._document)
        except pypdfium2.PdfiumError as error:
            if error.err_code == pdfium.FPDF_ERR_PASSWORD:
                raise RejectedInput("encrypted", "the PDF asks for a password: send it without one") from error
            raise RejectedInput("unreadable", "the PDF is damaged or cut off: send the original again") from error
        if self.page_count < 1:
            raise RejectedInput("unreadable", "the PDF has no pages: send the original again")

    def page(self, number: int) -> "PdfPage":
        """Raises RejectedInput(`unreadable`)."""
        try:
            page = self._document[number - 1]
            # pypdfium2's own `flatten` is for forms alone; people write into other documents, too.
            if pdfium.FPDFPage_Flatten(page, pdfium.FLAT_NORMALDISPLAY) == pdfium.FLATTEN_SUCCESS:
                # What was filled in or written over it is part of the page's content once the page is loaded again.
                page.close()
                page = self._document[number - 1]
        except pypdfium2.PdfiumError as error:
            raise RejectedInput(
                "unreadable", f"page {number} of the PDF is damaged: send the original again"
            ) from error
        return PdfPage(page)


class PdfPage:
    """One page, width x height pixels at the size that it would be rendered at."""

    def __init__(self, page: Any) -> None:
        self._page = page
        width, height = page.get_size()
        self._scale = min(LONGEST_SIDE / max(width, height, 1), _LARGEST_SCALE)
        self.width = max(1, math.ceil(width * self._scale))
        self.height = max(1, math.ceil(height * self._scale))
        self.lines: tuple[Line, ...] = text_lines(page, self.width, self.height)

    @property
    def has_good_text(self) -> bool:
        """Whether the text layer says what the page shows.

        A scan's layer is somebody else's OCR and must read well; a layer of little text on a page that shows more
        (a stamp on a scan, a caption under a picture of a card) does not stand for the page.
        """
        text = "\n".join(line.text for line in self.lines)
        if not text:
            return False
        pictures = self._picture_share()
        if pictures > 0.5:
            return len(text) > 400 and oddity(text) < 0.03
        return oddity(text) < 0.4 and (len(text) > 400 or (pictures < 0.05 and self._ink_outside() < 0.5))

    def render(self) -> Raster:
        bitmap = self._page.render(scale=self._scale, rev_byteorder=True)
        pixels: Pixels = bitmap.to_numpy()[:, :, :3].copy()
        bitmap.close()
        return Raster(pixels, pixels.shape[1], pixels.shape[0])

    def close(self) -> None:
        self._page.close()

    def _picture_share(self) -> float:
        """The share of the page, in [0, 1], that its largest picture covers."""
        width, height = self._page.get_size()
        areas = [0.0]
        for picture in self._page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=4):
            left, bottom, right, top = picture.get_bounds()
            across = min(right, width) - max(left, 0)
            up = min(top, height) - max(bottom, 0)
            areas.append(max(across, 0) * max(up, 0))
        return float(max(areas) / max(width * height, 1))

    def _ink_outside(self) -> float:
        """The share of the page's dark pixels, in [0, 1], that no text box covers."""
        small = self._page.render(scale=self._scale / 4, grayscale=True)
        gray = small.to_numpy().reshape(small.height, small.width)
        ink = gray < int(gray.max()) - 64
        total = int(np.count_nonzero(ink))
        for line in self.lines:
            left, top, right, bottom = (int(side / 4) for side in line.box)
            ink[max(top - 2, 0) : bottom + 3, max(left - 2, 0) : right + 3] = False
        return int(np.count_nonzero(ink)) / max(total, 1)
