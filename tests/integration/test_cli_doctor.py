"""`docintake doctor`, as typed, on parts that work and on parts that do not."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import redis
from celery.contrib.testing.worker import start_worker
from sqlalchemy import Engine

from core.settings import PROJECT, Settings
from db import migrations
from worker.app import make_app
from worker.class_sets import ensure_default

Cli = Callable[..., Any]


@pytest.fixture
def node(settings: Settings) -> Iterator[None]:
    """A node that takes from all queues; it holds no model, which it is not asked for."""
    with running(settings, "classify", "qa", "retrain"):
        yield


@contextmanager
def running(settings: Settings, *queues: str) -> Iterator[None]:
    app = make_app(settings)
    with start_worker(app, pool="threads", concurrency=1, perform_ping_check=False, queues=list(queues)):
        yield


@pytest.fixture
def evicting(redis_url: str) -> Iterator[None]:
    """The broker, set up to drop what it has no room for."""
    connection = redis.Redis.from_url(redis_url)
    connection.config_set("maxmemory-policy", "allkeys-lru")
    yield
    connection.config_set("maxmemory-policy", "noeviction")
    connection.close()


@pytest.mark.usefixtures("node")
def test_where_everything_works_every_part_has_its_line(cli: Cli, database: Engine) -> None:
    ensure_default(database, PROJECT / "configs" / "classes")
    result = cli("doctor")
    assert result.exit_code == 0, result.stdout
    lines = result.stdout.splitlines()
    parts = [line.split()[1] for line in lines if line.startswith("✓")]
    assert " ".join(parts) == "packages settings documents model reading servers broker database classes nodes"
    assert "Everything works." in lines[-1]
    assert "celery 5.6.3" in lines[0]
    assert "fake-256" in result.stdout
    assert "takes classify, qa, retrain" in result.stdout


@pytest.mark.usefixtures("evicting")
def test_parts_that_do_not_work_say_what_to_do(cli: Cli, database: Engine) -> None:
    migrations.downgrade(database, "base")
    result = cli("doctor", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    broken = {check["part"]: check["detail"] for check in found["checks"] if not check["ok"]}
    assert not found["ok"]
    assert broken.keys() == {"broker", "database"}
    assert "set noeviction" in broken["broker"]
    assert "docintake db upgrade" in broken["database"]


def test_what_stands_on_nothing_is_not_looked_at(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DOCINTAKE_BROKER__URL")
    monkeypatch.setenv("DOCINTAKE_DOCUMENTS__ROOTS", f'["{tmp_path / "gone"}"]')
    monkeypatch.setattr(metadata, "version", lambda name: "5.7.0" if name == "celery" else _version(name))
    result = cli("doctor")
    assert result.exit_code == 1
    broken = [line for line in result.stdout.splitlines() if line.startswith("✗")]
    assert [line.split()[1] for line in broken] == ["packages", "documents", "servers"]
    assert "celery is 5.7.0, not 5.6.3" in broken[0]
    assert "no such folder" in broken[1]
    assert "docintake up" in broken[2]
    assert "nodes" not in result.stdout


def test_without_a_default_class_set_and_a_node_both_are_named(cli: Cli) -> None:
    result = cli("doctor")
    broken = {line.split()[1]: line for line in result.stdout.splitlines() if line.startswith("✗")}
    assert broken.keys() == {"classes", "nodes"}
    assert "docintake classes import FILE --publish" in broken["classes"]
    assert "docintake worker" in broken["nodes"]
    assert "2 of 10 parts do not work." in result.stdout


@pytest.mark.parametrize(
    ("taken", "advice"),
    [
        ("qa", "`docintake worker --queues classify` and one with `docintake worker --queues retrain`"),
        ("retrain", "start one with `docintake worker --queues classify,qa`"),
    ],
)
def test_queues_that_no_node_takes_are_named(cli: Cli, settings: Settings, taken: str, advice: str) -> None:
    with running(settings, taken):
        result = cli("doctor")
    (line,) = [line for line in result.stdout.splitlines() if "no node takes" in line]
    assert advice in line


def test_settings_that_cannot_be_read_end_the_visit(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCINTAKE_NODE__CONCURRENCY", "0")
    result = cli("doctor")
    assert result.exit_code == 1
    assert "node.concurrency" in result.stdout
    assert "1 of 2 parts do not work." in result.stdout


_version = metadata.version
