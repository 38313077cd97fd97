"""What each task does: a valid request in, a result and how to store it out. All else stands around it, in `job`."""

from typing import Any, Final

from sqlalchemy import Connection

from core.contract import (
    CLASSIFY,
    CLASSIFY_MANY,
    CORRECT,
    ClassifyManyRequest,
    ClassifyManyResult,
    ClassifyRequest,
    ClassifyResult,
    CorrectRequest,
    CorrectResult,
    ErrorInfo,
    Outcome,
    PageResult,
)
from core.contract.classify import ClassifyOptions
from core.errors import ModelFailure, RejectedInput
from db import queries
from db.queries import Job
from db.session import transaction
from worker import job
from worker.catalogue import Choice
from worker.intake import take_in, timed
from worker.runtime import Runtime


def classify(runtime: Runtime, started: Job, request: ClassifyRequest) -> job.Done:
    """Say what one document is."""
    seconds: dict[str, float] = {}
    with timed(seconds, "classes"):
        choice = _choose_classes(runtime, request)
    intake = take_in(runtime, request.document, request.pages or runtime.settings.documents.pages, seconds)
    with timed(seconds, "decide"):
        thresholds = runtime.settings.deciding.thresholds_of(choice.class_set)
        decision = choice.classifier.decide([(page.number, page.features) for page in intake.pages], thresholds)
    result = ClassifyResult(
        task_id=started.task_id,
        document=intake.document,
        status=decision.status,
        reasons=list(decision.reasons),
        prediction=decision.prediction,
        confidence=decision.confidence,
        probabilities=dict(list(decision.probabilities.items())[: request.top_k]),
        pages=[
            PageResult(
                number=page.number, source=page.source, prediction=alone.prediction, confidence=alone.confidence
            )
            for page, alone in zip(intake.pages, decision.pages, strict=True)
        ],
        class_set=choice.class_set,
        class_set_version=choice.version,
        backend=runtime.encoder,
        checkpoint=None,
        cached=intake.cached,
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
    result = _outcomes(runtime, started.task_id, request, started.retries)
    return job.Done(lambda _connection: result, {})


def correct(runtime: Runtime, started: Job, request: CorrectRequest) -> job.Done:
    """Keep what a person says a document is."""
    seconds: dict[str, float] = {}
    earlier = None if request.task_id is None else _earlier(runtime, request.task_id)
    if request.document is not None:
        pages = runtime.settings.documents.pages
        document_id = take_in(runtime, request.document, pages, seconds).document.document_id
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


def _outcomes(runtime: Runtime, task_id: str, request: ClassifyManyRequest, retries: int = 0) -> ClassifyManyResult:
    options = request.model_dump(mode="json", exclude={"documents"}, exclude_defaults=True)

    def one(index: int) -> Outcome:
        payload = {**options, **request.documents[index].model_dump(mode="json", exclude_defaults=True)}
        try:
            result = job.run(runtime, CLASSIFY_JOB, f"{task_id}/{index}", payload, retries=retries)
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
    CLASSIFY_MANY: job.Kind(CLASSIFY_MANY, ClassifyManyRequest, classify_many, _outcomes),
    CORRECT: job.Kind(CORRECT, CorrectRequest, correct, _recall_correction),
}
"""Every kind of job, by task name."""
