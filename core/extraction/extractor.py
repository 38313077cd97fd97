"""The embedded way of answering: what is asked for is looked up on the pages, as it is printed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from core.answer import SURE, Inquiry, not_found
from core.backends import Vectors
from core.contract import Answer, Evidence
from core.counting import count
from core.extraction.candidate import Candidate
from core.extraction.ranker import Ranker
from core.extraction.sheet import Sheet, sheet_of
from core.extraction.signals import Asked, signals_of
from core.field import LEXICON, FieldLexicon
from core.page import Page
from core.question import Question
from core.value import is_day_first, normalise
from core.verification import inner, verify

EXTRACTOR: Final = "2"
"""Version of this code: its answers are asked for anew when it changes."""
LEAST: Final = 0.12
"""Probability of an answer below which the document is taken not to hold it."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document and its sheet."""

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

    def weight(self, _prepared: Prepared) -> int:
        return 1

    def run(self, batch: Sequence[tuple[Prepared, Question]]) -> list[Vectors]:
        """For each question (2, dimensions): the vectors of its subject and of the whole of it."""
        for prepared, _ in batch:
            if prepared.sheet.vectors is None:
                prepared.sheet.encode(self._encode_texts)
        extracted = [_to_extract(question) for _, question in batch]
        vectors = self._encode_texts([text for question in extracted for text in (question.subject, question.text)])
        return list(vectors.reshape(len(batch), 2, -1))

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
            return not_found(question, SURE)
        asked = Asked(question, vectors[0], vectors[1], self._lexicon.fields_asked(question))
        rows, candidates, none = signals_of(sheet, asked)
        shares, missing = self._ranker.probabilities(candidates, none)
        # The same text in several places is one answer.
        together: dict[str, float] = {}
        for row, share in zip(rows, shares, strict=True):
            together[sheet.keys[row]] = together.get(sheet.keys[row], 0.0) + float(share)
        likeliest = max(together, key=together.__getitem__, default="")
        share = together.get(likeliest, 0.0)
        if share < max(LEAST, missing):
            return not_found(question, 1 - share)
        best = max((place for place, row in enumerate(rows) if sheet.keys[row] == likeliest), key=shares.__getitem__)
        return _found(question, sheet.candidates[rows[best]], sheet, share)


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
