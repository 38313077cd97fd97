import numpy as np
import pytest
from PIL import Image

from core.contract import Answer, AnsweredPage, Evidence
from core.overlay import COLOURS, LONGEST_SIDE, draw, pages_shown
from core.picture import Pixels

PAGE = AnsweredPage(number=1, width=1000, height=1400, source="ocr")


def answer(*evidence: tuple[int, tuple[float, float, float, float]], text: str = "4.11") -> Answer:
    lines = [Evidence(page=page, box=box, text=text) for page, box in evidence]
    status = "answered" if lines else "not_found"
    said = text if lines else None
    return Answer(
        question="What is the total?",
        kind="extraction",
        status=status,  # type: ignore[arg-type]
        answer=said,
        confidence=1,
        evidence=lines,
    )


def white(width: int = 1000, height: int = 1400) -> Pixels:
    return np.full((height, width, 3), 255, np.uint8)


def where(image: Image.Image, colour: str) -> tuple[int, int, int, int]:
    """The box around all that is of just that colour, in the drawing without its legend and margin."""
    code = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    rows, columns = np.nonzero((np.asarray(image) == code).all(axis=2))
    return columns.min(), rows.min(), columns.max(), rows.max()


def test_evidence_is_boxed_where_it_stands_however_small_the_pixels_are() -> None:
    drawn = draw([PAGE], [white(500, 700)], [answer((1, (400, 1000, 600, 1040)))])
    page = drawn.crop((28, 28, 28 + 500, 28 + 700))
    left, top, right, bottom = where(page, COLOURS[0])
    assert (top, right, bottom) == pytest.approx((500, 300, 520), abs=6)
    assert left < 200  # the number stands before the box


def test_questions_that_share_a_line_are_both_seen() -> None:
    shared = answer((1, (400, 1000, 600, 1040)))
    page = draw([PAGE], [white()], [shared, shared]).crop((28, 28, 1028, 1428))
    inner, outer = where(page, COLOURS[0]), where(page, COLOURS[1])
    assert inner[2] < outer[2]
    assert inner[1] > outer[1]


def test_a_number_fits_on_the_page_where_its_line_begins_at_the_edge() -> None:
    page = draw([PAGE], [white()], [answer((1, (0, 100, 200, 130)))]).crop((28, 28, 1028, 1428))
    assert where(page, COLOURS[0])[2] > 210


def test_pages_with_evidence_are_shown_and_else_the_first() -> None:
    box = (0.0, 0.0, 10.0, 10.0)
    assert pages_shown([answer((3, box), (2, box)), answer((3, box)), answer()]) == [2, 3]
    assert pages_shown([answer()]) == [1]


def test_pages_stand_side_by_side_and_every_question_in_the_legend() -> None:
    pages = [PAGE.model_copy(update={"number": number}) for number in (1, 2)]
    one = draw(pages[:1], [white()], [answer()])
    both = draw(pages, [white(), white()], [answer()])
    many = draw(pages[:1], [white()], [answer()] * 9)
    assert both.width > 2 * PAGE.width > one.width
    assert many.height > one.height + 150
    assert draw([PAGE], [white(3000, 4200)], [answer()]).height < LONGEST_SIDE + 300


def test_a_long_question_in_any_script_keeps_to_its_place() -> None:
    long = answer((1, (1, 1, 9, 9)), text="Ελληνικά " * 40).model_copy(update={"question": "Что это? " * 40})
    assert draw([PAGE], [white()], [long]).width == draw([PAGE], [white()], [answer()]).width
