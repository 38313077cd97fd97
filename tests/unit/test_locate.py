import pytest

from core.locate import locate
from core.page import Line, Page

INVOICE = Page(
    1,
    1000,
    1400,
    "ocr",
    (
        Line("Invoice no. INV-2043", (50, 40, 400, 70)),
        Line("Date: 03.08.2014", (600, 40, 900, 70)),
        Line("BILL TO", (50, 100, 200, 130)),
        Line("SHIP TO", (600, 100, 750, 130)),
        Line("Northwind Traders", (50, 140, 300, 170)),
        Line("Ola Nordmann", (600, 140, 800, 170)),
        Line("14 Mill Lane", (50, 180, 250, 210)),
        Line("Storgata 7", (600, 180, 800, 210)),
        Line("Oxford 0X1 2JD", (50, 220, 280, 250)),
        Line("Oslo", (600, 220, 680, 250)),
        Line("Rye bread 13.40", (50, 400, 400, 430)),
        Line("Subtotal: 3.40", (50, 440, 400, 470)),
        Line("Total", (50, 480, 200, 510)),
        Line("USD 1,250.00", (600, 480, 800, 510)),
        Line("Café Zürich, Herr Müller", (50, 600, 500, 630)),
    ),
)
SECOND = Page(
    2, 1000, 1400, "ocr", (Line("Terms: thirty days net", (50, 40, 400, 70)), Line("Oslo", (50, 90, 99, 120)))
)
PAGES = (INVOICE, SECOND)


@pytest.mark.parametrize(
    ("answer", "printed", "lines"),
    [
        ("INV-2043", "INV-2043", ["Invoice no. INV-2043"]),
        ("inv 2043", "INV-2043", ["Invoice no. INV-2043"]),
        ("northwind traders.", "Northwind Traders", ["Northwind Traders"]),
        ("Cafe Zurich", "Café Zürich", ["Café Zürich, Herr Müller"]),
        ("3.40", "3.40", ["Subtotal: 3.40"]),
        ("2014-08-03", "03.08.2014", ["Date: 03.08.2014"]),
        ("August 3, 2014", "03.08.2014", ["Date: 03.08.2014"]),
        ("$1250", "USD 1,250.00", ["USD 1,250.00"]),
        ("Total", "Total", ["Total"]),
        ("14 Mill Lane, Oxford OX1 2JD", "14 Mill Lane, Oxford OX1 2JD", ["14 Mill Lane", "Oxford 0X1 2JD"]),
        ("Ola Nordmann, Storgata 7, Oslo", "Ola Nordmann Storgata 7 Oslo", ["Ola Nordmann", "Storgata 7", "Oslo"]),
        ("BILL TO SHIP TO", "BILL TO SHIP TO", ["BILL TO", "SHIP TO"]),
        ("Northwlnd Traders", "Northwlnd Traders", ["Northwind Traders"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_answer_is_found_where_it_is_printed(answer: str, printed: str, lines: list[str]) -> None:
    location = locate(answer, PAGES)
    assert location is not None
    assert location.text == printed
    assert [evidence.text for evidence in location.evidence] == lines
    assert {evidence.page for evidence in location.evidence} == {1}
    boxes = {line.text: line.box for line in INVOICE.lines}
    assert [evidence.box for evidence in location.evidence] == [boxes[line] for line in lines]


def test_the_page_that_prints_the_answer_is_named() -> None:
    location = locate("thirty days net", PAGES)
    assert location is not None
    assert [(evidence.page, evidence.text) for evidence in location.evidence] == [(2, "Terms: thirty days net")]


@pytest.mark.parametrize(
    "answer",
    ["", " . ", "INV-2044", "INV-204", "134", "40", "2014-08-04", "1,250.01", "EUR 1250", "14 Mill Street, Bristol"],
)
def test_what_is_not_printed_is_not_found(answer: str) -> None:
    assert locate(answer, PAGES) is None


def test_the_parts_of_an_answer_must_stand_together() -> None:
    lines = tuple(Line(f"word{number} apart", (0, 30 * number, 200, 30 * number + 20)) for number in range(6))
    page = Page(1, 300, 300, "ocr", lines)
    assert locate(" ".join(line.text for line in lines[:4]), [page]) is not None
    assert locate(" ".join(line.text for line in lines[:5]), [page]) is None


def test_a_line_that_is_nothing_but_the_answer_comes_first() -> None:
    page = Page(1, 300, 300, "ocr", (Line("Oslo branch", (0, 0, 90, 20)), Line("Oslo", (0, 30, 40, 50))))
    location = locate("Oslo", [page])
    assert location is not None
    assert location.evidence[0].text == "Oslo"


def test_nothing_is_found_on_a_blank_page() -> None:
    assert locate("anything at all", [Page(1, 100, 100, "blank", ())]) is None
