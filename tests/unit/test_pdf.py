import numpy as np
import pytest
from printed import RECEIPT, pdf, picture

from core.errors import RejectedInput
from core.pdf import Pdf
from core.picture import LONGEST_SIDE

LONG = [f"This is line {number} of a long letter about the garden wall." for number in range(20)]
GARBAGE = ["«F0RM «3B*»CN t»nnt^im. i;nc. /^ ts*r;tiiS» n»Bfk. H^vid £vg»r 4s«»tersbip"] * 10


def test_lines_stand_where_they_are_drawn() -> None:
    page = Pdf(pdf(RECEIPT)).page(1)
    raster = page.render()
    assert (page.width, page.height) == (raster.width, raster.height)
    assert [line.text for line in page.lines] == list(RECEIPT)
    ink = raster.pixels.min(axis=2) < 128
    for line in page.lines:
        left, top, right, bottom = (int(side) for side in line.box)
        assert ink[top:bottom, left:right].any()
        ink[top - 3 : bottom + 4, left - 3 : right + 4] = False
    assert not ink.any()


def test_what_was_filled_into_a_form_is_read_and_drawn() -> None:
    page = Pdf(pdf(["Your name:"], filled_in="Ada Lovelace")).page(1)
    assert [line.text for line in page.lines] == ["Your name:", "Ada Lovelace"]
    left, top, right, bottom = (int(side) for side in page.lines[1].box)
    assert page.render().pixels[top:bottom, left:right].min() < 128


def test_what_was_typed_over_a_page_is_read_and_drawn() -> None:
    page = Pdf(pdf(["Your name:"], written_over="Ada Lovelace")).page(1)
    assert [line.text for line in page.lines] == ["Your name:", "Ada Lovelace"]
    left, top, right, bottom = (int(side) for side in page.lines[1].box)
    assert page.render().pixels[top:bottom, left:right].min() < 128


@pytest.mark.parametrize(
    ("content", "is_good"),
    [
        (pdf(LONG), True),
        (pdf(RECEIPT), True),
        (pdf(), False),
        (pdf(GARBAGE), False),
        (pdf(LONG, scan=picture()), True),
        (pdf(RECEIPT, scan=picture()), False),
        (pdf(LONG[:9] + GARBAGE[:1], scan=picture()), False),
    ],
    ids=["letter", "few words", "no text", "garbage", "scan with good OCR", "stamp on a scan", "scan with poor OCR"],
)
def test_a_text_layer_is_judged_before_it_is_believed(content: bytes, is_good: bool) -> None:
    assert Pdf(content).page(1).has_good_text is is_good


def test_a_few_words_on_a_page_of_other_ink_do_not_stand_for_it() -> None:
    # Outlined text: drawn as shapes, of which the text layer knows nothing.
    shapes = pdf(["Page 1"]).replace(b"BT /F 12", b"72 300 400 200 re f BT /F 12")
    assert not Pdf(shapes).page(1).has_good_text


@pytest.mark.parametrize("box", [(612, 792), (14400, 14400), (200_000, 10), (0.5, 0.5), (72, 144)])
def test_a_rendering_is_bounded_whatever_the_page_size(box: tuple[float, float]) -> None:
    raster = Pdf(pdf(box=box)).page(1).render()
    assert min(raster.pixels.shape[:2]) >= 1
    assert max(raster.pixels.shape[:2]) <= LONGEST_SIDE + 1
    assert np.all(raster.pixels == 255)


def test_a_pdf_that_asks_for_a_password_is_refused() -> None:
    with pytest.raises(RejectedInput) as caught:
        Pdf(pdf(["secret"], password=True))
    assert caught.value.code == "encrypted"


def test_a_pdf_that_is_cut_off_is_refused() -> None:
    for content in (pdf(RECEIPT)[:400], b"%PDF-1.7\n", b"%PDF-1.7\n" + b"\xff" * 5000):
        with pytest.raises(RejectedInput) as caught:
            Pdf(content)
        assert caught.value.code == "unreadable"


def test_a_damaged_cross_reference_table_is_put_up_with() -> None:
    damaged = pdf(RECEIPT).replace(b"startxref\n", b"startxref\n9")
    assert Pdf(damaged).page(1).lines[0].text == RECEIPT[0]
