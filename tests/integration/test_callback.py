"""Outcomes sent to back offices, on a real PostgreSQL and Redis: what is sent when, and that nothing else is done."""

import base64
import dataclasses
import json
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from pydantic import SecretStr
from serving import Serve, Serving
from sqlalchemy import event, text

from core.contract import (
    ANSWER,
    CLASSIFY,
    CLASSIFY_MANY,
    CORRECT,
    RETRAIN,
    AnswerResult,
    ClassifyManyResult,
    ClassifyResult,
    CorrectResult,
    Ended,
    RetrainResult,
)
from core.errors import IntakeError, ModelFailure, RejectedInput
from core.settings import Callbacks, Model, Node
from db import queries
from db.session import transaction
from worker import callback, job
from worker.app import make_app
from worker.case import Case
from worker.forget import Forgetting
from worker.reaper import reap
from worker.tasks import JOBS


@dataclasses.dataclass
class Office:
    """A back office with a queue of its own, as it would find it with no worker at it."""

    serving: Serving
    app: Celery
    redis: redis.Redis
    queue: str

    @property
    def callback(self) -> dict[str, str]:
        return {"task": "office.outcome", "queue": self.queue}

    def run(self, name: str, task_id: str = "", **request: Any) -> str:
        """Run a task as a node does, however it ends; returns its id."""
        task_id = task_id or uuid.uuid4().hex
        with suppress(IntakeError):
            self.serving.run(name, {"callback": self.callback, **request}, task_id)
        return task_id

    def ended_run(self) -> str:
        """As a trainer leaves it, which has torch to do so."""
        task_id = uuid.uuid4().hex
        result = RetrainResult(
            task_id=task_id, class_set="intake", status="skipped", reasons=[], run_id=1, checkpoint=None
        )
        with transaction(self.serving.database) as connection:
            queries.start_job(connection, task_id=task_id, task=RETRAIN, request={}, external_id=None, node="trainer")
            run = queries.open_run(connection, task_id=task_id, class_set="intake", node="trainer")
            assert run
            queries.finish_run(connection, run.id, state="skipped", fingerprint=None, result=result.model_dump())
            queries.finish_job(connection, task_id=task_id, state="succeeded")
            queries.put_callback(connection, task_id=task_id, task="office.outcome", queue=self.queue)
        return task_id

    def deliver(self, task_id: str, app: Celery | None = None) -> bool:
        return callback.deliver(self.serving.runtime, app or self.app, task_id)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Oldest first."""
        return [json.loads(item) for item in reversed(self.redis.lrange(self.queue, 0, -1))]

    @property
    def told(self) -> list[tuple[str, Ended]]:
        """Message id and outcome of each."""
        return [
            (
                message["headers"]["id"],
                Ended.model_validate(json.loads(base64.b64decode(message["body"]))[1]["outcome"]),
            )
            for message in self.messages
        ]

    def do(self, statement: str, **values: Any) -> None:
        with transaction(self.serving.database) as connection:
            connection.execute(text(statement), values)


@pytest.fixture(scope="module")
def offices(serve: Serve, redis_url: str) -> Iterator[Office]:
    settings = {
        "model": Model(backend="fake"),
        "callbacks": Callbacks(queues=("office-*",), resend_after=5),
        "node": Node(concurrency=4, class_refresh=60),
    }
    with serve(**settings) as serving, redis.Redis.from_url(redis_url) as connection:
        serving.publish("intake", receipt="a shop's receipt for goods paid", letter="a letter to a person")
        app = make_app(serving.runtime.settings)
        yield Office(serving, app, connection, "")
        app.amqp.producer_pool.force_close_all()
        app.pool.force_close_all()


@pytest.fixture
def office(offices: Office) -> Office:
    return dataclasses.replace(offices, queue=f"office-{uuid.uuid4().hex}")


def test_a_result_is_told_once_with_all_that_stands_in_it(office: Office) -> None:
    task_id = office.run(CLASSIFY, document=office.serving.file("receipt"), external_id="case-1")
    assert office.messages == []
    for _ in range(2):
        assert office.deliver(task_id)
    [(message_id, ended)] = office.told
    assert (message_id, ended.task_id, ended.task) == (f"{task_id}:callback-1", task_id, CLASSIFY)
    assert (ended.state, ended.external_id, ended.error) == ("succeeded", "case-1", None)
    with transaction(office.serving.database) as connection:
        assert ended.result == ClassifyResult.model_validate(queries.get_classification(connection, task_id))


def test_monitors_are_shown_nothing_of_it(office: Office) -> None:
    office.deliver(office.run(CLASSIFY, document=office.serving.file("receipt"), external_id="case-1"))
    (message,) = office.messages
    headers = message["headers"]
    assert (headers["task"], headers["argsrepr"], headers["kwargsrepr"]) == ("office.outcome", "", "outcome")
    assert headers["ignore_result"] is True


def test_answers_labels_and_runs_are_told_as_well(office: Office) -> None:
    document = office.serving.file("receipt")
    run = office.ended_run()
    asked = office.run(ANSWER, document=document, questions="How many pages are there?")
    said = office.run(CORRECT, document=document, label="letter", by="ann")
    for task_id in (asked, said, run):
        office.deliver(task_id)
    (_, answered), (_, corrected), (_, trained) = office.told
    assert isinstance(answered.result, AnswerResult)
    assert answered.result.answers[0].answer == "1"
    assert isinstance(corrected.result, CorrectResult)
    assert corrected.result.label == "letter"
    assert isinstance(trained.result, RetrainResult)
    assert trained.result.status == "skipped"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"document": "file:///nowhere/1.pdf"}, "not_allowed"),
        ({"document": "file:///nowhere/1.pdf", "colour": "red"}, "bad_request"),
    ],
)
def test_a_rejection_is_told_even_where_the_rest_of_the_request_is_none(
    office: Office, request_: dict[str, Any], code: str
) -> None:
    office.deliver(office.run(CLASSIFY, **request_))
    [(_, ended)] = office.told
    assert (ended.state, ended.result, ended.error and ended.error.kind) == ("rejected", None, "rejected")
    assert ended.error
    assert ended.error.code == code


def test_a_task_that_is_set_aside_is_told_and_told_anew_once_a_person_had_it_done(office: Office) -> None:
    task_id, request = uuid.uuid4().hex, {"document": office.serving.file("receipt"), "callback": office.callback}

    def die(*_: object) -> job.Done:
        raise SystemExit

    deadly = dataclasses.replace(JOBS[CLASSIFY], work=die)
    for _ in range(3):
        with pytest.raises(SystemExit):
            job.run(office.serving.runtime, deadly, task_id, request)
        office.deliver(task_id)
    assert office.messages == []
    with pytest.raises(ModelFailure, match="poison"):
        job.run(office.serving.runtime, deadly, task_id, request)
    office.deliver(task_id)
    with transaction(office.serving.database) as connection:
        reopened = queries.reopen_job(connection, task_id=task_id)
    assert reopened
    office.serving.run(CLASSIFY, reopened.request, task_id)
    office.deliver(task_id)
    assert [(name, ended.state) for name, ended in office.told] == [
        (f"{task_id}:callback-1", "failed"),
        (f"{task_id}:callback-2", "succeeded"),
    ]


def test_a_message_about_many_is_told_in_one_with_what_was_forgotten_since(office: Office) -> None:
    documents = [office.serving.file("receipt"), "file:///nowhere/1.pdf", office.serving.file("letter")]
    task_id = office.run(CLASSIFY_MANY, documents=documents)
    office.do("DELETE FROM jobs WHERE task_id = :part", part=f"{task_id}/2")
    office.deliver(task_id)
    [(_, ended)] = office.told
    assert isinstance(ended.result, ClassifyManyResult)
    first, second, third = ended.result.outcomes
    assert first.result
    assert first.result.prediction == "receipt"
    assert (second.error and second.error.code, third.error and third.error.code) == ("not_allowed", "forgotten")
    for index in range(3):
        office.deliver(f"{task_id}/{index}")
    assert len(office.messages) == 1


def test_a_queue_that_the_settings_do_not_name_is_refused_with_what_to_set(office: Office) -> None:
    task_id = uuid.uuid4().hex
    request = {"document": office.serving.file("receipt"), "callback": {"task": "a", "queue": "elsewhere"}}
    with pytest.raises(RejectedInput, match=r"callback_not_allowed: .*'elsewhere'.*CALLBACKS__QUEUES") as caught:
        office.serving.run(CLASSIFY, request, task_id)
    assert office.serving.job(task_id).error_code == caught.value.code
    assert office.deliver(task_id)
    assert office.redis.llen("elsewhere") == 0


def test_a_broker_that_is_away_leaves_it_to_the_reaper_who_sends_it_under_the_same_id(
    office: Office, redis_url: str
) -> None:
    settings = office.serving.runtime.settings
    nowhere = settings.broker.model_copy(update={"url": SecretStr("redis://127.0.0.1:1/0")})
    task_id = office.run(CLASSIFY, document=office.serving.file("receipt"))
    away = make_app(settings.model_copy(update={"broker": nowhere}))
    assert not office.deliver(task_id, away)
    assert office.serving.job(task_id).state == "succeeded"
    reap(office.serving.runtime, office.app)
    assert office.messages == []  # its node may be at it still
    office.do("UPDATE callbacks SET ended_at = now() - interval '10 s' WHERE task_id = :task_id", task_id=task_id)
    callback.deliver_left(office.serving.runtime, away)
    together = threading.Barrier(4, timeout=30)

    def one(_: int) -> None:
        together.wait()
        reap(office.serving.runtime, office.app)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))
    # As where a node dies between sending and saying so.
    office.do("UPDATE callbacks SET sent_at = NULL WHERE task_id = :task_id", task_id=task_id)
    reap(office.serving.runtime, office.app)
    (first, _), (again, _) = office.told
    assert first == again == f"{task_id}:callback-1"


def test_a_job_without_a_callback_costs_no_statement_more(office: Office) -> None:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    document = office.serving.file("receipt")
    office.run(CLASSIFY, document=document)
    event.listen(office.serving.database, "before_cursor_execute", note)
    try:
        office.serving.run(CLASSIFY, {"document": document})
        without = len(statements)
        office.run(CLASSIFY, document=document)
    finally:
        event.remove(office.serving.database, "before_cursor_execute", note)
    with_one = len(statements) - without
    assert with_one == without + 1
    assert not any("callbacks" in statement for statement in statements[:without])


def test_forgetting_a_case_takes_what_back_offices_were_to_be_told_of_it(office: Office, tmp_path: Path) -> None:
    mine, other = office.serving.file("receipt"), office.serving.file("letter")
    alone = office.run(CLASSIFY, document=mine, external_id="forget-me")
    unsent = office.run(CLASSIFY, document=mine, external_id="forget-me")
    kept = office.run(CLASSIFY, document=other, external_id="other")
    many = office.run(CLASSIFY_MANY, documents=[mine, other])
    for task_id in (alone, kept, many):
        office.deliver(task_id)
    forgetting = Forgetting(office.serving.database, office.app, tmp_path)
    erased = forgetting.forget(lambda connection: Case.of_external_id(connection, "forget-me"))
    assert (erased.counts["messages"], erased.counts["callbacks"]) == (2, 2)
    office.deliver(unsent)
    left = {ended.task_id: ended for _, ended in office.told}
    assert left.keys() == {kept, many}
    result = left[many].result
    assert isinstance(result, ClassifyManyResult)
    gone, stays = result.outcomes
    assert gone.error
    assert (gone.error.code, stays.result and stays.result.prediction) == ("forgotten", "letter")
