"""Whether a process does its work: `/ready` and `/live`, on one port with its figures for Prometheus."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import redis
from celery import signals
from celery.bootsteps import StartStopStep
from prometheus_client import REGISTRY, make_wsgi_app
from prometheus_client.registry import Collector, CollectorRegistry

from core.errors import IntakeError, ModelFailure, RejectedInput, TransientFailure
from core.settings import Settings
from db import queries
from db.session import make_engine, transaction

if TYPE_CHECKING:
    from celery import Celery

_Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]

PATIENCE: Final = 2.0
"""Seconds that a part may take to show that it works."""
_FRESH: Final = 1.0
"""Seconds for which what was found is said again: however often people ask, parts are looked at once a second."""
_BEAT: Final = 5.0
"""Seconds between signs of life of a node's loop."""
SILENT: Final = 120.0
"""Seconds without one after which a loop is stuck. It may wait 30 s for a Redis that does not answer."""
_SLOW_CALLER: Final = 10.0
"""Seconds that somebody who asks may take to do so."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a process: whether it works, and how it was found or what to do about it."""

    part: str
    ok: bool
    detail: str


class Probe:
    """Looks at one part: `look` returns how it was found, or raises.

    It is waited for no longer than `PATIENCE`, and never begun again while it has not come back.
    """

    def __init__(self, part: str, look: Callable[[], str]) -> None:
        self._part = part
        self._look = look
        self._lock = threading.Lock()
        self._looking: threading.Thread | None = None
        self._found = Part(part, False, "not looked at yet")
        self._looked_at = float("-inf")

    def found(self) -> Part:
        """How the part is, or was a moment ago."""
        with self._lock:
            if time.monotonic() - self._looked_at < _FRESH:
                return self._found
            if self._looking is None or not self._looking.is_alive():
                self._looking = threading.Thread(target=self._find, name=f"probe-{self._part}", daemon=True)
                self._looking.start()
            self._looking.join(PATIENCE)
            if self._looking.is_alive():
                self._found = Part(self._part, False, f"gives no answer within {PATIENCE:g} s")
            self._looked_at = time.monotonic()
            return self._found

    def _find(self) -> None:
        try:
            self._found = Part(self._part, True, self._look())
        except IntakeError as error:
            self._found = Part(self._part, False, error.message)
        except Exception as error:  # noqa: BLE001 - whatever is wrong is what was asked for
            # Not what it says: a library may quote an address with its password.
            self._found = Part(self._part, False, f"{type(error).__name__}; `docintake doctor` says more")


@dataclass(frozen=True, slots=True)
class Health:
    """What has to work for a process to be given work, and what for it to be left alive."""

    ready: Sequence[Probe]
    live: Sequence[Probe]


class Pulse:
    """Whether a loop goes round. One that has not begun, or waits to be connected again, is not expected to."""

    def __init__(self, silent: float = SILENT) -> None:
        self._silent = silent
        self._last: float | None = None

    def beat(self) -> None:
        self._last = time.monotonic()

    def rest(self) -> None:
        self._last = None

    @property
    def lost(self) -> bool:
        last = self._last
        return last is not None and time.monotonic() - last > self._silent


def of_node(app: "Celery", settings: Settings, *, trains: bool = False) -> Health:
    """The health of the node that this app is to be; one that `trains` holds no model until there is a run."""
    pulse = Pulse()

    class PulseStep(StartStopStep):  # type: ignore[misc] # Celery has no types
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:
            pulse.beat()
            self._timer = consumer.timer.call_repeatedly(_BEAT, pulse.beat)

        def stop(self, _consumer: Any) -> None:
            pulse.rest()
            self._timer.cancel()

    app.steps["consumer"].add(PulseStep)
    takes_work = threading.Event()

    def begin(sender: Any, **_: Any) -> None:
        if sender.app is app:
            takes_work.set()

    signals.worker_ready.connect(begin, weak=False)

    def model() -> str:
        runtime = app.held.runtime
        if runtime is None:
            raise TransientFailure("loading", "is being loaded; if that lasts, this node's log says why")
        return f"{runtime.backend.fingerprint} on {runtime.backend.device}"

    def work() -> str:
        if app.held.stopping:
            raise TransientFailure("node_stopping", "this node was told to stop, and takes no new tasks")
        if not takes_work.is_set():
            raise TransientFailure("starting", "this node does not take tasks yet; its log says what it waits for")
        return "tasks are taken"

    def device() -> str:
        runtime = app.held.runtime
        if runtime is None:
            return "no model yet"
        if not runtime.device.alive:
            raise ModelFailure("device_lost", "the device thread died: start this node again; its log says why")
        # By then its tasks are other nodes'.
        if runtime.device.busy_for > settings.broker.visibility_timeout:
            raise ModelFailure("device_stuck", "one batch takes longer than any task may: start this node again")
        return "the device thread lives"

    own = [] if trains else [Probe("model", model)]
    device_probes = [] if trains else [Probe("device", device)]
    broker = _broker(settings)
    return Health(
        ready=(*own, Probe("work", work), broker, _database(settings)),
        live=(*device_probes, Probe("loop", lambda: _heard(pulse, broker))),
    )


def of_beat(pulse: Pulse, settings: Settings) -> Health:
    """The health of a beat that beats this pulse. It needs no database."""
    broker = _broker(settings)
    return Health(ready=(broker,), live=(Probe("loop", lambda: _heard(pulse, broker)),))


def _heard(pulse: Pulse, broker: Probe) -> str:
    if not pulse.lost:
        return "goes round"
    if not broker.found().ok:
        # Nothing that a new start of this process would mend.
        return "waits for the broker"
    raise ModelFailure("loop_stuck", "its loop stands still: start this process again; its log may say why")


def _broker(settings: Settings) -> Probe:
    if settings.broker.url is None:
        raise ValueError("settings.broker.url is not set: locate(settings) fills it in")
    client = redis.Redis.from_url(
        settings.broker.url.get_secret_value(), socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE
    )

    def look() -> str:
        try:
            client.ping()
        except redis.RedisError as error:
            raise TransientFailure(
                "broker_unavailable", "Redis cannot be reached; `docintake doctor` says more"
            ) from error
        return "answers"

    return Probe("broker", look)


def _database(settings: Settings) -> Probe:
    if settings.database.url is None:
        raise ValueError("settings.database.url is not set: locate(settings) fills it in")
    engine = make_engine(settings.database.url.get_secret_value(), statement_timeout=PATIENCE, pool_size=1)

    def look() -> str:
        with transaction(engine) as connection:
            queries.ping(connection)
        return "answers"

    return Probe("database", look)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = _SLOW_CALLER

    def log_message(self, *_: Any) -> None:
        """Whoever asks every few seconds is nothing to log."""


@contextmanager
def served(
    settings: Settings, health: Health, *collectors: Collector, registry: CollectorRegistry = REGISTRY
) -> Iterator[None]:
    """Within the block, `/ready` and `/live` tell of this process, and `/metrics` the figures of the registry and
    those of `collectors`, if the settings name a port.

    Raises RejectedInput(`metrics_port_taken`).
    """
    host, port = settings.node.metrics_host, settings.node.metrics_port
    if port is None:
        yield
        return
    try:
        server = _listening(host, port, _answers(health, registry))
    except OSError as error:
        raise RejectedInput(
            "metrics_port_taken",
            f"{host}:{port} cannot be listened on ({error.strerror}): give each process of this machine a "
            "node.metrics_port of its own, and an address of this machine as node.metrics_host",
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    for collector in collectors:
        registry.register(collector)
    try:
        yield
    finally:
        for collector in collectors:
            registry.unregister(collector)
        server.shutdown()
        server.server_close()
        thread.join()


def _listening(host: str, port: int, answers: _Wsgi) -> WSGIServer:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    server_class = type(_Server.__name__, (_Server,), {"address_family": family})
    return make_server(host, port, answers, server_class=server_class, handler_class=_Handler)


def _answers(health: Health, registry: CollectorRegistry) -> _Wsgi:
    figures: _Wsgi = make_wsgi_app(registry)
    probes = {"/ready": health.ready, "/live": health.live}

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return figures(environ, start_response)
        if path in probes:
            parts = [probe.found() for probe in probes[path]]
            ok = all(part.ok for part in parts)
            status = "200 OK" if ok else "503 Service Unavailable"
            body: dict[str, Any] = {"ok": ok, "parts": [asdict(part) for part in parts]}
        else:
            status, body = "404 Not Found", {"there_is": ["/metrics", *probes]}
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(body, indent=2).encode()]

    return answer
