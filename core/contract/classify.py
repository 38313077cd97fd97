"""The classify task: what to send and what comes back."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from .callback import Callback
from .document import Data, DocumentInfo, DocumentReference, Pages, Wire

ClassName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
ClassDescription = Annotated[str, StringConstraints(max_length=10_000)]
CLASSES_LIMIT = 1000
"""Classes that a request may bring along."""
MANY_LIMIT = 256
"""Documents in one `classify_many` message."""


class ClassifyOptions(Wire):
    """What a classification is asked for, beside the document."""

    class_set: str | None = Field(
        default=None,
        max_length=100,
        description="A published class set; without one, the worker's default set.",
    )
    classes: list[ClassName] | dict[ClassName, ClassDescription] | None = Field(
        default=None,
        max_length=CLASSES_LIMIT,
        description="One-off classes instead of a set: names, or name → description in plain words.",
    )
    pages: Pages | None = Field(
        default=None, description="`first`, `all`, or such as `1-3,7`; without it, the worker's default."
    )
    top_k: int = Field(default=5, ge=1, le=CLASSES_LIMIT, description="How many classes the result lists.")

    @field_validator("classes")
    @classmethod
    def _at_least_two_distinct(cls, value: list[str] | dict[str, str] | None) -> list[str] | dict[str, str] | None:
        if value is not None and (len(value) < 2 or len(set(value)) != len(value)):
            raise ValueError("classes needs at least two names, each only once")
        return value

    @model_validator(mode="after")
    def _one_source_of_classes(self) -> Self:
        if self.class_set is not None and self.classes is not None:
            raise ValueError("give class_set or classes, not both")
        return self


class ClassifyRequest(ClassifyOptions):
    """Say what one document is."""

    document: DocumentReference
    external_id: str | None = Field(
        default=None, max_length=200, description="The back office's own id; comes back in the result."
    )
    metadata: Data = Field(default_factory=dict, description="The back office's own data; comes back in the result.")
    callback: Callback | None = Field(default=None, description="Where to send the outcome when it has ended.")


class ManyItem(Wire):
    """One document of a `classify_many` message."""

    document: DocumentReference
    external_id: str | None = Field(default=None, max_length=200)
    metadata: Data = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_plain_uri(cls, value: Any) -> Any:
        return {"document": value} if isinstance(value, str) else value


class ClassifyManyRequest(ClassifyOptions):
    """Say what each of up to 256 documents is, in one message."""

    documents: list[ManyItem] = Field(min_length=1, max_length=MANY_LIMIT)
    callback: Callback | None = Field(
        default=None, description="Where to send all outcomes, in one message, when it has ended."
    )


Reason = Literal["low_confidence", "small_margin", "out_of_set", "blank_page", "pages_disagree"]
"""Why a person should look: see `ClassifyResult.reasons`."""


class PageResult(Wire):
    """What one page looked like by itself."""

    number: int = Field(ge=1, description="1-based page number in the document.")
    source: Literal["text_layer", "ocr", "image", "blank"] = Field(
        description="Where the page's text came from; `image`: only its pixels were looked at."
    )
    prediction: str | None = Field(description="The best class for this page alone; none for a blank page.")
    confidence: float | None = Field(ge=0, le=1)


class ClassifyResult(Wire):
    """What the document is, how sure that is, and everything that it depended on."""

    task_id: str
    document: DocumentInfo
    status: Literal["classified", "needs_review"]
    reasons: list[Reason] = Field(
        description="Empty when `classified`. `low_confidence`: the best class is not likely enough; `small_margin`: "
        "the second is too close; `out_of_set`: it looks like none of the classes; `blank_page`: nothing to read; "
        "`pages_disagree`: its pages look like different documents."
    )
    prediction: str | None = Field(description="The most probable class, also when it needs review; none if blank.")
    confidence: float = Field(ge=0, le=1, description="Calibrated probability of the prediction.")
    probabilities: dict[str, float] = Field(description="The `top_k` most probable classes, best first.")
    pages: list[PageResult]
    class_set: str | None = Field(description="None for one-off classes.")
    class_set_version: int | None = Field(description="None for one-off classes.")
    backend: str = Field(description="Fingerprint of the model and reader that read the document.")
    checkpoint: str | None = Field(
        description="The trained checkpoint that decided, such as `12`; `12+15` is the mean of two; none: untrained."
    )
    cached: bool = Field(description="True when nothing had to be read or encoded for this answer.")
    seconds: dict[str, float] = Field(description="Time spent by stage.")
    external_id: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)

    @field_validator("probabilities")
    @classmethod
    def _best_first(cls, value: dict[str, float]) -> dict[str, float]:
        return dict(sorted(value.items(), key=lambda item: -item[1]))


class ErrorInfo(Wire):
    """Why there is no result."""

    kind: Literal["rejected", "failed"] = Field(
        description="`rejected`: mend the request or its document; `failed`: ours to mend."
    )
    code: str = Field(description="Stable and machine-readable.")
    message: str = Field(description="What, which and what to do.")


class Outcome(Wire):
    """One document's part of a `classify_many` result: a result or an error, never both."""

    result: ClassifyResult | None = None
    error: ErrorInfo | None = None


class ClassifyManyResult(Wire):
    """One outcome a document, in the order of the request."""

    task_id: str
    outcomes: list[Outcome]
