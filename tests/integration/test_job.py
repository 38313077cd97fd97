"""A job's life on a real PostgreSQL, with a runtime as a node holds it."""

import base64
import dataclasses
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from printed import pdf
from serving import Serving
from sqlalchemy import Connection

from core.contract import CLASSIFY, CORRECT, ClassifyRequest, ClassifyResult, Wire
from core.errors import IntakeError, ModelFailure, RejectedInput, TransientFailure
from db import queries
from db.queries import Job
from db.session import UNAVAILABLE, transaction
from worker import job
from worker.runtime import Runtime
from worker.tasks import CLASSIFY_JOB

PRIVATE = "Anna Example, account 4711"


class Work:
    """Stands in for the work of a classify job: does what it is told, and counts."""

    def __init__(self, does: Callable[[], object] = lambda: None) -> None:
        self.starts = 0
        self._does = does
        self._lock = threading.Lock()

    def __call__(self, runtime: Runtime, started: Job, request: ClassifyRequest) -> job.Done:
        with self._lock:
            self.starts += 1
        self._does()
        return CLASSIFY_JOB.work(runtime, started, request)


def run(serving: Serving, work: Work, task_id: str, payload: dict[str, Any] | None = None) -> ClassifyResult:
    kind = dataclasses.replace(CLASSIFY_JOB, work=work)
    result = job.run(
        serving.runtime,
        kind,
        task_id,
        payload if payload is not None else {"document": serving.file("receipt", "goods paid")},
    )
    return cast(ClassifyResult, result)


def failing(error: Exception) -> Work:
    def fail() -> None:
        raise error

    return Work(fail)


def passing_failures(count: int) -> Work:
    """Fails that many times, then works."""
    work = Work(lambda: None)

    def fail() -> None:
        if work.starts <= count:
            raise TransientFailure("fetch_failed", "try again")

    work._does = fail
    return work


def new_id() -> str:
    return uuid.uuid4().hex


def error_of(serving: Serving, work: Work, task_id: str, payload: dict[str, Any] | None = None) -> IntakeError:
    with pytest.raises(IntakeError) as caught:
        run(serving, work, task_id, payload)
    return caught.value


def test_a_job_that_succeeds_has_its_result_and_times_in_its_row(serving: Serving) -> None:
    task_id = new_id()
    result = run(serving, Work(), task_id)
    row = serving.job(task_id)
    assert (row.state, row.task, row.attempts, row.retries, row.node) == ("succeeded", CLASSIFY, 1, 0, "test-node")
    assert row.finished_at
    assert row.seconds == result.seconds
    assert {"classes", "fetch", "read", "encode", "store", "decide"} <= set(result.seconds)


def nested(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("payload", "fields"),
    [
        ({}, ["document"]),
        ({"document": {"uri": PRIVATE, "document_id": "0" * 64}}, ["document"]),
        ({"document": "file:///x", "top_k": PRIVATE, "pages": PRIVATE}, ["top_k", "pages"]),
        ({"document": "file:///x", "pages": "4711-3"}, ["pages"]),
        ({"document": "file:///x", "classes": [PRIVATE]}, ["classes"]),
        ({"document": "file:///x", "metadata": PRIVATE, "colour": PRIVATE}, ["metadata", "colour"]),
        ({"document": "file:///x", "external_id": PRIVATE * 20}, ["external_id"]),
        ({"document": f"file:///{PRIVATE}\0"}, ["document"]),
        ({"document": f"https://me:{PRIVATE}@host/x"}, ["document", "login"]),
        ({"document": "file:///x", "metadata": nested(PRIVATE, 500)}, ["metadata"]),
        ({"document": "file:///x", "colour": nested(PRIVATE, 500)}, ["colour"]),
        ({"document": "file:///x", "metadata": {"a": PRIVATE * 10_000}}, ["metadata"]),
        ({"document": "file:///x", "metadata": {"a": float("nan")}}, ["metadata"]),
    ],
)
def test_a_bad_request_is_rejected_with_a_row_that_names_fields_and_no_values(
    serving: Serving, payload: dict[str, Any], fields: list[str]
) -> None:
    task_id, work = new_id(), Work()
    error = error_of(serving, work, task_id, payload)
    row = serving.job(task_id)
    assert isinstance(error, RejectedInput)
    assert (error.code, row.state, row.error_code, row.error_message) == (
        "bad_request",
        "rejected",
        "bad_request",
        error.message,
    )
    assert all(field in error.message for field in fields)
    assert row.request == {"fields": sorted(payload)}
    for private in (PRIVATE, "4711"):
        assert private not in error.message
    assert work.starts == 0


def test_a_refusal_stays_short_whatever_was_sent(serving: Serving) -> None:
    task_id = new_id()
    error = error_of(serving, Work(), task_id, {f"{number}\0" * 500: 1 for number in range(300)})
    assert len(error.message) < 3000
    assert "\0" not in error.message
    assert "more" in error.message
    assert all(len(field) <= 100 for field in serving.job(task_id).request["fields"])


def test_a_documents_bytes_are_not_kept_in_the_row(serving: Serving) -> None:
    task_id = new_id()
    content = base64.b64encode(pdf(["receipt", "goods paid", task_id])).decode()
    run(serving, Work(), task_id, {"document": {"content": content}, "external_id": "A-1"})
    row = serving.job(task_id)
    assert row.request == {"document": {"inline": True}, "external_id": "A-1"}
    assert row.external_id == "A-1"


def test_a_task_that_succeeded_gives_the_same_result_without_working_again(serving: Serving) -> None:
    task_id, work = new_id(), Work()
    payload = {"document": serving.file("receipt")}
    first = run(serving, work, task_id, payload)
    assert run(serving, work, task_id, payload) == first
    assert (work.starts, serving.job(task_id).attempts) == (1, 1)


@pytest.mark.parametrize("error", [RejectedInput("too_large", "too large"), ModelFailure("model_failed", "see log")])
def test_a_task_that_ended_in_an_error_raises_the_same_without_working_again(
    serving: Serving, error: IntakeError
) -> None:
    task_id, work = new_id(), failing(error)
    payload = {"document": serving.file("receipt")}
    first, again = (error_of(serving, work, task_id, payload) for _ in range(2))
    assert (type(first), first.args) == (type(again), again.args) == (type(error), error.args)
    assert work.starts == 1
    state = "rejected" if isinstance(error, RejectedInput) else "failed"
    assert serving.job(task_id).state == state


def test_two_deliveries_at_once_give_one_result(serving: Serving) -> None:
    task_id, both = new_id(), threading.Barrier(2, timeout=30)
    work = Work(both.wait)
    payload = {"document": serving.file("receipt"), "metadata": {"a": 1}}
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: run(serving, work, task_id, payload), range(2))
    assert work.starts == 2
    assert one == other
    assert (serving.job(task_id).state, serving.job(task_id).seconds) == ("succeeded", one.seconds)


def test_a_delivery_that_fails_after_another_succeeded_gives_that_ones_result(serving: Serving) -> None:
    task_id = new_id()
    payload = {"document": serving.file("receipt")}
    results: list[ClassifyResult] = []

    def overtaken() -> None:
        results.append(run(serving, Work(), task_id, payload))
        raise KeyError(PRIVATE)

    assert run(serving, Work(overtaken), task_id, payload) == results[0]
    assert serving.job(task_id).state == "succeeded"


def test_a_transient_failure_postpones_the_job(serving: Serving) -> None:
    task_id, work = new_id(), passing_failures(1)
    payload = {"document": serving.file("receipt")}
    error = error_of(serving, work, task_id, payload)
    row = serving.job(task_id)
    assert isinstance(error, TransientFailure)
    assert (row.state, row.attempts, row.retries, row.error_code) == ("received", 1, 1, "fetch_failed")
    assert row.finished_at is None
    assert run(serving, work, task_id, payload).task_id == task_id
    row = serving.job(task_id)
    assert (row.state, row.attempts, row.retries, row.error_code) == ("succeeded", 2, 1, None)


def test_a_failure_that_does_not_pass_is_given_up_after_the_last_retry(serving: Serving) -> None:
    task_id, work = new_id(), passing_failures(100)
    payload = {"document": serving.file("receipt")}
    errors = [error_of(serving, work, task_id, payload) for _ in range(4)]
    assert [type(error) for error in errors] == [TransientFailure, TransientFailure, ModelFailure, ModelFailure]
    assert errors[2].code == "fetch_failed"
    assert "jobs retry" in errors[2].message
    assert work.starts == 3
    assert (serving.job(task_id).state, serving.job(task_id).error_code) == ("failed", "fetch_failed")


def test_a_database_that_is_away_is_never_given_up_on(serving: Serving) -> None:
    task_id, work = new_id(), failing(TransientFailure(UNAVAILABLE, "try again"))
    payload = {"document": serving.file("receipt")}
    for _ in range(serving.runtime.settings.node.max_retries + 3):
        assert isinstance(error_of(serving, work, task_id, payload), TransientFailure)
    assert serving.job(task_id).state == "received"
    assert run(serving, Work(), task_id, payload).task_id == task_id


def test_a_task_that_keeps_taking_its_node_down_is_set_aside(serving: Serving) -> None:
    task_id, work = new_id(), Work(lambda: (_ for _ in ()).throw(SystemExit))
    payload = {"document": serving.file("receipt")}
    for attempt in (1, 2, 3):
        with pytest.raises(SystemExit):
            run(serving, work, task_id, payload)
        assert (serving.job(task_id).state, serving.job(task_id).attempts) == ("started", attempt)
    error = error_of(serving, work, task_id, payload)
    assert isinstance(error, ModelFailure)
    assert error.code == "poison"
    assert work.starts == 3
    assert (serving.job(task_id).state, serving.job(task_id).error_code) == ("failed", "poison")


def test_retries_do_not_count_as_deaths(serving: Serving) -> None:
    task_id = new_id()
    payload = {"document": serving.file("receipt")}
    for _ in range(2):
        error_of(serving, passing_failures(100), task_id, payload)
    with pytest.raises(SystemExit):
        run(serving, Work(lambda: (_ for _ in ()).throw(SystemExit)), task_id, payload)
    assert serving.job(task_id).attempts == 3
    assert run(serving, Work(), task_id, payload).task_id == task_id


def test_a_fault_of_ours_ends_the_job_and_says_nothing_of_what_it_met(serving: Serving) -> None:
    task_id = new_id()
    error = error_of(serving, failing(KeyError(PRIVATE)), task_id)
    row = serving.job(task_id)
    assert isinstance(error, ModelFailure)
    assert (error.code, row.state, row.error_code) == ("unexpected", "failed", "unexpected")
    assert row.error_message == error.message
    assert "KeyError" in error.message
    assert "test-node" in error.message
    assert PRIVATE not in error.message


def test_a_fault_while_storing_leaves_no_half_of_the_result(serving: Serving) -> None:
    def work(runtime: Runtime, started: Job, request: ClassifyRequest) -> job.Done:
        done = CLASSIFY_JOB.work(runtime, started, request)

        def store(connection: Connection) -> Wire:
            done.store(connection)
            raise KeyError(PRIVATE)

        return job.Done(store, done.seconds)

    task_id = new_id()
    kind = dataclasses.replace(CLASSIFY_JOB, work=work)
    with pytest.raises(ModelFailure):
        job.run(serving.runtime, kind, task_id, {"document": serving.file("receipt")})
    assert serving.job(task_id).state == "failed"
    with transaction(serving.database) as connection:
        assert queries.get_classification(connection, task_id) is None


@pytest.mark.parametrize("ended", [True, False])
def test_another_tasks_id_is_refused_and_that_task_left_alone(serving: Serving, ended: bool) -> None:
    task_id = new_id()
    document = serving.file("receipt")
    if ended:
        run(serving, Work(), task_id, {"document": document})
    else:
        error_of(serving, passing_failures(1), task_id, {"document": document})
    before = serving.job(task_id)
    with pytest.raises(RejectedInput) as caught:
        serving.run(CORRECT, {"document": document, "label": "letter", "by": "Ann"}, task_id)
    assert caught.value.code == "task_id_taken"
    assert serving.job(task_id) == before


def test_a_bad_request_with_the_id_of_a_success_is_refused(serving: Serving) -> None:
    task_id = new_id()
    run(serving, Work(), task_id)
    before = serving.job(task_id)
    assert error_of(serving, Work(), task_id, {"colour": "red"}).code == "task_id_taken"
    assert serving.job(task_id) == before


def test_a_failed_job_that_a_person_reopened_is_worked_on_again(serving: Serving) -> None:
    task_id = new_id()
    payload = {"document": serving.file("receipt")}
    error_of(serving, failing(ModelFailure("model_failed", "see log")), task_id, payload)
    with transaction(serving.database) as connection:
        assert queries.reopen_job(connection, task_id=task_id)
    assert run(serving, Work(), task_id, payload).task_id == task_id
    assert (serving.job(task_id).state, serving.job(task_id).attempts) == ("succeeded", 1)
