"""The embedded way of answering: what is asked for is looked up on the pages, as it is printed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from core.answer import Inquiry, not_found
from core.backends import Vectors
from core.contract import Answer, Evidence
from core.counting import count
from core.extraction.candidate import Candidate
from core.extraction.ranker import Ranker
from core.extraction.sheet import Sheet, sheet_of
from core.extraction.signals import Asked, signals_of
from core.fields import LEXICON, FieldLexicon
from core.page import Page
from core.question import Question
from core.value import is_day_first, normalise
from core.verification import inner, verify

EXTRACTOR: Final = "1"
"""Version of this code: its answers are asked for anew when it changes."""
NONE_ABOVE: Final = 0.5
"""Probability that the document does not hold the answer, from which on that is the answer."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document and its sheet; None where every page is blank."""

    inquiry: Inquiry
    sheet: Sheet


class Extractor:
    """Answers with pieces of the pages, ranked over sentence vectors and layout. Needs no pixels."""

    needs_pixels = False

    def __init__(
        self, encoder: str, encode_texts: Callable[[Sequence[str]], Vectors], lexicon: FieldLexicon = LEXICON
    ) -> None:
        """`encoder` is the fingerprint of what `encode_texts` does. Raises ModelFailure(`reader_unloadable`)."""
        self._encode_texts = encode_texts
        self._lexicon = lexicon
        self._ranker = Ranker.load()
        self.fingerprint = f"extractor-{EXTRACTOR}-{self._ranker.digest[:12]}-{lexicon.digest[:8]} {encoder}"

    def prepare(self, inquiry: Inquiry) -> Prepared:
        return Prepared(inquiry, sheet_of(inquiry.pages, self._lexicon))

    def run(self, prepared: Prepared, questions: Sequence[Question]) -> list[Vectors]:
        """For each question (2, dimensions): the vectors of its subject and of the whole of it."""
        sheet = prepared.sheet
        if sheet.vectors is None:
            sheet.encode(self._encode_texts)
        extracted = [_to_extract(question) for question in questions]
        vectors = self._encode_texts([text for question in extracted for text in (question.subject, question.text)])
        return list(vectors.reshape(len(questions), 2, -1))

    def finish(self, prepared: Prepared, question: Question, output: Vectors) -> Answer:
        inquiry = prepared.inquiry
        if question.kind == "document_type":
            return _document_type(inquiry, question)
        if question.kind == "counting":
            return count(
                question,
                inquiry.pages,
                inquiry.page_count,
                lambda printed: self._extract(prepared.sheet, printed, output),
            )
        if question.kind == "verification":
            behind = inner(question)
            found = None if behind is None else self.finish(prepared, behind, output)
            return verify(question, found, inquiry.pages, inquiry.document_type)
        return self._extract(prepared.sheet, question, output)

    def _extract(self, sheet: Sheet, question: Question, vectors: Vectors) -> Answer:
        if not sheet.candidates:
            return not_found(question, 1.0)
        asked = Asked(question, vectors[0], vectors[1], self._lexicon.fields_asked(question.subject))
        shares, none = self._ranker.probabilities(*signals_of(sheet, asked))
        together: dict[str, float] = {}
        for candidate, share in zip(sheet.candidates, shares, strict=True):
            key = "".join(candidate.text.split()).casefold()
            together[key] = together.get(key, 0.0) + float(share)
        likeliest = max(together, key=together.__getitem__)
        if none > NONE_ABOVE or together[likeliest] <= 0:
            return not_found(question, none)
        best = max(
            (
                index
                for index, item in enumerate(sheet.candidates)
                if "".join(item.text.split()).casefold() == likeliest
            ),
            key=lambda index: shares[index],
        )
        return _found(question, sheet.candidates[best], sheet, together[likeliest])


def _found(question: Question, candidate: Candidate, sheet: Sheet, share: float) -> Answer:
    page = sheet.layouts[candidate.layout].page
    text = candidate.text.replace("\n", " ")
    return Answer(
        question=question.text,
        kind=question.kind,
        status="answered",
        answer=text,
        value=normalise(question.expects, text, is_day_first("\n".join(page.text for page in sheet.pages))),
        confidence=min(share, 1.0),
        evidence=_evidence(page, candidate.lines),
    )


def _evidence(page: Page, lines: Sequence[int]) -> list[Evidence]:
    return [Evidence(page=page.number, box=page.lines[line].box, text=page.lines[line].text) for line in lines]


def _to_extract(question: Question) -> Question:
    """The question whose answer is looked up on the pages: behind a claim stands another one."""
    return (question.kind == "verification" and inner(question)) or question


def _document_type(inquiry: Inquiry, question: Question) -> Answer:
    kind = inquiry.document_type()
    if kind.name is None:
        return not_found(question, kind.confidence)
    return Answer(
        question=question.text,
        kind=question.kind,
        status="answered",
        answer=kind.name.replace("_", " "),
        confidence=kind.confidence,
        evidence=_title(inquiry.pages, kind.name),
    )


def _title(pages: Sequence[Page], name: str) -> list[Evidence]:
    """The first line that says what the document is, if any does."""
    words = name.replace("_", " ").casefold()
    for page in pages:
        for index, line in enumerate(page.lines):
            if words in line.text.casefold():
                return _evidence(page, [index])
    return []
