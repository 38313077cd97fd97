import pytest

from core.extraction.candidate import MOST, Candidate, candidates_of
from core.extraction.layout import layout_of
from core.field import LEXICON
from core.page import Line, Page


def of(*texts: str, spacing: int = 30) -> list[Candidate]:
    """The candidates of a page with these lines below each other."""
    lines = [
        Line(text, (50, spacing * row, 50 + 14 * len(text), spacing * row + 24)) for row, text in enumerate(texts)
    ]
    return candidates_of([layout_of(Page(1, 1000, 1400, "ocr", tuple(lines)))], LEXICON)


@pytest.mark.parametrize(
    ("line", "piece", "before"),
    [
        ("Sales Associate: Paul", "Paul", "Sales Associate"),
        ("Invoice No : # BLR_77-20151", "BLR_77-20151", None),
        ("4dLIC#WDLABCD456DG", "WDLABCD456DG", None),
        ("3 DOB 01/06/1958", "01/06/1958", None),
        ("1TALBOT", "TALBOT", None),
        ("TOTAL 12.00", "12.00", "TOTAL"),
        ("Cashier: John Doe Store: 123", "John Doe", "Cashier"),
        ("Facture n°562044387 du 02 Juillet 2015", "02 Juillet 2015", None),
        ("Redmond, WA 98052", "Redmond", None),
        ("Harbour Cafe", "Harbour Cafe", ""),
        ("Balance (12.50)", "(12.50)", None),
    ],
)
def test_a_line_holds_what_it_labels(line: str, piece: str, before: str | None) -> None:
    found = {candidate.text: candidate for candidate in of(line)}
    assert piece in found, sorted(found)
    if before is not None:
        assert found[piece].inline == before


def test_an_address_is_one_candidate_whatever_its_lines() -> None:
    found = {candidate.text: candidate for candidate in of("Ship to: 12 Quay Street", "Dunmore", "Ireland")}
    assert found["12 Quay Street\nDunmore\nIreland"].lines == (0, 1, 2)


def test_what_stands_across_two_lines_of_running_text_is_found_whole() -> None:
    found = {
        candidate.text: candidate
        for candidate in of(
            "This agreement is made between the Dunmore Harbour",
            "Company Limited and Ann Archer, and is valid until 3",
            "March 2024.",
        )
    }
    assert found["Dunmore Harbour Company Limited"].lines == (0, 1)
    assert found["3 March 2024"].lines == (1, 2)
    assert "date" in found["3 March 2024"].kinds
    assert found["3 March 2024"].sentence.startswith("This agreement")


def test_a_value_knows_what_stands_between_it_and_the_one_before() -> None:
    found = {candidate.text: candidate for candidate in of("Date: 02/13/2022 Time: 12:28")}
    assert found["12:28"].inline == "Time"


def test_a_blank_document_has_no_candidates() -> None:
    assert candidates_of([], LEXICON) == []


def test_no_page_crowds_out_another() -> None:
    sentence = "On 3 March 2024 the Dunmore Harbour Company of 12 Quay Street agreed with Ann Archer to pay 40 euros"
    full = tuple(Line(f"{sentence} {row}", (50, 12 * row, 950, 12 * row + 10)) for row in range(100))
    pages = [Page(number, 1000, 1400, "text_layer", full) for number in range(1, 7)]
    last = Page(7, 1000, 1400, "text_layer", (Line("Total: 12.00", (50, 50, 200, 70)),))
    found = candidates_of([layout_of(page) for page in (*pages, last)], LEXICON)
    assert len(found) > MOST
    assert any(candidate.layout == 6 and candidate.text == "12.00" for candidate in found)
