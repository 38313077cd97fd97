"""A case that is forgotten while nothing serves: in messages, in results, in what others share with it."""

import base64
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu import Consumer
from node import disconnect
from pydantic import SecretStr
from serving import Serving
from sqlalchemy import text
from trained import keep

from core.contract import (
    CLASSIFY,
    CLASSIFY_MANY,
    CORRECT,
    RETRAIN,
    ClassifyManyResult,
    ClassifyResult,
    IntakeClient,
    Outcome,
    inline,
)
from core.errors import ModelFailure, RejectedInput, TransientFailure
from core.settings import Broker
from db import queries
from db.session import transaction
from worker import forget
from worker.app import make_app
from worker.case import Case
from worker.forget import Erased, Find, Forgetting
from worker.mail import Mail


def of_external_id(external_id: str) -> Find:
    return lambda connection: Case.of_external_id(connection, external_id)


def of_document(document_id: str) -> Find:
    return lambda connection: Case.of_document(connection, document_id)


@dataclass
class Desk:
    """A back office whose messages nobody takes, and a node that does what it is told to."""

    serving: Serving
    client: IntakeClient
    redis: "redis.Redis"
    prefix: str
    app: Any
    forgetting: Forgetting
    logs: Path

    def classify(self, uri: str, external_id: str | None = None) -> ClassifyResult:
        result = self.serving.run(CLASSIFY, {"document": uri, "external_id": external_id})
        assert isinstance(result, ClassifyResult)
        return result

    def keep_result(self, task_id: str, result: Any) -> None:
        self.app.backend.store_result(task_id, result, "SUCCESS")

    def result(self, task_id: str) -> Any:
        kept = self.redis.get(f"{self.prefix}celery-task-meta-{task_id}")
        return None if kept is None else json.loads(kept)["result"]

    def requests(self) -> dict[str, dict[str, Any]]:
        """What waits in queues or is in somebody's hands: task id → what is asked for."""
        lists = [key for key in self.redis.scan_iter(f"{self.prefix}*") if self.redis.type(key) == b"list"]
        found = [
            json.loads(raw) for key in lists if not key.endswith(b"tenants") for raw in self.redis.lrange(key, 0, -1)
        ]
        found += [json.loads(raw)[0] for raw in self.redis.hvals(f"{self.prefix}unacked")]
        return {message["headers"]["id"]: json.loads(base64.b64decode(message["body"]))[1] for message in found}

    def take(self) -> None:
        """Take a message and die with it."""
        connection = self.app.connection_for_read()
        channel = connection.channel()
        taken: list[Any] = []
        with Consumer(channel, [self.app.amqp.queues["classify"]], callbacks=[lambda *it: taken.append(it)]) as own:
            own.qos(prefetch_count=1)
            while not taken:
                connection.drain_events(timeout=30)
            channel.do_restore = False
        connection.close()

    def rows(self, table: str) -> str:
        with transaction(self.serving.database) as connection:
            return repr(connection.execute(text(f"TABLE {table}")).all())


@pytest.fixture(scope="module")
def office(serving: Serving, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    prefix = f"{uuid.uuid4().hex}:"
    broker = Broker(url=SecretStr(redis_url), key_prefix=prefix)
    app = make_app(serving.runtime.settings.model_copy(update={"broker": broker}))
    client, logs = IntakeClient(redis_url, key_prefix=prefix), tmp_path_factory.mktemp("logs")
    with redis.Redis.from_url(redis_url) as store:
        yield Desk(serving, client, store, prefix, app, Forgetting(serving.database, app, logs), logs)
        disconnect(client)
        app.close()


@pytest.fixture
def desk(office: Desk) -> Iterator[Desk]:
    """Nothing waits at first."""
    yield office
    office.redis.delete(*office.redis.scan_iter(f"{office.prefix}*"), "-")


def counts(erased: Erased) -> dict[str, int]:
    return {kind: count for kind, count in erased.counts.items() if count}


def test_a_case_of_which_nothing_is_known_is_refused(desk: Desk) -> None:
    for find in (of_external_id("nobody"), of_document("0" * 64)):
        for act in (desk.forgetting.look, desk.forgetting.forget):
            with pytest.raises(RejectedInput, match="unknown_case"):
                act(find)


def test_looking_counts_and_erases_nothing_and_erasing_says_the_same_and_is_done_once(desk: Desk) -> None:
    said = desk.classify(desk.serving.file("receipt"), "once")
    desk.keep_result(said.task_id, said.model_dump(mode="json"))
    desk.client.classify(desk.serving.file("receipt"), external_id="once")
    expected = {
        "documents": 1,
        "pages": 1,
        "features": 1,
        "classifications": 1,
        "jobs": 1,
        "messages": 1,
        "results": 1,
    }
    assert counts(desk.forgetting.look(of_external_id("once"))) == expected
    assert counts(desk.forgetting.look(of_external_id("once"))) == expected
    assert counts(desk.forgetting.forget(of_external_id("once"))) == expected
    with pytest.raises(RejectedInput, match="unknown_case"):
        desk.forgetting.forget(of_external_id("once"))


def test_messages_about_a_document_are_found_by_its_id_its_place_and_its_bytes(desk: Desk) -> None:
    uri, foreign = desk.serving.file("receipt"), desk.serving.file("receipt")
    said = desk.classify(uri)
    document_id = said.document.document_id

    def send(**request: Any) -> Any:
        return desk.client._app.send_task(CLASSIFY, kwargs=request, queue="classify", headers={"tenant": "acme"})

    other = send(document=foreign)
    send(document={"document_id": document_id})
    send(document=uri)
    desk.client.classify(uri)
    desk.client.answer(uri, "What is it?", priority="bulk")
    desk.client.classify(inline(Path(uri.removeprefix("file://"))), priority="urgent")
    desk.client.correct("letter", task_id=said.task_id, by="ann")
    strange = send(document=[1], task_id=[2], documents=[None, {"document": {"content": "é"}}], external_id={})
    # From here on tenants have lists of their own, and the first message is in somebody's hands.
    desk.take()
    assert counts(desk.forgetting.forget(of_document(document_id)))["messages"] == 6
    assert desk.redis.hlen(f"{desk.prefix}unacked") == desk.redis.zcard(f"{desk.prefix}unacked_index") == 1
    assert desk.requests().keys() == {other.id, strange.id}
    desk.take()
    assert desk.redis.hlen(f"{desk.prefix}unacked") == 2


def test_what_somebody_holds_of_a_case_goes_too(desk: Desk) -> None:
    desk.client.classify(desk.serving.file("receipt"), external_id="held")
    desk.take()
    assert desk.redis.hlen(f"{desk.prefix}unacked") == 1
    assert counts(desk.forgetting.forget(of_external_id("held"))) == {"messages": 1}
    assert desk.redis.hlen(f"{desk.prefix}unacked") == desk.redis.zcard(f"{desk.prefix}unacked_index") == 0


@pytest.mark.parametrize("held", [0, 3])
def test_a_message_about_many_documents_keeps_the_others_in_their_places(desk: Desk, held: int) -> None:
    mine, foreign = desk.serving.file("receipt"), desk.serving.file("receipt")
    said = desk.classify(mine)
    (many,) = desk.client.classify_many([foreign, mine, foreign], priority="normal")
    items = [{"document": foreign}, {"document": foreign, "external_id": "many"}]
    other = desk.client._app.send_task(CLASSIFY_MANY, kwargs={"documents": items}, queue="classify")
    desk.client.classify_many([mine])
    for _ in range(held):
        desk.take()
    assert desk.redis.hlen(f"{desk.prefix}unacked") == held
    assert counts(desk.forgetting.forget(of_document(said.document.document_id)))["messages"] == 2
    assert counts(desk.forgetting.forget(of_external_id("many"))) == {"messages": 1}
    kept = desk.requests()
    assert kept.keys() == {many.id, other.id}
    assert [item["document"].get("uri") for item in kept[many.id]["documents"]] == [foreign, None, foreign]
    assert [item["document"] for item in kept[other.id]["documents"]] == [foreign, {"document_id": "0" * 64}]
    done = desk.serving.run(CLASSIFY_MANY, kept[many.id], many.id)
    assert isinstance(done, ClassifyManyResult)
    assert [outcome.error and outcome.error.code for outcome in done.outcomes] == [None, "unknown_document", None]


def test_a_message_that_was_acknowledged_since_it_was_found_does_not_come_back(desk: Desk) -> None:
    foreign = desk.serving.file("receipt")
    items = [{"document": foreign}, {"document": foreign, "external_id": "late"}]
    for held in (False, True):
        desk.client._app.send_task(CLASSIFY_MANY, kwargs={"documents": items}, queue="classify")
        if held:
            desk.take()
        mail = Mail(desk.app)
        with transaction(desk.serving.database) as connection:
            (found,) = mail.messages(Case.of_external_id(connection, "late"))
        if held:
            desk.redis.delete(f"{desk.prefix}unacked", f"{desk.prefix}unacked_index")
        else:
            desk.take()
            desk.redis.delete(f"{desk.prefix}unacked", f"{desk.prefix}unacked_index")
        mail.erase_message(found)
        assert desk.requests() == {}


def test_results_go_that_are_about_the_case_though_its_jobs_are_gone_and_others_stay(desk: Desk) -> None:
    said, other = desk.classify(desk.serving.file("receipt"), "gone"), desk.classify(desk.serving.file("receipt"))
    for task_id, result in (
        ("plain", said),
        ("other", other),
        ("both", ClassifyManyResult(task_id="both", outcomes=[Outcome(result=other), Outcome(result=said)])),
    ):
        desk.keep_result(task_id, result.model_dump(mode="json"))
    desk.keep_result("label", {"document_id": said.document.document_id})
    desk.keep_result("strange", ["no", "dictionary"])
    desk.redis.set(f"{desk.prefix}celery-task-meta-broken", b"no JSON")
    desk.redis.expire(f"{desk.prefix}celery-task-meta-both", 1000)
    with transaction(desk.serving.database) as connection:
        queries.forget_jobs(connection, [said.task_id])
    assert counts(desk.forgetting.forget(of_document(said.document.document_id)))["results"] == 3
    assert desk.result("plain") is None
    assert desk.result("label") is None
    assert desk.result("strange") == ["no", "dictionary"]
    assert desk.result("other") == other.model_dump(mode="json")
    first, second = desk.result("both")["outcomes"]
    assert (first["result"], second["result"]) == (other.model_dump(mode="json"), None)
    assert second["error"]["code"] == "forgotten"
    assert 0 < desk.redis.ttl(f"{desk.prefix}celery-task-meta-both") <= 1000


def test_a_document_that_others_sent_stays_with_what_they_had_and_is_fetched_from_their_place(desk: Desk) -> None:
    mine = desk.serving.file("receipt")
    theirs = f"{mine.removesuffix('.pdf')}-theirs.pdf"
    Path(theirs.removeprefix("file://")).write_bytes(Path(mine.removeprefix("file://")).read_bytes())
    their = desk.classify(theirs, "theirs")
    my = desk.classify(mine, "mine")
    document_id = my.document.document_id
    desk.serving.run(CORRECT, {"task_id": my.task_id, "label": "letter", "by": "me", "note": "of mine"})
    desk.serving.run(CORRECT, {"document": {"document_id": document_id}, "label": "receipt", "by": "them"})
    erased = desk.forgetting.forget(of_external_id("mine"))
    assert erased.kept == (document_id,)
    assert counts(erased) == {"classifications": 1, "labels": 1, "jobs": 2}
    with transaction(desk.serving.database) as connection:
        kept = queries.get_document(connection, document_id)
        assert queries.get_classification(connection, their.task_id)
    assert kept
    assert kept.uri == theirs
    assert "of mine" not in desk.rows("corrections") + desk.rows("jobs")
    assert "them" in desk.rows("corrections")
    assert counts(desk.forgetting.forget(of_document(document_id)))["documents"] == 1


def test_a_document_that_nobody_else_named_an_id_for_goes_whoever_else_asked_about_it(desk: Desk) -> None:
    uri = desk.serving.file("receipt")
    said = desk.classify(uri, "named")
    nameless = desk.classify(uri)
    assert counts(desk.forgetting.forget(of_external_id("named")))["classifications"] == 2
    with transaction(desk.serving.database) as connection:
        assert queries.get_document(connection, said.document.document_id) is None
        assert queries.get_job(connection, nameless.task_id) is None


def test_what_failed_at_a_documents_own_place_goes_with_it_and_at_a_shared_place_stays(desk: Desk) -> None:
    own, scanner = desk.serving.file("receipt"), desk.serving.file("receipt")
    at = Path(scanner.removeprefix("file://"))
    first, before = desk.classify(own), desk.classify(scanner)
    at.write_bytes(Path(desk.serving.file("receipt").removeprefix("file://")).read_bytes())
    after = desk.classify(scanner)
    assert before.document != after.document
    for uri in (own, scanner):
        Path(uri.removeprefix("file://")).unlink()
        with pytest.raises(RejectedInput, match="not_found"):
            desk.serving.run(CLASSIFY, {"document": uri}, f"failed {uri}")
    assert counts(desk.forgetting.forget(of_document(first.document.document_id)))["jobs"] == 2
    assert counts(desk.forgetting.forget(of_document(before.document.document_id)))["jobs"] == 1
    assert desk.serving.job(f"failed {scanner}").error_code == "not_found"
    # By then it is the place of that one document.
    assert counts(desk.forgetting.forget(of_document(after.document.document_id)))["jobs"] == 2


def test_what_a_request_left_that_never_had_a_result_is_found_by_its_place(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ModelFailure("encoder_broken", "no vectors today")

    uri = desk.serving.file("receipt")
    monkeypatch.setattr(desk.serving.runtime.backend, "prepare", fail)
    with pytest.raises(ModelFailure, match="no vectors"):
        desk.serving.run(CLASSIFY, {"document": uri, "external_id": "half"})
    assert counts(desk.forgetting.forget(of_external_id("half"))) == {"documents": 1, "pages": 1, "jobs": 1}


def test_tasks_that_nodes_are_at_work_on_are_waited_for(desk: Desk) -> None:
    said, told = desk.classify(desk.serving.file("receipt"), "busy"), list[int]()
    with transaction(desk.serving.database) as connection:
        queries.start_job(connection, task_id="busy", task=CLASSIFY, request={}, external_id="busy", node="elsewhere")

    def hear(count: int) -> None:
        told.append(count)
        if len(told) == 2:
            with transaction(desk.serving.database) as connection:
                queries.finish_job(connection, task_id="busy", state="succeeded")
                late = said.model_copy(update={"task_id": "busy"})
                queries.put_classification(connection, late, None)

    erased = desk.forgetting.forget(of_external_id("busy"), hear)
    assert (told, erased.at_work, counts(erased)["classifications"]) == ([1, 1], (), 2)


def test_tasks_of_nodes_that_died_are_not_waited_for_for_ever_and_named(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget, "PATIENCE", 0.1)
    with transaction(desk.serving.database) as connection:
        queries.start_job(connection, task_id="dead", task=CLASSIFY, request={}, external_id="dead", node="x")
    erased = desk.forgetting.forget(of_external_id("dead"))
    assert (erased.at_work, counts(erased)) == (("dead",), {"jobs": 1})


def test_checkpoints_that_may_have_learned_from_a_label_are_named_and_stay(desk: Desk, tmp_path: Path) -> None:
    desk.serving.publish("papers", letter="a letter", bill="a bill")
    with transaction(desk.serving.database) as connection:
        keep(connection, tmp_path)
    said = desk.classify(desk.serving.file("receipt"))
    desk.serving.run(CORRECT, {"task_id": said.task_id, "label": "letter", "class_set": "papers", "by": "ann"})
    with transaction(desk.serving.database) as connection:
        made = keep(connection, tmp_path)
    erased = desk.forgetting.forget(of_document(said.document.document_id))
    assert erased.checkpoints == (made.id,)
    with transaction(desk.serving.database) as connection:
        assert queries.get_checkpoint(connection, made.id)


def test_a_run_that_failed_over_a_document_does_not_name_it_any_more(desk: Desk) -> None:
    said = desk.classify(desk.serving.file("receipt"))
    document_id = said.document.document_id
    why = f"7 of 9 documents are missing or broken, such as {document_id} (not_found)"
    with transaction(desk.serving.database) as connection:
        queries.start_job(connection, task_id="run", task=RETRAIN, request={}, external_id=None, node="x")
        queries.finish_job(
            connection, task_id="run", state="rejected", error_code="too_many_left_out", error_message=why
        )
    desk.keep_result("run", {"exc_message": ["too_many_left_out", why]})
    desk.forgetting.forget(of_document(document_id))
    told = "7 of 9 documents are missing or broken, such as ... (not_found)"
    assert desk.serving.job("run").error_message == told
    assert desk.result("run")["exc_message"][1] == told


def test_names_in_logs_are_written_over_in_place(desk: Desk) -> None:
    said = desk.classify(desk.serving.file("receipt"), "logged")
    desk.serving.run(CLASSIFY, {"document": said.document.model_dump(include={"document_id"})}, '1"ü')
    log = desk.logs / "node.log"
    lines = [
        {"event": "job ended", "task_id": said.task_id, "took": 1},
        {"event": "job ended", "task_id": '1"ü'},
        {"event": "job ended", "task_id": "1"},
        {"event": "job ended", "task_id": f"{said.task_id}0"},
        {"event": "no luck", "says": f"unknown_document: no document {said.document.document_id}"},
    ]
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + "no JSON")
    size = log.stat().st_size
    assert counts(desk.forgetting.look(of_external_id("logged")))["log_lines"] == 3
    assert said.task_id in log.read_text()
    with log.open("a") as node:
        counted = counts(desk.forgetting.forget(of_external_id("logged")))["log_lines"]
        node.write("\nand on")
    assert counted == 3
    *found, rest, on = log.read_text().splitlines()
    assert (log.stat().st_size, rest, on) == (size + len("\nand on"), "no JSON", "and on")
    masked = [json.loads(line) for line in found]
    assert masked[0] == {**lines[0], "task_id": "x" * len(said.task_id)}
    assert set(masked[1]["task_id"]) == {"x"}
    assert masked[2:4] == lines[2:4]
    assert masked[4]["says"] == f"unknown_document: no document {'x' * 64}"


def test_without_a_broker_nothing_is_erased(desk: Desk) -> None:
    said = desk.classify(desk.serving.file("receipt"), "safe")
    broker = Broker(url=SecretStr("redis://127.0.0.1:1/0"))
    away = make_app(desk.serving.runtime.settings.model_copy(update={"broker": broker}))
    with pytest.raises(TransientFailure, match="broker_unavailable"):
        Forgetting(desk.serving.database, away, desk.logs).forget(of_external_id("safe"))
    assert desk.serving.job(said.task_id).external_id == "safe"
