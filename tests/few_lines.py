"""Pages of a few lines, and how they are decided, for tests of deciding."""

from core.backends import make_backend
from core.class_set import ClassSet
from core.classify import Classifier, Decision
from core.descriptions import Descriptions
from core.features import Features, features_of
from core.page import Line, Page
from core.settings import Model, Thresholds

BACKEND = make_backend(Model(backend="fake"))
THRESHOLDS = Thresholds()

INVOICE = (
    "INVOICE",
    "Invoice number: 2207",
    "Bill to: Northwind",
    "Due date: 1 May",
    "Amount due 108.00",
    "VAT 18.00",
)
LETTER = ("12 March 1998", "Dear Mrs Dane,", "Thank you for your letter of 3 March.", "Yours sincerely", "E. Hart")
RESUME = ("CURRICULUM VITAE", "Work experience", "Education", "Skills", "References available upon request")
CONTRACT = ("SERVICE AGREEMENT", "by and between the parties", "Governing law", "IN WITNESS WHEREOF", "hereinafter")
GIBBERISH = ("qwrt zxpl", "mnbv kjhg", "plok wert")
SAMPLES = {"invoice": INVOICE, "letter": LETTER, "resume": RESUME, "contract": CONTRACT}


def features(*texts: str) -> Features:
    lines = tuple(
        Line(text, (50, 50 + 60 * row, 50 + 12 * len(text), 74 + 60 * row)) for row, text in enumerate(texts)
    )
    page = Page(1, 1000, 1400, "ocr", lines)
    return features_of(page, BACKEND.encode_documents([BACKEND.prepare(page)])[0])


def classifier(classes: list[str] | dict[str, str]) -> Classifier:
    return Classifier(Descriptions.build(ClassSet.one_off(classes), BACKEND.encode_texts))


def decide(classes: list[str] | dict[str, str], *pages: tuple[str, ...] | None) -> Decision:
    numbered = [(number, features(*page) if page else None) for number, page in enumerate(pages, start=1)]
    return classifier(classes).decide(numbered, THRESHOLDS)
