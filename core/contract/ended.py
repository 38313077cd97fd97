"""What a callback is told: how a request ended."""

from typing import Literal

from pydantic import Field

from .answer import AnswerResult
from .classify import ClassifyManyResult, ClassifyResult, ErrorInfo
from .correct import CorrectResult
from .document import Wire
from .retrain import RetrainResult


class Ended(Wire):
    """How a request ended: what the callback's task receives as its argument `outcome`, at least once.

    What is sent again has the same message id, `<task_id>:callback-1`. Where a person had a failed request begin anew
    its next end is another message, `…-2`.
    """

    task_id: str = Field(description="The request's.")
    task: str = Field(description="What was asked: `docintake.classify` …")
    external_id: str | None = Field(description="The back office's own id, where the request gave one.")
    state: Literal["succeeded", "rejected", "failed"]
    result: ClassifyResult | ClassifyManyResult | AnswerResult | CorrectResult | RetrainResult | None = Field(
        default=None, description="None unless it succeeded."
    )
    error: ErrorInfo | None = Field(default=None, description="Why there is no result; none where it succeeded.")
