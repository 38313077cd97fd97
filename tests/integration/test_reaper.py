"""Which runs are sent again, on a real PostgreSQL and Redis; no node takes what is sent."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
import redis
from celery import Celery
from kombu.exceptions import OperationalError
from pydantic import SecretStr
from sqlalchemy import Engine, text

from core.contract import CLASSIFY, RETRAIN
from core.settings import Settings
from db import queries
from db.models import EndState
from db.session import transaction
from worker.app import make_app
from worker.reaper import reap
from worker.runtime import Runtime

REQUEST = {"class_set": "papers", "overrides": {"epochs": 3}}
Sent = Callable[[], list[tuple[str, dict[str, Any]]]]


@pytest.fixture
def runtime(settings: Settings) -> Iterator[Runtime]:
    with closing(Runtime(settings, "test-node")) as runtime:
        yield runtime


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    app = make_app(settings)
    yield app
    app.amqp.producer_pool.force_close_all()
    app.pool.force_close_all()


@pytest.fixture
def sent(settings: Settings) -> Iterator[Sent]:
    """The (task id, request) of each run that stands in its queue."""
    assert settings.broker.url
    connection = redis.Redis.from_url(settings.broker.url.get_secret_value(), decode_responses=True)

    def look() -> list[tuple[str, dict[str, Any]]]:
        found = []
        for key in connection.scan_iter(f"{settings.broker.key_prefix}retrain*"):
            for item in connection.lrange(key, 0, -1):
                message = json.loads(item)
                assert message["headers"]["task"] == RETRAIN
                found.append((message["headers"]["id"], json.loads(base64.b64decode(message["body"]))[1]))
        return found

    yield look
    connection.close()


def start(database: Engine, task_id: str, task: str = RETRAIN, silent: float = 1000) -> None:
    """Start a job that long ago, in seconds."""
    with transaction(database) as connection:
        queries.start_job(connection, task_id=task_id, task=task, request=REQUEST, external_id=None, node="gone")
        connection.execute(
            text("UPDATE jobs SET started_at = now() - make_interval(secs => :silent) WHERE task_id = :task_id"),
            {"silent": silent, "task_id": task_id},
        )


def test_a_run_that_fell_silent_is_sent_again_as_it_was_asked_for(
    runtime: Runtime, app: Celery, database: Engine, sent: Sent
) -> None:
    start(database, "silent")
    before = job(database, "silent")
    reap(runtime, app)
    assert sent() == [("silent", REQUEST)]
    assert job(database, "silent") == before


def test_a_postponed_run_whose_message_was_lost_is_sent_again(
    runtime: Runtime, app: Celery, database: Engine, sent: Sent
) -> None:
    start(database, "postponed")
    with transaction(database) as connection:
        queries.postpone_job(connection, task_id="postponed", error_code="node_stopping", error_message="again")
    reap(runtime, app)
    assert [task_id for task_id, _ in sent()] == ["postponed"]


@pytest.mark.parametrize("end", ["succeeded", "rejected", "failed"])
def test_runs_that_live_or_have_ended_and_other_jobs_are_left_alone(
    runtime: Runtime, app: Celery, database: Engine, sent: Sent, end: EndState
) -> None:
    start(database, "begun just now", silent=1)
    start(database, "another", CLASSIFY)
    start(database, "beating")
    start(database, "ended")
    with transaction(database) as connection:
        queries.create_class_set(connection, "papers")
        queries.open_run(connection, task_id="beating", class_set="papers", node="alive")
        queries.finish_job(connection, task_id="ended", state=end)
    reap(runtime, app)
    assert sent() == []


def test_a_run_whose_message_waits_or_is_in_a_node_s_hands_is_not_sent_again(
    runtime: Runtime, app: Celery, database: Engine, sent: Sent
) -> None:
    start(database, "silent")
    reap(runtime, app)
    reap(runtime, app)
    assert len(sent()) == 1
    with app.connection_for_read() as connection:
        taken = connection.default_channel.basic_get("retrain", no_ack=False)
        assert sent() == []
        reap(runtime, app)
        assert sent() == []
        connection.default_channel.basic_ack(taken.delivery_tag)
    reap(runtime, app)
    assert len(sent()) == 1


def test_two_reapers_at_once_send_a_run_once(runtime: Runtime, app: Celery, database: Engine, sent: Sent) -> None:
    names = {f"silent-{number}" for number in range(20)}
    for name in names:
        start(database, name)
    together = threading.Barrier(4, timeout=30)

    def one(_: int) -> None:
        together.wait()
        reap(runtime, app)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))
    assert sorted(task_id for task_id, _ in sent()) == sorted(names)


def test_a_broker_that_is_away_is_given_up_on_until_the_next_time(
    settings: Settings, runtime: Runtime, app: Celery, database: Engine, sent: Sent
) -> None:
    start(database, "silent")
    nowhere = settings.broker.model_copy(update={"url": SecretStr("redis://127.0.0.1:1/0")})
    with pytest.raises(OperationalError):
        reap(runtime, make_app(settings.model_copy(update={"broker": nowhere})))
    reap(runtime, app)
    assert len(sent()) == 1


def job(database: Engine, task_id: str) -> queries.Job | None:
    with transaction(database) as connection:
        return queries.get_job(connection, task_id)
