"""A case of incoming documents such as a morning brings: many types, many formats, some of them spoilt."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from samples import Sample, file_format, render, wear


@dataclass(frozen=True, slots=True)
class DemoDocument:
    """A file, what it truly is (None where nobody can say), and how it came about.

    `answers` are what there is to ask about it, and the truth: None where it does not tell.
    """

    path: Path
    class_name: str | None
    note: str
    answers: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Post:
    name: str
    class_name: str
    worn: Callable[[Sample, int], Sample] | None
    stored: Callable[[Sample], bytes]
    note: str


_POST = (
    _Post("invoice.pdf", "invoice", None, file_format.pdf, "PDF with a text layer"),
    _Post("invoice-scan.pdf", "invoice", wear.scanned, file_format.scanned_pdf, "scanned PDF, askew"),
    _Post("receipt-photo.jpg", "receipt", wear.photographed, file_format.jpeg, "photo on a desk, uneven light"),
    _Post(
        "receipt-upside-down.jpg",
        "receipt",
        wear.photographed,
        file_format.turned_jpeg,
        "photo, upside down by its EXIF tag",
    ),
    _Post("receipt-iphone.heic", "receipt", wear.photographed, file_format.heic, "HEIC photo"),
    _Post("bank-statement.pdf", "bank_statement", None, file_format.pdf, "PDF with a text layer"),
    _Post("payslip.png", "payslip", wear.scanned, file_format.png, "PNG scan"),
    _Post("utility-bill.webp", "utility_bill", wear.photographed, file_format.webp, "WebP photo"),
    _Post("purchase-order.pdf", "purchase_order", wear.scanned, file_format.scanned_pdf, "scanned PDF"),
    _Post("delivery-note.jpg", "delivery_note", wear.stained, file_format.jpeg, "folded, with a coffee stain"),
    _Post("contract.tiff", "contract", wear.scanned, file_format.tiff, "TIFF of several pages"),
    _Post("letter-fax.tiff", "letter", wear.faxed, file_format.fax_tiff, "black and white fax"),
    _Post("resume.pdf", "resume", None, file_format.pdf, "PDF with a text layer"),
    _Post("passport.heic", "passport", wear.photographed, file_format.heic, "HEIC photo"),
    _Post("tax-form.png", "tax_form", wear.scanned, file_format.png, "PNG scan"),
    _Post("medical-report.tiff", "medical_report", wear.scanned, file_format.tiff, "TIFF"),
    _Post("application.jpg", "application_form", wear.stained, file_format.jpeg, "filled in by hand, stained"),
)

_ASKED: Mapping[str, Mapping[str, Callable[[Sample], str | None]]] = {
    "invoice.pdf": {
        "What is the invoice number?": lambda sample: sample.fields["number"].text,
        "What is the invoice date?": lambda sample: sample.fields["date"].text,
        "What is the total amount?": lambda sample: sample.fields["total"].text,
        "Is this an invoice?": lambda _sample: "yes",
        "What is the passport number?": lambda _sample: None,
    },
    "receipt-photo.jpg": {
        "Who is the vendor?": lambda sample: sample.fields["vendor"].text,
        "What is the total?": lambda sample: sample.fields["total"].text,
        "What was the date of purchase?": lambda sample: sample.fields["date"].text,
        "What is the patient's blood type?": lambda _sample: None,
    },
    "passport.heic": {
        "When does the passport expire?": lambda sample: sample.fields["date_of_expiry"].text,
        "What is the surname?": lambda sample: sample.fields["surname"].text,
    },
    "contract.tiff": {"How many pages are there?": lambda sample: str(len(sample.images))},
}


def demo_documents(folder: Path, seed: int) -> list[DemoDocument]:
    """Write the case into `folder`, made if need be. Another seed gives other documents of the same kinds."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"case {seed}")
    documents = []
    for post in _POST:
        drawn = rng.getrandbits(32)
        sample = render(post.class_name, drawn)
        if post.worn:
            sample = post.worn(sample, drawn)
        (folder / post.name).write_bytes(post.stored(sample))
        answers = {question: truth(sample) for question, truth in _ASKED.get(post.name, {}).items()}
        documents.append(DemoDocument(folder / post.name, post.class_name, post.note, answers))
    blank = folder / "blank-page.png"
    _blank(rng).save(blank)
    broken = folder / "broken.jpg"
    whole = file_format.jpeg(render("invoice", rng.getrandbits(32)))
    broken.write_bytes(whole[: len(whole) // 3])
    return [
        *documents,
        DemoDocument(blank, None, "blank page with a scanner's noise"),
        DemoDocument(broken, None, "broken file, cut off while it was sent"),
    ]


def _blank(rng: random.Random) -> Image.Image:
    """An empty sheet, scanned."""
    noise = np.random.default_rng(rng.getrandbits(32)).normal(246, 2.5, (1754, 1240))
    return Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8))
