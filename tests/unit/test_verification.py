from datetime import date
from decimal import Decimal

import pytest

from core.answer import DocumentType, not_found
from core.contract.answer import AmountValue, Answer, DateValue, Evidence, IntegerValue, Value, YesNoValue
from core.page import Line, Page
from core.understanding import understand
from core.verification import inner, verify

EVIDENCE = Evidence(page=1, box=(10, 20, 90, 34), text="as printed")


def page(*texts: str) -> Page:
    lines = tuple(Line(text, (10.0, 20.0 * row, 90.0, 20.0 * row + 14)) for row, text in enumerate(texts))
    return Page(1, 800, 1000, "text_layer", lines)


def verified(
    text: str,
    answer: str | None = None,
    value: Value | None = None,
    lines: tuple[str, ...] = (),
    name: str | None = None,
) -> Answer:
    question = understand(text)
    behind = inner(question)
    found = None
    if answer is not None:
        assert behind is not None
        found = Answer(
            question=behind.text,
            kind=behind.kind,
            status="answered",
            answer=answer,
            value=value,
            confidence=0.8,
            evidence=[EVIDENCE],
        )
    return verify(question, found, [page(*lines)], lambda: DocumentType(name, 0.7))


def amount(text: str, currency: str | None = None) -> AmountValue:
    return AmountValue(amount=Decimal(text), currency=currency)


@pytest.mark.parametrize(
    ("text", "kind", "expects", "subject"),
    [
        ("Is the total greater than $100?", "extraction", "amount", "total"),
        ("Was this purchase made in 2023?", "extraction", "date", "purchase date"),
        ("Is the vendor Walmart?", "extraction", "organisation", "vendor"),
        ("Are there more than 3 items?", "counting", "number", "items"),
    ],
)
def test_behind_a_comparison_stands_a_question(text: str, kind: str, expects: str, subject: str) -> None:
    question = inner(understand(text))
    assert question is not None
    assert (question.kind, question.expects, question.subject) == (kind, expects, subject)


@pytest.mark.parametrize(
    "text", ["Does this receipt contain milk?", "Is there a signature?", "Is this an invoice?", "What is the total?"]
)
def test_behind_what_pages_decide_alone_stands_none(text: str) -> None:
    assert inner(understand(text)) is None


@pytest.mark.parametrize(
    ("text", "answer", "value", "yes"),
    [
        ("Is the total greater than $100?", "$100.01", amount("100.01", "USD"), True),
        ("Is the total greater than $100?", "100.00", amount("100.00"), False),
        ("Is the total at least 100 dollars?", "$100.00", amount("100.00", "USD"), True),
        ("Is the total below 20?", "$19.99", amount("19.99", "USD"), True),
        ("Is the total between 10 and 20?", "$20.00", amount("20.00", "USD"), True),
        ("Is the total between 10 and 20?", "$20.01", amount("20.01", "USD"), False),
        ("Is the total $100?", "100.00", amount("100.00"), True),
        ("Is the tax rate 8%?", "8.0 %", None, True),
        ("Are there more than 3 items?", "3", IntegerValue(integer=3), False),
        ("Are there at least two signatures?", "3", IntegerValue(integer=3), True),
        ("Was this purchase made in 2023?", "3 Jan 2023", DateValue(date=date(2023, 1, 3)), True),
        ("Was this purchase made in 2023?", "3 Jan 2022", DateValue(date=date(2022, 1, 3)), False),
        ("Was this purchase made in March?", "3 Mar 2022", DateValue(date=date(2022, 3, 3)), True),
        ("Was it dated before March 2020?", "29 Feb 2020", None, True),
        ("Was it dated before March 2020?", "1 Mar 2020", None, False),
        ("Is the due date later than June 2021?", "1 July 2021", None, True),
        ("Is the due date 1 July 2021?", "07/01/2021", None, True),
        ("Has the passport expired?", "1 May 1990", None, True),
        ("Has the passport expired?", "1 May 2190", None, False),
        ("Is the passport still valid?", "05/2090", None, True),
        ("Is the vendor Walmart?", "WALMART INC.", None, True),
        ("Is the vendor Walmart?", "Target", None, False),
        ("Is the customer John Smith?", "Smith, John A.", None, True),
        ("Is the customer John Smith?", "Jane Smith", None, False),
        ("Is the invoice number INV-12?", "inv 12", None, True),
        ("Is the invoice number INV-12?", "INV-123", None, False),
        ("Is the nationality German?", "GERMANY", None, True),
        ("Is the nationality Italian?", "ITA", None, True),
        ("Is the nationality French?", "Germany", None, False),
        ("Is the currency USD?", "$", None, True),
        ("Is the holder female?", "F", None, True),
        ("Is the holder female?", "M", None, False),
    ],
)
def test_a_comparison_is_decided_by_what_was_found(text: str, answer: str, value: Value | None, yes: bool) -> None:
    result = verified(text, answer, value)
    assert (result.kind, result.status, result.answer) == ("verification", "answered", "Yes" if yes else "No")
    assert result.value == YesNoValue(yes=yes)
    assert result.question == text
    assert (result.evidence, result.confidence) == ([EVIDENCE], 0.8)


@pytest.mark.parametrize(
    ("text", "answer", "value"),
    [
        ("Is the total greater than 100 euros?", "$120.00", amount("120.00", "USD")),
        ("Is the total greater than $100?", "free of charge", None),
        ("Was this purchase made in 2023?", "yesterday", None),
        ("Is the nationality French?", "FRA", None),
        ("Does the passport expire before 15 May 2030?", "05/2030", None),
    ],
)
def test_what_cannot_be_compared_is_not_found(text: str, answer: str, value: Value | None) -> None:
    result = verified(text, answer, value)
    assert (result.status, result.answer, result.value, result.evidence) == ("not_found", None, None, [])


def test_a_comparison_with_what_is_not_on_the_document_is_not_found() -> None:
    question = understand("Is the total greater than $100?")
    behind = inner(question)
    assert behind is not None
    for found in (None, not_found(behind, 0.9)):
        result = verify(question, found, [page("Dear Sir")], lambda: DocumentType(None, 0.4))
        assert (result.status, result.question) == ("not_found", question.text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Does this receipt contain milk?", "2 WHOLE MILK"),
        ("Is milk on the receipt?", "2 WHOLE MILK"),
        ("Does it mention confidentiality?", "Confidentlality clause"),
        ("Does it contain eggs?", "EGG 1.20"),
        ("Does the letter mention $1,000?", "a fee of USD 1000.00"),
        ("Is there a due date?", "DUE DATE: 3 May"),
        ("Is there any mention of a café?", "CAFE CREME"),
    ],
)
def test_what_a_line_says_is_contained(text: str, line: str) -> None:
    result = verified(text, lines=("Thank you", line))
    assert (result.answer, [found.text for found in result.evidence]) == ("Yes", [line])


def test_what_no_line_says_is_not_contained() -> None:
    result = verified("Does this receipt contain ham?", lines=("Birmingham", "Milk 3.40"))
    assert (result.status, result.answer, result.evidence) == ("answered", "No", [])
    assert result.confidence < verified("Does it contain milk?", lines=("Milk 3.40",)).confidence


def test_ink_is_seen_only_where_the_text_tells_of_it() -> None:
    assert verified("Is there a signature?", lines=("Signature: ________",)).status == "not_found"
    assert verified("Does it have a stamp?", lines=("Total 4.00",)).status == "not_found"
    signed = verified("Is the contract signed?", lines=("Total 4.00", "/s/ Jane Doe"))
    assert (signed.answer, signed.evidence[0].text) == ("Yes", "/s/ Jane Doe")


@pytest.mark.parametrize(
    ("text", "name", "yes"),
    [
        ("Is this an invoice?", "invoice", True),
        ("Is this an invoice?", "receipt", False),
        ("Is this an invoice?", None, False),
        ("Is this a statement?", "bank_statement", True),
        ("Is this document a letter or a memo?", "memo", True),
        ("Ist das eine Rechnung?", "invoice", True),
        ("Is this a CV?", "resume", True),
    ],
)
def test_a_document_type_is_verified_by_what_the_document_is(text: str, name: str | None, yes: bool) -> None:
    result = verified(text, lines=("Invoice 12",), name=name)
    assert (result.answer, result.confidence) == ("Yes" if yes else "No", 0.7)
