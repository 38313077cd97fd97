"""Every file of a collection of broken, odd and malicious ones: pages or a refusal with its code, never a crash."""

import csv
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from printed import RECEIPT, file_of, pdf, picture

from core.contract import DocumentReference
from core.documents import fetch
from core.errors import RejectedInput
from core.reading import ReadDocument, Reader
from core.settings import Documents, Reading

RECEIPT_WORDS = ("Contoso", "Redmond", "Surface", "1203.39")
READABLE = {
    **dict.fromkeys(
        (
            "UPPER.JPG",
            "jpg_named.pdf",
            "jpg_named.png",
            "no_extension",
            "name with spaces & ünïcödé 文件.jpg",
            "receipt_1bit.png",
            "receipt_3page.tiff",
            "receipt_cmyk.jpg",
            "receipt_gray16.png",
            "receipt_skew7.jpg",
            "receipt_upside_down.jpg",
            "trailing_junk.jpg",
        ),
        RECEIPT_WORDS,
    ),
    **dict.fromkeys(("junk_prefix.pdf", "pdf_named.jpg"), ("CONTOSO", "Headquarters", "invoice")),
    **{f"exif-orientation-e__Landscape_{number}.jpg": ("top", "left", "right", "bottom") for number in range(9)},
    **{f"Pillow__g4_orientation_{number}.tif": ("This", "test", "file") for number in (3, 5, 6, 8)},
    "unstructured__DA-1p.heic": ("CREATURES", "Abomination"),
    "unstructured__layout-parser-paper-combined.tiff": ("LayoutParser", "Unified", "Toolkit"),
    "unstructured__copy-protected.pdf": ("LayoutParser", "Unified", "Toolkit"),
    "Pillow__total-pages-zero.tif": ("Cannot", "save", "tag"),
    "Pillow__g4-fillorder-test.png": ("26 of 27",),
}
REFUSED = {
    "zero_byte.jpg": "empty",
    "zero_byte.pdf": "empty",
    "html_named.png": "unsupported_type",
    "text_named.pdf": "unsupported_type",
    "truncated_100bytes.jpg": "unreadable",
    "truncated_half.jpg": "unreadable",
    "truncated_half.pdf": "unreadable",
    "Pillow__truncated_jpeg.jpg": "unreadable",
    "Pillow__truncated_image.png": "unreadable",
    "Pillow__decompression_bomb.gif": "too_many_pixels",
    "unstructured__password.pdf": "encrypted",
    "format-corpus__simple-open-password.pdf": "encrypted",
    "format-corpus__simple-open-nocopy-password.pdf": "encrypted",
}
BLANK = ("blank_white.png", "fully_transparent.png", "one_pixel.png", "8000x12.png")
SECONDS = 60.0


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    reader = Reader(Reading(processes=2, timeout=SECONDS), Documents())
    yield reader
    reader.close()


def outcome(reader: Reader, path: Path) -> ReadDocument | str:
    """What reading the file's first page came to: the page, or the code of the refusal."""
    started = time.monotonic()
    try:
        document = fetch(DocumentReference(uri=path.as_uri()), Documents(roots=(str(path.parent),)))
        return reader.read(document, "first")
    except RejectedInput as error:
        return error.code
    finally:
        assert time.monotonic() - started < 5 * SECONDS  # it may have had to queue for a process


def text_of(read: ReadDocument | str) -> str:
    assert isinstance(read, ReadDocument), read
    return "\n".join(page.text for page in read.pages).lower()


def test_every_hostile_file_is_read_or_refused(shared: Path, reader: Reader) -> None:
    with (shared / "hostile" / "files.csv").open(encoding="utf-8") as file:
        paths = [shared / "hostile" / row["category"] / row["file"] for row in csv.DictReader(file)]
    with ThreadPoolExecutor(4) as threads:
        reads = threads.map(partial(outcome, reader), paths)
        outcomes = {path.name: read for path, read in zip(paths, reads, strict=True)}
    assert len(outcomes) == len(paths) > 100
    for name, read in outcomes.items():
        if name in REFUSED:
            assert read == REFUSED[name], name
            continue
        if name in READABLE:
            missing = [word for word in READABLE[name] if word.lower() not in text_of(read)]
            assert not missing, (name, missing)
        if name in BLANK:
            assert isinstance(read, ReadDocument), name
            assert [page.source for page in read.pages] == ["blank"], name
    three = outcomes["receipt_3page.tiff"]
    assert isinstance(three, ReadDocument)
    assert three.page_count == 3


def files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files like those of the collection, printed here, each with a word that stands on it or with its refusal."""
    paper = picture()
    frames = [paper.rotate(90, expand=True), Image.new("RGB", paper.size, "white")]
    exif = Image.Exif()
    exif[0x0112] = 6
    pillow_heif.register_heif_opener()
    jpeg = file_of(paper, "JPEG")
    for name, content, expected in (
        ("name with spaces & ünïcödé 文件.jpg", jpeg, "bakery"),
        ("jpeg named.pdf", jpeg, "bakery"),
        ("junk after.jpg", jpeg + bytes(5000), "bakery"),
        ("junk before.pdf", b"junk\r\n" + pdf(RECEIPT), "bakery"),
        ("cmyk.jpg", file_of(paper.convert("CMYK"), "JPEG"), "bakery"),
        ("1bit.png", file_of(paper.convert("1")), "bakery"),
        ("gray16.png", file_of(Image.fromarray(np.asarray(paper.convert("L"), dtype=np.uint16) * 257)), "bakery"),
        ("lying.jpg", file_of(paper.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif), "bakery"),
        ("upside down.png", file_of(paper.rotate(180)), "bakery"),
        ("pages.tiff", file_of(paper, "TIFF", save_all=True, append_images=frames), "bakery"),
        ("photo.heic", file_of(paper, "HEIF"), "bakery"),
        ("photo.avif", file_of(paper, "AVIF"), "bakery"),
        ("scan.pdf", pdf(scan=paper, box=(640, 420)), "bakery"),
        ("locked.pdf", pdf(RECEIPT, password=True), "encrypted"),
        ("cut.jpg", jpeg[: len(jpeg) // 2], "unreadable"),
        ("cut.pdf", pdf(RECEIPT)[:400], "unreadable"),
        ("bomb.png", file_of(Image.new("1", (40_000, 30_000))), "too_many_pixels"),
        ("empty.pdf", b"", "empty"),
        ("page.png", b"<html><body>Not found</body></html>", "unsupported_type"),
    ):
        (folder / name).write_bytes(content)
        yield folder / name, expected


def test_files_like_them_are_read_or_refused(tmp_path: Path, reader: Reader) -> None:
    for path, expected in files(tmp_path):
        read = outcome(reader, path)
        assert (read if isinstance(read, str) else expected if expected in text_of(read) else read) == expected, path


def test_flipped_bits_do_no_harm(tmp_path: Path, reader: Reader) -> None:
    paper = picture(["Total 3.40"], size=(120, 60), text_height=13)
    for number, content in enumerate((pdf(RECEIPT), file_of(paper, "TIFF"), file_of(paper), file_of(paper, "GIF"))):
        for share in range(12):
            at = len(content) * share // 12
            path = tmp_path / f"{number}-{share}"
            path.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
            assert outcome(reader, path)
