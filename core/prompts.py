"""Wordings for models: sentences that class descriptions are put into, and what is told along with a question."""

import re
from collections.abc import Mapping
from typing import Final

from core.class_set import DocumentClass
from core.contract.answer import QuestionKind
from core.features import words_of
from core.question import Question

GENERAL: Final = (
    "{}",
    "This document is {}.",
    "A scanned page of {}.",
    "The first page of {}.",
)
"""An ensemble is steadier than any one."""

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


PICTURED: Final = ("{}", "a scan of a {}", "a photo of a {}")
"""What stands under pictures: an encoder that learned from captions knows no other sentences."""
SENTENCES: Final = 3
"""Of a description, from its beginning, that are captions: each by itself, since such encoders read no long texts."""


def pictured(item: DocumentClass) -> list[str]:
    """Captions of a picture of such a document, by its name."""
    return [template.replace("{}", item.words) for template in (*PICTURED, *item.templates)]


def captioned(item: DocumentClass) -> list[str]:
    """Captions by its description; by its name where there is none."""
    words = item.words
    sentences = [part.strip().rstrip(".") for part in re.split(r"(?<=[.!?])\s+|\n+|(?<=。)", item.description)]
    return [f"{words}: {sentence}" for sentence in sentences if sentence][:SENTENCES] or [words]


NOT_FOUND: Final = "NOT_FOUND"
"""What a model is to say where the document does not hold the answer."""

PROMPTS: Final[dict[QuestionKind, str]] = {
    "document_type": (
        "{question}\nAnswer with the type of the document alone, in one to four words. "
        f"If it cannot be told, answer {NOT_FOUND}."
    ),
    "counting": f"{{question}}\nAnswer with digits only. If it cannot be counted here, answer {NOT_FOUND}.",
    "extraction": (
        "{question}\nAnswer with the text exactly as it is printed, and nothing else. "
        f"If it is not printed here, answer {NOT_FOUND}."
    ),
    "verification": f"{{question}}\nAnswer yes or no only. If the document does not tell, answer {NOT_FOUND}.",
}
"""Asked straight: reasoning aloud costs small models accuracy in extraction."""


def prompt_of(question: Question, prompts: Mapping[QuestionKind, str]) -> str:
    """What a generating model is asked; `prompts` take the place of the general ones of their kinds."""
    return prompts.get(question.kind, PROMPTS[question.kind]).replace("{question}", question.text)
