"""What the tables themselves refuse, and what follows a row when it goes."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from db.models import (
    Answer,
    Base,
    Checkpoint,
    ClassDescription,
    Classification,
    ClassSet,
    ClassVersion,
    Correction,
    Document,
    Feature,
    Inquiry,
    Job,
    Page,
    Promotion,
    TrainingRun,
)
from db.session import transaction

SHA256 = "ab" * 32


@pytest.fixture
def connection(database: Engine) -> Iterator[Connection]:
    with transaction(database) as connection:
        yield connection


@pytest.fixture
def document(connection: Connection) -> str:
    connection.execute(insert(Document).values(sha256=SHA256, media_type="image/png", page_count=1, size=3))
    return SHA256


def add_version(connection: Connection, state: str = "draft", number: int = 1) -> int:
    """A version of class set `intake` with one class, taken to `state`."""
    if not connection.execute(select(ClassSet.name)).first():
        connection.execute(insert(ClassSet).values(name="intake"))
    version = connection.execute(
        insert(ClassVersion).values(class_set="intake", number=number, digest="d").returning(ClassVersion.id)
    ).scalar_one()
    connection.execute(insert(ClassDescription).values(**describe(version)))
    for step in {"draft": [], "published": ["published"], "retired": ["published", "retired"]}[state]:
        connection.execute(update(ClassVersion).where(ClassVersion.id == version).values(state=step))
    return version


def describe(version: int, position: int = 0, name: str = "letter") -> dict[str, Any]:
    return {
        "version_id": version,
        "position": position,
        "name": name,
        "description": "a letter",
        "wording": ["dear"],
        "templates": [],
        "captions": [],
    }


def count(connection: Connection, model: type[Base]) -> int:
    return connection.execute(select(func.count()).select_from(model)).scalar_one()


@pytest.mark.parametrize("model", sorted((each.class_ for each in Base.registry.mappers), key=str))
def test_every_table_says_what_its_states_are(model: type[Base]) -> None:
    said = model.__doc__ or ""
    assert "→" in said or "no states" in said.lower()


def test_every_time_has_a_time_zone_and_comes_from_the_server(connection: Connection, document: str) -> None:
    stored, now = connection.execute(select(Document.created_at, func.now())).one()
    assert stored == now
    assert stored.tzinfo is not None
    times = connection.execute(
        text(
            "SELECT data_type FROM information_schema.columns WHERE table_schema = 'public' AND column_name ~ '_at$'"
        )
    )
    assert set(times.scalars()) == {"timestamp with time zone"}


def an_answer(document: str, **changes: Any) -> dict[str, Any]:
    return {
        "sha256": document,
        "asked": "cd" * 32,
        "pages": [1],
        "question": "Who signed?",
        "reader": "r",
        "kind": "extraction",
        "status": "not_found",
        "confidence": 0.5,
        "evidence": [],
        **changes,
    }


@pytest.mark.parametrize(
    "change",
    [{"kind": "riddle"}, {"status": "failed"}, {"confidence": 1.5}, {"asked": "who"}],
    ids=lambda c: next(iter(c)),
)
def test_an_answer_is_of_a_known_kind_and_never_a_failure(
    connection: Connection, document: str, change: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError, match=f"answers_{next(iter(change))}_check"):
        connection.execute(insert(Answer).values(**an_answer(document, **change)))


@pytest.mark.parametrize("sha256", ["ab" * 31, "AB" * 32, "xy" * 32, "ab" * 33])
def test_a_document_id_is_a_sha256_in_lower_case_hex(connection: Connection, sha256: str) -> None:
    with pytest.raises(IntegrityError, match="documents_sha256_check"):
        connection.execute(insert(Document).values(sha256=sha256, media_type="image/png", page_count=1, size=3))


def test_a_page_comes_from_a_known_source(connection: Connection, document: str) -> None:
    with pytest.raises(IntegrityError, match="pages_source_check"):
        connection.execute(
            insert(Page).values(sha256=document, number=1, reader="r", width=1, height=1, source="guess", lines=[])
        )


@pytest.mark.parametrize(
    ("state", "finished", "constraint"),
    [
        ("lost", None, "jobs_state_check"),
        ("succeeded", None, "jobs_finished_check"),
        ("started", func.now(), "jobs_finished_check"),
    ],
)
def test_a_job_is_in_a_known_state_and_finished_exactly_when_it_has_ended(
    connection: Connection, state: str, finished: object, constraint: str
) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        connection.execute(insert(Job).values(task_id="t", task="x", state=state, request={}, finished_at=finished))


def test_deleting_a_document_deletes_all_that_was_made_of_it_and_no_job(
    connection: Connection, document: str
) -> None:
    version = add_version(connection, "published")
    connection.execute(
        insert(Page).values(sha256=document, number=1, reader="r", width=1, height=1, source="ocr", lines=[])
    )
    connection.execute(insert(Feature).values(sha256=document, page=1, encoder="e", data=b"x"))
    connection.execute(insert(Job).values(task_id="t", task="x", state="started", request={}))
    connection.execute(
        insert(Classification).values(
            task_id="t",
            sha256=document,
            class_version_id=version,
            confidence=0.5,
            status="classified",
            reasons=[],
            result={},
        )
    )
    connection.execute(
        insert(Correction).values(
            sha256=document, class_set="intake", label="letter", correction_task_id="c", by="ann"
        )
    )
    connection.execute(insert(Inquiry).values(task_id="t", sha256=document, result={}))
    connection.execute(insert(Answer).values(**an_answer(document)))
    made_of_it = [Page, Feature, Classification, Correction, Inquiry, Answer]
    assert [count(connection, model) for model in made_of_it] == [1] * 6

    connection.execute(delete(Document))

    assert [count(connection, model) for model in made_of_it] == [0] * 6
    assert count(connection, Job) == 1


def test_two_versions_of_a_set_are_never_published_together(connection: Connection) -> None:
    add_version(connection, "published", number=1)
    with pytest.raises(IntegrityError, match="class_versions_published"):
        add_version(connection, "published", number=2)


@pytest.mark.parametrize(
    ("state", "then"), [("draft", "published"), ("published", "retired"), ("retired", "published")]
)
def test_a_version_goes_from_draft_to_published_to_retired_and_back_to_published(
    connection: Connection, state: str, then: str
) -> None:
    version = add_version(connection, state)
    connection.execute(update(ClassVersion).where(ClassVersion.id == version).values(state=then))
    assert connection.execute(select(ClassVersion.state)).scalar_one() == then


@pytest.mark.parametrize(
    ("state", "then"), [("draft", "retired"), ("published", "draft"), ("retired", "draft"), ("draft", "gone")]
)
def test_a_version_goes_no_other_way(connection: Connection, state: str, then: str) -> None:
    version = add_version(connection, state)
    with pytest.raises(IntegrityError, match=f"from {state} to {then}"):
        connection.execute(update(ClassVersion).where(ClassVersion.id == version).values(state=then))


@pytest.mark.parametrize(
    "change", [{"digest": "other"}, {"number": 7}, {"created_at": text("now() - interval '1 h'")}]
)
def test_what_a_version_is_never_changes(connection: Connection, change: dict[str, Any]) -> None:
    add_version(connection)
    with pytest.raises(IntegrityError, match="class version 1 of intake cannot be changed"):
        connection.execute(update(ClassVersion).values(**change))


def test_a_draft_may_still_be_written(connection: Connection) -> None:
    version = add_version(connection)
    connection.execute(insert(ClassDescription).values(**describe(version, 1, "bill")))
    connection.execute(update(ClassDescription).values(description="another"))
    connection.execute(delete(ClassDescription).where(ClassDescription.name == "letter"))
    assert connection.execute(select(ClassDescription.name, ClassDescription.description)).all() == [
        ("bill", "another")
    ]


@pytest.mark.parametrize("state", ["published", "retired"])
@pytest.mark.parametrize("change", ["insert", "update", "delete", "move"])
def test_the_descriptions_of_a_version_that_left_draft_never_change(
    connection: Connection, state: str, change: str
) -> None:
    version = add_version(connection, state, number=1)
    draft = add_version(connection, "draft", number=2)
    statement = {
        "insert": insert(ClassDescription).values(**describe(version, 1, "bill")),
        "update": update(ClassDescription)
        .where(ClassDescription.version_id == version)
        .values(description="another"),
        "delete": delete(ClassDescription).where(ClassDescription.version_id == version),
        "move": update(ClassDescription)
        .where(ClassDescription.version_id == draft)
        .values(version_id=version, position=1, name="bill"),
    }[change]
    with pytest.raises(IntegrityError, match=f"class version 1 of intake is {state}"):
        connection.execute(statement)


@pytest.mark.parametrize("state", ["draft", "published", "retired"])
def test_a_class_set_can_be_deleted_whole(connection: Connection, state: str) -> None:
    add_version(connection, state)
    connection.execute(delete(ClassSet))
    assert count(connection, ClassVersion) == count(connection, ClassDescription) == 0


def test_a_class_name_stands_once_in_a_version(connection: Connection) -> None:
    version = add_version(connection)
    with pytest.raises(IntegrityError, match="class_descriptions_version_id_name_key"):
        connection.execute(insert(ClassDescription).values(**describe(version, 1, "letter")))


@pytest.fixture
def class_set(connection: Connection) -> str:
    connection.execute(insert(ClassSet).values(name="intake"))
    return "intake"


def add_run(connection: Connection, task_id: str = "t", **columns: Any) -> int:
    """A run of class set `intake`, with its job; running unless `columns` say otherwise."""
    connection.execute(insert(Job).values(task_id=task_id, task="x", state="started", request={}))
    columns = {"class_set": "intake", "state": "running", **columns}
    return connection.execute(
        insert(TrainingRun).values(task_id=task_id, **columns).returning(TrainingRun.id)
    ).scalar_one()


def add_checkpoint(connection: Connection, **columns: Any) -> int:
    """A checkpoint of class set `intake` that was accepted."""
    columns = {
        "class_set": "intake",
        "parents": [],
        "encoder": "e",
        "file": "a.safetensors",
        "sha256": "ab" * 32,
        "fingerprint": "cd" * 32,
        "labels": 3,
        "metrics": {},
        "accepted": True,
        "reasons": [],
        **columns,
    }
    return connection.execute(insert(Checkpoint).values(**columns).returning(Checkpoint.id)).scalar_one()


@pytest.mark.parametrize(
    ("state", "finished", "constraint"),
    [
        ("paused", func.now(), "training_runs_state_check"),
        ("promoted", None, "training_runs_finished_check"),
        ("skipped", None, "training_runs_finished_check"),
        ("running", func.now(), "training_runs_finished_check"),
    ],
)
def test_a_training_run_is_in_a_known_state_and_finished_exactly_when_it_has_ended(
    connection: Connection, class_set: str, state: str, finished: object, constraint: str
) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        add_run(connection, state=state, finished_at=finished)


def test_two_runs_of_a_set_never_run_together(connection: Connection, class_set: str) -> None:
    connection.execute(insert(ClassSet).values(name="other"))
    add_run(connection, "ended", state="failed", finished_at=func.now())
    add_run(connection, "elsewhere", class_set="other")
    add_run(connection, "first")
    with pytest.raises(IntegrityError, match="training_runs_running"):
        add_run(connection, "second")


@pytest.mark.parametrize("state", ["promoted", "rejected", "skipped", "cancelled", "failed"])
def test_a_run_that_is_running_may_end_in_any_way_and_then_stays_as_it_is(
    connection: Connection, class_set: str, state: str
) -> None:
    run = add_run(connection)
    connection.execute(update(TrainingRun).values(progress={"epoch": 1}))
    connection.execute(update(TrainingRun).values(state=state, finished_at=func.now()))
    # A failed run may go on, but not change into anything else.
    change = {"state": "promoted"} if state == "failed" else {"state": "running", "finished_at": None}
    with pytest.raises(IntegrityError, match=f"training run {run} of intake is {state} and cannot be changed"):
        connection.execute(update(TrainingRun).values(**change))


@pytest.mark.parametrize(
    "change",
    [
        {"file": "../a.safetensors"},
        {"file": "a/b"},
        {"file": ".."},
        {"file": ""},
        {"sha256": "AB" * 32},
        {"sha256": "ab"},
        {"labels": -1},
    ],
    ids=str,
)
def test_a_checkpoint_is_a_file_of_the_store_with_a_sha256(
    connection: Connection, class_set: str, change: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError, match=f"checkpoints_{next(iter(change))}_check"):
        add_checkpoint(connection, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"accepted": False},
        {"file": "b.safetensors"},
        {"metrics": {"accuracy": 1}},
        {"parents": [1]},
        {"created_at": text("now() - interval '1 h'")},
        {"run_id": Checkpoint.run_id},
        {"run_id": None, "reasons": ["better"]},
    ],
    ids=" ".join,
)
def test_a_checkpoint_never_changes(connection: Connection, class_set: str, change: dict[str, Any]) -> None:
    checkpoint = add_checkpoint(connection, run_id=add_run(connection))
    with pytest.raises(IntegrityError, match=f"row {checkpoint} of checkpoints cannot be changed"):
        connection.execute(update(Checkpoint).values(**change))


@pytest.mark.parametrize("change", [{"checkpoints": [1]}, {"by": "bob"}, {"back_to": None}], ids=str)
def test_a_promotion_never_changes(connection: Connection, class_set: str, change: dict[str, Any]) -> None:
    promotion = connection.execute(
        insert(Promotion).values(class_set="intake", checkpoints=[], by="ann").returning(Promotion.id)
    ).scalar_one()
    with pytest.raises(IntegrityError, match=f"row {promotion} of promotions cannot be changed"):
        connection.execute(update(Promotion).values(**change))


def test_a_promotion_goes_back_to_one_that_is_there(connection: Connection, class_set: str) -> None:
    with pytest.raises(IntegrityError, match="promotions_back_to_fkey"):
        connection.execute(insert(Promotion).values(class_set="intake", checkpoints=[], back_to=7, by="ann"))


def test_deleting_a_job_deletes_its_run_and_leaves_the_checkpoint_without_one(
    connection: Connection, class_set: str
) -> None:
    kept = add_checkpoint(connection)
    made = add_checkpoint(connection, run_id=add_run(connection, state="promoted", finished_at=func.now()))
    connection.execute(delete(Job))
    assert count(connection, TrainingRun) == 0
    rows = connection.execute(select(Checkpoint.id, Checkpoint.run_id, Checkpoint.file).order_by(Checkpoint.id))
    assert rows.all() == [(kept, None, "a.safetensors"), (made, None, "a.safetensors")]


def test_a_class_set_that_has_a_checkpoint_cannot_be_deleted(connection: Connection, class_set: str) -> None:
    add_checkpoint(connection)
    with pytest.raises(IntegrityError, match="checkpoints_class_set_fkey"):
        connection.execute(delete(ClassSet))
