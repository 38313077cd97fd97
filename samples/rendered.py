"""Rendered documents with questions about them, as composed pages have: real layouts beside invented ones."""

import random
from typing import Final

from samples import CLASSES, render
from samples.composed import Asked, Composition
from samples.composed.question import entry_of, phrased, topic
from samples.words import vocabulary

_DPI: Final = 50
"""Only the pages' lines are looked at, so their pictures may be small."""
_UNANSWERABLE: Final = 0.35
"""Questions about what a document does not state, for each about what it does."""
_TOPICS: Final = {
    "clinic": "vendor",
    "date_of_birth": "birth_date",
    "date_of_expiry": "expiry_date",
    "date_of_issue": "issue_date",
    "deposits": "total_deposits",
    "member": "holder",
    "net": "subtotal",
    "place_of_birth": "birth_place",
    "role": "job_title",
    "signed_by": "signer",
    "withdrawals": "total_withdrawals",
}
"""Fields that samples and questions call by different names."""
_NUMBERS: Final = {
    "drivers_license": "licence_number",
    "identity_card": "document_number",
    "invoice": "invoice_number",
    "passport": "passport_number",
    "purchase_order": "po_number",
    "receipt": "receipt_number",
}
_DATES: Final = {
    "bank_statement": "statement_date",
    "invoice": "invoice_date",
    "letter": "letter_date",
    "payslip": "pay_date",
}
_EVERYWHERE: Final = frozenset(
    {
        "address",
        "amount_paid",
        "company",
        "date",
        "document_number",
        "holder",
        "phone",
        "reference",
        "total",
        "vendor",
    }
)
"""What almost any document can be said to state: never asked for as missing."""


def rendered(seed: int) -> Composition:
    """The rendered document of this number, without wear, and questions about it."""
    rng = random.Random(f"rendered {seed}")
    name = rng.choice(CLASSES)
    sample = render(name, seed, _DPI)
    document = name.replace("_", " ")
    asked = []
    held = set()
    for field, answer in sample.fields.items():
        about = _topic(name, field, rng)
        if about in vocabulary("asked"):
            held |= {about, *entry_of(about).get("near", ())}
            question = phrased(rng, topic(about), document)
            asked.append(Asked(question, about, answer.text, answer.page, answer.box))
    absent = [
        about
        for about in vocabulary("asked")
        if about not in held | _EVERYWHERE and not held.intersection(entry_of(about).get("near", ()))
    ]
    for about in rng.sample(absent, max(1, round(_UNANSWERABLE * len(asked)))):
        asked.append(Asked(phrased(rng, topic(about), document), about, None, 0, (0, 0, 0, 0)))
    return Composition(sample.pages, tuple(asked), name)


def _topic(name: str, field: str, rng: random.Random) -> str:
    if field in {"number", "document_number"}:
        return _NUMBERS.get(name, "reference")
    if field == "date":
        return rng.choice((_DATES.get(name, "date"), "date"))
    return _TOPICS.get(field, field)
