"""A document that kills its node: set aside after three times, with its reason, and without those beside it."""

from pathlib import Path

import pytest
from node import PATIENCE, wait_until
from printed import pdf
from sqlalchemy import Engine
from world import Kept

from core.contract import (
    CLASSIFY_MANY,
    QUEUES,
    ClassifyManyRequest,
    ClassifyManyResult,
    DocumentReference,
    Handle,
    IntakeClient,
    IntakeError,
    ManyItem,
)
from core.settings import Settings
from db import queries
from db.session import transaction

NEIGHBOURS = 4
"""Tasks that are in flight beside it."""


def file(folder: Path, name: str) -> str:
    path = folder / f"{name}.pdf"
    path.write_bytes(pdf([f"a letter to {name}"]))
    return path.as_uri()


def test_what_kills_its_node_three_times_is_set_aside_and_nothing_beside_it(
    settings: Settings, database: Engine, client: IntakeClient, node: Kept, tmp_path: Path
) -> None:
    uri = file(tmp_path, "nobody")
    bad = client.classify(uri, external_id="deadly")
    others = [client.classify(file(tmp_path, str(n)), external_id="slow") for n in range(NEIGHBOURS)]

    def ended() -> bool:
        node.keep_up()
        return all(handle.ready() for handle in (bad, *others))

    wait_until(ended, "every end", 2 * PATIENCE)
    with pytest.raises(IntakeError) as caught:
        bad.get(PATIENCE)
    assert (caught.value.kind, caught.value.code) == ("failed", "poison")
    assert "3 times" in caught.value.message
    for other in others:
        assert other.get(PATIENCE).task_id == other.id
    # Sent again it takes nobody along any more.
    with pytest.raises(IntakeError):
        client.classify(uri, external_id="deadly", task_id=bad.id).get(PATIENCE)
    assert (settings.data_dir / "deaths").read_text().split() == [bad.id] * 3
    with transaction(database) as connection:
        job = queries.get_job(connection, bad.id)
    assert job
    assert (job.state, job.error_code) == ("failed", "poison")
    assert job.error_message == caught.value.message


def test_one_document_of_many_that_kills_its_node_is_set_aside_alone(
    settings: Settings, client: IntakeClient, node: Kept, tmp_path: Path
) -> None:
    items: list[tuple[str, str]] = [("bad", "deadly"), *((str(n), "slow") for n in range(NEIGHBOURS))]
    request = ClassifyManyRequest(
        documents=[
            ManyItem(document=DocumentReference(uri=file(tmp_path, name)), external_id=external_id)
            for name, external_id in items
        ]
    )
    sent = client._app.send_task(CLASSIFY_MANY, kwargs=request.model_dump(mode="json"), queue=QUEUES[CLASSIFY_MANY])
    message = Handle(sent, ClassifyManyResult)

    def ended() -> bool:
        node.keep_up()
        return message.ready()

    wait_until(ended, "its end", 2 * PATIENCE)
    bad, *others = message.get(PATIENCE).outcomes
    assert bad.error
    assert (bad.error.kind, bad.error.code) == ("failed", "poison")
    for other in others:
        assert other.result
    assert (settings.data_dir / "deaths").read_text().split() == [f"{message.id}/0"] * 3
