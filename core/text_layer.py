"""The text that a PDF page carries, as lines with boxes, and whether it can be believed."""

import ctypes
import re
import string
import unicodedata
from typing import Any, Final

import pypdfium2.raw as pdfium

from core.page import Line

# How PDFium writes a hyphen at the end of a line whose word it joined with the rest on the next line.
_JOINED: Final = dict.fromkeys((0x2, 0xFFFE, 0xAD))
_EDGES: Final = " \t.,;:!?()[]{}<>\"'“”‘’«»…·•*_-–—/\\|#$€£¥%&+=@~`^°®©™"  # noqa: RUF001 - meant
_LEADER: Final = re.compile(r"[._\-…]{4,}")
_PLAIN: Final = re.compile(
    r"""[^\W\d_]+(?:['\u2019.&/@+:,()-]+[^\W\d_]+)*         # words, also its, e.g, and/or, name@host
      | [A-Za-z]{0,5}[\d.,:/%$€£()x*#+-]+[A-Za-z]{0,4}   # numbers, amounts, dates, units
      | [A-Z\d./:#-]+                                # identifiers
      | [\d\u2e80-\ud7ff]+                            # scripts that put no spaces
      | (?:https?://|www\.)\S+ | \S+@\S+\.\w+""",
    re.VERBOSE,
)
_UNPRINTABLE: Final = {"Cc", "Cn", "Cs"}  # private use is left out: bullets and tick boxes stand there
_CAMEL: Final = re.compile(r"[a-zà-ÿ][A-ZÀ-Þ]")


def text_lines(page: Any, width: int, height: int) -> tuple[Line, ...]:
    """The page's text layer, line by line in the order of its content, in pixels of a width x height rendering."""
    text_page = page.get_textpage()
    try:
        codes = [pdfium.FPDFText_GetUnicode(text_page, index) for index in range(text_page.count_chars())]
        lines, start = [], 0
        for end, code in enumerate([*codes, 0x0A]):
            if code not in (0x0A, 0x0D):
                continue
            text = _text(codes[start:end])
            if text:
                lines.append(Line(text, _box(page, text_page, range(start, end), (width, height))))
            start = end + 1
        return tuple(lines)
    finally:
        text_page.close()


def oddity(text: str) -> float:
    """The share of words, in [0, 1], that look like nothing people write: mojibake, bad encodings, poor OCR."""
    words = _LEADER.sub(" ", text).split()
    if not words:
        return 1.0
    characters = "".join(words)
    unprintable = sum(unicodedata.category(char) in _UNPRINTABLE or char == "\ufffd" for char in characters)
    letters = [char for char in unicodedata.normalize("NFD", characters.lower()) if char in string.ascii_lowercase]
    # Fonts with a shifted encoding give letters, but not the vowels that every language has.
    if len(letters) >= 100 and sum(letter in "aeiou" for letter in letters) < len(letters) / 5:
        return 1.0
    odd = sum(_is_odd(word.strip(_EDGES)) for word in words)
    return max(odd / len(words), min(1.0, 5 * unprintable / len(characters)))


def _is_odd(word: str) -> bool:
    return len(word) > 1 and (_PLAIN.fullmatch(word) is None or _CAMEL.search(word) is not None)


def _text(codes: list[int]) -> str:
    characters = "".join(map(chr, codes)).translate(_JOINED)
    # PDFium gives characters beyond the BMP as two surrogates.
    whole = characters.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return " ".join(whole.replace("\0", " ").split())


def _box(page: Any, text_page: Any, characters: range, size: tuple[int, int]) -> tuple[float, float, float, float]:
    sides = [ctypes.c_double() for _ in range(4)]
    x, y = ctypes.c_int(), ctypes.c_int()
    across, down = [], []
    for index in range(max(pdfium.FPDFText_CountRects(text_page, characters.start, len(characters)), 0)):
        pdfium.FPDFText_GetRect(text_page, index, *sides)
        left, top, right, bottom = (side.value for side in sides)
        for corner in ((left, top), (right, bottom)):
            pdfium.FPDF_PageToDevice(page, 0, 0, *size, 0, *corner, x, y)
            across.append(min(max(x.value, 0), size[0]))
            down.append(min(max(y.value, 0), size[1]))
    if not across:
        return 0.0, 0.0, 0.0, 0.0
    return float(min(across)), float(min(down)), float(max(across)), float(max(down))
