"""What speaks for and against each candidate of a question, as numbers for the ranker."""

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.backends import Vectors
from core.extraction.candidate import FORMS
from core.extraction.fit import fits
from core.extraction.layout import Indices
from core.extraction.shape import SHAPE
from core.extraction.sheet import KINDS, PLACE, RELATIONS, Sheet
from core.features import STOPWORDS, words_of
from core.question import Question

Floats = NDArray[np.float32]

CHANNELS: Final = ("meaning", "question", "asked_words", "text_words", "field", "other_field")
"""How a text around a candidate is like the question: cosine with its subject and with the whole of it, share of the
subject's words in the text and of the text's words in the subject, a field in common, another field."""
EXPECTED: Final = (
    *("date", "time", "amount", "number", "percent", "identifier", "person"),
    *("organisation", "address", "country", "phone", "email", "url", "text"),
)
_TYPED: Final = frozenset({"date", "time", "amount", "number", "percent", "phone", "email", "url"})
_KINDS_OF: Final = {
    "number": ("number", "amount", "identifier"),
    "identifier": ("identifier", "number"),
    "amount": ("amount", "number"),
}
_SHAPE_OF: Final = {
    "person": "person",
    "organisation": "company",
    "address": "address",
    "country": "country",
    "identifier": "identifier",
}
ROLES: Final[dict[str, tuple[str, ...]]] = {
    "total": ("total", "amount_due"),
    "date": ("date",),
    "vendor": ("vendor", "company", "sender", "bank", "insurer", "employer", "clinic", "registrant", "carrier"),
    "vendor_address": ("vendor_address",),
    "address": ("address", "customer_address", "recipient_address", "employer_address", "property_address"),
    "customer": ("customer", "recipient", "account_holder", "payee", "consignee", "employee", "patient", "member"),
    "name": ("name", "surname", "given_names", "policyholder"),
    "signer": ("signed_by",),
    "title": ("title", "subject"),
    "number": ("number", "document_number"),
    "amount": ("subtotal", "net", "tax", "amount"),
}
"""Fields that often stand without a label: where on the page is then all there is to go by."""
MATCH: Final = ("kind", "only_kind", "typed", "typed_without_kind", "likeness")
LABELS: Final = ("inline", "left", "label", "above", "header", "below", "section")
"""Relations to what may be a candidate's label."""
COMPARED: Final = ("meaning", "question", "asked_words", "field")
SIGNALS: Final = (
    *(f"{relation}_{channel}" for relation in RELATIONS for channel in CHANNELS),
    *(f"best_{channel}" for channel in COMPARED),
    *(f"behind_{channel}" for channel in COMPARED),
    *MATCH,
    *SHAPE,
    *(f"is_{kind}" for kind in KINDS),
    *(f"form_{form}" for form in FORMS),
    *PLACE,
    *(f"expects_{expected}" for expected in EXPECTED),
    *(f"role_{role}" for role in ROLES),
    "knows_field",
    "asks_much",
)
"""Names of a candidate's signals, in order."""
NONE_SIGNALS: Final = (
    *(f"best_{relation}_{channel}" for relation in RELATIONS for channel in CHANNELS),
    *(f"expects_{expected}" for expected in EXPECTED),
    *(f"role_{role}" for role in ROLES),
    "knows_field",
    "asks_much",
    "has_kind",
    "best_likeness",
    "crowd",
    "prose",
)
"""Names of the signals that say whether the document holds the answer at all."""
_LOOKS_ALIKE: Final = 0.8


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with what the device and the lexicon made of it: vectors of its subject and of the whole of it."""

    question: Question
    subject: Vectors
    whole: Vectors
    fields: dict[str, float]


def signals_of(sheet: Sheet, asked: Asked) -> tuple[Indices, Floats, Floats]:
    """Which candidates can be the answer, (those, SIGNALS) and (NONE_SIGNALS,)."""
    fitting = [fits(candidate, asked.question.expects) for candidate in sheet.candidates]
    rows = np.flatnonzero(fitting)
    channels = _channels(sheet, asked)
    # One row of zeros at the end: NONE is the last index.
    padded = np.vstack([channels, np.zeros((1, len(CHANNELS)), dtype=np.float32)])
    around = padded[sheet.around[rows]].reshape(len(rows), len(RELATIONS) * len(CHANNELS))
    best = _best(around)
    behind = best.max(axis=0, initial=0) - best
    match = _match(sheet, asked.question)[rows]
    whole = _whole(asked)
    repeated = np.broadcast_to(whole, (len(around), len(whole)))
    looks = (part[rows] for part in (sheet.shapes, sheet.kinds, sheet.forms, sheet.places))
    candidates = np.hstack([around, best, behind, match, *looks, repeated])
    none = np.concatenate(
        [
            around.max(axis=0, initial=0),
            whole,
            [
                match[:, MATCH.index("kind")].max(initial=0),
                match[:, MATCH.index("likeness")].max(initial=0),
                sheet.places[0, PLACE.index("crowd")],
                float(np.mean([bool(candidate.sentence) for candidate in sheet.candidates])),
            ],
        ]
    )
    return rows, candidates.astype(np.float32), none.astype(np.float32)


def _best(around: Floats) -> Floats:
    """(candidates, COMPARED): how like the question the most alike of a candidate's labels is."""
    names = [f"{relation}_{channel}" for relation in RELATIONS for channel in CHANNELS]
    columns = [[names.index(f"{relation}_{channel}") for relation in LABELS] for channel in COMPARED]
    return np.stack([around[:, part].max(axis=1) for part in columns], axis=1)


def _channels(sheet: Sheet, asked: Asked) -> Floats:
    """(texts, CHANNELS)"""
    assert sheet.vectors is not None  # noqa: S101 - the device has run
    count = len(sheet.texts)
    channels = np.zeros((count, len(CHANNELS)), dtype=np.float32)
    channels[:, 0] = sheet.vectors @ asked.subject
    channels[:, 1] = sheet.vectors @ asked.whole
    words = [word for word in words_of(asked.question.subject) if word not in STOPWORDS]
    matched = np.zeros(count, dtype=np.float32)
    for word in words:
        best = np.zeros(count, dtype=np.float32)
        for other, texts in sheet.words.items():
            likeness = _likeness(word, other)
            if likeness:
                best[texts] = np.maximum(best[texts], likeness)
        matched += best
    if words:
        channels[:, 2] = matched / len(words)
        channels[:, 3] = np.minimum(matched / sheet.counts, 1)
    for name, scores in sheet.labelled.items():
        wanted = asked.fields.get(name, 0.0)
        channels[:, 4] = np.maximum(channels[:, 4], scores * wanted)
        channels[:, 5] = np.maximum(channels[:, 5], scores * (1 - wanted))
    # A label that several fields share speaks against none of them.
    channels[:, 5] *= 1 - channels[:, 4]
    return channels


def _likeness(word: str, other: str) -> float:
    if word == other:
        return 1.0
    if min(len(word), len(other)) >= 4:
        if other.startswith(word) or word.startswith(other):
            return 0.8
        if word[0] == other[0] and abs(len(word) - len(other)) <= 2:
            matcher = SequenceMatcher(None, word, other, autojunk=False)
            if matcher.real_quick_ratio() >= _LOOKS_ALIKE and matcher.ratio() >= _LOOKS_ALIKE:
                return 0.7
    if len(word) >= 5 and word in other:
        return 0.7
    return 0.0


def _match(sheet: Sheet, question: Question) -> Floats:
    kinds = _KINDS_OF.get(question.expects, (question.expects,))
    columns = [KINDS.index(kind) for kind in kinds if kind in KINDS]
    strength = np.array([1.0, 0.6, 0.4], dtype=np.float32)[: len(columns)]
    kind = (sheet.kinds[:, columns] * strength).max(axis=1) if columns else np.zeros(len(sheet.candidates))
    typed = float(question.expects in _TYPED)
    shaped = _SHAPE_OF.get(question.expects)
    likeness = sheet.shapes[:, SHAPE.index(shaped)] if shaped else np.zeros(len(sheet.candidates))
    only = kind * (sheet.kinds.sum(axis=1) == 1)
    return np.column_stack([kind, only, np.full(len(kind), typed), typed * (kind == 0), likeness]).astype(np.float32)


def _whole(asked: Asked) -> Floats:
    top = max(asked.fields, key=asked.fields.__getitem__, default="")
    return np.array(
        [
            *(asked.question.expects == expected for expected in EXPECTED),
            *(top in names for names in ROLES.values()),
            max(asked.fields.values(), default=0.0),
            min(len(asked.question.subject.split()), 8) / 8,
        ],
        dtype=np.float32,
    )
