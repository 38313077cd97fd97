"""Sentences that class descriptions are put into before they are encoded: an ensemble is steadier than any one."""

from typing import Final

from core.class_set import DocumentClass
from core.features import words_of

GENERAL: Final = (
    "{}",
    "This document is {}.",
    "A scanned page of {}.",
    "The first page of {}.",
)

FAMILIES: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "receipt": (
        ("receipt", "till", "ticket"),
        ("A receipt printed at a till: {}.", "Proof of payment with items, total, tax and change: {}."),
    ),
    "tax document": (
        ("tax", "w2", "w9", "1040", "1099", "vat"),
        ("An official tax document with boxes and amounts: {}.", "A form of the tax authority for one year: {}."),
    ),
    "invoice": (
        ("invoice", "bill"),
        ("An invoice with number, date, items and amount due: {}.", "A request for payment to a customer: {}."),
    ),
}
"""Family → the words in a class's name that make it a member, and the templates it then gets as well."""


def templates_of(item: DocumentClass) -> tuple[str, ...]:
    """The general templates, those of the families that the class's name belongs to, and the class's own."""
    name = set(words_of(item.words)) | {"".join(words_of(item.words))}
    family = tuple(
        template for marks, templates in FAMILIES.values() if name.intersection(marks) for template in templates
    )
    return (*GENERAL, *family, *item.templates)


def prompts_of(item: DocumentClass) -> list[str]:
    """The texts whose mean vector stands for the class."""
    words = item.words
    meaning = f"{words}: {item.description.rstrip('.')}" if item.description else words
    return [template.replace("{}", meaning) for template in templates_of(item)]
