import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from printed import RECEIPT, file_of, pdf, picture

from core.documents import Document
from core.errors import ModelFailure, RejectedInput, TransientFailure
from core.page import Page
from core.picture import LONGEST_SIDE, Pixels
from core.reading import READER, Reader
from core.settings import Documents, Reading

TEXT = Document.of(pdf(RECEIPT, pages=3))
SCAN = Document.of(file_of(picture()))
PROJECT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    reader = Reader(Reading(processes=2), Documents(max_pages=50, max_pages_read=5))
    yield reader
    reader.close()


@pytest.fixture
def single() -> Iterator[Reader]:
    """A pool of one process, to be maltreated."""
    reader = Reader(Reading(processes=1, timeout=15), Documents())
    reader.read(TEXT, "first")
    yield reader
    reader.close()


def processes_of(parent: int | None = None) -> list[psutil.Process]:
    """The reading processes of this process, or of another."""
    found = []
    for process in psutil.Process(parent).children():
        try:
            if "core.reading_process" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def newest_process() -> psutil.Process:
    return max(processes_of(), key=lambda process: process.create_time())


def words(page: Page) -> set[str]:
    return {word.strip(".,:") for word in page.text.upper().split()}


def test_a_pdf_with_text_is_read_from_its_text_layer(reader: Reader) -> None:
    read = reader.read(TEXT, "2-3")
    assert read.page_count == 3
    assert [page.number for page in read.pages] == [2, 3]
    assert {page.source for page in read.pages} == {"text_layer"}
    assert read.pages[0].text == "\n".join(RECEIPT)


def test_a_picture_of_text_is_recognised(reader: Reader) -> None:
    page = reader.read(SCAN, "all").pages[0]
    assert (page.source, page.width, page.height) == ("ocr", 640, 420)
    assert {"CORNER", "BAKERY", "OXFORD", "BREAD", "TOTAL"} <= words(page)
    assert all(0.5 <= line.confidence <= 1 for line in page.lines)


def test_pages_come_in_page_order_however_many_processes_read_them(reader: Reader) -> None:
    frames = [picture([f"Sheet {name}"], size=(400, 200)) for name in ("alpha", "beta", "gamma", "delta")]
    tiff = Document.of(file_of(frames[0], "TIFF", save_all=True, append_images=frames[1:]))
    read = reader.read(tiff, "all")
    assert [page.number for page in read.pages] == [1, 2, 3, 4]
    for page, name in zip(read.pages, ("ALPHA", "BETA", "GAMMA", "DELTA"), strict=True):
        assert name in words(page)


def test_many_threads_share_the_processes(reader: Reader) -> None:
    documents = [Document.of(pdf([f"Letter number {number}"])) for number in range(40)]
    with ThreadPoolExecutor(16) as threads:
        texts = list(threads.map(lambda document: reader.read(document, "all").pages[0].text, documents))
    assert texts == [f"Letter number {number}" for number in range(40)]


def prints_in_its_boxes(page: Page, pixels: Pixels) -> bool:
    """Whether ink stands in the box of every line, and next to none outside of them."""
    scale = pixels.shape[1] / page.width
    ink = pixels.min(axis=2) < 128
    whole = np.count_nonzero(ink)
    for line in page.lines:
        left, top, right, bottom = (int(side * scale) for side in line.box)
        if not ink[top : bottom + 1, left : right + 1].any():
            return False
        ink[max(top - 6, 0) : bottom + 7, max(left - 6, 0) : right + 7] = False
    return bool(page.lines) and np.count_nonzero(ink) < whole / 100


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_pixels_of_a_page_are_upright_as_its_boxes_are(reader: Reader, degrees: int) -> None:
    scan = Document.of(file_of(picture().rotate(degrees, expand=True)))
    pages = reader.read(scan, "all").pages
    (pixels,) = reader.render(scan, pages)
    assert np.array_equal(pixels, np.asarray(picture()))
    assert prints_in_its_boxes(pages[0], pixels)


def test_pixels_of_a_pdf_are_those_of_the_pages_asked_for(reader: Reader) -> None:
    blank_then_scan = Document.of(pdf(scan=picture(size=(1224, 1584))))
    for document, pages in ((TEXT, "2-3"), (blank_then_scan, "all")):
        read = reader.read(document, pages).pages
        for page, pixels in zip(read, reader.render(document, read), strict=True):
            assert pixels.shape == (page.height, page.width, 3)
            assert prints_in_its_boxes(page, pixels)


def test_pixels_of_a_large_page_are_scaled_down_and_keep_its_shape(reader: Reader) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    large = Document.of(file_of(picture().resize((4000, 6000)).rotate(90, expand=True), "JPEG", exif=exif))
    for _ in range(3):  # whichever process reads it, and however often: a JPEG is decoded at a part of its size
        (page,) = reader.read(large, "all").pages
        (pixels,) = reader.render(large, [page])
        assert (page.width, page.height) == (4000, 6000)
        assert max(pixels.shape) == LONGEST_SIDE
        assert abs(pixels.shape[1] / pixels.shape[0] - page.width / page.height) < 0.01
        assert prints_in_its_boxes(page, pixels)


def test_what_cannot_be_rendered_is_refused_with_its_code(reader: Reader) -> None:
    page = Page(1, 640, 420, "ocr", ())
    with pytest.raises(RejectedInput) as caught:
        reader.render(Document.of(file_of(picture())[:2000]), [page])
    assert caught.value.code == "unreadable"
    assert reader.render(SCAN, [page])[0].shape == (420, 640, 3)


def test_a_process_that_dies_while_it_renders_is_replaced_and_the_page_rendered_again(single: Reader) -> None:
    victim = newest_process()
    victim.suspend()
    threading.Timer(0.5, victim.kill).start()
    assert single.render(SCAN, [Page(1, 640, 420, "ocr", ())])[0].shape == (420, 640, 3)


@pytest.mark.parametrize(
    ("content", "pages", "code"),
    [
        (pdf(["secret"], password=True), "all", "encrypted"),
        (pdf(RECEIPT)[:300], "all", "unreadable"),
        (b"%PDF-1.7\n" + bytes(3000), "all", "unreadable"),
        (file_of(picture())[:2000], "all", "unreadable"),
        (pdf(RECEIPT, pages=51), "first", "too_many_pages"),
        (pdf(RECEIPT, pages=6), "all", "too_many_pages"),
        (pdf(RECEIPT, pages=2), "3-4", "no_such_page"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_code(reader: Reader, content: bytes, pages: str, code: str) -> None:
    with pytest.raises(RejectedInput) as caught:
        reader.read(Document.of(content), pages)
    assert caught.value.code == code
    assert reader.read(TEXT, "first").page_count == 3


def test_a_broken_document_is_refused_the_same_way_each_time(single: Reader) -> None:
    broken = Document.of(pdf(RECEIPT)[:300])
    for _ in range(2):
        with pytest.raises(RejectedInput) as caught:
            single.read(broken, "first")
        assert caught.value.code == "unreadable"


def test_a_page_that_takes_too_long_has_its_process_killed_and_replaced() -> None:
    reader = Reader(Reading(processes=1, timeout=5), Documents())
    try:
        reader.read(TEXT, "first")
        stuck = newest_process()
        stuck.suspend()
        with pytest.raises(RejectedInput) as caught:
            reader.read(SCAN, "first")
        assert caught.value.code == "reading_timeout"
        assert not stuck.is_running()
        assert reader.read(TEXT, "first").page_count == 3
    finally:
        reader.close()


def test_a_process_that_died_idle_is_replaced_unnoticed(single: Reader) -> None:
    for _ in range(3):
        newest_process().kill()
        assert reader_words(single) >= {"BAKERY"}


def reader_words(reader: Reader) -> set[str]:
    return words(reader.read(TEXT, "first").pages[0])


def test_a_process_that_dies_while_it_reads_is_replaced_and_the_page_read_again(single: Reader) -> None:
    victim = newest_process()
    victim.suspend()
    threading.Timer(0.5, victim.kill).start()
    assert {"BAKERY"} <= words(single.read(SCAN, "first").pages[0])


def test_a_document_whose_reader_dies_twice_in_a_row_is_refused(single: Reader) -> None:
    over = threading.Event()

    def kill_those_that_read() -> None:
        while not over.wait(0.02):
            reader = single._processes[0]
            process = reader._process
            # Not one that starts: a reader that does not start is another fault.
            if process is not None and reader._is_ready:
                process.kill()

    killer = threading.Thread(target=kill_those_that_read)
    newest_process().suspend()
    killer.start()
    try:
        with pytest.raises(RejectedInput) as caught:
            single.read(Document.of(file_of(picture(["word"] * 12, size=(1500, 1500)))), "first")
    finally:
        over.set()
        killer.join()
    assert caught.value.code == "reading_crashed"
    assert reader_words(single) >= {"BAKERY"}


def test_a_page_that_takes_too_much_memory_is_refused() -> None:
    reader = Reader(Reading(processes=1, memory=300 * 1024**2), Documents())
    try:
        with pytest.raises(RejectedInput) as caught:
            reader.read(Document.of(file_of(picture(size=(9000, 9000)))), "first")
        assert caught.value.code == "reading_memory"
        assert reader_words(reader) >= {"BAKERY"}
    finally:
        reader.close()


def test_a_reader_that_cannot_start_is_our_fault_and_not_the_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    reader = Reader(Reading(processes=1), Documents())
    try:
        with pytest.raises(ModelFailure) as caught:
            reader.read(TEXT, "first")
        assert caught.value.code == "reader_broken"
    finally:
        reader.close()


def test_a_reader_that_is_killed_while_it_starts_may_be_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(Reading(processes=1), Documents())
    try:
        newest_process().suspend()
        threading.Timer(0.5, newest_process().kill).start()
        with pytest.raises(TransientFailure) as caught:
            reader.read(TEXT, "first")
        assert caught.value.code == "reader_killed"
        assert reader_words(reader) >= {"BAKERY"}
    finally:
        reader.close()


def test_closing_fails_whoever_waits_and_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(Reading(processes=1), Documents())
    reader.read(TEXT, "first")
    process = newest_process()
    process.suspend()
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(reader.read, SCAN, "first") for _ in range(4)]
        time.sleep(0.3)
        reader.close()
        for future in waiting:
            error = future.exception(timeout=10)
            assert isinstance(error, TransientFailure)
            assert error.code == "reader_closed"
    assert not psutil.pid_exists(process.pid)
    with pytest.raises(TransientFailure):
        reader.read(TEXT, "first")


ORPHAN_MAKER = """
import sys
from core.documents import Document
from core.reading import Reader
from core.settings import Documents, Reading
sys.path.insert(0, sys.argv[1])
from printed import pdf, file_of, picture
reader = Reader(Reading(processes=2), Documents())
reader.read(Document.of(pdf(["text"], pages=8)), "all")
print("ready", flush=True)
reader.read(Document.of(file_of(picture(["word " * 12] * 24, (2000, 2000)))), "all")
"""


def test_no_process_outlives_a_parent_that_was_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN_MAKER, str(PROJECT / "tests")], stdout=subprocess.PIPE, cwd=PROJECT
    )
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        children = processes_of(parent.pid)
        assert len(children) == 2
        time.sleep(0.5)  # one of them is in the middle of a page
        os.kill(parent.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive


def test_a_reading_process_is_light_and_gets_no_secrets(single: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCINTAKE_DATABASE__URL", "postgresql://me:hunter2@host/db")
    newest_process().kill()
    single.read(SCAN, "first")
    process = newest_process()
    assert not [name for name in process.environ() if name.startswith("DOCINTAKE")]
    mapped = {Path(region.path).name for region in process.memory_maps()}
    assert any(name.startswith("onnxruntime") for name in mapped)
    assert not [name for name in mapped if name.startswith(("libtorch", "_psycopg"))]


def test_the_childs_modules_import_neither_torch_nor_celery_nor_sqlalchemy() -> None:
    names = "import core.reading_process, core.pdf, core.picture, core.recognition as r; r.Recognizer(); import sys; "
    code = names + "print([name for name in ('torch', 'celery', 'sqlalchemy') if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=PROJECT, text=True).strip() == "[]"


def test_the_reader_names_its_engines() -> None:
    assert "rapidocr-" in READER
    assert "pypdfium2-" in READER
