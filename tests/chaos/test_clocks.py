"""A node whose clock is a minute ahead of all others: a job's life goes by the database's, and nothing due is old."""

from datetime import timedelta
from pathlib import Path

import redis
from node import PATIENCE, Node, Process, wait_until
from printed import pdf
from shifted import __file__ as shifted
from sqlalchemy import Engine, text

from core.contract import RETRAIN, IntakeClient
from core.settings import Reading, Schedule, Settings, Training
from db import queries
from db.session import transaction


def test_a_node_that_is_a_minute_ahead_works_by_the_servers_clocks(
    settings: Settings, database: Engine, client: IntakeClient, redis_url: str, tmp_path: Path
) -> None:
    settings = settings.model_copy(
        update={
            "reading": Reading(processes=1),
            "training": Training(silent_for=1),
            "schedule": Schedule(retrain="disable", purge="disable", reap=2),
        }
    )
    file = tmp_path / "letter.pdf"
    file.write_bytes(pdf(["a letter to a dear person"]))
    with transaction(database) as connection:
        queries.start_job(
            connection, task_id="silent", task=RETRAIN, request={}, external_id=None, node="a trainer that died"
        )
        before = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    with (
        Node(settings, tmp_path, program=[shifted, "60"]) as node,
        Process(settings, tmp_path, "beat", ["beat"]),
        redis.Redis.from_url(redis_url) as store,
    ):
        node.until_ready()
        handle = client.classify(file.as_uri())
        assert handle.get(PATIENCE).task_id == handle.id
        # Beat's orders would have run out a minute ago, by this node's clock.
        wait_until(
            lambda: store.llen(f"{settings.broker.key_prefix}retrain\x06\x163"), "the silent run is sent again"
        )
        ahead = node.lines("model loaded")[0]["timestamp"]
        assert node.terminate()[0] == 0
    with transaction(database) as connection:
        job = queries.get_job(connection, handle.id)
        after = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    assert job
    assert job.started_at
    assert job.finished_at
    assert before < job.received_at <= job.started_at < job.finished_at < after
    assert type(after).fromisoformat(ahead) > before + timedelta(seconds=60)
