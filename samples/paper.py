"""A pen on sheets of paper: one set of drawing calls gives the PDF, its picture, and where each answer stands."""

import colorsys
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from fpdf import FPDF
from PIL import Image

Box = tuple[float, float, float, float]
Colour = tuple[int, int, int]
Rules = Literal["none", "rows", "grid"]
Align = Literal["left", "centre", "right"]

A4 = (595.0, 842.0)
LETTER = (612.0, 792.0)
CARD = (243.0, 153.0)  # ISO/IEC 7810 ID-1, in points
INK: Colour = (25, 25, 28)
GREY: Colour = (110, 110, 115)
WHITE: Colour = (255, 255, 255)
FACES = ("helvetica", "times", "courier")  # PDF's own faces: every reader brings them, so no font file is needed

# How far letters reach above and below the baseline, as a share of the type size.
_ASCENT, _DESCENT = 0.76, 0.22


@dataclass(frozen=True, slots=True)
class Mark:
    """One run of printed text: `box` is (left, top, right, bottom) in points, `page` is 1-based."""

    text: str
    page: int
    box: Box


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column: its title, width in points, and how its cells are aligned."""

    title: str
    width: float
    align: Align = "left"


def columns(titles: Sequence[str], widths: Sequence[float], aligns: str) -> list[Column]:
    """Columns side by side; `aligns` has one letter a column, of l, c and r."""
    names: dict[str, Align] = {"l": "left", "c": "centre", "r": "right"}
    return [Column(title, width, names[align]) for title, width, align in zip(titles, widths, aligns, strict=True)]


class Paper:
    """Sheets of one size. Coordinates are points (1/72 inch) from the top left; text stands on its baseline.

    What is written is remembered: `marks` holds every run of text, `fields` the runs that answer a question.
    """

    def __init__(self, size: tuple[float, float] = A4, face: str = "helvetica", type_size: float = 10) -> None:
        self.width, self.height = size
        self.face = face
        self.type_size = type_size
        self.pages = 0
        self.marks: list[Mark] = []
        self.fields: dict[str, Mark] = {}
        self._pdf = FPDF(unit="pt", format=size)
        self._pdf.set_auto_page_break(False)
        self._pdf.set_margin(0)
        self._pdf.core_fonts_encoding = "windows-1252"
        self._pdf.set_creation_date(datetime(2024, 1, 1, tzinfo=UTC))
        self.turn()

    def turn(self) -> None:
        """Take a new sheet."""
        self._pdf.add_page()
        self.pages += 1

    def to_pdf(self) -> bytes:
        return bytes(self._pdf.output())

    def measure(self, text: str, size: float | None = None, style: str = "", face: str | None = None) -> float:
        """The width of `text` in points; `style` is any of "B" and "I"."""
        self._pdf.set_font(face or self.face, style, size or self.type_size)
        return float(self._pdf.get_string_width(text))

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float | None = None,
        style: str = "",
        align: Align = "left",
        colour: Colour = INK,
        face: str | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> float:
        """Write one line with its baseline at `y`; returns its right edge.

        `fields` maps a field's name to the part of `text` that answers it; the first time a field is written counts.
        """
        size = size or self.type_size
        width = self.measure(text, size, style, face)
        left = x - {"left": 0.0, "centre": width / 2, "right": width}[align]
        self._pdf.set_text_color(*colour)
        self._pdf.text(left, y, text)
        if text.strip():
            self.marks.append(Mark(text, self.pages, (left, y - _ASCENT * size, left + width, y + _DESCENT * size)))
        for name, part in (fields or {}).items():
            start = text.index(part)
            from_x = left + self.measure(text[:start], size, style, face)
            to_x = from_x + self.measure(part, size, style, face)
            self._answer(name, part, (from_x, y - _ASCENT * size, to_x, y + _DESCENT * size))
        return left + width

    def block(
        self,
        x: float,
        y: float,
        lines: Sequence[str],
        size: float | None = None,
        leading: float = 1.3,
        field: str = "",
        **look: object,
    ) -> float:
        """Write lines one below the other, all of them answering `field` if given; returns the next baseline."""
        size = size or self.type_size
        first = len(self.marks)
        for line in lines:
            self.text(x, y, line, size, **look)  # type: ignore[arg-type]  # the look of `text`, passed on as it is
            y += size * leading
        if field:
            marks = self.marks[first:]
            self._answer(field, "\n".join(mark.text for mark in marks), _union([mark.box for mark in marks]))
        return y

    def paragraph(
        self,
        x: float,
        y: float,
        width: float,
        text: str,
        size: float | None = None,
        style: str = "",
        leading: float = 1.35,
        colour: Colour = INK,
        fields: Mapping[str, str] | None = None,
    ) -> float:
        """Write text, wrapped to `width` points; a field may run on to the next line. Returns the next baseline."""
        size = size or self.type_size
        spans = self._wrap(text, width, size, style)
        placed: list[tuple[int, int, float]] = []
        for start, end in spans:
            self.text(x, y, text[start:end], size, style, colour=colour)
            placed.append((start, end, y))
            y += size * leading
        for name, part in (fields or {}).items():
            from_, to = (at := text.index(part)), at + len(part)
            boxes = []
            for start, end, baseline in placed:
                if (low := max(start, from_)) < (high := min(end, to)):
                    left = x + self.measure(text[start:low], size, style)
                    right = left + self.measure(text[low:high], size, style)
                    boxes.append((left, baseline - _ASCENT * size, right, baseline + _DESCENT * size))
            self._answer(name, part, _union(boxes))
        return y

    def table(
        self,
        x: float,
        y: float,
        columns: Sequence[Column],
        rows: Sequence[Sequence[str]],
        size: float | None = None,
        leading: float = 1.6,
        head: Colour | None = None,
        rules: Rules = "rows",
        stripe: Colour | None = None,
    ) -> float:
        """Write a table; `head` is its title row's background. Returns the baseline after the last row."""
        size = size or self.type_size
        step = size * leading
        top = y - step * 0.68
        right = x + sum(column.width for column in columns)
        light = head is not None and sum(head) < 380
        if any(column.title for column in columns):
            if head is not None:
                self.rectangle(x, top, right, top + step, fill=head)
            self._row(x, y, columns, [column.title for column in columns], size, "B", WHITE if light else INK)
            self.line(x, top + step, right, top + step, 0.8)
            y += step
        for number, row in enumerate(rows):
            if stripe and number % 2:
                self.rectangle(x, y - step * 0.68, right, y + step * 0.32, fill=stripe)
            self._row(x, y, columns, row, size, "", INK)
            if rules != "none":
                self.line(x, y + step * 0.32, right, y + step * 0.32, 0.3, GREY)
            y += step
        if rules == "grid":
            edge = x
            for column in [*columns, Column("", 0)]:
                self.line(edge, top, edge, y - step * 0.68, 0.4, GREY)
                edge += column.width
            self.line(x, top, right, top, 0.4, GREY)
        return y

    def pairs(
        self,
        x: float,
        y: float,
        rows: Sequence[tuple[str, str, str]],
        indent: float,
        size: float | None = None,
        leading: float = 1.5,
        style: str = "B",
        colour: Colour = INK,
    ) -> float:
        """Write (label, text, field) rows, texts at least `indent` points from the left; returns the next baseline.

        `style` and `colour` are the labels'; an empty field name answers nothing.
        """
        size = size or self.type_size
        indent = max(indent, *(self.measure(label, size, style) + 8 for label, _, _ in rows))
        for label, text, field in rows:
            self.text(x, y, label, size, style, colour=colour)
            self.text(x + indent, y, text, size, fields={field: text} if field else None)
            y += size * leading
        return y

    def cell(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        label: str,
        text: str = "",
        field: str = "",
        size: float = 10,
        face: str = "courier",
    ) -> None:
        """A form's box with its top left at (x, y): a small label, and below it what was typed in."""
        self.rectangle(x, y, x + width, y + height, outline=INK, width=0.5)
        self.text(x + 3, y + 7.5, label, 5.8)
        if text:
            at = y + height - max(4.0, (height - 8 - size) / 2)
            self.text(x + 6, at, text, size, face=face, fields={field: text} if field else None)

    def line(
        self, x0: float, y0: float, x1: float, y1: float, width: float = 0.5, colour: Colour = INK, dash: float = 0
    ) -> None:
        self._pdf.set_draw_color(*colour)
        self._pdf.set_line_width(width)
        self._pdf.set_dash_pattern(dash, dash)
        self._pdf.line(x0, y0, x1, y1)
        self._pdf.set_dash_pattern()

    def rectangle(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        fill: Colour | None = None,
        outline: Colour | None = None,
        width: float = 0.6,
        radius: float = 0,
    ) -> None:
        style = self._paint(fill, outline, width)
        self._pdf.rect(x0, y0, x1 - x0, y1 - y0, style, round_corners=radius > 0, corner_radius=radius)

    def oval(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        fill: Colour | None = None,
        outline: Colour | None = None,
        width: float = 0.6,
    ) -> None:
        self._pdf.ellipse(x0, y0, x1 - x0, y1 - y0, self._paint(fill, outline, width))

    def polygon(self, points: Sequence[tuple[float, float]], fill: Colour) -> None:
        self._paint(fill, None, 0)
        self._pdf.polygon(points, style="F")

    def stroke(self, points: Sequence[tuple[float, float]], width: float = 1, colour: Colour = INK) -> None:
        """A pen's line through `points`."""
        self._pdf.set_draw_color(*colour)
        self._pdf.set_line_width(width)
        self._pdf.polyline(points)

    def picture(self, image: Image.Image, x: float, y: float, width: float, height: float) -> None:
        """Place an image with its top left corner at (x, y)."""
        self._pdf.image(image, x, y, width, height)

    @contextmanager
    def turned(self, degrees: float, x: float, y: float, opacity: float = 1) -> Iterator[None]:
        """Draw turned counter-clockwise about (x, y); text in here is decoration and leaves no marks."""
        known = len(self.marks)
        with self._pdf.rotation(degrees, x, y), self._pdf.local_context(fill_opacity=opacity, stroke_opacity=opacity):
            yield
        del self.marks[known:]

    def _answer(self, name: str, text: str, box: Box) -> None:
        self.fields.setdefault(name, Mark(text, self.pages, box))

    def _paint(self, fill: Colour | None, outline: Colour | None, width: float) -> str:
        if fill:
            self._pdf.set_fill_color(*fill)
        if outline:
            self._pdf.set_draw_color(*outline)
            self._pdf.set_line_width(width)
        return ("D" if outline else "") + ("F" if fill else "")

    def _row(
        self,
        x: float,
        y: float,
        columns: Sequence[Column],
        cells: Sequence[str],
        size: float,
        style: str,
        colour: Colour,
    ) -> None:
        for column, cell in zip(columns, cells, strict=True):
            at = {"left": x + 4, "centre": x + column.width / 2, "right": x + column.width - 4}[column.align]
            if cell:
                self.text(at, y, self._fit(cell, column.width - 6, size, style), size, style, column.align, colour)
            x += column.width

    def _fit(self, text: str, width: float, size: float, style: str) -> str:
        """`text`, cut at a word if it is too wide: a printed list cuts long names off too."""
        while self.measure(text, size, style) > width and " " in text:
            text = text.rsplit(" ", 1)[0]
        return text

    def _wrap(self, text: str, width: float, size: float, style: str) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        start = end = 0
        for word in re.finditer(r"\S+", text):
            if end > start and self.measure(text[start : word.end()], size, style) > width:
                spans.append((start, end))
                start = word.start()
            end = word.end()
        return [*spans, (start, end)] if end > start else spans


def _union(boxes: Sequence[Box]) -> Box:
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


def tint(rng: random.Random, dark: bool = True) -> Colour:
    """A colour such as letterheads have: deep if `dark`, else pale enough to print on."""
    hue, saturation = rng.random(), rng.uniform(0.25, 0.85) if dark else rng.uniform(0.1, 0.45)
    lightness = rng.uniform(0.2, 0.42) if dark else rng.uniform(0.88, 0.95)
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)
