"""`docintake jobs`, as typed, on a real PostgreSQL and a real broker."""

import json
import queue
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Engine

from core.contract import CLASSIFY, CLASSIFY_MANY, QUEUES
from core.errors import RejectedInput, TransientFailure
from core.settings import Settings
from db import queries
from db.models import EndState
from db.session import transaction
from worker.app import make_app

Cli = Callable[..., Any]
Ended = Callable[..., None]

REQUEST = {"document": {"uri": "file:///inbox/a.pdf"}, "class_set": "papers", "external_id": "order-7"}


@pytest.fixture
def ended(database: Engine) -> Ended:
    """Keep a job that has ended."""

    def keep(
        task_id: str,
        state: EndState = "failed",
        code: str | None = "poison",
        task: str = CLASSIFY,
        request: dict[str, Any] = REQUEST,
    ) -> None:
        with transaction(database) as connection:
            queries.start_job(
                connection, task_id=task_id, task=task, request=request, external_id="order-7", node="one@here"
            )
            message = None if code is None else f"[it] ended with {code}"
            queries.finish_job(
                connection,
                task_id=task_id,
                state=state,
                error_code=code,
                error_message=message,
                seconds={"read": 1.5},
            )

    return keep


def as_json(result: Any) -> Any:
    return json.loads(result.stdout)


def job(database: Engine, task_id: str) -> queries.Job:
    with transaction(database) as connection:
        found = queries.get_job(connection, task_id)
    assert found is not None
    return found


def messages(settings: Settings) -> list[tuple[str, str, dict[str, Any]]]:
    """Takes what waits in the broker: (task, task id, its arguments)."""
    found = []
    with make_app(settings).connection_for_read() as connection:
        waiting = connection.SimpleQueue(QUEUES[CLASSIFY])
        with suppress(queue.Empty):
            while True:
                message = waiting.get(block=False)
                message.ack()
                found.append((message.headers["task"], message.headers["id"], message.payload[1]))
        waiting.close()
    return found


def test_jobs_are_listed_and_counted(cli: Cli, ended: Ended) -> None:
    assert "Nothing was sent yet" in cli("jobs", "list").stdout
    ended("good", "succeeded", None)
    ended("bad", "failed", "poison")
    ended("refused", "rejected", "not_found")
    printed = cli("jobs", "list").stdout
    assert all(task_id in printed for task_id in ("good", "bad", "refused"))
    assert "1 succeeded · 1 rejected · 1 failed" in printed


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--failed"], {"bad", "refused"}),
        (["--state", "succeeded"], {"good"}),
        (["--code", "not_found"], {"refused"}),
        (["--failed", "--code", "other"], set()),
        (["--limit", "3"], {"good", "bad", "refused"}),
    ],
)
def test_jobs_are_listed_by_state_and_code(cli: Cli, ended: Ended, words: list[str], found: set[str]) -> None:
    ended("good", "succeeded", None)
    ended("bad", "failed", "poison")
    ended("refused", "rejected", "not_found")
    assert {item["task_id"] for item in as_json(cli("jobs", "list", *words, "--json"))} == found


def test_no_more_jobs_are_listed_than_asked_for(cli: Cli, ended: Ended) -> None:
    for number in range(3):
        ended(f"job-{number}")
    assert len(as_json(cli("jobs", "list", "--limit", 2, "--json"))) == 2


def test_a_job_is_shown_with_its_request_and_its_error(cli: Cli, ended: Ended) -> None:
    ended("bad")
    printed = cli("jobs", "show", "bad").stdout
    for part in ("docintake.classify, failed after 1 start", "poison: [it] ended", "one@here", "file:///inbox/a.pdf"):
        assert part in printed
    shown = as_json(cli("jobs", "show", "bad", "--json"))
    assert (shown["state"], shown["request"], shown["result"]) == ("failed", REQUEST, None)


def test_a_job_is_shown_with_its_result(cli: Cli, classified: Callable[..., str], tmp_path: Any) -> None:
    file = tmp_path / "papers.yaml"
    file.write_text("name: papers\nclasses: {letter: a letter, bill: a bill}")
    cli("classes", "import", file, "--publish")
    document = classified("Dear Ann\nsincerely")
    shown = as_json(cli("jobs", "show", f"job-{document[:8]}", "--json"))
    assert shown["result"]["document"]["document_id"] == document


def test_an_unknown_job_is_refused(cli: Cli) -> None:
    error = cli("jobs", "show", "none").exception
    assert isinstance(error, RejectedInput)
    assert error.code == "unknown_task"


def test_a_failed_job_is_sent_again_under_its_own_id(
    cli: Cli, ended: Ended, database: Engine, settings: Settings
) -> None:
    ended("bad")
    result = cli("jobs", "retry", "bad")
    assert result.exit_code == 0
    assert "bad  sent again" in result.stdout
    assert messages(settings) == [(CLASSIFY, "bad", REQUEST)]
    row = job(database, "bad")
    assert (row.state, row.attempts, row.error_code) == ("received", 0, None)


def test_a_document_of_a_message_of_many_is_sent_again_by_itself(cli: Cli, ended: Ended, settings: Settings) -> None:
    ended("many/3")
    assert cli("jobs", "retry", "many/3").exit_code == 0
    assert messages(settings) == [(CLASSIFY, "many/3", REQUEST)]


@pytest.mark.parametrize(
    ("job_in_hand", "why"),
    [
        ({"state": "succeeded", "code": None}, "it has succeeded"),
        ({"request": {"document": {"inline": True}}}, "came inside the message"),
        ({"task": CLASSIFY_MANY, "request": {}}, "jobs of their own"),
        ({"state": "rejected", "code": "bad_request", "request": {"fields": ["x"]}}, "its request was none"),
        ({"task": "docintake.gone"}, "knows no task docintake.gone"),
    ],
    ids=["succeeded", "inline", "many", "no request", "unknown task"],
)
def test_what_cannot_be_sent_again_stays_as_it_is_and_is_said(
    cli: Cli, ended: Ended, database: Engine, settings: Settings, job_in_hand: dict[str, Any], why: str
) -> None:
    ended("it", **job_in_hand)
    before = job(database, "it")
    result = cli("jobs", "retry", "it")
    assert result.exit_code == 1
    assert why in result.stdout
    assert job(database, "it") == before
    assert messages(settings) == []


def test_all_means_those_that_failed_and_with_a_code_the_rejected_ones_too(
    cli: Cli, ended: Ended, settings: Settings
) -> None:
    ended("refused", "rejected", "not_found")
    ended("bad-1")
    ended("bad-2")
    assert {item["task_id"] for item in as_json(cli("jobs", "retry", "--all", "--json"))} == {"bad-1", "bad-2"}
    assert [item["task_id"] for item in as_json(cli("jobs", "retry", "--all", "--code", "not_found", "--json"))] == [
        "refused"
    ]
    assert sorted(task_id for _, task_id, _ in messages(settings)) == ["bad-1", "bad-2", "refused"]
    assert "nothing to send again" in cli("jobs", "retry", "--all").stdout


def test_one_that_cannot_be_sent_does_not_hold_up_the_others(cli: Cli, ended: Ended, settings: Settings) -> None:
    ended("inline", request={"document": {"inline": True}})
    ended("bad")
    assert cli("jobs", "retry", "none", "inline", "bad").exit_code == 1
    assert [task_id for _, task_id, _ in messages(settings)] == ["bad"]


def test_a_job_stays_failed_when_the_broker_is_away(
    cli: Cli, ended: Ended, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended("bad")
    monkeypatch.setenv("DOCINTAKE_BROKER__URL", "redis://127.0.0.1:1/0")
    error = cli("jobs", "retry", "bad").exception
    assert isinstance(error, TransientFailure)
    assert error.code == "broker_unavailable"
    assert job(database, "bad").state == "failed"


@pytest.mark.parametrize("words", [[], ["--all", "bad"], ["bad", "--code", "poison"]])
def test_retry_wants_task_ids_or_all(cli: Cli, words: list[str]) -> None:
    error = cli("jobs", "retry", *words).exception
    assert isinstance(error, RejectedInput)
    assert error.code == "bad_arguments"
