"""A real node behind a real Redis: what a back office sees of it, and what monitors and logs must not."""

import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import redis
from node import PATIENCE, Node, disconnect, wait_until
from printed import pdf
from serving import fake_office
from sqlalchemy import Engine, make_url, text

from core.contract import CLASSIFY, IntakeClient, IntakeError, client, inline
from core.settings import Model, Settings
from db import queries
from db.session import transaction

PREFIX = f"{uuid.uuid4().hex}:"
IN_DOCUMENT, IN_METADATA, IN_CLASSES, IN_NAME = "Quetzalcoatl", "Popocatepetl", "Huitzilopochtli", "Tenochtitlan"
PRIVATE = (IN_DOCUMENT, IN_METADATA, IN_CLASSES, IN_NAME)


@pytest.fixture(scope="module")
def office(
    fresh_database: Callable[[], AbstractContextManager[str]],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator["Office"]:
    folder = tmp_path_factory.mktemp("office")
    with (
        fresh_database() as url,
        fake_office(url, redis_url, PREFIX, folder) as (settings, database),
        Node(settings, folder) as node,
    ):
        office = Office(settings, folder, database, node.until_ready())
        yield office
        office.close()
        # Whatever else the tests did to it, it told nobody.
        assert node.terminate()[0] == 0
        log = node.log.read_text()
    assert not [secret for secret in (*PRIVATE, *passwords(settings)) if secret in log]
    assert [line for line in log.splitlines() if line.startswith("{") and json.loads(line)["event"] == "job ended"]


class Office:
    """A back office's view: a client and files; and the node and database behind them."""

    def __init__(self, settings: Settings, folder: Path, database: Engine, node: Node) -> None:
        self.settings = settings
        self.folder = folder
        self.database = database
        self.node = node
        assert settings.broker.url
        self.url = settings.broker.url.get_secret_value()
        self._clients: list[IntakeClient] = []
        self.client = self.another_client(PREFIX)
        self.redis = redis.Redis.from_url(self.url, decode_responses=True)

    def another_client(self, key_prefix: str) -> IntakeClient:
        client = IntakeClient(self.url, key_prefix=key_prefix)
        self._clients.append(client)
        return client

    def close(self) -> None:
        for made in self._clients:
            disconnect(made)
        self.redis.close()

    def file(self, kind: str = "receipt") -> str:
        path = self.folder / f"{IN_NAME}-{uuid.uuid4().hex}.pdf"
        path.write_bytes(pdf([kind, f"a {kind}", IN_DOCUMENT, path.stem]))
        return path.as_uri()

    def state(self, task_id: str) -> str | None:
        with transaction(self.database) as connection:
            job = queries.get_job(connection, task_id)
        return job and job.state


def passwords(settings: Settings) -> list[str]:
    assert settings.broker.url
    assert settings.database.url
    urls = [url.get_secret_value() for url in (settings.broker.url, settings.database.url)]
    return [str(make_url(url).password) for url in urls]


PLAIN = """
import json, sys
from celery import Celery
url, prefix, *documents = sys.argv[1:]
app = Celery(broker=url, backend=url)
options = {"global_keyprefix": prefix}
app.conf.update(broker_transport_options=options, result_backend_transport_options=options)
for document in documents:
    sent = app.send_task("docintake.classify", kwargs={"document": document}, queue="classify")
    answer = sent.get(timeout=120, propagate=False)
    said = answer if isinstance(answer, dict) else [type(answer).__name__, *answer.args]
    print(json.dumps(said))
assert not {"docintake_contract", "core", "worker"} & set(sys.modules)
"""


def test_a_plain_celery_app_gets_json_and_errors_by_name_and_code(office: Office) -> None:
    words = [sys.executable, "-P", "-c", PLAIN, office.url, PREFIX, office.file("letter"), "file:///etc/passwd"]
    done = subprocess.run(words, capture_output=True, text=True, cwd="/", timeout=PATIENCE, check=True)
    result, error = map(json.loads, done.stdout.splitlines())
    assert (result["prediction"], result["class_set"], result["status"]) == ("letter", "intake", "classified")
    assert error[:2] == ["RejectedInput", "not_allowed"]


def test_a_document_goes_to_the_client_and_into_the_row(office: Office) -> None:
    metadata = {"case": IN_METADATA}
    handle = office.client.classify(office.file(), external_id="A-1", metadata=metadata, priority="urgent")
    result = handle.get(PATIENCE)
    assert (result.task_id, result.prediction, result.external_id) == (handle.id, "receipt", "A-1")
    assert result.metadata == metadata
    assert handle.ready()
    with transaction(office.database) as connection:
        assert queries.get_classification(connection, handle.id) == result.model_dump(mode="json")


def test_a_job_knows_how_long_its_message_waited_where_the_sender_said_when_it_was_sent(office: Office) -> None:
    before = time.time()
    handle = office.client.classify(office.file())
    handle.get(PATIENCE)
    app = office.client._app
    plain = app.send_task(CLASSIFY, kwargs={"document": office.file()}, queue="classify")
    plain.get(PATIENCE)
    with transaction(office.database) as connection:
        waited, unknown = (queries.get_job(connection, task_id) for task_id in (handle.id, plain.id))
    assert waited
    assert waited.seconds
    assert unknown
    assert unknown.seconds
    assert 0 <= waited.seconds["queued"] <= time.time() - before
    assert "queued" not in unknown.seconds


def test_an_inline_document_and_one_off_classes_go_the_same_way(office: Office) -> None:
    path = office.folder / f"{uuid.uuid4().hex}.pdf"
    path.write_bytes(pdf(["letter", "a letter", IN_DOCUMENT, path.stem]))
    result = office.client.classify(inline(path), classes={IN_CLASSES: "a letter", "other": "a map"}).get(PATIENCE)
    assert result.prediction == IN_CLASSES
    again = office.client.classify(
        client.DocumentReference(document_id=result.document.document_id), classes=[IN_CLASSES, "letter"], top_k=1
    ).get(PATIENCE)
    assert again.cached
    assert list(again.probabilities) == ["letter"]


def test_results_that_have_come_are_had_at_once(office: Office) -> None:
    handles = [office.client.classify(office.file()) for _ in range(8)]
    handles[-1].get(PATIENCE)
    wait_until(lambda: all(office.state(handle.id) == "succeeded" for handle in handles), "all of them")
    time.sleep(0.5)
    start = time.monotonic()
    for handle in handles:
        handle.get(PATIENCE)
    assert time.monotonic() - start < len(handles) / 2


def test_a_task_id_sent_twice_is_done_once(office: Office) -> None:
    task_id, document = uuid.uuid4().hex, office.file()
    first = office.client.classify(document, task_id=task_id).get(PATIENCE)
    assert office.client.classify(document, task_id=task_id).get(PATIENCE) == first


def test_many_documents_make_few_messages_and_come_back_in_order(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MANY_LIMIT", 2)
    documents = [office.file("receipt"), office.file("letter"), "file:///etc/passwd"]
    handles = office.client.classify_many(documents)
    outcomes = [outcome for handle in handles for outcome in handle.get(PATIENCE).outcomes]
    assert len(handles) == 2
    assert [outcome.result and outcome.result.prediction for outcome in outcomes] == ["receipt", "letter", None]
    assert outcomes[2].error
    assert outcomes[2].error.code == "not_allowed"


def test_a_correction_goes_there_and_back(office: Office) -> None:
    said = office.client.classify(office.file()).get(PATIENCE)
    result = office.client.correct("letter", by="Ann", task_id=said.task_id).get(PATIENCE)
    assert (result.label, result.previous, result.document_id) == ("letter", "receipt", said.document.document_id)
    by_document = office.client.correct("letter", by="Ann", document=office.file()).get(PATIENCE)
    assert by_document.previous is None


@pytest.mark.parametrize(
    ("args", "kwargs", "code"),
    [
        ([], {"document": "file:///etc/passwd"}, "not_allowed"),
        ([], {"document": "file:///x", "colour": "red"}, "bad_request"),
        ([], {"args": 1}, "bad_request"),
        (["file:///x"], {}, "bad_request"),
    ],
)
def test_every_refusal_reaches_the_caller_by_kind_and_code_and_has_its_row(
    office: Office, args: list[str], kwargs: dict[str, Any], code: str
) -> None:
    task = office.client._app.send_task("docintake.classify", args, kwargs, queue="classify")
    with pytest.raises(IntakeError) as caught:
        client.Handle(task, client.ClassifyResult).get(PATIENCE)
    assert (caught.value.kind, caught.value.code) == ("rejected", code)
    assert office.state(task.id) == "rejected"


def test_nobody_is_told_what_a_fault_of_ours_met(office: Office) -> None:
    said = office.client.classify(office.file()).get(PATIENCE)
    with transaction(office.database) as connection:
        connection.execute(text("ALTER TABLE corrections RENAME TO elsewhere"))
    try:
        handle = office.client.correct("letter", by=IN_METADATA, task_id=said.task_id)
        with pytest.raises(IntakeError) as caught:
            handle.get(PATIENCE)
    finally:
        with transaction(office.database) as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO corrections"))
    assert (caught.value.kind, caught.value.code) == ("failed", "unexpected")
    assert office.state(handle.id) == "failed"
    kept = office.redis.get(f"{PREFIX}celery-task-meta-{handle.id}")
    assert isinstance(kept, str)
    assert "core.errors" in kept
    for cause in ("psycopg2", "INSERT INTO", IN_METADATA):
        assert cause not in kept + caught.value.message


def test_a_result_that_nobody_will_ask_for_stands_in_postgresql_alone(office: Office) -> None:
    handle = office.client.classify(office.file(), ignore_result=True)
    wait_until(lambda: office.state(handle.id) == "succeeded", "the row")
    # The node acknowledges after that; a result would have been there before.
    wait_until(lambda: not office.redis.hlen(f"{PREFIX}unacked"), "the acknowledgement")
    assert not list(office.redis.scan_iter(f"*{handle.id}*"))
    with pytest.raises(ValueError, match="ignore_result"):
        handle.get(PATIENCE)


def test_every_key_in_redis_has_the_prefix(office: Office) -> None:
    before = set(office.redis.scan_iter())
    office.client.classify(office.file()).get(PATIENCE)
    office.another_client(f"{PREFIX}other:").classify(office.file())
    new = set(office.redis.scan_iter()) - before
    assert new
    assert not [key for key in new if not key.startswith(PREFIX)]
    office.redis.delete(*(key for key in new if key.startswith(f"{PREFIX}other:")))


def test_a_job_waits_out_a_database_that_is_away(office: Office, admin: Engine) -> None:
    name = office.database.url.database
    office.client.classify(office.file()).get(PATIENCE)
    with admin.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": name}
        )
        try:
            handle = office.client.classify(office.file())
            key = f"{PREFIX}celery-task-meta-{handle.id}"
            wait_until(lambda: '"RETRY"' in str(office.redis.get(key)), "a retry")
            assert "psycopg2" not in str(office.redis.get(key))
        finally:
            connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    assert handle.get(PATIENCE).prediction == "receipt"
    assert office.state(handle.id) == "succeeded"


def test_events_name_tasks_and_nothing_that_stands_in_them(office: Office) -> None:
    """Whoever sends, however: neither arguments nor results go to monitors, nor to those who ask a node."""
    plain = office.another_client(PREFIX)._app
    plain.conf.task_send_sent_event = False  # what others send themselves is their own affair
    heard: list[dict[str, Any]] = []
    listening, enough = threading.Event(), threading.Event()

    def listen() -> None:
        with plain.connection_for_read() as connection:
            receiver = plain.events.Receiver(connection, handlers={"*": heard.append})
            with receiver.consumer_context(wakeup=False) as (drained, *_):
                while not enough.is_set():
                    try:
                        drained.drain_events(timeout=0.2)
                    except TimeoutError:
                        # It subscribes when it first looks.
                        listening.set()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert listening.wait(PATIENCE)
    metadata = {"case": IN_METADATA}

    def from_client() -> str:
        return office.client.classify(office.file(), metadata=metadata, classes=[IN_CLASSES, "letter"]).id

    def from_elsewhere() -> str:
        payload = {"document": office.file(), "metadata": metadata}
        return str(plain.send_task("docintake.classify", kwargs=payload, queue="classify").id)

    def refused() -> str:
        payload = {"document": f"file:///{IN_NAME}", "metadata": metadata}
        return str(plain.send_task("docintake.classify", kwargs=payload, queue="classify").id)

    def of(task_id: str) -> dict[str, dict[str, Any]]:
        return {event["type"]: event for event in heard if event.get("uuid") == task_id}

    def all_of(send: Callable[[], str], ending: str) -> dict[str, dict[str, Any]]:
        """The events of one task."""
        task_id = send()
        wait_until(lambda: of(task_id).keys() >= {"task-received", "task-started", ending}, f"{ending} is heard")
        return of(task_id)

    try:
        events = all_of(from_client, "task-succeeded")
        all_of(from_elsewhere, "task-succeeded")
        all_of(refused, "task-failed")
    finally:
        enough.set()
        thread.join(PATIENCE)
    assert events["task-sent"]["kwargs"] == "classes, document, metadata"
    said = json.dumps(heard, default=str)
    assert not [private for private in (IN_DOCUMENT, IN_METADATA, IN_CLASSES, "receipt") if private in said]


def test_a_node_whose_model_cannot_be_loaded_takes_no_task_and_says_why(office: Office, tmp_path: Path) -> None:
    prefix = f"{PREFIX}broken:"
    handle = office.another_client(prefix).classify(office.file())
    broker = office.settings.broker.model_copy(update={"key_prefix": prefix})
    broken = office.settings.model_copy(update={"model": Model(backend="none"), "broker": broker})
    waiting = {key: office.redis.lrange(key, 0, -1) for key in office.redis.scan_iter(f"{prefix}classify*")}
    with Node(broken, tmp_path) as node:
        assert node.process.wait(PATIENCE) not in (0, None)
        assert not (tmp_path / "node.ready").exists()
        log = node.log.read_text()
    assert "no backend is called 'none'" in log
    assert not [secret for secret in passwords(office.settings) if secret in log]
    assert len(waiting) == 1
    assert {key: office.redis.lrange(key, 0, -1) for key in waiting} == waiting
    assert office.state(handle.id) is None
    office.redis.delete(*office.redis.scan_iter(f"{prefix}*"))
