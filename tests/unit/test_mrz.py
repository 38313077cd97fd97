import pytest

from core.extraction.candidate import candidates_of
from core.extraction.layout import layout_of
from core.extraction.mrz import with_labels
from core.field import LEXICON
from core.page import Line, Page

BOOK = ("P<UTOARCHER<<ANN<MARIA<<<<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F3204159ZE184226B<<<<<10")
CARD = ("I<UTOD231458907<<<<<<<<<<<<<<<", "7408122F3204159UTO<<<<<<<<<<<6", "ARCHER<<ANN<MARIA<<<<<<<<<<<<<")


def labels(*texts: str) -> dict[str, str]:
    """What each candidate of a page with these lines is labelled."""
    lines = [Line(text, (50, 40 * row, 50 + 14 * len(text), 40 * row + 24)) for row, text in enumerate(texts)]
    page = Page(1, 1000, 1400, "ocr", tuple(lines))
    found = with_labels(candidates_of([layout_of(page)], LEXICON), [page])
    return {candidate.text: candidate.inline for candidate in found}


@pytest.mark.parametrize("zone", [BOOK, CARD], ids=["passport", "card"])
def test_the_zone_names_what_stands_elsewhere_without_a_label(zone: tuple[str, ...]) -> None:
    found = labels("ARCHER", "ANN MARIA", "12 08 1974", "15 APR 2032", "01 01 2022", "UTO", *zone)
    assert found["ARCHER"] == "surname"
    assert found["ANN MARIA"] == "given names"
    assert found["12 08 1974"] == "date of birth"
    assert found["15 APR 2032"] == "date of expiry"
    assert found["UTO"] == "nationality"
    assert found["01 01 2022"] == ""


def test_the_document_s_number_is_known_by_the_zone() -> None:
    assert labels("L898902C3", *BOOK)["L898902C3"] == "passport number"
    assert labels("D23145890", *CARD)["D23145890"] == "document number"


def test_a_printed_label_counts_before_the_zone() -> None:
    assert labels("Name: ARCHER", *BOOK)["ARCHER"] == "Name"


def test_an_impossible_date_and_a_page_without_a_zone_name_nothing() -> None:
    assert labels("ARCHER", "12 08 1974") == {**labels("ARCHER", "12 08 1974"), "ARCHER": "", "12 08 1974": ""}
    broken = BOOK[1].replace("740812", "749912")
    assert labels("12 08 1974", BOOK[0], broken)["12 08 1974"] == ""
