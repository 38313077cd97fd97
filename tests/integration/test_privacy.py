"""What real nodes, monitors and callers are never told, and that a case which is forgotten is nowhere any more."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from node import PATIENCE, Node, disconnect, environment_of, wait_until
from printed import pdf
from serving import fake_office
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from core.contract import IntakeClient, inline
from core.settings import Settings
from db.session import transaction
from worker.cli.main import app

PRIVATE = {
    "in the document": "Quetzalcoatl",
    "in a question": "Popocatepetl",
    "in metadata": "Huitzilopochtli",
    "in a note": "Tenochtitlan",
    "in a field that no request has": "Tlahuizcalpantecuhtli",
    "in a class sent along": "Chalchiuhtlicue",
    "a password": "Xiuhtecuhtli",
    "a signature": "Mictlantecuhtli",
    "in a positional argument": "Itzpapalotl",
}
CALLBACK = {"task": "office.outcome", "queue": "backoffice"}
CASE, OTHER, THIRD = (f"case-{uuid.uuid4().hex}" for _ in range(3))


def ended(task: Any) -> Any:
    """A task's result or error. Not by waiting for news of it, which get lost where several threads listen."""
    wait_until(task.ready, f"the end of {task.id}")
    return task.get(propagate=False)


class Desk:
    """A back office, and all that somebody who looks around later could find."""

    def __init__(self, settings: Settings, folder: Path, database: Engine, node: Node) -> None:
        self.settings = settings
        self.folder = folder
        self.database = database
        self.node = node
        assert settings.broker.url
        url, prefix = settings.broker.url.get_secret_value(), settings.broker.key_prefix
        self.client = IntakeClient(url, key_prefix=prefix)
        self.redis = redis.Redis.from_url(url)
        self.heard: list[dict[str, Any]] = []

    def file(self, *lines: str) -> Path:
        path = self.folder / f"{uuid.uuid4().hex}.pdf"
        path.write_bytes(pdf(["receipt", "a receipt", *lines, path.stem]))
        return path

    def refused(self, task: str, *args: Any, **request: Any) -> str:
        """Send what is to be refused, as somebody without our client would; returns its task id."""
        queue = "qa" if task == "docintake.answer" else "classify"
        sent = self.client._app.send_task(task, args, request, queue=queue, argsrepr="", kwargsrepr="")
        assert isinstance(ended(sent), Exception)
        return str(sent.id)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within the block, `heard` receives every event."""
        begun, enough = threading.Event(), threading.Event()
        app = self.client._app

        def listen() -> None:
            with app.connection_for_read() as connection:
                receiver = app.events.Receiver(connection, handlers={"*": self.heard.append})
                with receiver.consumer_context(wakeup=False) as (drained, *_):
                    while not enough.is_set():
                        try:
                            drained.drain_events(timeout=0.2)
                        except TimeoutError:
                            # It subscribes when it first looks.
                            begun.set()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        assert begun.wait(PATIENCE)
        yield
        enough.set()
        thread.join(PATIENCE)

    def rows(self, *tables: str) -> str:
        """Everything that stands in these tables, or in all of them."""
        with transaction(self.database) as connection:
            named = (
                tables
                or connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars()
            )
            return "\n".join(repr(row) for table in named for row in connection.execute(text(f"TABLE {table}")))

    def waiting(self, task_id: str) -> dict[str, Any]:
        """The result that waits for a task's caller."""
        kept = self.redis.get(f"{self.settings.broker.key_prefix}celery-task-meta-{task_id}")
        assert isinstance(kept, bytes)
        found: dict[str, Any] = json.loads(kept)["result"]
        return found

    def in_redis(self) -> str:
        """Every key with what it holds."""
        read: dict[bytes, Callable[[bytes], Any]] = {
            b"string": self.redis.get,
            b"list": lambda key: self.redis.lrange(key, 0, -1),
            b"hash": self.redis.hgetall,
            b"set": self.redis.smembers,
            b"zset": lambda key: self.redis.zrange(key, 0, -1, withscores=True),
        }
        return "\n".join(f"{key!r} {read[self.redis.type(key)](key)!r}" for key in self.redis.scan_iter())

    def in_files(self) -> str:
        """All of the data folder: logs, checkpoints and what else lies there."""
        files = [path for path in self.settings.data_dir.rglob("*") if path.is_file()]
        assert self.node.log in files
        return "\n".join(f"{path} {path.read_bytes()!r}" for path in files)

    def forget(self, monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, Any]:
        for name, value in environment_of(self.settings).items():
            monkeypatch.setenv(name, value)
        done = CliRunner().invoke(app, ["forget", *words, "--yes", "--json"])
        assert done.exit_code == 0, done.exception
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def close(self) -> None:
        disconnect(self.client)
        self.redis.close()


@pytest.fixture(scope="module")
def desk(
    fresh_database: Callable[[], AbstractContextManager[str]],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Desk]:
    """One node that serves, with its log in the data folder as `docintake up` has it."""
    folder = tmp_path_factory.mktemp("desk")
    data = folder / "data"
    data.mkdir()
    prefix = f"{uuid.uuid4().hex}:"
    with (
        fresh_database() as url,
        fake_office(url, redis_url, prefix, folder) as (settings, database),
        Node(settings, data) as node,
    ):
        desk = Desk(settings, folder, database, node.until_ready())
        yield desk
        desk.close()
        assert node.terminate()[0] == 0


def test_no_log_event_or_error_holds_what_stands_in_documents_and_requests(desk: Desk) -> None:
    metadata = {"customer": PRIVATE["in metadata"]}
    question = f"What is the {PRIVATE['in a question']} number?"
    paper = desk.file(PRIVATE["in the document"], f"{PRIVATE['in a question']} number 4711").as_uri()
    with desk.listening():
        said = desk.client.classify(paper, external_id=THIRD, metadata=metadata, callback=CALLBACK).get(PATIENCE)
        desk.client.answer(paper, [question], external_id=THIRD, metadata=metadata).get(PATIENCE)
        desk.client.classify(
            inline(desk.file(PRIVATE["in the document"])), classes={PRIVATE["in a class sent along"]: "a", "b": "b"}
        ).get(PATIENCE)
        desk.client.correct("letter", task_id=said.task_id, by="ann", note=PRIVATE["in a note"]).get(PATIENCE)
        long, login = "x" * 600, f"https://ann:{PRIVATE['a password']}@files.example"
        refused = [
            desk.refused("docintake.classify", document=f"{login}/scan.pdf"),
            desk.refused("docintake.classify", document=f"ann:{PRIVATE['a password']}@files.example/scan.pdf"),
            desk.refused("docintake.classify", document={"url": login, "uri": paper}),
            desk.refused("docintake.classify", document=f"https://files.example/s.pdf?sig={PRIVATE['a signature']}"),
            desk.refused("docintake.classify", document=f"file:///s.pdf#{PRIVATE['a signature']}"),
            desk.refused("docintake.classify", document=paper, colour=PRIVATE["in a field that no request has"]),
            desk.refused("docintake.classify", document=paper, metadata=PRIVATE["in metadata"]),
            desk.refused(
                "docintake.classify", document=paper, metadata={"a": {PRIVATE["in metadata"]: "x" * 70_000}}
            ),
            desk.refused("docintake.classify", document=paper, top_k=PRIVATE["in a field that no request has"]),
            desk.refused("docintake.classify", document=paper, pages=PRIVATE["in a field that no request has"]),
            desk.refused(
                "docintake.classify",
                document=paper,
                classes={PRIVATE["in a class sent along"]: "x" * 11_000, "b": ""},
            ),
            desk.refused("docintake.classify", PRIVATE["in a positional argument"]),
            desk.refused("docintake.answer", document=paper, questions=[f"{PRIVATE['in a question']} {long}"]),
            desk.refused("docintake.answer", document=paper, questions=[{PRIVATE["in a question"]: long}]),
            desk.refused("docintake.correct", label="letter", by="ann", note=PRIVATE["in a note"] + "x" * 3000),
        ]
        wait_until(
            lambda: {event["uuid"] for event in desk.heard if event["type"] == "task-failed"} >= set(refused[-3:]),
            "events of what was refused",
        )
    key = f"{desk.settings.broker.key_prefix}celery-task-meta-"
    failures = [desk.redis.get(key + task_id) for task_id in refused]
    assert all(failures)
    assert len(desk.node.lines("job ended")) >= len(refused) + 4
    with transaction(desk.database) as connection:
        rows = connection.execute(
            text("SELECT task_id, error_code, error_message FROM jobs WHERE state = 'rejected'")
        )
        errors = {task_id: f"{code} {message}" for task_id, code, message in rows}
    assert errors.keys() == set(refused)
    told = {
        "logs": desk.node.log.read_text(),
        "events": json.dumps(desk.heard, default=repr),
        "results": repr(failures),
        "rows": repr(errors),
    }
    # Nor is a password kept, where requests are.
    assert PRIVATE["a password"] not in desk.rows()
    leaks = [(where, what) for where, said in told.items() for what, canary in PRIVATE.items() if canary in said]
    assert leaks == []


def test_a_case_that_is_forgotten_is_nowhere_and_what_is_not_of_it_stays(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    word = "Coatlicue"
    metadata = {"customer": word}
    paper, second, alien, common = (desk.file(word) for _ in range(4))
    client = desk.client
    mine = [
        client.classify(paper.as_uri(), external_id=CASE, metadata=metadata, callback=CALLBACK),
        client.classify(inline(second), external_id=CASE),
        client.classify(f"{paper.as_uri()}-gone", external_id=CASE),
        client.classify(common.as_uri(), external_id=CASE),
    ]
    first, inside, _, shared = (ended(handle._task) for handle in mine)
    asked = client.answer(paper.as_uri(), f"What is the {word} number?", external_id=CASE)
    corrected = client.correct("letter", task_id=first["task_id"], by=f"ann {word}", note=word)
    by_document = client.correct("letter", document=inline(second), by="ann")
    wrong = client.correct("no such class", task_id=first["task_id"], by="ann")
    (many,) = client.classify_many([paper.as_uri(), alien.as_uri()], callback=CALLBACK)
    own, other = (
        client.classify(alien.as_uri(), external_id=OTHER),
        client.classify(common.as_uri(), external_id=OTHER),
    )
    for handle in (asked, corrected, by_document, wrong, many, own, other):
        ended(handle._task)
    wait_until(lambda: not desk.redis.hlen(f"{desk.settings.broker.key_prefix}unacked"), "the acknowledgements")
    of_case = [handle.id for handle in (*mine, asked, corrected, by_document, wrong)]
    hashes = [said["document"]["document_id"] for said in (first, inside)]
    everywhere = desk.rows() + desk.in_redis() + desk.in_files()
    for known in (*of_case, *hashes, CASE, str(paper)):
        assert known in everywhere

    erased = desk.forget(monkeypatch, "--external-id", CASE)
    assert erased["kept"] == [shared["document"]["document_id"]]
    assert erased["at_work"] == []
    counts = erased["counts"]
    assert (counts["documents"], counts["classifications"], counts["inquiries"], counts["labels"]) == (2, 4, 1, 2)
    assert counts["messages"] == 2  # to the back office
    # One of them is a part of a message about many.
    assert (counts["jobs"], counts["results"]) == (len(of_case) + 1, len(of_case) + 1)
    assert counts["log_lines"] >= len(of_case)
    places = {"rows": desk.rows(), "redis": desk.in_redis(), "files": desk.in_files()}
    known = (*of_case, f"{many.id}/0", *hashes, CASE, str(paper), f"{word} number", f"ann {word}")
    assert [(where, what) for where, found in places.items() for what in known if what in found] == []

    # What others sent is there, and is had once more.
    assert own.id in places["rows"]
    assert desk.waiting(other.id)["external_id"] == OTHER
    gone, kept = desk.waiting(many.id)["outcomes"]
    assert (gone["result"], gone["error"]["code"], kept["error"]) == (None, "forgotten", None)
    assert kept["result"]["document"]["document_id"] == desk.waiting(own.id)["document"]["document_id"]
    assert client.classify(alien.as_uri(), external_id=OTHER).get(PATIENCE).cached
    assert client.classify(common.as_uri()).get(PATIENCE).cached
    # As is the case itself, should it be sent anew.
    assert not client.classify(paper.as_uri(), external_id=CASE).get(PATIENCE).cached


def test_a_request_that_a_node_keeps_in_mind_until_its_time_is_dropped_without_a_trace(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, paper = f"case-{uuid.uuid4().hex}", desk.file()
    unacked = f"{desk.settings.broker.key_prefix}unacked"
    sent = desk.client._app.send_task(
        "docintake.classify",
        kwargs={"document": paper.as_uri(), "external_id": case},
        queue="classify",
        countdown=4,
        argsrepr="",
        kwargsrepr="",
    )
    wait_until(lambda: desk.redis.hlen(unacked), "the node has it in mind")
    erased = desk.forget(monkeypatch, "--external-id", case)
    assert erased["counts"]["messages"] == 1
    # A node would have done it by the time that one comes which was sent to it later for later.
    later = desk.client._app.send_task(
        "docintake.classify", kwargs={"document": desk.file().as_uri()}, queue="classify", countdown=5
    )
    ended(later)
    wait_until(lambda: not desk.redis.hlen(unacked), "the acknowledgement")
    places = {"rows": desk.rows(), "redis": desk.in_redis(), "files": desk.in_files()}
    assert [(where, what) for where, found in places.items() for what in (case, sent.id) if what in found] == []
