"""`docintake status`, as typed, with servers, nodes and cases, and without."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.contrib.testing.worker import start_worker
from node import disconnect
from serving import Classified, Cli
from sqlalchemy import Engine

from core.contract import RETRAIN, IntakeClient
from core.settings import Settings
from db import queries
from db.session import transaction
from worker.app import make_app

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def node(settings: Settings) -> Iterator[None]:
    """A node that takes classify alone."""
    with start_worker(
        make_app(settings), pool="threads", concurrency=1, perform_ping_check=False, queues=["classify"]
    ):
        yield


@pytest.fixture
def papers(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "papers.yaml"
    file.write_text("name: papers\nclasses: {letter: a letter, bill: a bill}")
    cli("classes", "import", file, "--publish")


def told(cli: Cli) -> Any:
    return json.loads(cli("status", "--json").stdout)


@pytest.mark.usefixtures("node", "papers")
def test_it_tells_what_waits_who_works_and_what_people_have_to_do(
    cli: Cli, settings: Settings, database: Engine, classified: Classified
) -> None:
    assert settings.broker.url
    client = IntakeClient(settings.broker.url.get_secret_value(), key_prefix=settings.broker.key_prefix)
    client.answer("file:///srv/1.pdf", "What is the total?")
    unsure, known = classified("nothing that is known"), classified("more of the kind")
    with transaction(database) as connection:
        queries.put_correction(
            connection,
            correction_task_id="c1",
            sha256=known,
            class_set="papers",
            label="letter",
            previous=None,
            task_id=None,
            by="ann",
            note=None,
        )
        queries.start_job(connection, task_id="r1", task=RETRAIN, request={}, external_id=None, node=None)
        queries.skip_run(
            connection, task_id="r1", class_set="papers", node=None, result={"reasons": ["too few new labels"]}
        )
    found = told(cli)
    printed = cli("status").stdout
    disconnect(client)
    assert found["errors"] == {}
    waiting = {queue["queue"]: queue["messages"] for queue in found["work"]["queues"]}
    assert waiting == {"classify": {}, "qa": {"normal": 1}, "retrain": {}}
    (node,) = found["work"]["nodes"]
    assert (node["queues"], node["model"], node["doing"]) == (["classify"], "fake-256", [])
    assert found["ledger"]["lately"] == {"docintake.classify": {"succeeded": 2}}
    assert found["ledger"]["unfinished"] == {"started": 1}
    (papers,) = found["ledger"]["class_sets"]
    assert (papers["name"], papers["version"], papers["checkpoints"], papers["new_labels"]) == ("papers", 1, [], 1)
    assert papers["last_run"]["reasons"] == ["too few new labels"]
    # What somebody has labelled waits for nobody.
    assert papers["to_review"] == 1
    assert unsure
    for part in ("No node takes qa, retrain", "descriptions alone", "too few new labels", "2 succeeded", "1 started"):
        assert part in printed


def test_without_nodes_and_classes_it_says_what_to_start(cli: Cli) -> None:
    result = cli("status")
    assert result.exit_code == 0
    assert "No node answers" in result.stdout
    assert "There is no class set" in result.stdout


def test_when_a_server_is_away_the_other_one_is_heard(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCINTAKE_BROKER__URL", NOWHERE)
    result = cli("status")
    assert result.exit_code == 1
    assert "broker_unavailable: the broker cannot be reached" in result.stdout
    assert "There is no class set" in result.stdout
    found = told(cli)
    assert found["work"] is None
    assert found["ledger"]["class_sets"] == []


def test_a_database_that_is_away_is_said(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCINTAKE_DATABASE__URL", "postgresql://nobody@127.0.0.1:1/nowhere")
    result = cli("status")
    assert result.exit_code == 1
    assert "database_unavailable" in result.stdout
    assert "No node answers" in result.stdout
