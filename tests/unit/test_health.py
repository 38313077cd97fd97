"""Probes: looked at once a moment, waited for as long as it takes to tell that nothing comes, and never piled up."""

import json
import socket
import threading
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from core.errors import ModelFailure, RejectedInput
from core.settings import Node, Settings
from worker import health
from worker.health import Health, Part, Probe, Pulse, served

HOST = "127.0.0.1"
NOTHING = Health((), ())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def told(port: int, path: str) -> tuple[int, dict[str, object]]:
    try:
        with urlopen(f"http://{HOST}:{port}{path}", timeout=30) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_a_part_is_looked_at_once_a_moment_however_often_it_is_asked_for() -> None:
    looks: list[int] = []

    def look() -> str:
        looks.append(1)
        return "well"

    probe = Probe("model", look)
    assert {probe.found() for _ in range(50)} == {Part("model", True, "well")}
    assert len(looks) == 1


def test_a_part_that_does_not_answer_is_given_up_on_and_not_asked_again_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "PATIENCE", 0.05)
    monkeypatch.setattr(health, "_FRESH", 0.0)
    looks: list[int] = []
    hangs = threading.Event()

    def look() -> str:
        looks.append(1)
        hangs.wait()
        return "well"

    probe = Probe("database", look)
    assert [probe.found().ok for _ in range(3)] == [False] * 3
    assert "no answer within 0.05 s" in probe.found().detail
    assert len(looks) == 1
    hangs.set()
    assert Probe("database", look).found().ok


def test_what_a_library_says_of_a_part_is_not_repeated() -> None:
    def fail() -> str:
        raise RuntimeError("redis://user:secret@host")

    part = Probe("broker", fail).found()
    assert not part.ok
    assert "secret" not in part.detail


def test_a_loop_that_has_stood_still_for_too_long_is_lost_and_one_that_rests_is_not() -> None:
    pulse = Pulse(silent=-1)
    assert not pulse.lost
    pulse.beat()
    assert pulse.lost
    pulse.rest()
    assert not pulse.lost


def test_it_is_answered_with_each_part_and_a_status_that_probes_understand() -> None:
    def dead() -> str:
        raise ModelFailure("device_lost", "start it again")

    port = free_port()
    settings = Settings(node=Node(metrics_port=port))
    parts = Health(ready=(Probe("model", lambda: "loaded"),), live=(Probe("device", dead),))
    with served(settings, parts, registry=CollectorRegistry()):
        assert told(port, "/ready") == (
            200,
            {"ok": True, "parts": [{"part": "model", "ok": True, "detail": "loaded"}]},
        )
        status, body = told(port, "/live")
        assert (status, body["ok"]) == (503, False)
        assert "start it again" in str(body)
        assert told(port, "/") == (404, {"there_is": ["/metrics", "/ready", "/live"]})
    with pytest.raises(OSError, match="refused"):
        urlopen(f"http://{HOST}:{port}/ready", timeout=30)


def test_without_a_port_nothing_is_served() -> None:
    before = threading.active_count()
    with served(Settings(), NOTHING):
        assert threading.active_count() == before


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(RejectedInput, match=f"metrics_port_taken: {HOST}:{port}"),
            served(Settings(node=Node(metrics_port=port)), NOTHING),
        ):
            raise AssertionError("it listens where somebody else does")


@pytest.mark.parametrize("port", [0, 65536])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(ValidationError, match="metrics_port"):
        Node(metrics_port=port)
