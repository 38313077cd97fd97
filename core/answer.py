"""Answering questions about one document: what every way of answering has in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import structlog

from core.contract import ErrorInfo
from core.contract.answer import Answer
from core.errors import IntakeError, ModelFailure, TransientFailure
from core.page import Page
from core.picture import Pixels
from core.question import Question

if TYPE_CHECKING:
    from core.classify import Decision

Asked = tuple[Any, Question]
"""A prepared document, and a question about it."""
Outputs = Callable[[Sequence[Asked]], Sequence[Any]]
"""Has an answerer run: one output each, in order, or the error in place of one that could not be had."""

SURE: Final = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DocumentType:
    """What the document is as a whole, and how likely; None where it is none of the known classes."""

    name: str | None
    confidence: float

    @classmethod
    def of(cls, decision: "Decision") -> Self:
        """What the classifier decided, among all the types that there are."""
        if decision.prediction is None or "out_of_set" in decision.reasons:
            return cls(None, 1 - decision.in_set)
        return cls(decision.prediction, decision.confidence * decision.in_set)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One document to ask about.

    `images` are the pages' pixels, in the order of `pages`, for answerers that need them; `document_type` says what
    the document is, and is called at most once for each question about that, never by `run`, whose thread it needs.
    `page_count` is the whole document's.
    """

    pages: tuple[Page, ...]
    page_count: int
    document_type: Callable[[], DocumentType]
    images: tuple[Pixels, ...] = ()


class Answerer(Protocol):
    """A way of answering. Its work has three parts: `run` alone touches the device, for questions about several
    documents at once; `prepare` and `finish` run on any thread.
    """

    fingerprint: str
    """Names the weights and the code that answer: answers of another fingerprint are asked for anew."""
    needs_pixels: bool

    def prepare(self, inquiry: Inquiry) -> Any:
        """What `run` needs of the document, once for all its questions."""

    def weight(self, prepared: Any) -> int:
        """What one question about the document adds to a batch, in tiles or as many texts."""

    def run(self, batch: Sequence[Asked]) -> list[Any]:
        """One output each, in order; the same whatever company a question is in."""

    def finish(self, prepared: Any, question: Question, output: Any) -> Answer:
        """The answer that the output stands for: `answered` with evidence, or `not_found`."""


def answer_questions(answerer: Answerer, inquiry: Inquiry, texts: Sequence[str], outputs: Outputs) -> list[Answer]:
    """One answer a question, in order. A question that cannot be answered fails alone.

    Raises TransientFailure, where all of them are to be asked again.
    """
    from core.understanding import understand

    questions = [understand(text) for text in texts]
    if all(page.is_blank for page in inquiry.pages):
        return [not_found(question, SURE) for question in questions]
    prepared = answerer.prepare(inquiry)
    found = outputs([(prepared, question) for question in questions])
    return [_finish(answerer, prepared, question, output) for question, output in zip(questions, found, strict=True)]


def not_found(question: Question, confidence: float) -> Answer:
    """That the document does not hold the answer."""
    return Answer(question=question.text, kind=question.kind, status="not_found", confidence=confidence)


def directly(answerer: Answerer) -> Outputs:
    """Runs it on the caller's thread, for commands that have the model to themselves. A failing batch is halved."""

    def run(batch: Sequence[Asked]) -> list[Any]:
        try:
            return answerer.run(batch)
        except TransientFailure:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a model raises belongs to the question that made it raise
            if len(batch) == 1:
                return [error]
            middle = len(batch) // 2
            return [*run(batch[:middle]), *run(batch[middle:])]

    return run


def _finish(answerer: Answerer, prepared: Any, question: Question, output: Any) -> Answer:
    try:
        if isinstance(output, Exception):
            raise output
        return answerer.finish(prepared, question, output)
    except TransientFailure:
        raise
    except Exception as error:
        failure = error if isinstance(error, IntakeError) else _unexpected(error)
        # The question itself may be private: it is not logged.
        log.exception("question failed", code=failure.code)
        return Answer(
            question=question.text,
            kind=question.kind,
            status="failed",
            confidence=0,
            error=ErrorInfo(kind="failed", code=failure.code, message=failure.message),
        )


def _unexpected(error: Exception) -> ModelFailure:
    return ModelFailure("unexpected", f"{type(error).__name__} while answering; the log of the node has more")
