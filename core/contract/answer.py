"""The answer task: what to send and what comes back."""

from datetime import date as Date  # noqa: N812 - a field is called date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator

from .callback import Callback
from .classify import ErrorInfo
from .document import Data, DocumentInfo, DocumentReference, Pages, Wire

QUESTIONS_LIMIT = 100
"""Questions in one request."""

QuestionText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
QuestionKind = Literal["document_type", "counting", "extraction", "verification"]


class AnswerRequest(Wire):
    """Answer questions about one document."""

    document: DocumentReference
    questions: list[QuestionText] = Field(
        min_length=1,
        max_length=QUESTIONS_LIMIT,
        description="In plain words; one string is one question.",
    )
    pages: Pages | None = Field(
        default=None, description="`first`, `all`, or such as `1-3,7`; without it, the worker's default."
    )
    external_id: str | None = Field(
        default=None, max_length=200, description="The back office's own id; comes back in the result."
    )
    metadata: Data = Field(default_factory=dict, description="The back office's own data; comes back in the result.")
    callback: Callback | None = Field(default=None, description="Where to send the outcome when it has ended.")

    @field_validator("questions", mode="before")
    @classmethod
    def _from_one(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class DateValue(Wire):
    type: Literal["date"] = "date"
    date: Date = Field(description="ISO 8601.")


class AmountValue(Wire):
    type: Literal["amount"] = "amount"
    amount: Decimal = Field(description="As a decimal string, so that no digit is lost.")
    currency: str | None = Field(default=None, description="ISO 4217, where the page tells it.")


class IntegerValue(Wire):
    type: Literal["integer"] = "integer"
    integer: int


class YesNoValue(Wire):
    type: Literal["yes_no"] = "yes_no"
    yes: bool


Value = Annotated[DateValue | AmountValue | IntegerValue | YesNoValue, Field(discriminator="type")]
"""An answer in a form to calculate with."""


class Evidence(Wire):
    """A line of the page that the answer was taken from."""

    page: int = Field(ge=1, description="1-based page number in the document.")
    box: tuple[float, float, float, float] = Field(
        description="Left, top, right, bottom in pixels of the upright page, whose size stands in `pages`."
    )
    text: str = Field(description="The line as it was read.")


class Answer(Wire):
    """What the document says to one question."""

    question: str
    kind: QuestionKind = Field(description="What the question was understood to be.")
    status: Literal["answered", "not_found", "failed"] = Field(
        description="`not_found`: the pages that were read do not hold it; `failed`: see `error`."
    )
    answer: str | None = Field(default=None, description="As printed; a word of ours for counts, yes and no.")
    value: Value | None = Field(default=None, description="The answer's normalised value, where it has one.")
    confidence: float = Field(ge=0, le=1, description="How likely it is that this is right, `not_found` too.")
    evidence: list[Evidence] = Field(default_factory=list, description="In reading order; empty unless answered.")
    error: ErrorInfo | None = Field(default=None, description="Why it failed.")


class AnsweredPage(Wire):
    """A page that was read for the answers."""

    number: int = Field(ge=1, description="1-based page number in the document.")
    width: int = Field(description="Pixels of the upright page.")
    height: int = Field(description="Pixels of the upright page.")
    source: Literal["text_layer", "ocr", "blank"] = Field(description="Where the page's text came from.")


class AnswerResult(Wire):
    """One answer a question, in the order of the request, and everything that they depended on."""

    task_id: str
    document: DocumentInfo
    answers: list[Answer]
    pages: list[AnsweredPage]
    reader: str = Field(description="Fingerprint of the model and reader that answered.")
    class_set: str | None = Field(default=None, description="The classes that a document's type was told by, if any.")
    class_set_version: int | None = None
    cached: bool = Field(description="True when nothing had to be read or asked of the model for these answers.")
    seconds: dict[str, float] = Field(description="Time spent by stage.")
    external_id: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
