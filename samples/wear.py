"""What scanners, telephones, fax machines and coffee do to a sheet of paper.

Each kind of wear keeps the sample's truth: lines and fields move with the paper that they stand on.
"""

import io
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from core.page import Line
from samples import Sample
from samples.paper import Box

Pixels = NDArray[np.float32]
Matrix = NDArray[np.float64]
Point = tuple[float, float]


def scanned(sample: Sample, seed: int) -> Sample:
    """As a flatbed scanner gives it: a little askew, grey paper, sensor noise, now and then a fold."""
    return _each(sample, seed, _scan)


def photographed(sample: Sample, seed: int) -> Sample:
    """As a telephone gives it: on a desk, seen at an angle, in uneven light, with noise and some blur."""
    return _each(sample, seed, _photo)


def faxed(sample: Sample, seed: int) -> Sample:
    """As a fax machine gives it: black and white only, coarse, with specks. Images are RGB all the same."""
    return _each(sample, seed, _fax)


def stained(sample: Sample, seed: int) -> Sample:
    """Scanned after a life on a desk: folds, a cup's ring, faded print."""
    return _each(sample, seed, _stain)


WEARS = (scanned, photographed, faxed, stained)


def _each(
    sample: Sample, seed: int, kind: Callable[[Image.Image, random.Random], tuple[Image.Image, Matrix]]
) -> Sample:
    rng = random.Random(f"wear {seed}")
    images, matrices = zip(*(kind(image, rng) for image in sample.images), strict=True)
    pages = tuple(
        replace(
            page,
            width=image.width,
            height=image.height,
            lines=tuple(Line(line.text, _moved(line.box, matrix)) for line in page.lines),
        )
        for page, image, matrix in zip(sample.pages, images, matrices, strict=True)
    )
    fields = {
        name: replace(field, box=_moved(field.box, matrices[field.page - 1])) for name, field in sample.fields.items()
    }
    return replace(sample, images=images, pages=pages, fields=fields)


def _scan(image: Image.Image, rng: random.Random) -> tuple[Image.Image, Matrix]:
    ground = Image.new("RGB", image.size, (rng.randint(225, 250),) * 3)
    turned, matrix = _laid(image, ground, _turn(image.size, rng.gauss(0, 0.9)))
    pixels = _pixels(turned)
    if rng.random() < 0.3:
        pixels *= _fold(image.size, rng)
    pixels = _faded(pixels, rng.uniform(0, 45), rng.uniform(238, 253))
    pixels += _grain(rng, pixels.shape[:2], rng.uniform(2, 7))
    worn = _image(pixels).filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.7)))
    return _compressed(worn if rng.random() < 0.5 else worn.convert("L").convert("RGB"), rng.randint(45, 85)), matrix


def _stain(image: Image.Image, rng: random.Random) -> tuple[Image.Image, Matrix]:
    pixels = _pixels(image)
    pixels = _faded(pixels, rng.uniform(30, 75), rng.uniform(236, 248)) * np.array([1, 0.985, 0.94], np.float32)
    pixels *= _fold(image.size, rng)
    pixels *= _ring(image.size, rng)
    return _scan(_image(pixels), rng)


def _photo(image: Image.Image, rng: random.Random) -> tuple[Image.Image, Matrix]:
    width, height = image.size
    margin = rng.uniform(0.04, 0.12) * max(width, height)
    size = round(width + 2 * margin), round(height + 2 * margin)
    jitter = 0.035 * min(width, height)
    lean = _turn(image.size, rng.gauss(0, 2.0))

    def corner(x: float, y: float) -> Point:
        across, down = _apply(lean, (x, y))
        return across + margin + rng.uniform(-jitter, jitter), down + margin + rng.uniform(-jitter, jitter)

    before = [(0.0, 0.0), (float(width), 0.0), (float(width), float(height)), (0.0, float(height))]
    matrix = _homography(before, [corner(*point) for point in before])
    sheet = _pixels(image)
    if rng.random() < 0.5:
        sheet *= _fold(image.size, rng)
    laid, matrix = _laid(_image(_faded(sheet, rng.uniform(10, 40), rng.uniform(235, 250))), _desk(size, rng), matrix)
    pixels = _pixels(laid) * _light(size, rng) * np.array([1, rng.uniform(0.96, 1), rng.uniform(0.86, 1)], np.float32)
    pixels += _grain(rng, pixels.shape[:2], rng.uniform(3, 8))
    worn = _image(pixels).filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 0.9)))
    return _compressed(worn, rng.randint(55, 85)), matrix


def _fax(image: Image.Image, rng: random.Random) -> tuple[Image.Image, Matrix]:
    turned, matrix = _laid(image, Image.new("RGB", image.size, (255, 255, 255)), _turn(image.size, rng.gauss(0, 0.7)))
    pixels = _pixels(turned.convert("L"))
    dots = np.random.default_rng(rng.getrandbits(32))
    pixels += dots.normal(0, 22, pixels.shape).astype(np.float32)
    black = pixels < rng.uniform(120, 165)
    black |= dots.random(pixels.shape) < 0.0006
    return Image.fromarray(np.where(black, 0, 255).astype(np.uint8)).convert("RGB"), matrix


def _laid(image: Image.Image, ground: Image.Image, matrix: Matrix) -> tuple[Image.Image, Matrix]:
    """The sheet laid on a ground; `matrix` takes a point of the sheet to one of the ground."""
    inverse = np.linalg.inv(matrix)
    coefficients = tuple((inverse / inverse[2, 2]).ravel()[:8])
    how = (ground.size, Image.Transform.PERSPECTIVE, coefficients)
    sheet = image.transform(*how, resample=Image.Resampling.BICUBIC)
    place = Image.new("L", image.size, 255).transform(*how, resample=Image.Resampling.BILINEAR)
    shade = place.filter(ImageFilter.GaussianBlur(9))
    ground = Image.composite(_image(_pixels(ground) * 0.72), ground, shade)
    return Image.composite(sheet, ground, place), matrix


def _turn(size: tuple[int, int], degrees: float) -> Matrix:
    """A turn about the sheet's middle."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = size[0] / 2, size[1] / 2
    return np.array([[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y], [0, 0, 1]])


def _homography(before: Sequence[Point], after: Sequence[Point]) -> Matrix:
    """The 3x3 matrix that takes four points to four others."""
    rows = []
    for (x, y), (u, v) in zip(before, after, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    solved = np.linalg.solve(np.array(rows), np.array(after).ravel())
    return np.append(solved, 1).reshape(3, 3)


def _apply(matrix: Matrix, point: Point) -> Point:
    x, y, scale = matrix @ (*point, 1.0)
    return float(x / scale), float(y / scale)


def _moved(box: Box, matrix: Matrix) -> Box:
    """The upright box about what became of `box`."""
    left, top, right, bottom = box
    corners = [_apply(matrix, point) for point in ((left, top), (right, top), (right, bottom), (left, bottom))]
    across, down = zip(*corners, strict=True)
    return min(across), min(down), max(across), max(down)


def _fold(size: tuple[int, int], rng: random.Random) -> Pixels:
    """What light a sheet that was folded in two or three gives back: H x W x 1, about 1."""
    width, height = size
    down = np.arange(height, dtype=np.float32)[:, None] + np.linspace(-4, 4, width, dtype=np.float32)[None]
    light = np.ones((height, width), np.float32)
    for share in rng.choice(((0.5,), (0.33, 0.67))):
        off = down - height * share
        light -= rng.uniform(0.08, 0.2) * np.exp(-((off / 2.2) ** 2))
        light -= 0.05 * np.exp(-np.abs(off) / 40) * np.sign(off) * rng.choice((-1, 1))
    return light[..., None]


def _ring(size: tuple[int, int], rng: random.Random) -> Pixels:
    """A coffee cup's ring: H x W x 3 factors."""
    width, height = size
    radius = 0.13 * width * rng.uniform(0.8, 1.2)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x -= width * rng.uniform(0.1, 0.9)
    y -= height * rng.uniform(0.1, 0.9)
    angle = np.arctan2(y, x)
    off = np.hypot(x, y) - radius * (1 + 0.015 * np.sin(3 * angle + rng.uniform(0, 6)))
    strength = 0.55 + 0.45 * np.sin(angle + rng.uniform(0, 6))
    depth = strength * np.exp(-((off / (0.05 * radius)) ** 2)) + 0.12 * (off < 0)
    return np.asarray(1 - depth[..., None] * np.array([0.16, 0.26, 0.42]), np.float32)


def _light(size: tuple[int, int], rng: random.Random) -> Pixels:
    """A room's uneven light, now and then with the shadow of whoever holds the telephone: H x W x 1 factors."""
    coarse = np.array([[rng.uniform(0.78, 1.04) for _ in range(3)] for _ in range(3)], np.float32)
    light = _stretched(coarse, size)
    if rng.random() < 0.5:
        width, height = size
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        slope, start = rng.uniform(-0.6, 0.6), rng.uniform(0.55, 0.9) * width
        edge = (x + slope * y - start) / (0.03 * width)
        light *= 1 - rng.uniform(0.15, 0.35) / (1 + np.exp(-np.clip(edge, -30, 30)))
    return light[..., None]


def _desk(size: tuple[int, int], rng: random.Random) -> Image.Image:
    """A table top: wood, cloth or plastic."""
    colour = rng.choice(((122, 88, 58), (70, 50, 38), (150, 150, 146), (58, 62, 70), (176, 150, 116)))
    grain = np.random.default_rng(rng.getrandbits(32))
    rough, across = rng.choice(((14, 6), (6, 60), (10, 4)))
    texture = _stretched(grain.normal(0, rough, (max(2, size[1] // 6), across)).astype(np.float32), size)
    return _image(np.array(colour, np.float32) + texture[..., None])


def _grain(rng: random.Random, shape: tuple[int, ...], strength: float) -> Pixels:
    """A sensor's noise: H x W x 3, mostly alike in all colours."""
    source = np.random.default_rng(rng.getrandbits(32))
    return strength * source.standard_normal((*shape, 1), np.float32) + strength / 3 * source.standard_normal(
        (*shape, 3), np.float32
    )


def _faded(pixels: Pixels, black: float, white: float) -> Pixels:
    """Black and white moved together."""
    return (black + pixels * ((white - black) / 255)).astype(np.float32)


def _stretched(field: Pixels, size: tuple[int, int]) -> Pixels:
    return np.array(Image.fromarray(field).resize(size, Image.Resampling.BICUBIC), np.float32)


def _compressed(image: Image.Image, quality: int) -> Image.Image:
    """What JPEG leaves of an image."""
    stored = io.BytesIO()
    image.save(stored, "JPEG", quality=quality)
    return Image.open(stored).convert("RGB")


def _pixels(image: Image.Image) -> Pixels:
    return np.array(image, dtype=np.float32)


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
