from collections.abc import Callable

import pytest

from core.answer import not_found
from core.contract.answer import Answer, IntegerValue
from core.counting import count
from core.page import Line, Page
from core.question import Question
from core.understanding import understand

INVOICE = """
INVOICE 4711|Date|3 May 2020
Description|Qty|Unit price|Amount
Oak board|2|10.00|20.00
planed, 2 m
Screws|100|0.05|5.00
Gift card|1|25.00|25.00
||Subtotal|50.00
||VAT 10%|5.00
||Total|55.00
Thank you for paying 12.00 in advance|||12.00
"""
RECEIPT = """
CORNER SHOP
12 High Street
WHOLE MILK|3.40
BREAD|2.10
EGGS|4.00
TOTAL|9.50
CASH|10.00
CHANGE|0.50
"""
STATEMENT = """
Date|Details|Amount|Balance
01/02/2021|Opening balance||100.00
03/02/2021|Salary|50.00|150.00
05/02/2021|Rent|-40.00|110.00
28/02/2021|Closing balance||110.00
"""


def printed(text: str, number: int = 1) -> Page:
    """A page of the text's rows, whose cells stand in columns and end at their right edges."""
    lines = []
    for row, cells in enumerate(text.strip().splitlines()):
        for column, cell in enumerate(cells.split("|")):
            right = 300.0 if column == 0 else 300.0 + 100 * column
            if "|" in cells and column == cells.count("|"):
                right = 700.0
            if cell:
                lines.append(Line(cell, (right - 8 * len(cell), 20.0 * row, right, 20.0 * row + 14), 0.9))
    return Page(number, 800, 1000, "ocr", tuple(lines))


def nothing(question: Question) -> Answer:
    return not_found(question, 0.7)


def counted(text: str, *pages: str, extract: Callable[[Question], Answer] = nothing, page_count: int = 1) -> Answer:
    return count(
        understand(text), [printed(page, number) for number, page in enumerate(pages, 1)], page_count, extract
    )


def test_pages_are_those_of_the_whole_document() -> None:
    answer = counted("How many pages does it have?", INVOICE, page_count=17)
    assert (answer.kind, answer.status, answer.answer) == ("counting", "answered", "17")
    assert answer.value == IntegerValue(integer=17)


@pytest.mark.parametrize(
    ("text", "page", "number"),
    [
        ("How many line items are on the invoice?", INVOICE, 3),
        ("How many items were bought?", RECEIPT, 3),
        ("Number of products?", RECEIPT, 3),
        ("Count the transactions", STATEMENT, 2),
    ],
)
def test_the_rows_of_a_table_are_counted_without_its_totals(text: str, page: str, number: int) -> None:
    answer = counted(text, page)
    assert answer.value == IntegerValue(integer=number)
    assert len(answer.evidence) == number


def test_the_evidence_of_a_counted_row_is_its_description() -> None:
    assert [line.text for line in counted("How many items were bought?", RECEIPT).evidence] == [
        "WHOLE MILK",
        "BREAD",
        "EGGS",
    ]


@pytest.mark.parametrize(
    ("line", "text", "number"),
    [
        ("Items: 7", "How many items were bought?", 7),
        ("ITEM COUNT 7", "How many items were bought?", 7),
        ("No. of items 3", "number of items", 3),
        ("# ITEMS SOLD|12", "How many items are there?", 12),
        ("Guests: 4", "How many guests were there?", 4),
        ("for 3 passengers", "How many passengers?", 3),
    ],
)
def test_a_printed_count_is_taken_as_it_stands(line: str, text: str, number: int) -> None:
    answer = counted(text, RECEIPT + line)
    assert answer.value == IntegerValue(integer=number)
    assert [found.text for found in answer.evidence] == line.split("|")


def test_a_printed_count_must_be_of_what_is_asked() -> None:
    page = "up to 500,000 shares may be issued\n12,345,678 shares of common stock outstanding"
    answer = counted("How many shares are outstanding?", page)
    assert answer.value == IntegerValue(integer=12345678)


def test_what_stands_beside_no_number_is_looked_up() -> None:
    asked = []

    def extract(question: Question) -> Answer:
        asked.append(question)
        return Answer(
            question=question.text, kind="extraction", status="answered", answer="forty-two (42)", confidence=0.6
        )

    answer = counted("How many employees does the company have?", INVOICE, extract=extract)
    assert (asked[0].kind, asked[0].expects, asked[0].subject) == ("extraction", "number", "number of employees")
    assert (answer.kind, answer.value, answer.confidence) == ("counting", IntegerValue(integer=42), 0.6)


def test_what_the_pages_do_not_count_is_not_found() -> None:
    for text in ("How many passengers were there?", "How many guests stayed?"):
        answer = counted(text, INVOICE)
        assert (answer.status, answer.value, answer.evidence) == ("not_found", None, [])
    assert counted("How many items were bought?", "Dear Sir\nthank you for your letter.").status == "not_found"


def test_a_word_is_counted_on_all_pages() -> None:
    answer = counted("How many times does the word milk appear?", RECEIPT, "milk and more Milk\nsilk")
    assert answer.value == IntegerValue(integer=3)
    assert [(line.page, line.text) for line in answer.evidence] == [(1, "WHOLE MILK"), (2, "milk and more Milk")]
    assert counted("How often is butter mentioned?", RECEIPT).answer == "0"


def test_how_many_of_one_thing_were_bought_is_its_quantity() -> None:
    bill = "2 Surface Pro 6|$1,998.00\n3 Surface Pen|$299.97\n4|Hot dog|$11.00"
    assert counted("How many Surface Pens were purchased?", bill).answer == "3"
    assert counted("How many hot dogs were ordered?", bill).answer == "4"
