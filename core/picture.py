"""Images as upright pages: decoded within limits, turned as their tags say, flattened on white, eight bits deep."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image, ImageOps

from core.errors import RejectedInput

Pixels = NDArray[np.uint8]
"""(height, width, 3), RGB."""

LEAST_CONTRAST: Final = 24
"""Of 255. What differs less all over a page is paper, not print."""
LONGEST_SIDE: Final = 2000
"""Pixels. Text of a full page is legible at this size, and recognition gains nothing from more."""

_FORMATS: Final = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/gif": "GIF",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
    "image/webp": "WEBP",
    "image/jp2": "JPEG2000",
    "image/avif": "AVIF",
    "image/heic": "HEIF",
}


@dataclass(frozen=True, slots=True)
class Raster:
    """A page in pixels: `pixels` are at most LONGEST_SIDE long; width and height are those of the page itself."""

    pixels: Pixels
    width: int
    height: int


class Picture:
    """An image file. The frames of a TIFF are its pages; of anything that moves, only the first frame is one."""

    def __init__(self, content: bytes, media_type: str, max_pixels: int) -> None:
        """Raises RejectedInput(`unreadable`)."""
        pillow_heif.register_heif_opener()
        # Pillow's own guard only warns up to twice its limit: ours stands in `page`.
        Image.MAX_IMAGE_PIXELS = None
        self._content = content
        self._format = _FORMATS[media_type]
        self._max_pixels = max_pixels
        with _decoding():
            image = self._open()
            self.page_count = getattr(image, "n_frames", 1) if media_type == "image/tiff" else 1

    def page(self, number: int) -> Raster:
        """Decode one page. Raises RejectedInput: `too_many_pixels`, before anything is decoded, or `unreadable`."""
        with _decoding():
            # Opened for each page: a JPEG that was decoded at a part of its size no longer tells the whole.
            image = self._open()
            image.seek(number - 1)
        width, height = image.size
        if width * height > self._max_pixels:
            raise RejectedInput(
                "too_many_pixels",
                f"page {number} has {width}x{height} pixels; {self._max_pixels:,} are allowed (max_pixels): "
                "scan at a lower resolution",
            )
        with _decoding():
            # JPEGs can be decoded at half or a quarter of their size, in as little of the time.
            image.draft(None, (LONGEST_SIDE, LONGEST_SIDE))
            drafted = image.size
            upright = ImageOps.exif_transpose(image)
            if (upright.width < upright.height) != (drafted[0] < drafted[1]):
                width, height = height, width
            upright = _eight_bits(upright)
            if max(upright.size) > LONGEST_SIDE:
                upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS, reducing_gap=2)
            return Raster(np.asarray(upright), width, height)

    def _open(self) -> Image.Image:
        # Only the decoder of the sniffed type may touch the bytes.
        return Image.open(io.BytesIO(self._content), formats=[self._format])


@contextmanager
def _decoding() -> Iterator[None]:
    try:
        yield
    except (MemoryError, RejectedInput):
        raise
    except Exception as error:  # on damaged files decoders raise whatever they stumble over
        raise RejectedInput(
            "unreadable", f"the image is damaged or cut off ({type(error).__name__}): send the original again"
        ) from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """Any mode → RGB on white."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "LAB":
        return image.getchannel(0).convert("RGB")
    if image.mode.startswith(("I", "F")):
        # Stretched over what is there: twelve bits in sixteen would come out black, and a float has no known range.
        values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0, neginf=0)
        low, high = float(values.min()), float(values.max())
        values -= low
        values *= 255 / max(high - low, 1e-9)
        return Image.fromarray(values.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        page = Image.new("RGBA", layer.size, "white")
        page.alpha_composite(layer)
        return page.convert("RGB")
    return image.convert("RGB")
