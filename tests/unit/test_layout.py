from core.extraction.layout import NONE, layout_of, runs
from core.page import Line, Page


def a_page(*rows: tuple[str, float, float, float, float]) -> Page:
    """Lines as (text, left, top, right, bottom)."""
    return Page(1, 1000, 1000, "ocr", tuple(Line(text, box) for text, *box in rows))  # type: ignore[arg-type]


RECEIPT = a_page(
    ("HARBOUR CAFE", 300, 20, 700, 60),
    ("12 Quay Street", 320, 70, 680, 95),
    ("Dunmore", 400, 100, 600, 125),
    ("Flat white", 50, 200, 250, 225),
    ("4.20", 850, 202, 950, 226),
    ("TOTAL", 50, 300, 180, 330),
    ("EUR", 700, 300, 760, 330),
    ("4.20", 850, 301, 950, 331),
)


def test_the_label_of_a_value_stands_to_its_left() -> None:
    layout = layout_of(RECEIPT)
    assert layout.left[4] == 3
    assert layout.left[7] == 6
    assert layout.label[7] == 6
    assert layout.left[6] == 5


def test_neighbours_above_and_below_share_the_column() -> None:
    layout = layout_of(RECEIPT)
    assert layout.above[1] == 0
    assert layout.below[1] == 2
    assert layout.above[7] == 4
    assert layout.above[0] == NONE
    assert layout.below[7] == NONE


def test_what_heads_a_column_of_numbers_is_the_nearest_line_of_words() -> None:
    layout = layout_of(a_page(("Amount", 800, 0, 900, 20), ("1.00", 820, 30, 900, 50), ("2.00", 820, 60, 900, 80)))
    assert layout.above[2] == 1
    assert layout.header[2] == 0


def test_an_address_is_a_run_of_lines_that_follow_closely() -> None:
    assert (0, 1, 2) in runs(layout_of(RECEIPT), 3)
    assert not any(3 in run and 2 in run for run in runs(layout_of(RECEIPT), 5))


def test_every_line_of_a_block_knows_what_begins_it() -> None:
    layout = layout_of(
        a_page(
            ("Bill to", 50, 100, 150, 120),
            ("Ann Archer", 50, 125, 200, 145),
            ("4 Mill Lane", 50, 150, 210, 170),
            ("Notes", 50, 400, 120, 420),
        )
    )
    assert layout.section[1] == 0
    assert layout.section[2] == 0
    assert layout.section[3] == 2


def test_a_page_of_one_line_has_no_neighbours() -> None:
    layout = layout_of(a_page(("Alone", 10, 10, 90, 30)))
    assert {int(layout.left[0]), int(layout.above[0]), int(layout.below[0]), int(layout.section[0])} == {NONE}
    assert runs(layout, 5) == []


def test_a_photo_askew_keeps_its_rows() -> None:
    rows = [("TOTAL TO BE PAID", "30.34"), ("CASH RECEIVED FROM YOU", "40.00"), ("CHANGE", "9.66"), ("TAX", "2.10")]
    slant, placed = 0.08, []
    for number, (label, value) in enumerate(rows):
        for text, left, width in ((label, 40, 14 * len(label)), (value, 850, 14 * len(value))):
            top = 100 + 45 * number - slant * (left + width)
            placed.append((text, left, top, left + width, top + 24 + slant * width))
    layout = layout_of(a_page(*placed))
    assert [int(layout.left[2 * row + 1]) for row in range(4)] == [0, 2, 4, 6]
