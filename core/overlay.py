"""Where answers stand: pages with their evidence boxed, a colour a question, and a legend to the boxes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from core.contract.answer import Answer, AnsweredPage
from core.picture import Pixels

COLOURS: Final = ("#d62839", "#1368ce", "#2b9348", "#e07a00", "#8338ec", "#00838f", "#c2188b", "#6d4c41")
"""Questions that have evidence take them in turn."""
LONGEST_SIDE: Final = 1500
"""Pixels of a drawn page: what is printed on it is still legible."""
PAGES_A_ROW: Final = 3
_GAP: Final = 28
_SIZE: Final = 19
"""Pixels of type."""
_ENTRY: Final = 480
"""Pixels that one entry of the legend needs across."""
_PAPER, _DESK, _INK, _FAINT = "#ffffff", "#e9ecef", "#212529", "#6c757d"

Font = ImageFont.FreeTypeFont


def pages_shown(answers: Sequence[Answer]) -> list[int]:
    """Numbers of the pages that hold evidence, ascending; the first page where none does."""
    return sorted({line.page for answer in answers for line in answer.evidence}) or [1]


def draw(pages: Sequence[AnsweredPage], images: Sequence[Pixels], answers: Sequence[Answer]) -> Image.Image:
    """Pages side by side with the evidence that stands on them, and the legend below.

    `images` are the pages' pixels, of their shape but of any size.
    """
    regular, bold = _font("DejaVuSans.ttf"), _font("DejaVuSans-Bold.ttf")
    sheets = [_drawn(page, pixels, answers, bold) for page, pixels in zip(pages, images, strict=True)]
    rows = [sheets[start : start + PAGES_A_ROW] for start in range(0, len(sheets), PAGES_A_ROW)]
    across = max(sum(sheet.width + _GAP for sheet in row) for row in rows) - _GAP
    legend = _legend(answers, max(across, _ENTRY), regular, bold)
    caption = _SIZE + 12 if len(sheets) > 1 else 0
    down = sum(max(sheet.height for sheet in row) + _GAP + caption for row in rows)
    whole = Image.new("RGB", (legend.width + 2 * _GAP, down + legend.height + 2 * _GAP), _DESK)
    pencil = ImageDraw.Draw(whole)
    y = _GAP
    numbers = iter(page.number for page in pages)
    for row in rows:
        x = _GAP
        for sheet in row:
            if caption:
                pencil.text((x, y), f"page {next(numbers)}", _FAINT, regular)
            whole.paste(sheet, (x, y + caption))
            x += sheet.width + _GAP
        y += max(sheet.height for sheet in row) + _GAP + caption
    whole.paste(legend, (_GAP, y))
    return whole


def _drawn(page: AnsweredPage, pixels: Pixels, answers: Sequence[Answer], font: Font) -> Image.Image:
    """The page with its boxes, each with its question's number beside it."""
    image = Image.fromarray(pixels)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    scale = image.width / page.width
    pencil = ImageDraw.Draw(image, "RGBA")
    boxed: dict[tuple[int, ...], list[int]] = {}
    for index, answer in enumerate(answers):
        for line in answer.evidence:
            if line.page == page.number:
                boxed.setdefault(tuple(round(edge * scale) for edge in line.box), []).append(index)
    for (left, top, right, bottom), indices in boxed.items():
        # Questions that share a line have their boxes around one another.
        margins = [3 + 5 * place for place in range(len(indices))]
        for index, margin in zip(indices, margins, strict=True):
            colour = COLOURS[index % len(COLOURS)]
            box = left - margin, top - margin, right + margin, bottom + margin
            pencil.rectangle(box, fill=f"{colour}20", outline=colour, width=3)
        widths = [_badge_size(str(index + 1), font)[0] for index in indices]
        x = left - margins[-1] - sum(widths)
        if x < 0:
            x = min(right + margins[-1], image.width - sum(widths))
        for index, width in zip(indices, widths, strict=True):
            y = max(0, (top + bottom - _SIZE - 6) // 2)
            _badge(pencil, (x, y), str(index + 1), COLOURS[index % len(COLOURS)], font)
            x += width
    return image


def _legend(answers: Sequence[Answer], width: int, regular: Font, bold: Font) -> Image.Image:
    """What each number asks, and what it found."""
    columns = min(len(answers), max(1, width // _ENTRY))
    rows = -(-len(answers) // columns)
    step, across = 2 * _SIZE + 30, width // columns
    legend = Image.new("RGB", (width, rows * step + _SIZE), _PAPER)
    pencil = ImageDraw.Draw(legend)
    for index, answer in enumerate(answers):
        x, y = index // rows * across + _SIZE, index % rows * step + _SIZE
        found = answer.status == "answered"
        said = answer.answer if found and answer.answer else answer.status.replace("_", " ")
        colour = COLOURS[index % len(COLOURS)] if answer.evidence else _FAINT
        badge = _badge(pencil, (x, y), str(index + 1), colour, bold)
        room = across - badge - 3 * _SIZE
        pencil.text((x + badge + 12, y), _fitting(answer.question, room, regular), _FAINT, regular)
        pencil.text((x + badge + 12, y + _SIZE + 6), _fitting(said, room, bold), _INK if found else _FAINT, bold)
    return legend


def _badge_size(number: str, font: Font) -> tuple[int, int]:
    return round(font.getlength(number)) + 12, _SIZE + 6


def _badge(pencil: ImageDraw.ImageDraw, corner: tuple[int, int], number: str, colour: str, font: Font) -> int:
    """A number on its colour; returns its width."""
    width, height = _badge_size(number, font)
    x, y = corner
    pencil.rounded_rectangle((x, y, x + width, y + height), 5, fill=colour)
    pencil.text((x + width / 2, y + height / 2), number, _PAPER, font, anchor="mm")
    return width


def _fitting(text: str, room: float, font: Font) -> str:
    """As much of a text, on one line, as there is room for."""
    text = " ".join(text.split())
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(f"{text}…") > room:
        text = text[:-1]
    return f"{text.rstrip()}…"


def _font(name: str) -> Font:
    import matplotlib as mpl  # brings fonts that know more than Latin

    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / name, _SIZE)
