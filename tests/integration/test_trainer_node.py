"""A real trainer's node, its run a stand-in: what it holds, how it stops, and what is left when it is killed."""

import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from node import PATIENCE, Node, disconnect, wait_until
from sqlalchemy import Engine
from stand_in import PROGRESS
from stand_in import __file__ as stand_in

from core.contract import RETRAIN, Handle, IntakeClient, IntakeError, RetrainRequest, RetrainResult
from core.settings import Node as NodeSettings
from core.settings import Reading, Settings, Training
from db import queries
from db.session import transaction
from worker.reaper import REAP


class School:
    """Somebody who sends runs, each with a folder of its own, and the nodes that take them."""

    def __init__(self, settings: Settings, database: Engine) -> None:
        assert settings.broker.url
        self.settings = settings
        self.folder = settings.data_dir
        self.database = database
        url = settings.broker.url.get_secret_value()
        self.client = IntakeClient(url, key_prefix=settings.broker.key_prefix)
        self.redis = redis.Redis.from_url(url, decode_responses=True)

    def trainer(self, name: str = "trainer", **training: Any) -> Node:
        settings = self.settings.model_copy(update={"training": self.settings.training.model_copy(update=training)})
        return Node(settings, self.folder, name, queues="retrain", program=[stand_in])

    def reaping(self) -> Node:
        """An inference node."""
        return Node(self.settings, self.folder, "reaping", program=[stand_in])

    def send(self, class_set: str = "intake", **overrides: Any) -> "Run":
        folder = self.folder / uuid.uuid4().hex
        folder.mkdir()
        request = RetrainRequest(class_set=class_set, overrides={"folder": str(folder), **overrides})
        payload = request.model_dump(mode="json", exclude_defaults=True)
        task = self.client._app.send_task(RETRAIN, kwargs=payload, queue="retrain", priority=3)
        return Run(Handle(task, RetrainResult), folder, self.database)

    def send_again(self, run: "Run") -> None:
        job = run.job()
        assert job
        self.client._app.send_task(RETRAIN, kwargs=job.request, queue="retrain", priority=3, task_id=job.task_id)

    def reap(self) -> None:
        self.client._app.send_task(REAP, queue="classify")

    def queued(self) -> int:
        return sum(self.redis.llen(key) for key in self.redis.scan_iter(f"{self.settings.broker.key_prefix}retrain*"))

    def held(self) -> int:
        """Messages that nodes have and did not acknowledge."""
        return int(self.redis.hlen(f"{self.settings.broker.key_prefix}unacked"))


class Run:
    def __init__(self, handle: Handle[RetrainResult], folder: Path, database: Engine) -> None:
        self.handle = handle
        self.folder = folder
        self.database = database

    def starts(self) -> list[int]:
        """The processes in which it began, one a start."""
        file = self.folder / "starts"
        return [int(line.split()[1]) for line in file.read_text().splitlines()] if file.exists() else []

    def until_started(self, times: int = 1) -> int:
        """The process that it runs in."""
        wait_until(lambda: len(self.starts()) >= times, f"start {times}")
        return self.starts()[-1]

    def job(self) -> queries.Job | None:
        with transaction(self.database) as connection:
            return queries.get_job(connection, self.handle.id)

    def outcome(self) -> tuple[str, int, int]:
        job = self.job()
        assert job
        return job.state, job.attempts, job.retries

    def finish(self) -> None:
        """Let it go on, and see that its caller hears of its one end."""
        (self.folder / "go").touch()
        assert self.handle.get(PATIENCE).task_id == self.handle.id


@pytest.fixture
def school(settings: Settings, database: Engine) -> Iterator[School]:
    settings.data_dir.mkdir()
    settings = settings.model_copy(
        update={
            "reading": Reading(processes=1),
            "training": Training(silent_for=2),
            "node": NodeSettings(concurrency=2, retry_delay=0.2),
        }
    )
    school = School(settings, database)
    yield school
    disconnect(school.client)
    school.redis.close()


def test_runs_take_turns_each_in_a_process_of_its_own_that_alone_holds_a_model(school: School) -> None:
    with school.trainer() as trainer:
        trainer.until_ready()
        assert not trainer.lines("model loaded")
        first, second = school.send(), school.send("other")
        first.until_started()
        assert first.starts() != [trainer.process.pid]
        time.sleep(1)
        # One acknowledged, the other one not even taken.
        assert (school.queued(), school.held(), second.starts()) == (1, 0, [])
        first.finish()
        second.until_started()
        second.finish()
        assert first.starts() != second.starts()
        assert len(trainer.lines("model loaded")) == 2
        wait_until(lambda: not psutil.pid_exists(second.starts()[0]), "the end of its process")
        assert trainer.terminate()[0] == 0
    assert first.outcome() == second.outcome() == ("succeeded", 1, 0)
    assert (school.queued(), school.held()) == (0, 0)


def test_progress_is_seen_by_callers_while_a_run_goes_on(school: School) -> None:
    with school.trainer() as trainer:
        trainer.until_ready()
        run = school.send()
        run.until_started()
        seen = school.client._app.AsyncResult(run.handle.id)
        wait_until(lambda: seen.state == "PROGRESS", "progress")
        assert seen.info == PROGRESS.model_dump(mode="json")
        assert not run.handle.ready()
        assert list(school.redis.scan_iter(f"{school.settings.broker.key_prefix}celery-task-meta-*"))
        run.finish()


def test_an_idle_trainer_stops_at_once(school: School) -> None:
    with school.trainer() as trainer:
        trainer.until_ready()
        status, seconds = trainer.terminate()
    print(f"idle: {seconds:.1f} s")
    assert status == 0
    assert seconds < 10


def test_a_run_lets_its_trainer_stop_and_is_gone_on_with_by_the_next_one(school: School) -> None:
    with school.trainer("first") as first:
        first.until_ready()
        run, waiting = school.send(), school.send("other")
        run.until_started()
        status, seconds = first.terminate()
    print(f"in mid-run: {seconds:.1f} s")
    assert status == 0
    assert seconds < 15
    assert run.outcome() == ("received", 1, 1)
    assert (school.queued(), school.held()) == (2, 0)
    with school.trainer("second") as second:
        second.until_ready()
        for each in (run, waiting):
            (each.folder / "go").touch()
        for each in (run, waiting):
            each.finish()
        assert second.terminate()[0] == 0
    assert run.outcome() == ("succeeded", 2, 1)
    assert waiting.outcome() == ("succeeded", 1, 0)


def test_a_run_that_is_sent_twice_is_done_once_however_many_trainers_there_are(school: School) -> None:
    with school.trainer("one") as one, school.trainer("other") as other:
        one.until_ready()
        other.until_ready()
        run = school.send()
        run.until_started()
        school.send_again(run)
        wait_until(
            lambda: one.lines("another process is at this run") + other.lines("another process is at this run"),
            "the second message's end",
        )
        assert not run.handle.ready()
        run.finish()
        school.send_again(run)
        wait_until(lambda: (school.queued(), school.held()) == (0, 0), "the third message's end")
    assert run.outcome() == ("succeeded", 1, 0)
    assert len(run.starts()) == 1


def test_a_run_that_takes_too_long_fails_and_its_trainer_goes_on(school: School) -> None:
    with school.trainer(time_limit=8) as trainer:
        trainer.until_ready()
        run, next_one = school.send(), school.send("other")
        with pytest.raises(IntakeError) as caught:
            run.handle.get(PATIENCE)
        assert (caught.value.kind, caught.value.code) == ("failed", "time_limit")
        assert run.outcome() == ("failed", 1, 0)
        next_one.until_started()
        next_one.finish()


def test_a_run_whose_process_is_killed_is_sent_again_and_ends_once(school: School) -> None:
    with school.trainer() as trainer, school.reaping() as reaping:
        trainer.until_ready()
        reaping.until_ready()
        run, waiting = school.send(), school.send("other")
        os.kill(run.until_started(), signal.SIGKILL)
        killed = time.monotonic()
        # Celery gives a lost process up after ten seconds; the next run is taken then.
        waiting.until_started()
        print(f"the next run was taken after {time.monotonic() - killed:.1f} s")
        waiting.finish()
        assert not run.handle.ready()
        time.sleep(school.settings.training.silent_for)
        school.reap()
        run.until_started(2)
        run.finish()
        assert len(reaping.lines("run sent again")) == 1
    assert run.outcome() == ("succeeded", 2, 0)
    assert waiting.outcome() == ("succeeded", 1, 0)


def test_a_trainer_that_is_killed_takes_its_run_along_and_loses_none(school: School) -> None:
    with school.reaping() as reaping:
        with school.trainer("first") as first:
            first.until_ready()
            run, waiting = school.send(), school.send("other")
            child = run.until_started()
            first.kill()
            wait_until(lambda: not psutil.pid_exists(child), "the end of its child")
        assert (school.queued(), school.held()) == (1, 0)
        reaping.until_ready()
        with school.trainer("second") as second:
            second.until_ready()
            waiting.until_started()
            waiting.finish()
            time.sleep(school.settings.training.silent_for)
            for _ in range(3):
                school.reap()
            run.until_started(2)
            run.finish()
            assert len(reaping.lines("run sent again")) == 1
    assert run.outcome() == ("succeeded", 2, 0)
    assert waiting.outcome() == ("succeeded", 1, 0)


def test_a_run_that_keeps_killing_its_trainer_is_set_aside(school: School) -> None:
    with school.trainer() as trainer, school.reaping() as reaping:
        trainer.until_ready()
        reaping.until_ready()
        run = school.send()
        for start in (1, 2, 3):
            os.kill(run.until_started(start), signal.SIGKILL)
            time.sleep(school.settings.training.silent_for + 0.5)
            school.reap()
        with pytest.raises(IntakeError) as caught:
            run.handle.get(PATIENCE)
    assert caught.value.code == "poison"
    assert run.outcome()[0] == "failed"
    assert len(run.starts()) == 3


def test_a_run_that_does_not_heed_its_time_limit_is_killed_and_sent_again(school: School) -> None:
    with school.trainer(time_limit=8) as trainer, school.reaping() as reaping:
        trainer.until_ready()
        reaping.until_ready()
        run = school.send(deaf=True)
        child = run.until_started()
        wait_until(lambda: not psutil.pid_exists(child), "its death")
        time.sleep(school.settings.training.silent_for + 0.5)
        assert not run.handle.ready()
        school.reap()
        run.until_started(2)
        run.finish()
    assert run.outcome() == ("succeeded", 2, 0)


def test_a_run_is_not_lost_where_its_process_dies_before_it_has_begun(school: School) -> None:
    slow, loading = school.folder / "slow", school.folder / "loading"
    with school.trainer() as trainer:
        trainer.until_ready()
        slow.touch()
        run = school.send()
        wait_until(loading.exists, "a process that loads the model")
        assert (run.job(), school.held()) == (None, 1)
        os.kill(int(loading.read_text()), signal.SIGKILL)
        slow.unlink()
        run.until_started()
        run.finish()
    assert run.outcome() == ("succeeded", 1, 0)


def test_a_trainer_that_cannot_load_its_model_says_so_and_keeps_its_runs(school: School) -> None:
    broken = school.trainer("broken")
    broken._environment["DOCINTAKE_MODEL__BACKEND"] = "none"
    with broken:
        broken.until_ready()
        run = school.send()
        wait_until(lambda: len(broken.lines("the trainer cannot load its model")) > 1, "two tries")
        assert broken.terminate()[0] == 0
    assert run.job() is None
    with school.trainer("sound"):
        run.until_started()
        run.finish()
    assert run.outcome() == ("succeeded", 1, 0)


def test_a_trainer_takes_no_other_queue(school: School) -> None:
    with Node(school.settings, school.folder, queues="qa,retrain") as node:
        assert node.process.wait(PATIENCE) == 2
        assert "a node of its own" in node.log.read_text()
