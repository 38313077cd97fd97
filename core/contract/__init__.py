"""What a back office and docintake agree on. Needs the standard library and pydantic alone."""

from .classify import (
    ClassifyManyRequest,
    ClassifyManyResult,
    ClassifyRequest,
    ClassifyResult,
    ErrorInfo,
    ManyItem,
    Outcome,
    PageResult,
    Reason,
)
from .client import Handle, IntakeClient, inline
from .correct import CorrectRequest, CorrectResult
from .document import INLINE_LIMIT, DocumentInfo, DocumentReference, Pages, Wire
from .errors import IntakeError
from .names import CLASSIFY, CLASSIFY_MANY, CORRECT, PRIORITIES, QUEUES

__all__ = [
    "CLASSIFY",
    "CLASSIFY_MANY",
    "CORRECT",
    "INLINE_LIMIT",
    "PRIORITIES",
    "QUEUES",
    "ClassifyManyRequest",
    "ClassifyManyResult",
    "ClassifyRequest",
    "ClassifyResult",
    "CorrectRequest",
    "CorrectResult",
    "DocumentInfo",
    "DocumentReference",
    "ErrorInfo",
    "Handle",
    "IntakeClient",
    "IntakeError",
    "ManyItem",
    "Outcome",
    "PageResult",
    "Pages",
    "Reason",
    "Wire",
    "inline",
]
