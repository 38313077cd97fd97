"""A sample as the bytes of a file: what mail, scanners and telephones send."""

import io
import time

import pillow_heif
from PIL import Image

from samples import Sample

_ORIENTATION = 0x0112  # the EXIF tag that says how to turn the picture
_UPSIDE_DOWN = 3
_DRAWN = time.gmtime(1_704_067_200)  # a fixed moment, so that the same sample gives the same bytes


def png(sample: Sample) -> bytes:
    """The first page, without loss."""
    return _saved(sample.images[0], "PNG")


def jpeg(sample: Sample) -> bytes:
    """The first page."""
    return _saved(sample.images[0], "JPEG", quality=80)


def turned_jpeg(sample: Sample) -> bytes:
    """The first page, stored upside down with an EXIF tag that says so, as from a telephone held that way."""
    exif = Image.Exif()
    exif[_ORIENTATION] = _UPSIDE_DOWN
    return _saved(sample.images[0].transpose(Image.Transpose.ROTATE_180), "JPEG", quality=80, exif=exif)


def webp(sample: Sample) -> bytes:
    """The first page."""
    return _saved(sample.images[0], "WEBP", quality=75)


def heic(sample: Sample) -> bytes:
    """The first page, as an iPhone stores it."""
    stored = io.BytesIO()
    pillow_heif.from_pillow(sample.images[0]).save(stored, quality=60)
    return stored.getvalue()


def tiff(sample: Sample) -> bytes:
    """All pages in one file, grey, as a scanner's feeder stores them."""
    pages = [image.convert("L") for image in sample.images]
    return _saved(pages[0], "TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw", dpi=(150, 150))


def fax_tiff(sample: Sample) -> bytes:
    """All pages in one file, one bit a pixel, in the coding of ITU-T T.6."""
    pages = [image.convert("1") for image in sample.images]
    return _saved(pages[0], "TIFF", save_all=True, append_images=pages[1:], compression="group4", dpi=(150, 150))


def pdf(sample: Sample) -> bytes:
    """All pages, with a text layer; wear does not show."""
    return sample.pdf


def scanned_pdf(sample: Sample) -> bytes:
    """All pages as pictures, without a text layer."""
    pages = sample.images
    return _saved(
        pages[0],
        "PDF",
        save_all=True,
        append_images=pages[1:],
        resolution=150,
        quality=70,
        creationDate=_DRAWN,
        modDate=_DRAWN,
    )


def _saved(image: Image.Image, how: str, **options: object) -> bytes:
    stored = io.BytesIO()
    image.save(stored, how, **options)
    return stored.getvalue()
