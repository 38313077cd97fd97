"""All of docintake for users who may do only their part, on a PostgreSQL and a Redis of the operator's."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from guarded import PREFIX, Guarded
from logins import CANARY, Logins, logins
from node import Node, Process, disconnect, wait_until
from printed import pdf
from pydantic import SecretStr
from sqlalchemy import Engine, func, select, update

from core.class_set import ClassSet, DocumentClass
from core.contract import RETRAIN, Handle, IntakeClient, RetrainResult
from core.settings import Broker, Database, Reading, Retention, Schedule, Settings, Training
from core.settings import Node as NodeSettings
from db import models, queries, roles
from db.session import transaction
from worker import class_sets
from worker.retention import PURGE

PATIENCE = 400
"""Seconds; many processes start here at once, of which some load a model."""
WORDS = {"parcels": "parcel crate freight pallet", "wards": "nurse ward doctor clinic"}


@pytest.fixture
def users(admin: Engine, database: Engine, database_url: str) -> Iterator[Logins]:
    """Of a database with the class set `intake`, whose roles are set up."""
    with transaction(database) as connection:
        roles.set_up(connection)
        desks = tuple(DocumentClass(name=name, description=f"what the {name} desk does") for name in WORDS)
        class_sets.import_draft(connection, ClassSet(name="intake", classes=desks))
        class_sets.publish(connection, "intake")
    with logins(admin, database_url) as made:
        yield made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Guarded]:
    with Guarded(tmp_path) as server:
        yield server


@pytest.fixture
def settings(settings: Settings, users: Logins, server: Guarded, tmp_path: Path) -> Settings:
    """A node's, with its URLs in files."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "broker").write_text(server.url("docintake-node") + "\n")
    (secrets / "database").write_text(users.worker + "\n")
    broker = {"url_file": secrets / "broker", "key_prefix": PREFIX, "restore_interval": 1}
    own = {
        # Not read here: each process is told of the files alone.
        "broker": Broker.model_construct(**broker),
        "database": Database.model_construct(url_file=secrets / "database"),
        "reading": Reading(processes=1),
        "training": Training(min_new_labels=4, epochs=3),
        "schedule": Schedule(reap=1),
        "retention": Retention(days=30),
        "node": NodeSettings(concurrency=2),
    }
    return settings.model_copy(update=own)


def papers(folder: Path) -> list[tuple[str, str]]:
    """URI and desk of each."""
    made = []
    for number in range(16):
        desk = list(WORDS)[number % 2]
        paper = folder / f"{number}.pdf"
        paper.write_bytes(pdf([WORDS[desk], f"number {number}"]))
        made.append((paper.as_uri(), desk))
    return made


@pytest.mark.timeout(1200)
def test_everything_works_and_no_password_shows(
    settings: Settings, server: Guarded, database: Engine, tmp_path: Path
) -> None:
    office = IntakeClient(server.url("docintake-office"), key_prefix=PREFIX)
    desk = IntakeClient(server.url("docintake-node"), key_prefix=PREFIX)
    beat_settings = settings.model_copy(
        update={"broker": Broker(url=SecretStr(server.url("docintake-beat")), key_prefix=PREFIX)}
    )
    with (
        Node(settings, tmp_path) as node,
        Node(settings, tmp_path, "trainer", queues="retrain") as trainer,
        Process(beat_settings, tmp_path, "beat", ["beat"]) as beat,
    ):
        node.until_ready()
        trainer.until_ready()
        doctor = Process(settings, tmp_path, "doctor", ["doctor"])
        with doctor:
            assert doctor.process.wait(PATIENCE) == 0, doctor.log.read_text()
        learn(office, desk, papers(tmp_path))
        forget(office, database)
        send_again(database)
        assert [each.terminate()[0] for each in (node, trainer)] == [0, 0]
        assert not [line for each in (node, trainer, beat) for line in errors_of(each)]
    for client in (office, desk):
        disconnect(client)
    with server.client("root") as root:
        # redis-py introduces itself, which nobody has to be let do.
        assert {entry["object"] for entry in root.acl_log()} <= {"client", "client|setinfo"}
    said = doctor.log.read_text()
    assert "as docintake-node, not encrypted" in said
    assert "as user_" in said
    for log in tmp_path.glob("*.log"):
        assert CANARY not in log.read_text(), log


def learn(office: IntakeClient, desk: IntakeClient, made: list[tuple[str, str]]) -> None:
    handles = [
        office.classify(
            uri, metadata={"tenant": f"tenant {number % 3}"}, priority=("urgent", "normal", "bulk")[number % 3]
        )
        for number, (uri, _) in enumerate(made)
    ]
    results = [handle.get(PATIENCE) for handle in handles]
    assert office.answer(made[0][0], "How many pages are there?").get(PATIENCE).answers[0].answer == "1"
    for (_, label), result in zip(made, results, strict=True):
        office.correct(label, task_id=result.task_id, by="ann").get(PATIENCE)
    (many,) = office.classify_many([uri for uri, _ in made[:3]])
    assert len(many.get(PATIENCE).outcomes) == 3
    run: Handle[RetrainResult] = desk.retrain("intake", overrides={"epochs": 3})
    assert run.get(PATIENCE).status in ("promoted", "rejected")


def forget(office: IntakeClient, database: Engine) -> None:
    long_ago = func.now() - timedelta(days=99)
    with transaction(database) as connection:
        for used in (models.Document, models.Classification, models.Correction, models.Inquiry):
            connection.execute(update(used).values(created_at=long_ago))
        connection.execute(update(models.Job).values(finished_at=long_ago))
    office._app.send_task(PURGE, queue="classify", ignore_result=True)
    for kept in (models.Document, models.Page, models.Job):
        wait_until(lambda kept=kept: not count(database, kept), f"all {kept.__tablename__} are gone")


def send_again(database: Engine) -> None:
    """A run whose trainer died is found by the node that beat tells to look, and ends."""
    with transaction(database) as connection:
        queries.start_job(
            connection, task_id="lost", task=RETRAIN, request={"class_set": "intake"}, external_id=None, node="dead"
        )
        connection.execute(update(models.Job).values(started_at=func.now() - timedelta(hours=1)))

    def ended() -> bool:
        with transaction(database) as connection:
            job = queries.get_job(connection, "lost")
        return job is not None and job.state == "succeeded"

    wait_until(ended, "the lost run has ended", PATIENCE)


def count(database: Engine, kept: type[models.Base]) -> int:
    with transaction(database) as connection:
        return connection.execute(select(func.count()).select_from(kept)).scalar_one()


def errors_of(process: Process) -> list[str]:
    return [line for line in process.log.read_text().splitlines() if '"error"' in line or '"critical"' in line]
