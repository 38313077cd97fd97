from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal

import pytest

from core.answer import Answerer, DocumentType, Inquiry, answer_questions, directly
from core.backends import Backend, Vectors, make_backend
from core.backends.fake import Fake
from core.contract.answer import AmountValue, Answer, DateValue, IntegerValue, YesNoValue
from core.errors import ModelFailure
from core.extraction.extractor import LEAST, Extractor
from core.field import LEXICON
from core.page import Line, Page
from core.settings import Asking, FieldSettings, Model
from samples import render


def a_page(*rows: tuple[str, float, float, float, float], number: int = 1) -> Page:
    """Lines as (text, left, top, right, bottom)."""
    lines = tuple(Line(text, (left, top, right, bottom)) for text, left, top, right, bottom in rows)
    return Page(number, 1240, 1754, "text_layer", lines)


INVOICE = a_page(
    ("INVOICE", 900, 80, 1140, 130),
    ("Harbour Supplies Ltd", 100, 80, 500, 115),
    ("12 Quay Street", 100, 130, 330, 155),
    ("Dunmore", 100, 160, 230, 185),
    ("Invoice number:", 800, 220, 980, 245),
    ("INV-20771", 1000, 220, 1130, 245),
    ("Invoice date:", 800, 255, 950, 280),
    ("3 March 2024", 1000, 255, 1150, 280),
    ("Bill to", 100, 320, 190, 345),
    ("Ann Archer", 100, 350, 250, 375),
    ("4 Mill Lane", 100, 380, 250, 405),
    ("Description", 100, 520, 260, 545),
    ("Qty", 700, 520, 750, 545),
    ("Amount", 1020, 520, 1140, 545),
    ("Mooring rope", 100, 560, 290, 585),
    ("2", 715, 560, 735, 585),
    ("$80.00", 1050, 560, 1140, 585),
    ("Brass lantern", 100, 595, 290, 620),
    ("1", 715, 595, 735, 620),
    ("$40.00", 1050, 595, 1140, 620),
    ("Subtotal", 800, 700, 910, 725),
    ("$120.00", 1040, 700, 1140, 725),
    ("Sales tax", 800, 735, 910, 760),
    ("$9.60", 1065, 735, 1140, 760),
    ("Total", 800, 780, 880, 810),
    ("$129.60", 1030, 780, 1140, 810),
    ("Thank you for your custom", 400, 1500, 800, 1525),
)
RECEIPT = a_page(
    ("HARBOUR CAFE", 420, 40, 820, 90),
    ("Flat white", 100, 300, 280, 330),
    ("4.20", 1050, 300, 1130, 330),
    ("Scone", 100, 340, 200, 370),
    ("3.10", 1050, 340, 1130, 370),
    ("TOTAL", 100, 420, 220, 455),
    ("7.30", 1050, 420, 1130, 455),
)


@pytest.fixture(scope="module")
def backend() -> Backend:
    loaded = make_backend(Model(backend="ocr_text"))
    loaded.load("cpu")
    return loaded


@pytest.fixture(scope="module")
def answerer(backend: Backend) -> Answerer:
    return backend.answerer(Asking())


def an_invoice() -> DocumentType:
    return DocumentType("invoice", 0.9)


def ask(
    answerer: Answerer,
    pages: Sequence[Page],
    *questions: str,
    document_type: Callable[[], DocumentType] = an_invoice,
) -> list[Answer]:
    return answer_questions(answerer, Inquiry(tuple(pages), len(pages), document_type), questions, directly(answerer))


def box_of(page: Page, text: str) -> tuple[float, float, float, float]:
    return next(line.box for line in page.lines if line.text == text)


def test_what_is_labelled_is_answered_with_its_value_and_where_it_stands(answerer: Answerer) -> None:
    number, issued, total = ask(
        answerer, [INVOICE], "What is the invoice number?", "What is the invoice date?", "What is the total amount?"
    )
    assert [answer.status for answer in (number, issued, total)] == ["answered"] * 3
    assert [answer.answer for answer in (number, issued, total)] == ["INV-20771", "3 March 2024", "$129.60"]
    assert number.value is None
    assert issued.value == DateValue(date=date(2024, 3, 3))
    assert total.value == AmountValue(amount=Decimal("129.60"), currency="USD")
    for answer in (number, issued, total):
        [evidence] = answer.evidence
        assert evidence.page == 1
        assert evidence.text == answer.answer
        assert evidence.box == box_of(INVOICE, evidence.text)
        assert LEAST <= answer.confidence <= 1


@pytest.mark.parametrize("question", ["what is the INVOICE NUMBER", "Invoice no?", "What is the invoce number?"])
def test_a_question_may_be_put_otherwise(answerer: Answerer, question: str) -> None:
    [answer] = ask(answerer, [INVOICE], question)
    assert answer.answer == "INV-20771"


def test_most_of_what_a_drawn_invoice_states_is_answered(answerer: Answerer) -> None:
    asked = {"number": "What is the invoice number?", "total": "What is the total amount?"}
    right = []
    for seed in range(6):
        sample = render("invoice", seed, 50)
        answers = ask(answerer, sample.pages, *asked.values())
        right += [answer.answer == sample.fields[field].text for field, answer in zip(asked, answers, strict=True)]
    assert sum(right) >= 0.75 * len(right)


@pytest.mark.parametrize(
    "question", ["What is the blood type of the patient?", "What is the passport number?", "When was she born?"]
)
def test_a_document_that_does_not_hold_the_answer_yields_none(answerer: Answerer, question: str) -> None:
    [answer] = ask(answerer, [RECEIPT], question)
    assert (answer.status, answer.answer, answer.value, answer.evidence) == ("not_found", None, None, [])
    assert answer.confidence > 0.5


def test_a_blank_document_yields_not_found(answerer: Answerer) -> None:
    answers = ask(answerer, [Page(1, 1240, 1754, "blank", ())], "What is the total?", "Is the total over $1?")
    assert [(answer.status, answer.confidence) for answer in answers] == [("not_found", 1)] * 2


def test_a_page_with_nothing_to_answer_with_yields_not_found(answerer: Answerer) -> None:
    [answer] = ask(answerer, [a_page(("* * *", 500, 400, 600, 420))], "What is the total?")
    assert answer.status == "not_found"


def test_an_answer_tells_on_which_page_of_the_document_it_stands(answerer: Answerer) -> None:
    letter = a_page(
        ("Dear Ann,", 100, 200, 250, 225),
        ("please find enclosed what we spoke about on the pier.", 100, 260, 760, 285),
        ("Yours truly", 100, 400, 260, 425),
    )
    blank = Page(2, 1240, 1754, "blank", ())
    third = Page(3, INVOICE.width, INVOICE.height, "text_layer", INVOICE.lines)
    [answer] = ask(answerer, [letter, blank, third], "What is the invoice number?")
    assert answer.answer == "INV-20771"
    assert [evidence.page for evidence in answer.evidence] == [3]


def test_pages_and_items_are_counted(answerer: Answerer) -> None:
    pages, items = ask(answerer, [INVOICE], "How many pages are there?", "How many line items are there?")
    assert pages.kind == items.kind == "counting"
    assert pages.value == IntegerValue(integer=1)
    assert items.value == IntegerValue(integer=2)


def test_a_claim_is_decided_by_the_answer_behind_it(answerer: Answerer) -> None:
    more, less, bought = ask(
        answerer,
        [INVOICE],
        "Is the total greater than $1?",
        "Is the total less than $1?",
        "Does this invoice contain rope?",
    )
    assert more.kind == less.kind == bought.kind == "verification"
    assert more.value == bought.value == YesNoValue(yes=True)
    assert less.value == YesNoValue(yes=False)
    assert [evidence.text for evidence in more.evidence] == ["$129.60"]


def test_a_claim_about_what_a_document_does_not_state_is_not_found(answerer: Answerer) -> None:
    [answer] = ask(answerer, [RECEIPT], "Was the patient born before 1980?")
    assert (answer.kind, answer.status) == ("verification", "not_found")


def test_the_type_of_a_document_is_the_classifiers(answerer: Answerer) -> None:
    [answer] = ask(answerer, [INVOICE], "What type of document is this?")
    assert (answer.kind, answer.answer, answer.confidence) == ("document_type", "invoice", 0.9)
    assert answer.evidence[0].box == box_of(INVOICE, "INVOICE")


def test_a_type_that_no_class_has_is_not_found(answerer: Answerer) -> None:
    [answer] = ask(
        answerer, [RECEIPT], "What type of document is this?", document_type=lambda: DocumentType(None, 0.7)
    )
    assert (answer.status, answer.confidence) == ("not_found", 0.7)


def test_a_question_that_fails_fails_alone(answerer: Answerer) -> None:
    def unclassed() -> DocumentType:
        raise ModelFailure("no_classes", "publish a class set")

    number, failed, total = ask(
        answerer,
        [INVOICE],
        "What is the invoice number?",
        "What type of document is this?",
        "What is the total?",
        document_type=unclassed,
    )
    assert (number.answer, total.answer) == ("INV-20771", "$129.60")
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.code == "no_classes"


def test_a_question_that_the_device_cannot_take_fails_alone() -> None:
    encoded: list[str] = []

    def encode_texts(texts: Sequence[str]) -> Vectors:
        if any("lantern oil" in text for text in texts):
            raise ValueError("too bright")
        encoded.extend(texts)
        return Fake().encode_texts(texts)

    answers = ask(
        Extractor("fake", encode_texts),
        [INVOICE],
        *("How many pages are there?", "What is the price of the lantern oil?", "Does it contain rope?"),
    )
    assert [answer.status for answer in answers] == ["answered", "failed", "answered"]
    assert encoded.count("Mooring rope") == 1


def test_the_pages_are_encoded_once_for_all_questions(backend: Backend) -> None:
    def encoded(*questions: str) -> tuple[int, int]:
        batches: list[Sequence[str]] = []

        def encode_texts(texts: Sequence[str]) -> Vectors:
            batches.append(texts)
            return backend.encode_texts(texts)

        ask(Extractor("counted", encode_texts), [INVOICE], *questions)
        return len(batches), sum(map(len, batches))

    calls, texts = encoded("What is the total?")
    assert encoded(*(f"What is the total of lot {number}?" for number in range(10))) == (calls, texts + 2 * 9)


def test_a_deployments_own_words_make_its_label_known(backend: Backend) -> None:
    own = Asking(fields={"berth": FieldSettings(labels=("Lgplz",), questions=("berth",), expects="identifier")})
    page = a_page(
        *((line.text, *line.box) for line in INVOICE.lines),
        ("Lgplz", 800, 290, 880, 315),
        ("QX-4471", 1000, 290, 1110, 315),
    )
    [answer] = ask(backend.answerer(own), [page], "What is the berth?")
    assert answer.answer == "QX-4471"
    assert answer.evidence[0].box == (1000, 290, 1110, 315)


def test_the_fingerprint_changes_with_whatever_changes_answers(backend: Backend) -> None:
    own = Asking(fields={"berth": FieldSettings(labels=("Lgplz",))})
    plain = backend.answerer(Asking()).fingerprint
    assert backend.answerer(Asking()).fingerprint == plain
    assert backend.answerer(own).fingerprint != plain
    assert Fake().answerer(Asking()).fingerprint != plain
    assert Extractor(backend.fingerprint, backend.encode_texts, LEXICON).fingerprint == plain
