"""A node that is told to stop finishes what it can, and hands back what takes too long before anybody kills it."""

from pathlib import Path

import pytest
import redis
from node import PATIENCE, Node, wait_until
from printed import pdf
from sqlalchemy import Engine
from world import Kept

from core.contract import IntakeClient
from core.settings import Settings
from db import queries
from db.session import transaction

SUPERVISED = 60
"""Seconds after which `docintake up` kills a node."""


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_what_takes_longer_than_the_grace_period_is_handed_back_and_done_by_another_node(
    settings: Settings, database: Engine, client: IntakeClient, node: Kept, redis_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "letter.pdf"
    file.write_bytes(pdf(["a letter to a dear person"]))
    endless = client.classify(file.as_uri(), external_id="endless")
    slow = client.classify(file.as_uri(), external_id="slow")

    def job(task_id: str) -> queries.Job | None:
        with transaction(database) as connection:
            return queries.get_job(connection, task_id)

    wait_until(lambda: job(endless.id) and job(slow.id), "both have begun")
    status, seconds = node.process.terminate()
    print(f"stopped after {seconds:.1f} s")
    assert status == 0
    assert seconds < SUPERVISED
    # One finished, the other one open again and back in the queue; nothing has to wait for a timeout.
    done, left = job(slow.id), job(endless.id)
    assert done
    assert left
    assert (done.state, done.attempts) == ("succeeded", 1)
    assert (left.state, left.attempts, left.retries) == ("received", 1, 1)
    with redis.Redis.from_url(redis_url) as store:
        assert store.hlen(f"{settings.broker.key_prefix}unacked") == 0
    with Node(settings, tmp_path, "other") as other:
        other.until_ready()
        assert endless.get(PATIENCE).task_id == endless.id
        assert other.terminate()[0] == 0
    left = job(endless.id)
    assert left
    assert (left.state, left.attempts) == ("succeeded", 2)
