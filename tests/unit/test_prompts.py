import pytest

from core.class_set import DocumentClass
from core.contract.answer import QuestionKind
from core.prompts import (
    FAMILIES,
    GENERAL,
    NOT_FOUND,
    PROMPTS,
    captioned,
    pictured,
    prompt_of,
    prompts_of,
    templates_of,
)
from core.understanding import understand


def test_every_class_has_the_general_templates() -> None:
    assert templates_of(DocumentClass(name="menu")) == GENERAL


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("hotel_invoice", "invoice"),
        ("sales-receipt", "receipt"),
        ("W-2", "tax document"),
        ("income tax", "tax document"),
    ],
)
def test_a_class_of_a_family_has_its_templates_as_well(name: str, family: str) -> None:
    assert set(FAMILIES[family][1]) <= set(templates_of(DocumentClass(name=name)))


def test_templates_of_ones_own_come_last() -> None:
    item = DocumentClass(name="ticket_stub", templates=("The stub of {}.",))
    assert templates_of(item)[-1] == "The stub of {}."
    assert prompts_of(item)[-1] == "The stub of ticket stub."


def test_prompts_hold_name_and_description() -> None:
    item = DocumentClass(name="bank_statement", description="What the bank {sends}.")
    assert prompts_of(item)[0] == "bank statement: What the bank {sends}"


QUESTIONS: dict[QuestionKind, str] = {
    "document_type": "What type of document is this?",
    "counting": "How many items were bought?",
    "extraction": "What is the invoice number?",
    "verification": "Is the total greater than $100?",
}


@pytest.mark.parametrize("kind", QUESTIONS)
def test_each_kind_of_question_is_asked_in_its_own_words_and_may_be_not_found(kind: QuestionKind) -> None:
    prompt = prompt_of(understand(QUESTIONS[kind]), {})
    assert prompt.startswith(QUESTIONS[kind] + "\n")
    assert NOT_FOUND in prompt
    assert PROMPTS.keys() == QUESTIONS.keys()
    assert len({PROMPTS[other] for other in PROMPTS}) == len(PROMPTS)


def test_a_deployment_asks_in_words_of_its_own() -> None:
    prompts: dict[QuestionKind, str] = {"extraction": "Lies vor: {question}"}
    assert prompt_of(understand(QUESTIONS["extraction"]), prompts) == "Lies vor: What is the invoice number?"
    assert prompt_of(understand(QUESTIONS["counting"]), prompts).startswith("How many")


def test_braces_in_a_question_are_left_as_they_are() -> None:
    assert prompt_of(understand("What is {0} or {question}?"), {}).startswith("What is {0} or {question}?\n")


def test_captions_of_pictures_name_the_class() -> None:
    item = DocumentClass(name="bank_statement", templates=("A folded {}.",))
    assert pictured(item)[1:] == [
        "a scan of a bank statement",
        "a photo of a bank statement",
        "A folded bank statement.",
    ]


def test_captions_by_description_are_short_and_few() -> None:
    said = "What the bank {sends}.\nIt lists bookings. It has a balance! And more. And more."
    assert captioned(DocumentClass(name="bank_statement", description=said)) == [
        "bank statement: What the bank {sends}",
        "bank statement: It lists bookings",
        "bank statement: It has a balance!",
    ]
    assert captioned(DocumentClass(name="bank_statement")) == ["bank statement"]
