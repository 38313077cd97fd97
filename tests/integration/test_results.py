"""Results on a real Redis: what is told, what comes too late, and what happens to all who wait when Redis refuses."""

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from celery import Celery
from celery.states import FAILURE, SUCCESS

from worker.results import Entry, Results

TOGETHER = 16


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    app = Celery("results", backend=redis_url, set_as_current=False)
    Results.serve(app)
    app.conf.update(result_expires=60, result_backend_transport_options={"global_keyprefix": f"{uuid.uuid4().hex}:"})
    yield app
    app.backend.client.close()
    app.close()


@pytest.fixture
def store(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def succeed_together(app: Celery) -> list[BaseException | None]:
    """Have so many tasks succeed, with their number, while the first of them writes; what each of them raised."""
    backend = app.backend
    write = backend._write

    def write_when_all_have_come(together: Sequence[Entry]) -> None:
        backend._write = write
        while len(together) + len(backend._waiting) < TOGETHER:
            time.sleep(0.001)
        write(together)

    backend._write = write_when_all_have_come
    with ThreadPoolExecutor(TOGETHER) as threads:
        futures = [
            threads.submit(lambda number=number: app.backend.store_result(f"task-{number}", number, SUCCESS))
            for number in range(TOGETHER)
        ]
    return [future.exception() for future in futures]


def lines(store: "redis.Redis") -> int:
    return sum(client["name"] == "results" for client in store.client_list())


def test_all_threads_have_the_same_line_and_each_result_is_kept_and_told(app: Celery, store: "redis.Redis") -> None:
    app.conf.redis_client_name = "results"
    with store.pubsub(ignore_subscribe_messages=True) as heard:
        prefix = app.conf.result_backend_transport_options["global_keyprefix"]
        heard.psubscribe(f"{prefix}*")
        heard.get_message(timeout=5)
        assert succeed_together(app) == [None] * TOGETHER
        told = [json.loads(heard.get_message(timeout=5)["data"]) for _ in range(TOGETHER)]
    assert lines(store) == 1
    assert sorted((meta["task_id"], meta["result"]) for meta in told) == sorted(
        (f"task-{number}", number) for number in range(TOGETHER)
    )
    assert [app.backend.get_result(f"task-{number}") for number in range(TOGETHER)] == list(range(TOGETHER))
    assert 0 < store.ttl(f"{prefix}celery-task-meta-task-0") <= 60


def test_what_fails_after_it_has_succeeded_has_succeeded(app: Celery) -> None:
    app.backend.store_result("task", 1, SUCCESS)
    app.backend.store_result("task", ValueError("too late"), FAILURE)
    assert app.backend.get_result("task") == 1


def test_what_succeeds_after_it_has_failed_has_succeeded(app: Celery) -> None:
    app.backend.store_result("task", ValueError("at first"), FAILURE)
    app.backend.store_result("task", 1, SUCCESS)
    assert app.backend.get_result("task") == 1


def test_all_who_wait_hear_that_redis_refuses_and_are_written_once_it_does_not(
    app: Celery, store: "redis.Redis"
) -> None:
    user = uuid.uuid4().hex
    store.acl_setuser(
        user, enabled=True, nopass=True, keys="*", channels="*", categories=["+@all"], commands=["-set"]
    )
    app.conf.redis_username, app.conf.redis_password = user, "any"
    refused = succeed_together(app)
    store.acl_setuser(user, commands=["+set"])
    assert [type(error) for error in refused] == [redis.exceptions.NoPermissionError] * TOGETHER
    assert succeed_together(app) == [None] * TOGETHER
    store.acl_deluser(user)


@pytest.mark.parametrize(
    "url", ["redis://:secret@nowhere/0", "rediss://:secret@nowhere/0?ssl_cert_reqs=CERT_REQUIRED"]
)
def test_an_app_keeps_its_results_so_and_shows_no_password(url: str) -> None:
    with Celery("results", backend=url, set_as_current=False) as app:
        Results.serve(app)
        assert isinstance(app.backend, Results)
        assert "secret" not in app.conf.humanize(with_defaults=False)


def test_a_node_does_not_listen_for_what_it_sends(app: Celery, store: "redis.Redis") -> None:
    app.backend.on_task_call(None, "task")
    assert not [name for name in store.pubsub_channels() if name.endswith("celery-task-meta-task")]
