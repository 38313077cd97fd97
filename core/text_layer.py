"""The text that a PDF page carries, as lines with boxes, and whether it can be believed."""

import ctypes
import re
import string
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

import pypdfium2.raw as pdfium

from core.page import Line

# How PDFium writes a hyphen at the end of a line whose word it joined with the rest on the next line.
_JOINED: Final = dict.fromkeys((0x2, 0xFFFE, 0xAD))
_NOTHING: Final = {0, *_JOINED}
_WORD_GAP: Final = 1.4
"""Heights of the row that a word stands off the one before it, at most: justified text needs more than one."""
_OVERLAP: Final = 0.5
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
        lines: list[Line] = []
        start = 0
        for end, code in enumerate([*codes, 0x0A]):
            if code not in (0x0A, 0x0D):
                continue
            lines += _cells(page, text_page, codes, range(start, end), (width, height))
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


def _cells(page: Any, text_page: Any, codes: list[int], line: range, size: tuple[int, int]) -> Iterator[Line]:
    """One row of the page, parted where its words stand far apart: what stands in two columns is no sentence."""
    _, top, _, bottom = _box(page, text_page, line, size)
    height = bottom - top
    cell: range | None = None
    right = 0.0
    for word in _words(codes, line):
        left, _, end, _ = _box(page, text_page, word, size)
        if cell is not None and not -_OVERLAP * height <= left - right <= _WORD_GAP * height:
            yield Line(_text(codes[cell.start : cell.stop]), _box(page, text_page, cell, size))
            cell = None
        cell = range(word.start if cell is None else cell.start, word.stop)
        right = end
    if cell is not None:
        yield Line(_text(codes[cell.start : cell.stop]), _box(page, text_page, cell, size))


def _words(codes: list[int], line: range) -> Iterator[range]:
    start = line.start
    for index in range(line.start, line.stop + 1):
        if index == line.stop or codes[index] in _NOTHING or chr(codes[index]).isspace():
            if start < index:
                yield range(start, index)
            start = index + 1


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
