"""Every file of a collection of broken, odd and malicious ones: pages or a refusal with its code, never a crash."""

import csv
import gc
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

import malicious
import numpy as np
import pillow_heif
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutated import mutations, whole_files
from PIL import Image
from printed import RECEIPT, file_of, pdf, picture

from core.contract import DocumentReference
from core.documents import Document, fetch
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


MALICIOUS = {
    "a billion pages, by its own account": "pages",
    "a page of a billion points": "CORNER BAKERY",
    "a page of endless points": "CORNER BAKERY",
    "a page of less than nothing": "CORNER BAKERY",
    "a page a billion times as high as wide": "CORNER BAKERY",
    "a page whose unit is a mile": "CORNER BAKERY",
    "a broken font": "CORNER BAKERY",
    "a length that is its own": "CORNER BAKERY",
    "outlines in a circle": "CORNER BAKERY",
    "a form field that is its own child": "Ada",
    "scripts that run for ever": "CORNER BAKERY",
    "a program to launch": "CORNER BAKERY",
    "a letter to a stranger": "CORNER BAKERY",
    "a tree of pages that is its own branch": "unreadable",
    "a catalogue that is its own pages": "unreadable",
    "one page a million times": "too_many_pages",
    "forms that multiply": "reading_timeout",
    "a PNG of four gigapixels": "too_many_pixels",
    "a PNG of a gibibyte on one line": "pages",
    "a PNG that promises more than it holds": "unreadable",
    "a PNG with a comment of a gibibyte": "unreadable",
    "a PNG with a profile of a gibibyte": "unreadable",
    "a TIFF whose pages go in a circle": "pages",
    "a TIFF of four billion lines": "too_many_pixels",
    "a TIFF with four billion strips": "unreadable",
    "a GIF with a screen of four gigapixels": "too_many_pixels",
    "a WebP with a canvas of two hundred megapixels": "too_many_pixels",
    "a BMP with a billion lines": "too_many_pixels",
    "a zip": "unsupported_type",
    "a zip that begins as a PDF": "unreadable",
    "a PDF that is gzipped": "unsupported_type",
    "an image under the signature of another": "unreadable",
    "a PDF behind the header of a PNG": "unreadable",
    "a TIFF that is called a JPEG": "unreadable",
}
"""What it comes to: a refusal, `pages`, or words that stand on them. The others may end either way, but do end."""
READ = {name for name, words in MALICIOUS.items() if words[0].isupper()}
BRIEF = 4.0


@pytest.fixture(scope="module")
def brief() -> Iterator[Reader]:
    """A reader that gives up early."""
    reader = Reader(Reading(processes=2, timeout=BRIEF), Documents())
    yield reader
    reader.close()


def verdict(reader: Reader, content: bytes, is_read: bool = False) -> tuple[str, float]:
    """`pages` and what stands on the first, or the code of the refusal; seconds that it took, queueing included.

    Anything but a refusal is not caught. What is not read is looked at: decoded and drawn all the same.
    """
    started = time.monotonic()
    look = reader.read if is_read else lambda *asked: reader.glance(*asked)[0]
    try:
        seen = look(Document.of(content), "first")
    except RejectedInput as error:
        return error.code, time.monotonic() - started
    return f"pages {seen.pages[0].text}", time.monotonic() - started


def held() -> int:
    """Bytes that this process, which is the parent of the reading ones, holds."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def test_malicious_documents_end_in_bounded_time_and_memory(brief: Reader) -> None:
    documents = malicious.documents()
    before = held()
    with ThreadPoolExecutor(4) as threads:
        asked = {name: threads.submit(verdict, brief, file, name in READ) for name, file in documents.items()}
    verdicts = {name: future.result() for name, future in asked.items()}
    assert {
        name: (words, verdicts[name]) for name, words in MALICIOUS.items() if words not in verdicts[name][0]
    } == {}
    assert {name: seconds for name, (_, seconds) in verdicts.items() if seconds > 4 * BRIEF} == {}
    assert held() <= 1.2 * before


def test_a_pdf_cannot_bring_in_a_file_of_the_machine(reader: Reader) -> None:
    said, _ = verdict(reader, malicious.documents()["content from another file"], is_read=True)
    assert said.strip() == "pages"


def test_damaged_files_of_every_kind_are_read_or_refused(reader: Reader) -> None:
    files = [content for _, content in islice(mutations(seed=7), 12 * len(whole_files()))]
    before, outcomes = held(), Counter[str]()
    for number, content in enumerate(files):
        said, _ = verdict(reader, content, is_read=number < len(whole_files()))
        outcomes[said.split()[0]] += 1
    assert outcomes["pages"] > 40
    assert outcomes["unreadable"] > 80
    assert held() <= 1.2 * before


WORDS = st.sampled_from(
    b"/Type /Pages /Page /Kids /Parent /MediaBox /Contents /Font /XObject /Length /Filter".split()
)
NUMBERS = st.one_of(st.integers(-(2**65), 2**65), st.floats(width=32)).map(lambda number: str(number).encode())
REFERENCES = st.integers(0, 9).map(lambda number: b"%d 0 R" % number)
VALUES = st.recursive(
    st.one_of(WORDS, NUMBERS, REFERENCES, st.binary(max_size=9).map(lambda text: b"<" + text.hex().encode() + b">")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: b"[" + b" ".join(items) + b"]"),
        st.dictionaries(WORDS, inner, max_size=4).map(
            lambda items: b"<<" + b" ".join(key + b" " + value for key, value in items.items()) + b">>"
        ),
    ),
    max_leaves=8,
)
OPERATORS = st.sampled_from(
    b"q Q cm re f S BT ET Tf Td Tj TJ Do sh scn cs gs W n m l c h d0 BI ID EI BDC EMC".split()
)
CONTENT = st.lists(st.one_of(OPERATORS, VALUES), max_size=40).map(b" ".join)


@given(
    page=st.dictionaries(WORDS, VALUES, max_size=6), content=CONTENT, box=st.lists(NUMBERS, min_size=4, max_size=4)
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_pdfs_of_any_structure_are_read_or_refused(
    reader: Reader, page: dict[bytes, bytes], content: bytes, box: list[bytes]
) -> None:
    entries = b"".join(key + b" " + value for key, value in page.items())
    file = malicious.one_page(
        malicious.stream(content), *page.values(), entries=entries, resources=malicious.FONT, box=b" ".join(box)
    )
    try:
        reader.glance(Document.of(file), "first")
    except RejectedInput as error:
        assert error.code in ("unreadable", "reading_memory")  # noqa: PT017 - what is refused is as good as what is seen
