import numpy as np
import pytest
from numpy.typing import NDArray

from core.backends.fake import Fake
from core.extraction.sheet import Sheet, sheet_of
from core.extraction.signals import NONE_SIGNALS, SIGNALS, Asked, signals_of
from core.field import LEXICON
from core.page import Line, Page
from core.question import Question
from core.understanding import understand

INVOICE = (
    ("Invoice No.", 50, 200, 200, 225),
    ("INV-77", 240, 200, 330, 225),
    ("Due Date", 50, 240, 200, 265),
    ("3 March 2024", 240, 240, 380, 265),
    ("Consignment", 50, 280, 200, 305),
    ("QX-4471", 240, 280, 330, 305),
    ("Total", 600, 700, 700, 725),
    ("$10.50", 800, 700, 900, 725),
)
Numbers = NDArray[np.float32]


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    return prepared(*INVOICE)


def prepared(*rows: tuple[str, float, float, float, float]) -> Sheet:
    lines = tuple(Line(text, (left, top, right, bottom)) for text, left, top, right, bottom in rows)
    sheet = sheet_of([Page(1, 1000, 1400, "ocr", lines)], LEXICON)
    sheet.encode(Fake().encode_texts)
    return sheet


def asked(question: Question) -> Asked:
    subject, whole = Fake().encode_texts([question.subject, question.text])
    return Asked(question, subject, whole, LEXICON.fields_asked(question))


def signals(sheet: Sheet, question: str) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """The signals of each candidate by its text, and those of the whole document."""
    rows, candidates, none = signals_of(sheet, asked(understand(question)))
    named = {
        sheet.candidates[row].text: dict(zip(SIGNALS, map(float, values), strict=True))
        for row, values in zip(rows, candidates, strict=True)
    }
    return named, dict(zip(NONE_SIGNALS, map(float, none), strict=True))


def test_every_signal_has_a_name_and_a_number(sheet: Sheet) -> None:
    rows, candidates, none = signals_of(sheet, asked(understand("Who is the vendor?")))
    assert candidates.shape == (len(rows), len(SIGNALS))
    assert none.shape == (len(NONE_SIGNALS),)
    assert candidates.dtype == none.dtype == np.float32
    assert np.isfinite(candidates).all()
    assert np.isfinite(none).all()


def test_what_cannot_be_the_answer_is_left_out(sheet: Sheet) -> None:
    found, _ = signals(sheet, "What is the due date?")
    assert "3 March 2024" in found
    assert not found.keys() & {"INV-77", "$10.50", "Total"}


def test_a_label_of_the_field_that_is_asked_for_speaks_for_what_it_labels(sheet: Sheet) -> None:
    found, _ = signals(sheet, "What is the invoice number?")
    assert found["INV-77"]["label_field"] > 0.5
    assert found["QX-4471"]["label_field"] == found["$10.50"]["label_field"] == 0


def test_a_label_of_another_field_speaks_against_it(sheet: Sheet) -> None:
    found, _ = signals(sheet, "What is the invoice number?")
    assert found["$10.50"]["label_other_field"] > 0.5 > found["INV-77"]["label_other_field"]


def test_words_in_common_speak_for_what_no_lexicon_knows(sheet: Sheet) -> None:
    found, _ = signals(sheet, "What is the consignment?")
    assert found["QX-4471"]["label_asked_words"] == found["QX-4471"]["label_text_words"] == 1
    assert found["INV-77"]["label_asked_words"] == 0
    assert found["QX-4471"]["label_meaning"] > found["INV-77"]["label_meaning"]


@pytest.mark.parametrize("typed", ["consigment", "consignmnet", "CONSIGNMENT", "consignments"])
def test_a_word_typed_otherwise_still_matches(sheet: Sheet, typed: str) -> None:
    found, _ = signals(sheet, f"What is the {typed}?")
    assert found["QX-4471"]["label_asked_words"] > 0.5
    assert found["INV-77"]["label_asked_words"] == 0


def test_a_value_of_the_kind_that_is_asked_for_says_so(sheet: Sheet) -> None:
    found, document = signals(sheet, "What is the total amount?")
    assert found["$10.50"]["kind"] == found["$10.50"]["expects_amount"] == document["has_kind"] == 1
    assert found["$10.50"]["expects_date"] == 0


def test_a_document_without_the_kind_that_is_asked_for_says_so() -> None:
    _, document = signals(prepared(("Ann Archer", 50, 50, 200, 75)), "What is the name of the sender?")
    _, in_vain = signals(prepared(("Ann Archer", 50, 50, 200, 75)), "What is the due date?")
    assert document["best_likeness"] == 1
    assert in_vain["has_kind"] == in_vain["best_likeness"] == 0


def test_where_nothing_can_be_the_answer_the_signals_are_those_of_the_document(sheet: Sheet) -> None:
    rows, candidates, none = signals_of(sheet, asked(understand("What is the email address?")))
    assert len(rows) == 0
    assert candidates.shape == (0, len(SIGNALS))
    assert none.shape == (len(NONE_SIGNALS),)
    assert none[NONE_SIGNALS.index("expects_email")] == 1


def test_a_question_about_an_unknown_field_says_so(sheet: Sheet) -> None:
    _, known = signals(sheet, "What is the invoice number?")
    _, unknown = signals(sheet, "What is the consignment?")
    assert known["knows_field"] > 0.9 > unknown["knows_field"]
