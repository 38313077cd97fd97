"""A task that takes longer than Redis waits for its acknowledgement, in a node that lives."""

import time
from pathlib import Path

import pytest
from node import wait_until
from printed import pdf
from sqlalchemy import Engine
from world import Kept

from core.contract import IntakeClient
from db import queries
from db.session import transaction


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_task_that_takes_longer_than_the_visibility_timeout_is_begun_once(
    database: Engine, client: IntakeClient, node: Kept, tmp_path: Path
) -> None:
    file = tmp_path / "letter.pdf"
    file.write_bytes(pdf(["a letter to a dear person"]))
    endless = client.classify(file.as_uri(), external_id="endless")

    def job() -> queries.Job | None:
        with transaction(database) as connection:
            return queries.get_job(connection, endless.id)

    wait_until(job, "it has begun")
    # Twice the timeout of 3 s, and looks for what dead nodes held every half a second.
    time.sleep(6)
    begun = job()
    assert begun
    assert (begun.state, begun.attempts) == ("started", 1)
    # The node reads on; it is killed with all that it holds.
    node.process.kill()
