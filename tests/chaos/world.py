"""A whole deployment for faults to strike: servers, nodes that are started again when they die, and callers."""

import gc
import math
import os
import random
import shutil
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import redis
from celery.exceptions import TimeoutError as NotInTime
from child import afresh
from kombu.exceptions import OperationalError
from line import Line
from node import PATIENCE, Node, Process, disconnect, wait_until
from printed import pdf
from pydantic import SecretStr
from shifted import __file__ as shifted
from sqlalchemy import Engine, text
from stand_in import __file__ as stand_in

from core.class_set import ClassSet, DocumentClass
from core.contract import QUEUES, RETRAIN, Handle, IntakeClient, IntakeError, RetrainRequest, RetrainResult
from core.contract.document import Wire
from core.settings import Broker, Database, Documents, Model, Reading, Schedule, Settings, Training
from core.settings import Node as NodeSettings
from db import migrations
from db.session import make_engine, transaction
from worker import class_sets
from worker.embedded import Embedded

VISIBILITY = 8
"""Seconds until a dead node's tasks go to another; longer than any task here takes."""
GRACE = 60.0
"""Seconds that a process may take to stop by itself, as `docintake up` gives it."""
LONG = 900
"""Seconds that a caller waits for an answer: nodes that are struck down all the time get little done."""
CALLERS = 8
_BURSTS = 8
"""How often a caller sends some of its requests and then waits for them."""
_ATTEMPTS = 10
"""Deaths that a task may meet here: these strike at random, and a document has no part in it."""

_AUDIT = """
CREATE TABLE audit (task_id text NOT NULL, what text NOT NULL);
CREATE FUNCTION note_end() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO audit VALUES (NEW.task_id, 'ended ' || NEW.state); RETURN NULL; END $$;
CREATE TRIGGER note_end AFTER UPDATE ON jobs FOR EACH ROW WHEN (NEW.finished_at IS NOT NULL)
    EXECUTE FUNCTION note_end();
CREATE FUNCTION note_result() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO audit VALUES (NEW.task_id, 'result'); RETURN NULL; END $$;
CREATE TRIGGER note_result AFTER INSERT OR UPDATE ON classifications FOR EACH ROW EXECUTE FUNCTION note_result();
CREATE TRIGGER note_result AFTER INSERT OR UPDATE ON inquiries FOR EACH ROW EXECUTE FUNCTION note_result();
CREATE TABLE disk (is_full boolean NOT NULL);
INSERT INTO disk VALUES (false);
CREATE FUNCTION look_at_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF (SELECT is_full FROM disk) THEN RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100';
    END IF; RETURN NULL; END $$;
"""
"""Each end of a job and each result that is ever written leaves a line, also where it replaced another one."""
_WRITTEN = ("jobs", "documents", "pages", "features", "classifications", "answers", "inquiries", "training_runs")


class Kept:
    """A process that somebody starts again as soon as it has died. `ahead`: how wrong its next start's clock is."""

    def __init__(self, name: str, make: Callable[[Sequence[str]], Process], program: Sequence[str]) -> None:
        self.name = name
        self.ahead = 0
        self.overdue = False
        self._make = make
        self._program = program
        self._told_at: float | None = None
        self._starts = 0
        self.process = self._start()

    def keep_up(self) -> None:
        if self.process.process.poll() is not None:
            self.process = self._start()
        elif self._told_at is not None and time.monotonic() > self._told_at + GRACE:
            self.overdue = True
            self.process.kill()

    def tell_to_stop(self) -> None:
        if self._told_at is None:
            self._told_at = time.monotonic()
            with suppress(ProcessLookupError):
                self.process.process.terminate()

    def until_stopped(self) -> None:
        self.tell_to_stop()
        assert self._told_at
        wait_until(
            lambda: self.process.process.poll() is not None,
            f"{self.name} stops",
            self._told_at + GRACE - time.monotonic(),
        )

    def _start(self) -> Process:
        self._told_at = None
        self._starts += 1
        program = [shifted, str(self.ahead)] if self.ahead else self._program
        return self._make(program).__enter__()


@dataclass
class Caller:
    """One client in a thread of its own: sends a few requests, waits for their answers, sends more."""

    client: IntakeClient
    chance: random.Random
    inbox: Path
    tasks: int
    sent: list[str] = field(default_factory=list)
    answers: dict[str, Wire | IntakeError] = field(default_factory=dict)
    sent_again: int = 0
    waited_again: int = 0

    def run(self) -> None:
        while len(self.sent) < self.tasks:
            for handle in [
                self._send() for _ in range(min(math.ceil(self.tasks / _BURSTS), self.tasks - len(self.sent)))
            ]:
                self.wait(handle)
            time.sleep(self.chance.uniform(0, 0.5))

    def _send(self) -> Handle[Wire]:
        task_id = str(uuid.UUID(int=self.chance.getrandbits(128), version=4))
        file = self.inbox / f"{task_id}.pdf"
        lines = [f"a letter to a dear person in house {row}, street {task_id}" for row in range(12)]
        file.write_bytes(pdf([*lines, "Total 3.40"], pages=self.chance.randint(1, 20)))
        asks = self.chance.random() < 0.3

        def send() -> Handle[Wire]:
            if asks:
                return self.client.answer(file.as_uri(), ["What is the total?", "How many pages?"], task_id=task_id)  # type: ignore[return-value]
            return self.client.classify(file.as_uri(), pages="all", task_id=task_id)  # type: ignore[return-value]

        handle = self.send_until_accepted(send)
        self.sent.append(task_id)
        return handle

    def send_until_accepted(self, send: Callable[[], Handle[Wire]]) -> Handle[Wire]:
        """Under one task id, however often: nobody can know whether a message that failed has arrived."""
        while True:
            try:
                return send()
            except (OperationalError, redis.RedisError):
                self.sent_again += 1
                time.sleep(0.2)

    def wait(self, handle: Handle[Wire]) -> None:
        deadline = time.monotonic() + LONG
        while handle.id not in self.answers and time.monotonic() < deadline:
            try:
                self.answers[handle.id] = handle.get(deadline - time.monotonic())
            except IntakeError as error:
                self.answers[handle.id] = error
            except NotInTime:
                return
            except (OperationalError, redis.RedisError, RuntimeError):
                # Redis was away for longer than Celery's client tries.
                self.waited_again += 1
                time.sleep(0.2)


class World:
    """Everything that `docintake up` starts, and callers beside it. `seed` decides what they do, and when."""

    def __init__(self, folder: Path, embedded: Embedded, line: Line, database: Engine, seed: int, tasks: int) -> None:
        addresses = embedded.start()
        self.chance = random.Random(seed)
        self.folder = folder
        self.data = folder / "data"
        self.inbox = folder / "inbox"
        self.temporary = folder / "tmp"
        self.embedded = embedded
        self.line = line
        self.database = database
        self.redis = redis.Redis.from_url(addresses.redis_url, decode_responses=True, socket_timeout=5)
        url = addresses.redis_url.replace(f":{addresses.redis_port}/", f":{line.port}/")
        self.settings = Settings(
            data_dir=self.data,
            broker=Broker(url=SecretStr(url), visibility_timeout=VISIBILITY, restore_interval=1),
            database=Database(url=SecretStr(addresses.database_url), statement_timeout=5),
            documents=Documents(roots=(str(self.inbox),)),
            reading=Reading(processes=1),
            model=Model(backend="fake"),
            training=Training(silent_for=4),
            schedule=Schedule(retrain="disable", purge="disable", reap=2),
            node=NodeSettings(concurrency=8, retry_delay=0.3, max_attempts=_ATTEMPTS),
        )
        self.callers = [
            Caller(IntakeClient(url), random.Random(f"{seed} {number}"), self.inbox, math.ceil(tasks / CALLERS))
            for number in range(CALLERS)
        ]
        self._teacher = Caller(IntakeClient(url), random.Random(seed), self.inbox, 0)
        self._other = IntakeClient(url)
        self.nodes = [self._keep(f"node{number}", "classify,qa") for number in (1, 2)]
        self.trainer = self._keep("trainer", "retrain", [stand_in])
        self.beat = Kept("beat", self._beat, ["-m", "worker"])
        self.kept = [*self.nodes, self.trainer, self.beat]
        self.runs: dict[str, Wire | IntakeError | None] = {}

    def _keep(self, name: str, queues: str, program: Sequence[str] = ("-m", "worker")) -> Kept:
        return Kept(
            name,
            lambda run: Node(self.settings, self.folder, name, queues=queues, program=run, start=afresh),
            program,
        )

    def _beat(self, program: Sequence[str]) -> Process:
        return Process(self.settings, self.folder, "beat", ["beat"], program, afresh)

    def until_ready(self) -> None:
        for kept in (*self.nodes, self.trainer):
            assert isinstance(kept.process, Node)
            kept.process.until_ready()

    def keep_up(self) -> None:
        for kept in self.kept:
            kept.keep_up()

    @contextmanager
    def working(self) -> Iterator[Callable[[], bool]]:
        """Callers at work, and somebody who has runs done meanwhile; gives whether callers are still at it.

        At its end all have been answered, or have waited long enough.
        """
        callers = [threading.Thread(target=caller.run, name="caller", daemon=True) for caller in self.callers]
        teacher = threading.Thread(target=self._teach, args=(callers,), name="teacher", daemon=True)
        for thread in (*callers, teacher):
            thread.start()
        yield lambda: any(thread.is_alive() for thread in callers)
        while any(thread.is_alive() for thread in (*callers, teacher)):
            self.keep_up()
            time.sleep(0.05)
        for client in (*(caller.client for caller in self.callers), self._teacher.client, self._other):
            disconnect(client)

    def until_quiet(self) -> None:
        """Second deliveries are done, and what the dead held is; or that took too long."""
        self._until_empty(self.left_in_redis, PATIENCE, self.kept)

    def _until_empty(
        self, left: Callable[[], Collection[object]], patience: float, kept: Sequence[Kept] = ()
    ) -> None:
        deadline = time.monotonic() + patience
        while left() and time.monotonic() < deadline:
            for process in kept:
                process.keep_up()
            time.sleep(0.05)

    def _teach(self, callers: list[threading.Thread]) -> None:
        caller = self._teacher
        while any(thread.is_alive() for thread in callers):
            folder = self.folder / "runs" / uuid.uuid4().hex
            folder.mkdir(parents=True)
            request = RetrainRequest(class_set="intake", overrides={"folder": str(folder)}).model_dump(mode="json")

            def send(folder: Path = folder, request: dict[str, object] = request) -> Handle[Wire]:
                app = caller.client._app
                return Handle(
                    app.send_task(RETRAIN, kwargs=request, queue="retrain", task_id=folder.name), RetrainResult
                )  # type: ignore[return-value]

            handle = caller.send_until_accepted(send)
            self.runs[handle.id] = None
            time.sleep(2)
            (folder / "go").touch()
            caller.wait(handle)
            self.runs[handle.id] = caller.answers.get(handle.id)

    def processes(self) -> list[psutil.Process]:
        """All that its nodes, trainer and beat started, and what these started, whoever is their parent by now."""
        mark = f"TMPDIR={self.temporary}".encode()
        found = []
        for process in psutil.process_iter():
            with suppress(OSError, psutil.Error):
                is_ours = mark in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
                if is_ours and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def server(self, program: str) -> list[psutil.Process]:
        """The process of `redis-server` or `postgres`, where it lives."""
        mark = str(self.data / "redis" / "redis.conf" if program == "redis-server" else self.postgres_data)
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if (words := process.info["cmdline"]) and Path(words[0]).name == program and mark in words
        ]

    @property
    def postgres_data(self) -> Path:
        place = self.data / "place"
        return (place.readlink() if place.is_symlink() else self.data) / "postgres"

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        with transaction(self.database) as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    def left_in_redis(self) -> dict[str, int]:
        """Messages that stand in a queue, or that a node holds and did not acknowledge, by key."""
        kinds = {"list": self.redis.llen, "hash": self.redis.hlen, "zset": self.redis.zcard}
        keys = [(key, str(self.redis.type(key))) for key in self.redis.scan_iter() if not key.startswith("_kombu.")]
        return {key: int(kinds[kind](key)) for key, kind in keys if kind in kinds}

    def left_files(self) -> list[str]:
        """What killed processes did not remove, and nobody after them."""
        left = [*self.temporary.rglob("*"), *self.folder.glob("*.ready"), *self.data.glob("*.new")]
        # A trainer that is killed leaves an empty folder of multiprocessing's.
        return [str(path.relative_to(self.folder)) for path in left if path.is_file()]

    def send_again(self, task_id: str, task: str, request: dict[str, object]) -> None:
        self._other._app.send_task(task, kwargs=request, queue=QUEUES[task], task_id=task_id, ignore_result=True)

    @property
    def sent_again(self) -> int:
        return sum(caller.sent_again for caller in self.callers)

    @property
    def waited_again(self) -> int:
        return sum(caller.waited_again for caller in self.callers)

    def stop(self) -> None:
        # What beat sends last is still to be done.
        self.beat.until_stopped()
        self._until_empty(self.left_in_redis, PATIENCE, [*self.nodes, self.trainer])
        for kept in self.kept:
            kept.tell_to_stop()
        for kept in self.kept:
            kept.until_stopped()
        # Reading processes see by themselves that their node has gone.
        self._until_empty(self.processes, 10)

    def wrong(self) -> dict[str, object]:
        """What is not as it must be once all is quiet: lost, doubled and stuck tasks, by what is wrong with them."""
        sent = Counter(task_id for caller in self.callers for task_id in caller.sent)
        answers = {task_id: answer for caller in self.callers for task_id, answer in caller.answers.items()}
        everything = {*sent, *self.runs}
        states = dict(self.rows("SELECT task_id, state FROM jobs"))
        ended = Counter(
            str(task_id) for (task_id,) in self.rows("SELECT task_id FROM audit WHERE what LIKE 'ended %'")
        )
        results = Counter(str(task_id) for (task_id,) in self.rows("SELECT task_id FROM audit WHERE what = 'result'"))
        stored = dict(
            self.rows("SELECT task_id, result FROM classifications UNION SELECT task_id, result FROM inquiries")
        )
        told = {
            task_id: answer.model_dump(mode="json") for task_id, answer in answers.items() if isinstance(answer, Wire)
        }
        runs = {task_id for task_id, answer in self.runs.items() if not isinstance(answer, Wire)}
        return {
            "lost": sorted(everything - states.keys()) + sorted(sent.keys() - stored.keys()),
            "doubled": [
                *(task_id for task_id, count in (ended + Counter()).items() if count > 1),
                *(task_id for task_id, count in results.items() if count > 1),
                *(states.keys() - everything),
            ],
            "stuck": [task_id for task_id, state in states.items() if state in ("received", "started")],
            "failed": [task_id for task_id, state in states.items() if state in ("rejected", "failed")],
            "unanswered": [
                f"{task_id}, {'in Redis' if self.redis.exists(f'celery-task-meta-{task_id}') else 'nowhere'}"
                for task_id in sorted((sent.keys() - answers.keys()) | runs)
            ],
            "answered otherwise": [task_id for task_id in told if told[task_id] != stored.get(task_id)],
            "overdue": [kept.name for kept in self.kept if kept.overdue],
        }


@contextmanager
def world(seed: int, tasks: int) -> Iterator[World]:
    """One whose nodes are up; at its end all is gone, the faults' traces too."""
    folder = Path(tempfile.mkdtemp(prefix="docintake-chaos-"))
    folder.chmod(0o755)
    for name in ("inbox", "tmp"):
        (folder / name).mkdir()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        embedded = Embedded(folder / "data")
        addresses = stack.enter_context(embedded)
        line = stack.enter_context(Line(addresses.redis_port))
        database = make_engine(addresses.database_url, statement_timeout=30, pool_size=2)
        stack.callback(database.dispose)
        migrations.upgrade(database)
        with transaction(database) as connection:
            classes = tuple(DocumentClass(name=name, description=f"a {name}") for name in ("receipt", "letter"))
            class_sets.import_draft(connection, ClassSet(name="intake", classes=classes))
            class_sets.publish(connection, "intake")
            connection.execute(text(_AUDIT))
            for table in _WRITTEN:
                connection.execute(
                    text(
                        f"CREATE TRIGGER look_at_disk BEFORE INSERT OR UPDATE ON {table} "
                        "FOR EACH STATEMENT EXECUTE FUNCTION look_at_disk()"
                    )
                )
            connection.execute(text("ALTER DATABASE docintake SET lock_timeout = '1s'"))
        # Marks every process that is started from here, and shows what they leave behind.
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("TMPDIR", str(folder / "tmp"))
        made = World(folder, embedded, line, database, seed, tasks)
        stack.callback(made.redis.close)
        try:
            made.until_ready()
            yield made
        finally:
            for process in made.processes():
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            for kept in made.kept:
                kept.process.process.wait(PATIENCE)
            gc.collect()
