"""What a real node, a trainer and a beat tell of themselves: on their ports, in the node's log, and in traces."""

import json
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from collector import Spans, collected
from node import PATIENCE, Node, Process, disconnect, wait_until
from opentelemetry.sdk.trace import TracerProvider
from printed import pdf
from pydantic import SecretStr
from serving import fake_office
from sqlalchemy import Engine, text

from core.contract import QUEUES, RETRAIN, IntakeClient
from core.settings import Settings, Tracing
from worker import health
from worker.app import make_app

PREFIX = f"{uuid.uuid4().hex}:"


class Office:
    """A node, a trainer and a beat, by the ports that they tell of themselves on."""

    def __init__(
        self, settings: Settings, folder: Path, database: Engine, ports: dict[str, int], spans: Spans
    ) -> None:
        self.spans = spans
        self.folder = folder
        self.node: Node
        self.database = database
        self._ports = ports
        assert settings.broker.url
        self.client = IntakeClient(settings.broker.url.get_secret_value(), key_prefix=PREFIX)

    def told(self, who: str, path: str) -> tuple[int, dict[str, bool]]:
        """The answer's status, and part → whether it works; none while nobody listens."""
        try:
            with urlopen(f"http://127.0.0.1:{self._ports[who]}{path}", timeout=30) as answer:
                status, body = answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                status, body = error.code, json.load(error)
        except OSError:
            return 0, {}
        return status, {part["part"]: part["ok"] for part in body["parts"]}

    def figures(self, who: str) -> list[str]:
        with urlopen(f"http://127.0.0.1:{self._ports[who]}/metrics", timeout=30) as answer:
            found: list[str] = answer.read().decode().splitlines()
        return found


@pytest.fixture(scope="module")
def office(
    fresh_database: Callable[[], AbstractContextManager[str]],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Office]:
    # Or spans would be sent every five seconds.
    os.environ["OTEL_BSP_SCHEDULE_DELAY"] = "100"
    folder = tmp_path_factory.mktemp("office")
    ports = dict(zip(("node", "trainer", "beat"), _free_ports(3), strict=True))
    with ExitStack() as running:
        url = running.enter_context(fresh_database())
        settings, database = running.enter_context(fake_office(url, redis_url, PREFIX, folder))
        spans = running.enter_context(collected())
        office = Office(settings, folder, database, ports, spans)
        tracing = Tracing(endpoint=spans.url)

        def at_port(who: str) -> Settings:
            node = settings.node.model_copy(update={"metrics_port": ports[who]})
            return settings.model_copy(update={"node": node, "tracing": tracing})

        office.node = running.enter_context(Node(at_port("node"), folder, "node"))
        running.enter_context(Node(at_port("trainer"), folder, "trainer", queues="retrain"))
        running.enter_context(Process(at_port("beat"), folder, "beat", ["beat"]))
        running.callback(disconnect, office.client)
        for who in ports:
            wait_until(lambda who=who: office.told(who, "/ready")[0] == 200, f"{who} is ready")
        yield office


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


def test_each_process_tells_of_its_own_parts(office: Office) -> None:
    servers = {"broker": True, "database": True}
    assert office.told("node", "/ready") == (200, {"model": True, "work": True, **servers})
    assert office.told("node", "/live") == (200, {"device": True, "loop": True})
    assert office.told("trainer", "/ready") == (200, {"work": True, **servers})
    assert office.told("trainer", "/live") == (200, {"loop": True})
    assert office.told("beat", "/ready") == (200, {"broker": True})
    assert office.told("beat", "/live") == (200, {"loop": True})


def test_a_node_counts_what_it_did_and_what_it_knew_already(office: Office) -> None:
    path = office.folder / f"{uuid.uuid4().hex}.pdf"
    path.write_bytes(pdf(["receipt", "a receipt", path.stem]))
    for _ in range(2):
        office.client.classify(path.as_uri()).get(PATIENCE)
    office.client.classify(path.as_uri(), classes=["secret project", "letter"]).get(PATIENCE)
    refused = office.client.classify("file:///etc/passwd")
    wait_until(refused.ready, "the refusal")
    told = office.figures("node")
    for line in (
        'docintake_jobs_total{outcome="succeeded",task="docintake.classify"} 3.0',
        'docintake_jobs_total{outcome="rejected",task="docintake.classify"} 1.0',
        'docintake_stage_seconds_count{stage="decide",task="docintake.classify"} 3.0',
        'docintake_class_predictions_total{class_set="intake",prediction="receipt"} 2.0',
        'docintake_cache_misses_total{what="pages"} 1.0',
        'docintake_cache_hits_total{what="pages"} 2.0',
        'docintake_cache_hits_total{what="features"} 2.0',
        "docintake_broker_up 1.0",
    ):
        assert line in told
    assert "secret project" not in "\n".join(told)


def test_a_task_is_traced_from_its_sender_to_its_commit_and_nothing_private_is_told(office: Office) -> None:
    path = office.folder / f"Tenochtitlan-{uuid.uuid4().hex}.pdf"
    path.write_bytes(pdf(["receipt", "a receipt", "Quetzalcoatl", path.stem]))
    with TracerProvider(shutdown_on_exit=False).get_tracer("back office").start_as_current_span("a case") as case:
        handle = office.client.classify(path.as_uri(), metadata={"case": "Popocatepetl"})
    result = handle.get(PATIENCE)
    trace_id = f"{case.get_span_context().trace_id:032x}"
    wait_until(lambda: any(span["name"] == "docintake.classify" for span in office.spans.of(trace_id)), "its spans")
    spans = {span["name"]: span for span in office.spans.of(trace_id)}
    whole = spans["docintake.classify"]
    assert {"queued", "classes", "fetch", "lookup", "read", "encode", "decide", "store", "commit"} <= spans.keys()
    assert whole["parent"] == f"{case.get_span_context().span_id:016x}"
    assert all(span["parent"] == whole["id"] for name, span in spans.items() if name != "docintake.classify")
    assert whole["attributes"] == {
        "docintake.task_id": handle.id,
        "docintake.document_id": result.document.document_id,
    }
    assert spans["queued"]["start"] == whole["start"]
    assert whole["end"] >= spans["commit"]["end"]
    told = json.dumps(office.spans.of(trace_id))
    assert not [secret for secret in ("Tenochtitlan", "Quetzalcoatl", "Popocatepetl") if secret in told]
    (line,) = [line for line in office.node.lines("job ended") if line["task_id"] == handle.id]
    assert (line["document_id"], line["trace_id"]) == (result.document.document_id, trace_id)


def test_a_trace_of_what_was_refused_says_its_code_alone(office: Office) -> None:
    handle = office.client.classify("file:///srv/Tenochtitlan.pdf")
    wait_until(handle.ready, "the refusal")

    def spans() -> list[dict[str, Any]]:
        return [span for span in office.spans.all() if span["attributes"].get("docintake.task_id") == handle.id]

    wait_until(spans, "its span")
    (span,) = spans()
    assert span["status"] == "not_allowed"
    assert "Tenochtitlan" not in json.dumps(office.spans.of(span["trace"]))
    (line,) = [line for line in office.node.lines("job ended") if line["task_id"] == handle.id]
    assert "document_id" not in line


def test_a_trainer_counts_its_runs(office: Office) -> None:
    office.client._app.send_task(RETRAIN, kwargs={"colour": "red"}, queue=QUEUES[RETRAIN])
    line = 'docintake_jobs_total{outcome="rejected",task="docintake.retrain"} 1.0'
    wait_until(lambda: line in office.figures("trainer"), "the run is counted")


def test_a_node_whose_database_is_away_is_alive_and_not_ready(office: Office, admin: Engine) -> None:
    name = office.database.url.database
    with admin.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": name}
        )
        try:
            wait_until(lambda: office.told("node", "/ready")[0] == 503, "the node notices")
            status, parts = office.told("node", "/ready")
            assert (status, parts["database"], parts["broker"]) == (503, False, True)
            assert office.told("node", "/live")[0] == 200
        finally:
            connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    wait_until(lambda: office.told("node", "/ready")[0] == 200, "the node is ready again")


def test_a_loop_that_stands_still_is_left_alone_while_the_broker_is_away(settings: Settings) -> None:
    def loop(settings: Settings) -> health.Part:
        pulse = health.Pulse(silent=-1)
        pulse.beat()
        (probe,) = health.of_beat(pulse, settings).live
        return probe.found()

    away = settings.broker.model_copy(update={"url": SecretStr("redis://127.0.0.1:1/0")})
    assert not loop(settings).ok
    assert loop(settings.model_copy(update={"broker": away})).ok


def test_a_node_is_not_ready_before_its_model_is_loaded_and_not_alive_once_its_device_is_stuck(
    settings: Settings,
) -> None:
    class Device:
        alive, busy_for = True, 0.0

    class Runtime:
        device: Any = Device()

    app = make_app(settings)
    found = health.of_node(app, settings)
    model, work, *_ = (probe.found() for probe in found.ready)
    assert (model.ok, work.ok) == (False, False)
    app.held._runtime = Runtime()
    device = found.live[0]
    assert device.found().ok
    Device.busy_for = settings.broker.visibility_timeout + 1
    device._looked_at = float("-inf")
    assert "start this node again" in device.found().detail
    app.held._runtime = None
