"""What a back office and docintake agree on. Needs the standard library and pydantic alone."""

from .answer import (
    QUESTIONS_LIMIT,
    AmountValue,
    Answer,
    AnsweredPage,
    AnswerRequest,
    AnswerResult,
    DateValue,
    Evidence,
    IntegerValue,
    QuestionKind,
    Value,
    YesNoValue,
)
from .callback import Callback
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
from .ended import Ended
from .errors import IntakeError
from .names import ANSWER, CLASSIFY, CLASSIFY_MANY, CORRECT, PRIORITIES, QUEUES, RETRAIN
from .retrain import CaptionsFile, RetrainRequest, RetrainResult, TrainingProgress

__all__ = [
    "ANSWER",
    "CLASSIFY",
    "CLASSIFY_MANY",
    "CORRECT",
    "INLINE_LIMIT",
    "PRIORITIES",
    "QUESTIONS_LIMIT",
    "QUEUES",
    "RETRAIN",
    "AmountValue",
    "Answer",
    "AnswerRequest",
    "AnswerResult",
    "AnsweredPage",
    "Callback",
    "CaptionsFile",
    "ClassifyManyRequest",
    "ClassifyManyResult",
    "ClassifyRequest",
    "ClassifyResult",
    "CorrectRequest",
    "CorrectResult",
    "DateValue",
    "DocumentInfo",
    "DocumentReference",
    "Ended",
    "ErrorInfo",
    "Evidence",
    "Handle",
    "IntakeClient",
    "IntakeError",
    "IntegerValue",
    "ManyItem",
    "Outcome",
    "PageResult",
    "Pages",
    "QuestionKind",
    "Reason",
    "RetrainRequest",
    "RetrainResult",
    "TrainingProgress",
    "Value",
    "Wire",
    "YesNoValue",
    "inline",
]
