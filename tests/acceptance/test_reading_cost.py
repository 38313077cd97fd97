"""What reading costs, in processor time of one thread, beside what RapidOCR's own call takes for the same page."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from printed import file_of, pdf, picture
from rapidocr import RapidOCR

from core.documents import Document
from core.pdf import Pdf
from core.picture import Picture
from core.recognition import Recognizer

SENTENCE = "The tenant pays the rent on the first working day of each month"


def seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


@pytest.fixture(scope="module")
def sample() -> list[bytes]:
    """Pages that need recognition: full, sparse and small ones."""
    full = picture([f"{row}. {SENTENCE}" for row in range(24)], size=(1400, 2000), text_height=32)
    sparse = picture(["Delivery note", "4711", SENTENCE], size=(1654, 2339), text_height=32)
    small = picture(["Corner Bakery", "Total 3.40"], size=(500, 320), text_height=30)
    return [file_of(full), file_of(sparse, "JPEG"), file_of(small)]


@pytest.fixture(scope="module")
def real_sample(shared: Path) -> list[bytes]:
    names = ("receipt/azdi__receipt.png", "invoice/awsidp__document_7.png", "drivers_license/azdi__DriverLicense.png")
    return [(shared / "documents" / name).read_bytes() for name in names]


@pytest.mark.parametrize("which", ["sample", "real_sample"])
def test_a_page_costs_at_most_thirteen_tenths_of_plain_recognition(
    which: str, request: pytest.FixtureRequest
) -> None:
    ours = Recognizer()
    plain = RapidOCR(
        params={
            "Global.log_level": "critical",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
    contents = request.getfixturevalue(which)
    media_types = [Document.of(content).media_type for content in contents]

    def read(content: bytes, media_type: str) -> None:
        assert ours.page(1, Picture(content, media_type, 10**8).page(1)).lines

    ratios = []
    for content, media_type in [(contents[-1], media_types[-1]), *zip(contents, media_types, strict=True)]:
        pixels = np.ascontiguousarray(Picture(content, media_type, 10**8).page(1).pixels[:, :, ::-1])
        ratios.append(seconds(lambda: read(content, media_type)) / seconds(lambda: plain(pixels)))  # noqa: B023 - called at once
    assert statistics.median(ratios[1:]) < 1.3  # the first run loaded the models


def test_a_pdf_page_with_a_good_text_layer_takes_under_a_third_of_a_second() -> None:
    content = pdf([f"{row}. {SENTENCE}, and so on, and so forth, until the very end." for row in range(34)])

    def read() -> None:
        assert Pdf(content).page(1).has_good_text

    assert statistics.median(seconds(read) for _ in range(5)) < 0.3
