import pytest

from core.class_set import DocumentClass
from core.prompts import FAMILIES, GENERAL, prompts_of, templates_of


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
