from collections.abc import Sequence

import numpy as np
import pytest

from core.backends import Vectors
from core.backends.fake import DIMENSIONS, Fake
from core.extraction.layout import NONE
from core.extraction.sheet import KINDS, PLACE, RELATIONS, Sheet, sheet_of
from core.field import LEXICON
from core.page import Line, Page


def a_page(*rows: tuple[str, float, float, float, float], number: int = 1) -> Page:
    """Lines as (text, left, top, right, bottom)."""
    lines = tuple(Line(text, (left, top, right, bottom)) for text, left, top, right, bottom in rows)
    return Page(number, 1000, 1400, "ocr", lines)


INVOICE = a_page(
    ("Invoice No.", 50, 200, 200, 220),
    ("INV-77", 240, 200, 330, 220),
    ("Bill to", 500, 300, 600, 320),
    ("Ann Archer", 500, 325, 650, 345),
    ("4 Mill Lane", 500, 350, 660, 370),
    ("Amount", 800, 500, 900, 520),
    ("1.00", 820, 525, 900, 545),
    ("9.50", 820, 550, 900, 570),
    ("Total: 10.50", 600, 700, 780, 720),
    ("INV-77", 50, 1300, 140, 1320),
)


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    return sheet_of([INVOICE], LEXICON)


def row_of(sheet: Sheet, text: str) -> int:
    return next(row for row, candidate in enumerate(sheet.candidates) if candidate.text == text)


def place(sheet: Sheet, text: str, name: str) -> float:
    return float(sheet.places[row_of(sheet, text), PLACE.index(name)])


@pytest.mark.parametrize(
    ("candidate", "relation", "text"),
    [
        ("INV-77", "left", "Invoice No."),
        ("INV-77", "label", "Invoice No."),
        ("Ann Archer", "above", "Bill to"),
        ("Ann Archer", "below", "4 Mill Lane"),
        ("4 Mill Lane", "section", "Bill to"),
        ("9.50", "above", "1.00"),
        ("9.50", "header", "Amount"),
        ("10.50", "inline", "Total"),
        ("10.50", "line", "Total: 10.50"),
        ("Total", "after", "10.50"),
        ("Ann Archer", "self", "Ann Archer"),
        ("Invoice No.", "left", None),
        ("Ann Archer", "sentence", None),
    ],
)
def test_a_candidate_knows_what_surrounds_it(sheet: Sheet, candidate: str, relation: str, text: str | None) -> None:
    index = sheet.around[row_of(sheet, candidate), RELATIONS.index(relation)]
    assert (None if index == NONE else sheet.texts[index]) == text


def test_every_candidate_has_a_row_of_each_kind_of_numbers(sheet: Sheet) -> None:
    arrays = (sheet.around, sheet.shapes, sheet.kinds, sheet.forms, sheet.places)
    assert {len(array) for array in arrays} == {len(sheet.candidates)}
    assert all(np.isfinite(array).all() for array in arrays)
    assert sheet.kinds[row_of(sheet, "10.50"), KINDS.index("amount")] == 1


def test_the_same_text_is_one_key_in_whatever_case_and_spacing() -> None:
    sheet = sheet_of([a_page(("Ann Archer", 50, 100, 200, 120), ("ANN  ARCHER", 600, 900, 800, 920))], LEXICON)
    assert sheet.keys[row_of(sheet, "Ann Archer")] == sheet.keys[row_of(sheet, "ANN  ARCHER")]
    assert sheet.keys[row_of(sheet, "Ann Archer")] != sheet.keys[row_of(sheet, "Ann")]


def test_a_text_that_stands_in_many_places_is_kept_once(sheet: Sheet) -> None:
    assert len(set(sheet.texts)) == len(sheet.texts)
    assert place(sheet, "INV-77", "repeats") > place(sheet, "Ann Archer", "repeats") == 0


def test_amounts_know_how_they_stand_among_each_other() -> None:
    page = a_page(("8.00 net", 50, 100, 200, 120), ("9.50 total", 50, 300, 200, 320), ("1.50 tax", 50, 500, 200, 520))
    sheet = sheet_of([page], LEXICON)
    values = {
        candidate.text: dict(zip(PLACE, sheet.places[row], strict=True))
        for row, candidate in enumerate(sheet.candidates)
        if candidate.form == "value"
    }
    assert [values[text]["largest"] for text in ("8.00", "9.50", "1.50")] == [0, 1, 0]
    assert values["9.50"]["greater"] > values["8.00"]["greater"] > values["1.50"]["greater"]
    assert values["8.00"]["first_of_kind"] == values["1.50"]["last_of_kind"] == 1


def test_a_printed_label_is_known_as_one(sheet: Sheet) -> None:
    assert place(sheet, "Invoice No.", "is_label") > 0.9
    assert place(sheet, "Ann Archer", "is_label") == 0
    assert sheet.labelled["invoice_number"][sheet.texts.index("Invoice No.")] > 0.9


def test_words_lead_to_the_texts_that_hold_them(sheet: Sheet) -> None:
    texts = {sheet.texts[index] for index in sheet.words["archer"]}
    assert "Ann Archer" in texts
    assert all("Archer" in text for text in texts)


def test_a_candidate_tells_which_page_it_stands_on() -> None:
    blank = Page(1, 1000, 1400, "blank", ())
    second, third = (a_page((f"Page {number}", 50, 50, 200, 75), number=number) for number in (2, 3))
    sheet = sheet_of([blank, second, third], LEXICON)
    pages = {candidate.text: sheet.layouts[candidate.layout].page.number for candidate in sheet.candidates}
    assert (pages["Page 2"], pages["Page 3"]) == (2, 3)


def test_texts_without_words_are_not_encoded() -> None:
    sheet = sheet_of([INVOICE], LEXICON)
    encoded: list[str] = []

    def encode_texts(texts: Sequence[str]) -> Vectors:
        encoded.extend(texts)
        return Fake().encode_texts(texts)

    sheet.encode(encode_texts)
    assert sheet.vectors is not None
    assert sheet.vectors.shape == (len(sheet.texts), DIMENSIONS)
    assert "Ann Archer" in encoded
    assert "9.50" not in encoded
    for text, vector in zip(sheet.texts, sheet.vectors, strict=True):
        assert np.linalg.norm(vector) == pytest.approx(float(text in encoded), abs=1e-5)


def test_a_page_of_ornaments_has_no_candidates() -> None:
    assert sheet_of([a_page(("***", 50, 50, 200, 70))], LEXICON).candidates == []
