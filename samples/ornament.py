"""What stands on papers beside their text: logos, signatures, stamps, bar codes, portraits."""

import math
import random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from samples.paper import INK, WHITE, Colour, Paper


def logo(paper: Paper, rng: random.Random, x: float, y: float, size: float, colour: Colour) -> None:
    """A plain company sign in a square of `size` points whose top left is (x, y)."""
    kind = rng.randrange(5)
    if kind == 0:
        paper.oval(x, y, x + size, y + size, fill=colour)
        paper.oval(x + size * 0.3, y + size * 0.3, x + size * 0.95, y + size * 0.95, fill=WHITE)
    elif kind == 1:
        paper.polygon([(x, y + size), (x + size / 2, y), (x + size, y + size)], colour)
        paper.polygon(
            [(x + size * 0.3, y + size), (x + size * 0.5, y + size * 0.55), (x + size * 0.7, y + size)], WHITE
        )
    elif kind == 2:
        for step in range(3):
            height = size * (0.4 + 0.3 * step)
            left = x + step * size * 0.36
            paper.rectangle(left, y + size - height, left + size * 0.28, y + size, fill=colour)
    elif kind == 3:
        paper.rectangle(x, y, x + size, y + size, fill=colour, radius=size * 0.2)
        paper.polygon(
            [(x + size * 0.25, y + size * 0.7), (x + size * 0.5, y + size * 0.2), (x + size * 0.8, y + size * 0.55)],
            WHITE,
        )
    else:
        sides = rng.choice((5, 6, 8))
        middle = [
            (x + size / 2 + size / 2 * math.sin(turn), y + size / 2 - size / 2 * math.cos(turn))
            for turn in (2 * math.pi * side / sides for side in range(sides))
        ]
        paper.polygon(middle, colour)
        paper.oval(x + size * 0.33, y + size * 0.33, x + size * 0.67, y + size * 0.67, fill=WHITE)


def signature(paper: Paper, rng: random.Random, x: float, y: float, width: float = 90) -> None:
    """A hand's flourish that starts at (x, y), y being its baseline."""
    ink = rng.choice(((20, 30, 110), (25, 25, 40), (15, 50, 140)))
    letters = rng.randint(5, 10)
    tall = [rng.choice((0.25, 0.35, 0.5, 1.0)) for _ in range(letters + 1)]
    tall[0] = rng.uniform(0.9, 1.4)
    height, slant, curl = width * rng.uniform(0.2, 0.3), rng.uniform(0.1, 0.6), rng.uniform(0.02, 0.07)
    points = []
    for step in range(240):
        at = step / 239
        place = at * letters
        turn = 2 * math.pi * place
        reach = tall[round(place)] * (1 - 0.5 * at)
        rise = height * reach * (1 - math.cos(turn)) / 2
        points.append(
            (x + width * (at + curl * math.sin(turn)) + slant * rise, y - rise - height * 0.06 * math.sin(3 * at))
        )
    paper.stroke(points, rng.uniform(0.8, 1.4), ink)
    if rng.random() < 0.5:
        paper.stroke([(x + width * 0.1, y + height * 0.25), (x + width * 1.1, y + height * 0.1)], 1, ink)


def stamp(paper: Paper, rng: random.Random, x: float, y: float, words: tuple[str, ...], size: float = 16) -> None:
    """A rubber stamp's print, askew, its middle at (x, y)."""
    colour = rng.choice(((170, 30, 40), (30, 50, 150), (40, 110, 60)))
    width = max(paper.measure(word, size, "B", "helvetica") for word in words) + size
    height = size * 1.2 * len(words) + size * 0.5
    with paper.turned(rng.uniform(-14, 14), x, y, 0.75):
        paper.rectangle(
            x - width / 2, y - height / 2, x + width / 2, y + height / 2, outline=colour, width=2, radius=3
        )
        for number, word in enumerate(words):
            at = y - height / 2 + size * 1.2 * (number + 1)
            paper.text(x, at, word, size, "B", "centre", colour, "helvetica")


def bar_code(paper: Paper, rng: random.Random, x: float, y: float, width: float, height: float) -> None:
    """Upright bars such as a one-dimensional code has; they say nothing."""
    at = x
    while at < x + width - 4:
        bar, gap = rng.choice((0.8, 0.8, 1.6, 2.4)), rng.choice((0.8, 1.6, 2.4))
        paper.rectangle(at, y, at + bar, y + height, fill=INK)
        at += bar + gap


def matrix_code(paper: Paper, rng: random.Random, x: float, y: float, size: float) -> None:
    """Squares such as a QR code of version 3 has (ISO/IEC 18004 finder patterns); they say nothing."""
    cells = 29
    pattern = np.array([[rng.random() < 0.5 for _ in range(cells)] for _ in range(cells)])
    for top, left in ((0, 0), (0, cells - 7), (cells - 7, 0)):
        pattern[max(0, top - 1) : top + 8, max(0, left - 1) : left + 8] = False
        pattern[top : top + 7, left : left + 7] = True
        pattern[top + 1 : top + 6, left + 1 : left + 6] = False
        pattern[top + 2 : top + 5, left + 2 : left + 5] = True
    image = Image.fromarray(np.where(pattern, 0, 255).astype(np.uint8)).resize(
        (cells * 4, cells * 4), Image.Resampling.NEAREST
    )
    paper.picture(image, x, y, size, size)


def portrait(rng: random.Random, width: int = 210, height: int = 270) -> Image.Image:
    """A head and shoulders that nobody has, such as stands on a card: width x height pixels, RGB."""
    ground = rng.choice(((205, 214, 222), (222, 222, 218), (190, 205, 220)))
    skin = rng.choice(((236, 200, 174), (205, 160, 125), (150, 105, 75), (225, 185, 155), (110, 75, 55)))
    hair = rng.choice(((40, 30, 25), (90, 60, 35), (170, 130, 70), (120, 120, 120), (60, 35, 25)))
    cloth = rng.choice(((45, 55, 80), (90, 35, 40), (60, 70, 60), (30, 30, 35), (120, 125, 140)))
    image = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(image)
    cx, face_w, face_h = width / 2, width * rng.uniform(0.2, 0.23), height * rng.uniform(0.2, 0.23)
    cy = height * 0.42
    long_hair = rng.random() < 0.5
    draw.ellipse(
        (cx - face_w * 1.25, cy - face_h * 1.35, cx + face_w * 1.25, cy + face_h * (1.9 if long_hair else 0.5)), hair
    )
    draw.ellipse((cx - width * 0.42, height * 0.74, cx + width * 0.42, height * 1.3), cloth)
    shade = tuple(round(part * 0.86) for part in skin)
    draw.rectangle((cx - face_w * 0.45, cy + face_h * 0.5, cx + face_w * 0.45, height * 0.8), shade)
    draw.ellipse((cx - face_w, cy - face_h, cx + face_w, cy + face_h * 1.15), skin)
    draw.pieslice((cx - face_w * 1.05, cy - face_h * 1.25, cx + face_w * 1.05, cy + face_h * 0.45), 190, 350, hair)
    for side in (-1, 1):
        eye = cx + side * face_w * 0.42
        draw.ellipse((eye - 8, cy - 4, eye + 8, cy + 5), (240, 240, 238))
        draw.ellipse((eye - 4, cy - 4, eye + 4, cy + 5), (45, 35, 30))
        draw.line((eye - 11, cy - 12, eye + 11, cy - 13), hair, 4)
    draw.line((cx, cy + 6, cx + 5, cy + face_h * 0.45), shade, 4)
    draw.line((cx - 4, cy + face_h * 0.46, cx + 6, cy + face_h * 0.46), shade, 3)
    draw.line((cx - face_w * 0.35, cy + face_h * 0.72, cx + face_w * 0.35, cy + face_h * 0.72), (150, 80, 75), 5)
    return image.filter(ImageFilter.GaussianBlur(2))
