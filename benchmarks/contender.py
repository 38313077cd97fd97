"""Servers that are measured side by side: processes of their own, halted while it is another's turn."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

import psutil
import redis
from celery import Celery

from core.settings import Settings
from db import migrations
from db.session import make_engine
from worker.class_sets import ensure_default
from worker.embedded import Addresses
from worker.stack import CLASSES

PATIENCE: Final = 180
"""Seconds that a server may take to load its model and answer."""
SINGLE: Final[Mapping[str, str]] = MappingProxyType(
    {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1"}
)
"""One thread a process: in its environment."""
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Contender(Protocol):
    def drive(self, in_flight: int, seconds: float) -> list[float]:
        """Have so many requests in flight for so long once each was answered; when answers came, but for the last
        `in_flight - 1`, which leave the server idle."""

    def processor_seconds(self) -> float: ...

    def resident(self) -> int: ...

    def halt(self) -> None: ...

    def go_on(self) -> None: ...


class Server:
    """A server's processes, of a module of ours, which can be halted while others are measured."""

    def __init__(self, words: Sequence[str], log: Path, environment: Mapping[str, str] = _NOTHING) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, "-m", *words], stdout=output, stderr=output, env=os.environ | SINGLE | environment
            )

    def halt(self) -> None:
        for process in self._all():
            # A program that it ran may just have ended.
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def go_on(self) -> None:
        for process in self._all():
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def processor_seconds(self) -> float:
        """Programs that its processes ran and that have ended count too."""
        return sum(sum(process.cpu_times()[:4]) for process in self._all())

    def resident(self) -> int:
        """Bytes, what processes share counted once in all of them."""
        return sum(process.memory_full_info().pss for process in self._all())

    def end(self) -> None:
        if self._process.poll() is None:
            processes = self._all()
            for process in processes:
                process.kill()
            psutil.wait_procs(processes)
            self._process.wait()

    def _all(self) -> list[psutil.Process]:
        if self._process.poll() is not None:
            raise RuntimeError(f"a server ended with {self._process.returncode}; see {self._log}")
        own = psutil.Process(self._process.pid)
        return [own, *own.children(recursive=True)]


class CeleryServer(Server):
    """A node of Celery's. Results are taken as Redis publishes them: the client costs as little as it can.

    `send` sends the task of a number through the app, and returns its id.
    """

    def __init__(
        self,
        words: Sequence[str],
        app: Celery,
        send: Callable[[Celery, int], str],
        log: Path,
        environment: Mapping[str, str] = _NOTHING,
    ) -> None:
        super().__init__(words, log, environment)
        self.app = app
        self._call = send
        self._redis = redis.Redis.from_url(app.conf.broker_url)
        self._results = self._redis.pubsub(ignore_subscribe_messages=True)
        prefix = app.conf.result_backend_transport_options.get("global_keyprefix", "")
        self._results.psubscribe(f"{prefix}celery-task-meta-*")
        self._sent: dict[str, float] = {}
        self._number = 0
        self.latencies: list[float] = []
        """Seconds from sending to result of each request of the last drive, in the order of results."""

    def drive(self, in_flight: int, seconds: float) -> list[float]:
        times: list[float] = []
        self.latencies = []
        for _ in range(in_flight):
            self._send()
        while not is_over(times, in_flight, seconds):
            self._receive()
            times.append(time.perf_counter())
            if not is_over(times, in_flight, seconds):
                self._send()
        while self._sent:
            self._receive()
        return times

    def send_with(self, send: Callable[[Celery, int], str]) -> None:
        """Send other tasks from now on."""
        self._call = send

    def drive_all(self, count: int, in_flight: int) -> list[Any]:
        """Have so many requests answered, so many in flight at a time; what they came to, in the order of sending."""
        self.latencies = []
        results: dict[str, Any] = {}
        sent: list[str] = []
        for number in range(count):
            if number >= in_flight:
                results |= [self._receive()]
            sent.append(self._send())
        while self._sent:
            results |= [self._receive()]
        return [results[task_id] for task_id in sent]

    def end(self) -> None:
        super().end()
        self._results.close()
        self._redis.close()
        self.app.close()

    def _send(self) -> str:
        sent_at = time.perf_counter()
        task_id = self._call(self.app, self._number)
        self._sent[task_id] = sent_at
        self._number += 1
        return task_id

    def _receive(self) -> tuple[str, Any]:
        """Id and result of the next task that ends."""
        deadline = time.monotonic() + PATIENCE
        while True:
            message = self._results.get_message(timeout=1)
            if message is None:
                self._all()
                if time.monotonic() > deadline:
                    raise RuntimeError(f"a task was not answered within {PATIENCE} s; see {self._log}")
                continue
            result: dict[str, Any] = json.loads(message["data"])
            # Nodes also publish that they have started.
            if result["task_id"] in self._sent and result["status"] != "STARTED":
                if result["status"] != "SUCCESS":
                    raise RuntimeError(f"a task ended as {result['status']}: {result['result']}")
                self.latencies.append(time.perf_counter() - self._sent.pop(result["task_id"]))
                return result["task_id"], result["result"]


def is_over(times: Sequence[float], in_flight: int, seconds: float) -> bool:
    """Whether those answers are enough: every request in flight answered twice, and for so long."""
    return len(times) >= 2 * in_flight + 1 and times[-1] - times[in_flight - 1] >= seconds


def rate(times: Sequence[float], in_flight: int) -> float:
    """Answers a second, once each request in flight was answered."""
    return (len(times) - in_flight) / (times[-1] - times[in_flight - 1])


def environment_of(name: str, folder: Path, addresses: Addresses) -> dict[str, str]:
    """Of a node of ours that has queues of its own on these servers, and reads what is in the folder."""
    return {
        "DOCINTAKE_DATA_DIR": str(folder / name),
        "DOCINTAKE_BROKER__URL": addresses.redis_url,
        "DOCINTAKE_BROKER__KEY_PREFIX": f"{name}:",
        "DOCINTAKE_DATABASE__URL": addresses.database_url,
        "DOCINTAKE_DOCUMENTS__ROOTS": f'["{folder}"]',
    }


def settings_of(environment: Mapping[str, str]) -> Settings:
    """What a process finds that starts in it."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        return Settings.load()
    finally:
        os.environ.clear()
        os.environ.update(before)


def prepare(addresses: Addresses) -> None:
    """Make the tables, and publish the class sets that come along."""
    engine = make_engine(addresses.database_url, statement_timeout=60, pool_size=1)
    migrations.upgrade(engine)
    ensure_default(engine, CLASSES)
    engine.dispose()


def plain_app(settings: Settings) -> Celery:
    """As people write it, but for what makes Celery lose tasks."""
    assert settings.broker.url is not None  # noqa: S101 - the environment has it
    url = settings.broker.url.get_secret_value()
    app = Celery("plain", broker=url, backend=url, set_as_current=False)
    app.conf.update(
        broker_transport_options={"global_keyprefix": settings.broker.key_prefix},
        result_backend_transport_options={"global_keyprefix": settings.broker.key_prefix},
        task_default_queue="classify",
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
    )
    return app
