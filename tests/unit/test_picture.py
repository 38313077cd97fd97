import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from printed import file_of, picture

from core.errors import RejectedInput
from core.picture import LONGEST_SIDE, Picture, Pixels

MEDIA_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "TIFF": "image/tiff",
    "GIF": "image/gif",
    "WEBP": "image/webp",
}
PAPER = picture(size=(300, 200), text_height=20)


def opened(content: bytes, kind: str = "PNG", max_pixels: int = 1_000_000) -> Picture:
    return Picture(content, MEDIA_TYPES[kind], max_pixels)


def is_like(pixels: Pixels, image: Image.Image) -> bool:
    """Whether the two show the same, give or take a compression."""
    other = np.asarray(image.convert("RGB"), dtype=float)
    return pixels.shape == other.shape and pixels.dtype == np.uint8 and float(np.abs(pixels - other).mean()) < 8


def test_an_upright_rgb_image_comes_as_it_is() -> None:
    raster = opened(file_of(PAPER)).page(1)
    assert np.array_equal(raster.pixels, np.asarray(PAPER))
    assert (raster.width, raster.height) == PAPER.size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_tag_is_obeyed(orientation: int) -> None:
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    stored = PAPER if turn is None else PAPER.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("JPEG", "PNG", "TIFF", "WEBP"):
        raster = opened(file_of(stored, kind, exif=exif), kind).page(1)
        assert is_like(raster.pixels, PAPER), kind
        assert (raster.width, raster.height) == PAPER.size, kind


def see_through(image: Image.Image) -> Image.Image:
    """Black ink on nothing: the paper is transparent black."""
    ink = image.convert("L").point(lambda value: 255 - value)
    layer = Image.new("RGBA", image.size, (0, 0, 0, 0))
    layer.putalpha(ink)
    return layer


def deep(image: Image.Image, brightest: int) -> Image.Image:
    values = np.asarray(image.convert("L"), dtype=np.uint32) * brightest // 255
    return Image.fromarray(values.astype(np.uint16))


def real(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L"), dtype=np.float32) / 255 - 3)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("JPEG", lambda image: image.convert("CMYK")),
        ("TIFF", lambda image: image.convert("CMYK")),
        ("PNG", lambda image: image.convert("1")),
        ("TIFF", lambda image: image.convert("1")),
        ("PNG", lambda image: image.convert("L")),
        ("PNG", lambda image: image.convert("P")),
        ("GIF", lambda image: image.convert("P")),
        ("TIFF", lambda image: image.convert("YCbCr")),
        ("PNG", see_through),
        ("WEBP", see_through),
        ("PNG", lambda image: see_through(image).convert("LA")),
        ("PNG", lambda image: deep(image, 65535)),
        ("TIFF", lambda image: deep(image, 65535)),
        ("TIFF", lambda image: deep(image, 4095)),
        ("TIFF", real),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_mode_comes_out_as_black_on_white(kind: str, change: Callable[[Image.Image], Image.Image]) -> None:
    image = change(PAPER)
    options = {"lossless": True} if kind == "WEBP" else {}
    assert is_like(opened(file_of(image, kind, **options), kind).page(1).pixels, PAPER)


def test_lab_is_read_by_its_lightness() -> None:
    lightness = PAPER.convert("L")
    neutral = Image.new("L", PAPER.size, 0)
    image = Image.merge("LAB", (lightness, neutral, neutral))
    assert is_like(opened(file_of(image, "TIFF"), "TIFF").page(1).pixels, PAPER)


def test_the_frames_of_a_tiff_are_pages_and_may_differ_in_size() -> None:
    other = picture(["second"], size=(200, 260), text_height=20)
    document = opened(file_of(PAPER, "TIFF", save_all=True, append_images=[other, PAPER]), "TIFF")
    assert document.page_count == 3
    assert is_like(document.page(2).pixels, other)
    assert is_like(document.page(1).pixels, PAPER)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_what_moves_only_the_first_frame_is_a_page(kind: str) -> None:
    other = picture(["second"], size=PAPER.size, text_height=20)
    document = opened(file_of(PAPER, kind, save_all=True, append_images=[other], duration=100), kind)
    assert document.page_count == 1
    assert is_like(document.page(1).pixels, PAPER)


def test_a_large_page_is_scaled_down_and_keeps_its_own_size() -> None:
    for kind in ("PNG", "JPEG"):
        document = opened(file_of(PAPER.resize((6000, 4000)), kind), kind, max_pixels=10**8)
        for raster in (document.page(1), document.page(1)):
            assert max(raster.pixels.shape) <= LONGEST_SIDE
            assert (raster.width, raster.height) == (6000, 4000)


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    bomb = file_of(Image.new("1", (40_000, 30_000)))
    assert len(bomb) < 1_000_000
    with pytest.raises(RejectedInput) as caught:
        opened(bomb).page(1)
    assert caught.value.code == "too_many_pixels"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_picture_that_was_cut_off_is_refused(kind: str, share: float) -> None:
    content = file_of(PAPER, kind)
    with pytest.raises(RejectedInput) as caught:
        opened(content[: int(len(content) * share)], kind).page(1)
    assert caught.value.code == "unreadable"


def test_junk_after_a_picture_does_no_harm() -> None:
    assert is_like(opened(file_of(PAPER, "JPEG") + bytes(5000), "JPEG").page(1).pixels, PAPER)


def test_only_the_decoder_of_the_sniffed_type_is_asked() -> None:
    file = io.BytesIO()
    PAPER.save(file, "EPS")
    with pytest.raises(RejectedInput) as caught:
        opened(file.getvalue())
    assert caught.value.code == "unreadable"
