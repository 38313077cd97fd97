"""Real nodes for the tests: the command line in processes of their own."""

import gc
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil
from child import Child
from pydantic import BaseModel, SecretStr

from core.contract import IntakeClient
from core.settings import PROJECT, Settings

Start = Callable[..., "Child | subprocess.Popen[bytes]"]
"""`Child`, or something like it."""
PATIENCE = 120
"""Seconds; the machine may be slow, and other tests run on it."""


def wait_until(true: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, f"not within {patience} s: {what}"
        time.sleep(0.05)


def environment_of(settings: Settings) -> dict[str, str]:
    """Variables that give a process these settings."""
    found: dict[str, str] = {}

    def walk(section: BaseModel, prefix: str) -> None:
        for name in section.model_fields_set:
            value = getattr(section, name)
            if isinstance(value, BaseModel):
                walk(value, f"{prefix}{name.upper()}__")
            elif value is not None:
                found[f"{prefix}{name.upper()}"] = _as_text(value)

    walk(settings, "DOCINTAKE_")
    return found


def _as_text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, tuple | list | dict) else str(value)


def disconnect(client: IntakeClient) -> None:
    """Close what a back office leaves to its process's end; no result can be waited for any more."""
    # Celery's results unsubscribe when they are collected, which opens a connection once more.
    gc.collect()
    app = client._app
    app.backend.result_consumer.stop()
    app.backend.client.connection_pool.disconnect()
    app.amqp.producer_pool.force_close_all()
    app.pool.force_close_all()
    app.close()


class Process:
    """`docintake` and these words as a child; its output goes to `log`. Leaving it kills what is left.

    `program` is what Python runs instead of docintake's own command line.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        name: str,
        words: Sequence[str],
        program: Sequence[str] = ("-m", "worker"),
        start: Start = Child,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._start = start
        self._program = program
        self._words = words
        self._environment = environment_of(settings)

    def __enter__(self) -> Self:
        own = {name: value for name, value in os.environ.items() if not name.startswith("DOCINTAKE_")}
        environment = {**own, **self._environment}
        self.process = self._start(self._program, self._words, PROJECT, environment, self.log)
        return self

    def __exit__(self, *_: object) -> None:
        left = [self.process, *self.children()] if self.process.poll() is None else []
        for process in left:
            # A child that ends by itself meanwhile is as good.
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(PATIENCE)

    def children(self) -> list[psutil.Process]:
        """What it started: reading processes, and a trainer's child with its own."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of its log that tell of this event."""
        found = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in found if line["event"] == event]

    def kill(self) -> list[psutil.Process]:
        """SIGKILL; returns the processes that it leaves behind, if they live on."""
        children = self.children()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)
        return children

    def terminate(self, patience: float = PATIENCE) -> tuple[int, float]:
        """SIGTERM; (exit status, seconds until it was gone by itself)."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(patience)
        return status, time.monotonic() - start


class Node(Process):
    """`docintake worker` as a child."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        name: str = "node",
        *,
        queues: str = "classify,qa",
        program: Sequence[str] = ("-m", "worker"),
        start: Start = Child,
    ) -> None:
        self._ready = folder / f"{name}.ready"
        words = ["worker", "--queues", queues, "--name", f"{name}@test", "--ready-file", str(self._ready)]
        super().__init__(settings, folder, name, words, program, start)

    def __enter__(self) -> Self:
        self._ready.unlink(missing_ok=True)
        return super().__enter__()

    def until_ready(self) -> Self:
        wait_until(lambda: self._ready.exists() or self.process.poll() is not None, f"{self.name} takes work")
        assert self.process.poll() is None, self.log.read_text()
        return self
