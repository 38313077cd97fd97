"""The correct task: a person says what a document really is."""

from typing import Self

from pydantic import Field, model_validator

from .callback import Callback
from .document import DocumentReference, Wire


class CorrectRequest(Wire):
    """The right class of a document, or of an earlier request's document."""

    document: DocumentReference | None = Field(default=None, description="The document; or give `task_id`.")
    task_id: str | None = Field(default=None, max_length=200, description="An earlier classify request.")
    label: str = Field(min_length=1, max_length=200, description="The right class, by name.")
    class_set: str | None = Field(
        default=None,
        max_length=100,
        description="The set that the label belongs to; without one, the earlier request's or the default set.",
    )
    by: str = Field(min_length=1, max_length=200, description="Who says so.")
    note: str | None = Field(default=None, max_length=2000)
    callback: Callback | None = Field(default=None, description="Where to send the outcome when it has ended.")

    @model_validator(mode="after")
    def _document_or_task(self) -> Self:
        if (self.document is None) == (self.task_id is None):
            raise ValueError("give document or task_id, one of them")
        return self


class CorrectResult(Wire):
    """The label as stored."""

    task_id: str
    correction_id: int
    document_id: str
    class_set: str
    label: str
    previous: str | None = Field(description="What the worker had said, where it had said anything.")
