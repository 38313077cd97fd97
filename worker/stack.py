"""All of docintake on one machine: servers where none is configured, tables, classes, and processes that stay up."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from core.contract import QUEUES, RETRAIN
from core.errors import IntakeError
from core.settings import PROJECT, Settings
from db import migrations
from db.session import make_engine
from worker.class_sets import ensure_default
from worker.device import Device
from worker.embedded import Embedded, locate
from worker.launch import Launcher, Service, interrupted_by_signals

CLASSES = PROJECT / "configs" / "classes"
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_SERVERS_EVERY: Final = 5.0
"""Seconds between looks at the servers."""


class Stack:
    """Entering it brings everything up, in order, and leaving it takes everything down again.

    `config` is the settings file that its processes read, as given on the command line; `say` receives a line at
    each step. `settings` are those with both URLs filled in. Each of the `devices` gets a node of its own; without
    any there is one node, on the device that the settings name.
    """

    def __init__(
        self,
        settings: Settings,
        config: Path | None,
        say: Callable[[str], None],
        devices: Sequence[Device] = (),
    ) -> None:
        self.settings = settings
        self._config = config
        self._say = say
        self._devices = devices
        self._running = ExitStack()
        self._servers: Embedded | None = None

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self._start(starting)
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._say("Stopping: tasks in flight are finished first.")
        self._running.close()

    def wait(self) -> None:
        """Keep the processes and the servers up until ctrl-C, SIGTERM or SIGHUP."""
        with suppress(KeyboardInterrupt):
            look_at_servers = 0.0
            while True:
                self._launcher.check()
                if self._servers is not None and time.monotonic() >= look_at_servers:
                    self._keep_up(self._servers)
                    look_at_servers = time.monotonic() + _SERVERS_EVERY
                time.sleep(0.1)

    def _keep_up(self, servers: Embedded) -> None:
        try:
            servers.start()
        except IntakeError as error:
            self._say(f"The servers do not come up, the next try is in {_SERVERS_EVERY:g} s: {error}")

    def _start(self, starting: ExitStack) -> None:
        starting.enter_context(interrupted_by_signals())
        folder = self.settings.data_dir.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if self.settings.broker.url is None or self.settings.database.url is None:
            self._servers = Embedded(folder)
            starting.enter_context(self._servers)
            self._say(f"PostgreSQL and Redis run in {folder}")
        self.settings = locate(self.settings)
        database = self.settings.database.url
        assert database is not None  # noqa: S101 - locate fills it in
        engine = make_engine(database.get_secret_value(), statement_timeout=600, pool_size=1)
        starting.callback(engine.dispose)
        migrations.upgrade(engine)
        for name in ensure_default(engine, CLASSES):
            self._say(f"Class set {name} is published")
        self._say(f"{self._nodes()}; the logs, also those of trainer and beat, are in {folder}")
        self._launcher = starting.enter_context(Launcher(self._services(folder), self._say))

    def _services(self, folder: Path) -> list[Service]:
        """The nodes that serve, the one that trains, and the beat that tells it when."""
        broker, database = self.settings.broker.url, self.settings.database.url
        assert broker is not None and database is not None  # noqa: S101, PT018 - locate filled both in
        docintake = [
            *(sys.executable, "-m", "worker"),
            *(() if self._config is None else ("--config", str(self._config.resolve()))),
        ]
        # Not on the command line, where every user of the machine could read the passwords.
        environment = {
            "DOCINTAKE_DATA_DIR": str(folder),
            "DOCINTAKE_BROKER__URL": broker.get_secret_value(),
            "DOCINTAKE_DATABASE__URL": database.get_secret_value(),
            "DOCINTAKE_DOCUMENTS__ROOTS": json.dumps(self.settings.documents.roots),
        }

        def service(name: str, *words: str, own: Mapping[str, str] = _NOTHING) -> Service:
            ready = folder / f"{name}.ready" if words[0] == "worker" else None
            command = [*docintake, *words, *(() if ready is None else ("--ready-file", str(ready)))]
            return Service(name, command, {**environment, **own}, ready_file=ready, log=folder / f"{name}.log")

        nodes = [
            service(
                f"node-{device.label}",
                *("worker", "--device", device.name, "--name", f"classify-qa@%h-{device.label}"),
                own=self._share(place),
            )
            for place, device in enumerate(self._devices)
        ]
        trainer = ["worker", "--queues", QUEUES[RETRAIN]]
        if self._devices and self.settings.training.device is None:
            trainer += ["--device", self._devices[-1].name]
        serving = nodes or [service("node", "worker")]
        return [
            *serving,
            service("trainer", *trainer, own=self._port(len(serving))),
            service("beat", "beat", own=self._port(len(serving) + 1)),
        ]

    def _share(self, place: int) -> dict[str, str]:
        """What the nodes of one machine must not have in common, or may not have all of."""
        own = {}
        if self.settings.reading.processes == 0:
            cores = len(os.sched_getaffinity(0))
            own["DOCINTAKE_READING__PROCESSES"] = str(max(1, cores // len(self._devices)))
        return own | self._port(place)

    def _port(self, place: int) -> dict[str, str]:
        port = self.settings.node.metrics_port
        return {} if port is None else {"DOCINTAKE_NODE__METRICS_PORT": str(port + place)}

    def _nodes(self) -> str:
        if not self._devices:
            return "The node loads its model"
        return f"A node each loads its model on {', '.join(device.label for device in self._devices)}"
