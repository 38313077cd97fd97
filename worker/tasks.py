"""What each task does: a valid request in, a result and how to store it out. All else stands around it, in `job`."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection

from core.answer import Asked, DocumentType, Inquiry, answer_questions
from core.contract import (
    ANSWER,
    CLASSIFY,
    CLASSIFY_MANY,
    CORRECT,
    QUEUES,
    RETRAIN,
    Answer,
    AnsweredPage,
    AnswerRequest,
    AnswerResult,
    ClassifyManyRequest,
    ClassifyManyResult,
    ClassifyRequest,
    ClassifyResult,
    CorrectRequest,
    CorrectResult,
    ErrorInfo,
    Outcome,
    PageResult,
    RetrainRequest,
)
from core.contract.classify import ClassifyOptions
from core.errors import ModelFailure, RejectedInput
from core.question import TODAY, Question
from db import queries
from db.queries import Job
from db.session import transaction
from worker import job, metrics, retrain, tracing
from worker.catalogue import Choice
from worker.intake import Intake, encode, render, see, take_in, timed
from worker.runtime import Runtime

_ABOUT_TYPE: Final = ("document_type", "verification")
"""Kinds of questions whose answers may depend on what the document is told to be."""


def classify(runtime: Runtime, started: Job, request: ClassifyRequest) -> job.Done:
    """Say what one document is."""
    seconds: dict[str, float] = {}
    with timed(seconds, "classes"):
        choice = _choose_classes(runtime, request)
    pages = request.pages or runtime.settings.documents.pages
    seen = see(runtime, request.document, pages, seconds, choice.encoders)
    with timed(seconds, "decide"):
        thresholds = runtime.settings.deciding.thresholds_of(choice.class_set)
        decision = choice.classifier.decide(seen.pages, thresholds, request.top_k)
    result = ClassifyResult(
        task_id=started.task_id,
        document=seen.document,
        status=decision.status,
        reasons=list(decision.reasons),
        prediction=decision.prediction,
        confidence=decision.confidence,
        probabilities=decision.probabilities,
        pages=[
            PageResult(number=number, source=source, prediction=alone.prediction, confidence=alone.confidence)
            for (number, source), alone in zip(seen.sources, decision.pages, strict=True)
        ],
        class_set=choice.class_set,
        class_set_version=choice.version,
        backend=runtime.encoder,
        checkpoint=choice.checkpoint,
        cached=seen.cached,
        seconds=seconds,
        external_id=request.external_id,
        metadata=request.metadata,
    )

    def store(connection: Connection) -> ClassifyResult:
        queries.put_classification(connection, result, choice.version_id)
        return result

    return job.Done(store, seconds)


def classify_many(runtime: Runtime, started: Job, request: ClassifyManyRequest) -> job.Done:
    """Say what each document of one message is. Each is a job of its own, `<task id>/<index>`, and fails alone."""
    result = _outcomes(runtime, started.task_id, request, started)
    return job.Done(lambda _connection: result, {})


def answer(runtime: Runtime, started: Job, request: AnswerRequest) -> job.Done:
    """Answer questions about one document; only those are asked that this reader has not answered before."""
    from core.understanding import understand

    seconds: dict[str, float] = {}
    intake = take_in(runtime, request.document, request.pages or runtime.settings.documents.pages, seconds)
    sha256 = intake.document.document_id
    asked = [understand(" ".join(text.split())) for text in request.questions]
    choice = _classes_for(runtime, asked)
    readers = {question.text: _reader_of(runtime, question, choice) for question in asked}
    with timed(seconds, "lookup"), transaction(runtime.engine) as connection:
        answers = queries.get_answers(connection, sha256, intake.numbers, readers)
    missing = [text for text in readers if text not in answers]
    metrics.ANSWERS.looked_up(found=len(answers), missing=len(missing))
    new = dict(zip(missing, _ask(runtime, intake, missing, choice, seconds), strict=True))
    answers |= new
    result = AnswerResult(
        task_id=started.task_id,
        document=intake.document,
        answers=[
            answers[question.text].model_copy(update={"question": text})
            for question, text in zip(asked, request.questions, strict=True)
        ],
        pages=[
            AnsweredPage(number=page.number, width=page.width, height=page.height, source=page.source)
            for page in intake.pages
        ],
        reader=runtime.answering,
        class_set=choice and choice.class_set,
        class_set_version=choice and choice.version,
        cached=intake.cached and not missing,
        seconds=seconds,
        external_id=request.external_id,
        metadata=request.metadata,
    )

    def store(connection: Connection) -> AnswerResult:
        kept = {question: answer for question, answer in new.items() if answer.status != "failed"}
        queries.put_answers(connection, sha256, intake.numbers, readers, kept)
        queries.put_inquiry(connection, result)
        return result

    return job.Done(store, seconds)


def correct(runtime: Runtime, started: Job, request: CorrectRequest) -> job.Done:
    """Keep what a person says a document is."""
    seconds: dict[str, float] = {}
    earlier = None if request.task_id is None else _earlier(runtime, request.task_id)
    if request.document is not None:
        wanted = runtime.settings.documents.pages
        intake = take_in(runtime, request.document, wanted, seconds, read=runtime.backend.needs_text)
        # What a person labelled is what there is to learn from.
        encode(runtime, intake, seconds)
        document_id = intake.document.document_id
    elif earlier is not None:
        document_id = earlier.document.document_id
    class_set = request.class_set or (earlier and earlier.class_set) or runtime.settings.deciding.class_set
    names = runtime.catalogue.published(class_set).classifier.names
    if request.label not in names:
        raise RejectedInput(
            "unknown_class",
            f"class set {class_set!r} has no class {request.label!r}; it has {', '.join(sorted(names))}",
        )

    def store(connection: Connection) -> CorrectResult:
        queries.put_correction(
            connection,
            correction_task_id=started.task_id,
            sha256=document_id,
            class_set=class_set,
            label=request.label,
            previous=earlier.prediction if earlier else None,
            task_id=request.task_id,
            by=request.by,
            note=request.note,
        )
        return _correction(connection, started.task_id)

    return job.Done(store, seconds)


def _choose_classes(runtime: Runtime, options: ClassifyOptions) -> Choice:
    if options.classes is not None:
        return runtime.catalogue.one_off(options.classes)
    return runtime.catalogue.published(options.class_set or runtime.settings.deciding.class_set)


def _classes_for(runtime: Runtime, questions: Sequence[Question]) -> Choice | None:
    """The classes that tell a document's type; None where no question asks for it, or they are not in service."""
    if not any(question.kind in _ABOUT_TYPE for question in questions):
        return None
    try:
        return runtime.catalogue.published(runtime.settings.deciding.class_set)
    except RejectedInput:
        # Only those questions fail that need them.
        return None


def _reader_of(runtime: Runtime, question: Question, choice: Choice | None) -> str:
    """Names all that the answer depends on beside the document: what it is kept under."""
    reader = runtime.answering
    if choice is not None and question.kind in _ABOUT_TYPE:
        thresholds = runtime.settings.deciding.thresholds_of(choice.class_set)
        reader += f" {runtime.encoder} {choice.class_set}-{choice.version}-{thresholds.in_set:g}"
        if choice.checkpoint is not None:
            reader += f" {choice.checkpoint}"
    if question.claim is not None and question.claim.target.lower() == TODAY:
        reader += f" {date.today()}"
    return reader


def _ask(
    runtime: Runtime, intake: Intake, questions: Sequence[str], choice: Choice | None, seconds: dict[str, float]
) -> list[Answer]:
    """One answer a question, in order."""
    if not questions:
        return []
    images = render(runtime, intake, intake.pages, seconds) if runtime.answerer.needs_pixels else ()
    inquiry = Inquiry(
        intake.pages, intake.document.page_count, lambda: _document_type(runtime, intake, choice), images
    )

    def outputs(batch: Sequence[Asked]) -> list[Any]:
        answerer = runtime.answerer
        weighed = [(asked, answerer.weight(asked[0])) for asked in batch]
        waiting = runtime.device.submit_all(answerer.run, weighed, queue=QUEUES[ANSWER])
        return [future.exception() or future.result() for future in waiting]

    with timed(seconds, "ask"):
        return answer_questions(runtime.answerer, inquiry, questions, outputs)


def _document_type(runtime: Runtime, intake: Intake, choice: Choice | None) -> DocumentType:
    if choice is None:
        raise RejectedInput(
            "no_default_set",
            f"class set {runtime.settings.deciding.class_set!r}, by which documents' types are told, is not in "
            "service; `docintake classes list` shows those that are",
        )
    thresholds = runtime.settings.deciding.thresholds_of(choice.class_set)
    return DocumentType.of(choice.classifier.decide(encode(runtime, intake, {}, choice.encoders).pages, thresholds))


def _outcomes(
    runtime: Runtime, task_id: str, request: ClassifyManyRequest, started: Job | None = None
) -> ClassifyManyResult:
    delivery = job.Delivery(trace=tracing.place())
    if started is not None:
        delivery = replace(delivery, retries=started.retries, redelivered=started.attempts > started.retries + 1)
    options = request.model_dump(mode="json", exclude={"documents", "callback"}, exclude_defaults=True)

    def one(index: int) -> Outcome:
        payload = {**options, **request.documents[index].model_dump(mode="json", exclude_defaults=True)}
        try:
            result = job.run(runtime, CLASSIFY_JOB, f"{task_id}/{index}", payload, delivery)
        except RejectedInput as error:
            return Outcome(error=ErrorInfo(kind="rejected", code=error.code, message=error.message))
        except ModelFailure as error:
            return Outcome(error=ErrorInfo(kind="failed", code=error.code, message=error.message))
        return Outcome.model_validate({"result": result})

    outcomes = list(runtime.items.map(one, range(len(request.documents))))
    return ClassifyManyResult(task_id=task_id, outcomes=outcomes)


def _earlier(runtime: Runtime, task_id: str) -> ClassifyResult:
    with transaction(runtime.engine) as connection:
        result = queries.get_classification(connection, task_id)
    if result is None:
        raise RejectedInput("unknown_task", f"no classification has task id {task_id}; give the document instead")
    return ClassifyResult.model_validate(result)


def _recall_classification(runtime: Runtime, task_id: str, _request: ClassifyRequest) -> ClassifyResult:
    return _earlier(runtime, task_id)


def _recall_inquiry(runtime: Runtime, task_id: str, _request: AnswerRequest) -> AnswerResult:
    with transaction(runtime.engine) as connection:
        result = queries.get_inquiry(connection, task_id)
    if result is None:
        raise RejectedInput("answers_gone", f"the answers of task {task_id} were removed; ask again")
    return AnswerResult.model_validate(result)


def _recall_correction(runtime: Runtime, task_id: str, _request: CorrectRequest) -> CorrectResult:
    with transaction(runtime.engine) as connection:
        return _correction(connection, task_id)


def _correction(connection: Connection, task_id: str) -> CorrectResult:
    row = queries.get_correction(connection, task_id)
    if row is None:
        raise RejectedInput("correction_gone", f"the correction of task {task_id} was removed; send it again")
    return CorrectResult(
        task_id=task_id,
        correction_id=row.id,
        document_id=row.sha256,
        class_set=row.class_set,
        label=row.label,
        previous=row.previous,
    )


CLASSIFY_JOB: Final = job.Kind(CLASSIFY, ClassifyRequest, classify, _recall_classification)

JOBS: Final[dict[str, job.Kind[Any]]] = {
    CLASSIFY: CLASSIFY_JOB,
    CLASSIFY_MANY: job.Kind(CLASSIFY_MANY, ClassifyManyRequest, classify_many, _outcomes, is_divided=True),
    ANSWER: job.Kind(ANSWER, AnswerRequest, answer, _recall_inquiry),
    CORRECT: job.Kind(CORRECT, CorrectRequest, correct, _recall_correction),
    RETRAIN: job.Kind(RETRAIN, RetrainRequest, retrain.retrain, retrain.recall),
}
"""Every kind of job, by task name."""
