"""Documents that the project draws itself, with their classes and answers known: for the demo, tests and training."""

import importlib
import random
from collections.abc import Mapping
from dataclasses import dataclass

import pypdfium2
from PIL import Image

from core.page import Line, Page
from samples.origin import Origin
from samples.paper import Box, Mark
from samples.region import REGIONS

# Every class has a file of its name in this package, whose LAYOUTS draw it in the ways of its COUNTRIES.
CLASSES = (
    "application_form",
    "bank_statement",
    "business_card",
    "contract",
    "delivery_note",
    "drivers_license",
    "identity_card",
    "insurance_card",
    "insurance_claim",
    "invoice",
    "letter",
    "medical_report",
    "passport",
    "payslip",
    "purchase_order",
    "receipt",
    "resume",
    "tax_form",
    "utility_bill",
)

# English mostly, as in the mail that the product was first made for.
_SHARES = {"US": 4, "GB": 3, "DE": 1, "FR": 1, "ES": 1}


@dataclass(frozen=True, slots=True)
class Field:
    """An answer as printed (its lines parted by a line feed); `box` in pixels of the image, `page` is 1-based."""

    text: str
    page: int
    box: Box


@dataclass(frozen=True, slots=True)
class Sample:
    """A document whose every answer is known.

    `pages` is what a reader without fault sees in `images` (RGB, upright); `pdf` is the same as a PDF with a text
    layer, always unworn.
    """

    class_name: str
    layout: str
    country: str
    pdf: bytes
    images: tuple[Image.Image, ...]
    pages: tuple[Page, ...]
    fields: Mapping[str, Field]


def render(class_name: str, seed: int, dpi: int = 150) -> Sample:
    """Draw a document of a class: the same seed gives the same document. Raises KeyError for an unknown class."""
    if class_name not in CLASSES:
        raise KeyError(class_name)
    family = importlib.import_module(f"samples.{class_name}")
    rng = random.Random(f"{class_name} {seed}")
    country = rng.choices(family.COUNTRIES, [_SHARES[code] for code in family.COUNTRIES])[0]
    layout = rng.choice(family.LAYOUTS)
    paper = layout(Origin(rng, REGIONS[country]))
    pdf = paper.to_pdf()
    images = _images(pdf, dpi)
    scale = dpi / 72
    pages = tuple(
        Page(number, image.width, image.height, "text_layer", _lines(paper.marks, number, scale))
        for number, image in enumerate(images, 1)
    )
    fields = {
        name: Field(mark.text, mark.page, _scaled(mark.box, scale)) for name, mark in sorted(paper.fields.items())
    }
    return Sample(class_name, layout.__name__, country, pdf, images, pages, fields)


def _images(pdf: bytes, dpi: int) -> tuple[Image.Image, ...]:
    document = pypdfium2.PdfDocument(pdf)
    try:
        return tuple(page.render(scale=dpi / 72).to_pil().convert("RGB") for page in document)
    finally:
        document.close()


def _lines(marks: list[Mark], number: int, scale: float) -> tuple[Line, ...]:
    on_page = [mark for mark in marks if mark.page == number]
    return tuple(Line(mark.text, _scaled(mark.box, scale)) for mark in sorted(on_page, key=_reading_order))


def _reading_order(mark: Mark) -> tuple[int, float]:
    # Runs whose baselines differ by less than a few points are one row.
    return round(mark.box[3] / 6), mark.box[0]


def _scaled(box: Box, scale: float) -> Box:
    left, top, right, bottom = box
    return left * scale, top * scale, right * scale, bottom * scale
