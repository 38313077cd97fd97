"""`docintake doctor`, as typed, on parts that work and on parts that do not."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from celery.contrib.testing.worker import start_worker
from sqlalchemy import Engine

from core.backends.fake import Fake
from core.gpu import Gpu
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
    assert (
        " ".join(parts) == "packages settings documents devices model reading servers broker database classes nodes"
    )
    assert "Everything works." in lines[-1]
    assert "celery 5.6.3" in lines[0]
    assert "models run on" in lines[3]
    assert "fake-256, 256 dimensions, on cpu" in lines[4]
    assert "confined" in lines[5]
    assert re.search(r"float32, attention none; loaded in .*s, warm in .*s, then .*s a page", lines[4])
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
    assert "2 of 11 parts do not work." in result.stdout


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


@pytest.mark.parametrize(
    ("device", "advice"), [("cuda:99", "cuda:99"), ("gpu", "set model.device to `auto`, `cpu`, `cuda` or `cuda:1`")]
)
def test_a_device_that_does_not_exist_is_named_and_no_model_tried_on_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, device: str, advice: str
) -> None:
    monkeypatch.setenv("DOCINTAKE_MODEL__DEVICE", device)
    result = cli("doctor")
    assert result.exit_code == 1
    parts = {line.split()[1]: line for line in result.stdout.splitlines() if line[:1] in ("✓", "✗")}
    assert parts["devices"].startswith("✗")
    assert advice in parts["devices"]
    assert "model" not in parts


@pytest.mark.parametrize(
    ("gpu", "said"),
    [
        (
            Gpu("NVIDIA L4", "cuda:0", 24 * 1024**3, 23 * 1024**3),
            "cuda:0 NVIDIA L4, 24.0 GiB, 23.0 GiB free; torch .*; models run on the CPU, which model.device `auto`",
        ),
        (Gpu("NVIDIA L4", None, 24 * 1024**3), "NVIDIA L4, 24.0 GiB, which torch .* cannot use: models run on"),
    ],
    ids=["spare", "unusable"],
)
def test_a_gpu_that_no_model_runs_on_is_told_with_the_reason(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, gpu: Gpu, said: str
) -> None:
    monkeypatch.setattr("core.gpu.gpus", lambda: (gpu,))
    (line,) = [line for line in cli("doctor").stdout.splitlines() if line.startswith("✓ devices")]
    assert re.search(said, line)


def test_a_model_that_makes_no_vectors_does_not_work(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fake, "encode_documents", lambda _, batch: [np.full((1, 256), np.nan)] * len(batch))
    (line,) = [line for line in cli("doctor").stdout.splitlines() if line.startswith("✗ model")]
    assert "the vectors of a page are not finite" in line


def test_settings_that_cannot_be_read_end_the_visit(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCINTAKE_NODE__CONCURRENCY", "0")
    result = cli("doctor")
    assert result.exit_code == 1
    assert "node.concurrency" in result.stdout
    assert "1 of 2 parts do not work." in result.stdout


_version = metadata.version
