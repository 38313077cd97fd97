"""Every statement about training, and those that forget: alone, and against others that run at the same time."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from node import wait_until
from sqlalchemy import Connection, Engine, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from db import models, queries
from db.models import CheckpointState, EndState, RunEnd
from db.session import transaction

A, B, C, D, E = ("a" * 64, "b" * 64, "c" * 64, "d" * 64, "e" * 64)
RETRAIN = "docintake.retrain"
RUN_ENDS: list[RunEnd] = ["promoted", "rejected", "skipped", "cancelled", "failed"]


@pytest.fixture
def connection(database: Engine) -> Iterator[Connection]:
    """One open transaction, in which the class sets `intake` and `other` are there."""
    with transaction(database) as connection:
        make_class_sets(connection)
        yield connection


def make_class_sets(connection: Connection) -> None:
    queries.create_class_set(connection, "intake")
    queries.create_class_set(connection, "other")


def start(connection: Connection, task_id: str = "t", task: str = RETRAIN) -> None:
    assert queries.start_job(connection, task_id=task_id, task=task, request={}, external_id=None, node="n")


def open_run(connection: Connection, task_id: str = "t", class_set: str = "intake") -> queries.Run | None:
    start(connection, task_id)
    return queries.open_run(connection, task_id=task_id, class_set=class_set, node="n")


def opened(connection: Connection, task_id: str = "t", class_set: str = "intake") -> queries.Run:
    run = open_run(connection, task_id, class_set)
    assert run is not None
    return run


def ended(connection: Connection, task_id: str, state: RunEnd, class_set: str = "intake") -> queries.Run:
    run = opened(connection, task_id, class_set)
    assert queries.finish_run(connection, run.id, state=state, fingerprint=task_id, result={"state": state})
    return read_run(connection, run.id)


def read_run(connection: Connection, run_id: int) -> queries.Run:
    run = queries.get_run(connection, run_id)
    assert run is not None
    return run


def put_checkpoint(
    connection: Connection,
    class_set: str = "intake",
    *,
    run_id: int | None = None,
    accepted: bool = True,
    parents: tuple[int, ...] = (),
) -> int:
    return queries.put_checkpoint(
        connection,
        class_set=class_set,
        class_version_id=None,
        run_id=run_id,
        parents=parents,
        encoder="e",
        file="intake-1.safetensors",
        sha256=A,
        fingerprint=B,
        labels=12,
        metrics={"accuracy": {"before": 0.5, "after": 0.75}},
        accepted=accepted,
        reasons=["better by 0.25"],
    )


def promote(
    connection: Connection, *checkpoints: int, class_set: str = "intake", back_to: int | None = None
) -> queries.Promotion:
    assert queries.lock_class_set(connection, class_set)
    return queries.promote(connection, class_set=class_set, checkpoints=checkpoints, back_to=back_to, by="ann")


def put_document(connection: Connection, sha256: str) -> None:
    queries.put_document(connection, sha256=sha256, media_type="image/png", page_count=2, size=10, uri=None)


def correct(connection: Connection, task_id: str, sha256: str, label: str, class_set: str = "intake") -> int:
    put_document(connection, sha256)
    return queries.put_correction(
        connection,
        correction_task_id=task_id,
        sha256=sha256,
        class_set=class_set,
        label=label,
        previous=None,
        task_id=None,
        by="ann",
        note=None,
    )


# Training runs


def test_a_run_that_is_opened_is_running_and_found_by_its_id_its_task_and_its_class_set(
    connection: Connection,
) -> None:
    run = opened(connection)
    assert (run.task_id, run.class_set, run.state, run.starts, run.node) == ("t", "intake", "running", 1, "n")
    assert (run.fingerprint, run.progress, run.result, run.cancelled_by, run.finished_at) == (None,) * 5
    assert run.started_at == run.heartbeat_at
    assert queries.get_run(connection, run.id) == run
    assert queries.get_run_of(connection, "t") == run
    assert queries.running_run(connection, "intake") == run
    assert queries.get_run(connection, run.id + 1) is None
    assert queries.get_run_of(connection, "unknown") is None
    assert queries.running_run(connection, "other") is None


@pytest.mark.parametrize(("task_id", "class_set"), [("unknown", "intake"), ("t", "unknown")])
def test_a_run_needs_its_job_and_its_class_set(connection: Connection, task_id: str, class_set: str) -> None:
    start(connection)
    with pytest.raises(IntegrityError, match=r"training_runs_(task_id|class_set)_fkey"):
        queries.open_run(connection, task_id=task_id, class_set=class_set, node=None)


def test_a_second_run_of_a_set_is_neither_opened_nor_resumed_while_the_first_is_running(
    connection: Connection,
) -> None:
    first = opened(connection, "first")
    assert open_run(connection, "second") is None
    assert queries.resume_run(connection, task_id="second", node="n") is None
    assert queries.get_run_of(connection, "second") is None
    assert opened(connection, "elsewhere", "other").state == "running"
    assert queries.running_run(connection, "intake") == first
    queries.finish_run(connection, first.id, state="failed", fingerprint=None, result=None)
    assert opened(connection, "second").state == "running"


def test_a_run_whose_node_died_is_resumed_and_counted(database: Engine) -> None:
    with transaction(database) as connection:
        make_class_sets(connection)
        run = opened(connection)
        queries.beat_run(connection, run.id, {"epoch": 3})
    with transaction(database) as connection:
        assert open_run(connection) is None
        resumed = queries.resume_run(connection, task_id="t", node="other node")
    assert resumed is not None
    assert (resumed.id, resumed.state, resumed.starts, resumed.node) == (run.id, "running", 2, "other node")
    assert resumed.progress == {"epoch": 3}
    assert resumed.started_at == run.started_at
    assert resumed.heartbeat_at > run.heartbeat_at


def test_a_failed_run_goes_on_when_its_task_is_started_anew(connection: Connection) -> None:
    run = ended(connection, "t", "failed")
    assert open_run(connection) is None
    resumed = queries.resume_run(connection, task_id="t", node="again")
    assert resumed
    assert (resumed.id, resumed.state, resumed.starts, resumed.result) == (run.id, "running", 2, None)
    assert resumed.finished_at is None


def test_a_run_whose_job_ended_without_it_fails_and_makes_way(connection: Connection) -> None:
    run = opened(connection)
    assert queries.end_orphaned_runs(connection, "intake") == 0
    queries.finish_job(connection, task_id="t", state="failed", error_code="poison", error_message="…")
    assert queries.end_orphaned_runs(connection, "other") == 0
    assert queries.end_orphaned_runs(connection, "intake") == 1
    assert read_run(connection, run.id).state == "failed"
    assert open_run(connection, "next") is not None


def test_a_set_is_trained_by_one_connection_at_a_time(database: Engine) -> None:
    with database.connect() as first, database.connect() as second:
        assert queries.lock_training(first, "intake")
        assert queries.lock_training(second, "other")
        first.commit()
        assert not queries.lock_training(second, "intake")
        first.detach()
        first.close()
        # The server hears of it a moment later.
        wait_until(lambda: queries.lock_training(second, "intake"), "the lock is given back", 30)
        second.detach()


def test_a_job_is_worked_on_by_one_connection_at_a_time(database: Engine) -> None:
    with database.connect() as first, database.connect() as second:
        assert queries.lock_job(first, "t")
        assert queries.lock_job(second, "another")
        first.commit()
        assert not queries.lock_job(second, "t")
        first.detach()
        first.close()
        # The server hears of it a moment later.
        wait_until(lambda: queries.lock_job(second, "t"), "the lock is given back", 30)
        second.detach()


@pytest.mark.parametrize("state", [state for state in RUN_ENDS if state != "failed"])
def test_a_run_that_has_ended_is_neither_opened_nor_resumed_nor_changed(
    connection: Connection, state: RunEnd
) -> None:
    run = ended(connection, "t", state)
    assert (run.state, run.fingerprint, run.result) == (state, "t", {"state": state})
    assert run.finished_at is not None
    assert queries.running_run(connection, "intake") is None

    assert open_run(connection) is None
    assert queries.resume_run(connection, task_id="t", node="late") is None
    assert queries.beat_run(connection, run.id, {"epoch": 9}) is None
    assert not queries.cancel_run(connection, run.id, "late")
    assert not queries.finish_run(connection, run.id, state="failed", fingerprint=None, result={"late": True})
    queries.skip_run(connection, task_id="t", class_set="intake", node="late", result={"late": True})
    assert queries.get_run(connection, run.id) == run


def test_a_run_that_ends_without_a_result_has_none(connection: Connection) -> None:
    run = opened(connection)
    assert queries.finish_run(connection, run.id, state="failed", fingerprint=None, result=None)
    assert not queries.finish_run(connection, run.id + 1, state="failed", fingerprint=None, result=None)
    none = connection.execute(select(models.TrainingRun.result.is_(None), models.TrainingRun.progress.is_(None)))
    assert none.one() == (True, True), "SQL's NULL, not JSON's"


def test_a_task_with_nothing_to_do_is_skipped_at_once_even_while_another_is_running(connection: Connection) -> None:
    opened(connection, "first")
    start(connection, "second")
    queries.skip_run(connection, task_id="second", class_set="intake", node="n", result={"why": "nothing new"})
    run = queries.get_run_of(connection, "second")
    assert run is not None
    assert (run.state, run.starts, run.node, run.result) == ("skipped", 1, "n", {"why": "nothing new"})
    assert run.finished_at is not None
    queries.skip_run(connection, task_id="first", class_set="intake", node="n", result={})
    first = queries.get_run_of(connection, "first")
    assert first is not None
    assert first.state == "running"


def test_a_heartbeat_renews_what_it_is_given_and_tells_who_asked_to_stop(database: Engine) -> None:
    with transaction(database) as connection:
        make_class_sets(connection)
        run = opened(connection)
        other = opened(connection, "elsewhere", "other")
    with transaction(database) as connection:
        assert queries.beat_run(connection, run.id, {"epoch": 1}) is None
        assert queries.beat_run(connection, run.id) is None
        beaten = read_run(connection, run.id)
    assert beaten.heartbeat_at > run.heartbeat_at
    assert (beaten.progress, beaten.started_at, beaten.starts) == ({"epoch": 1}, run.started_at, 1)
    with transaction(database) as connection:
        assert queries.cancel_run(connection, run.id, "ann")
        assert queries.cancel_run(connection, run.id, "bob")
        assert queries.beat_run(connection, run.id, {"epoch": 2}) == "ann"
        cancelled = read_run(connection, run.id)
        assert (cancelled.state, cancelled.cancelled_by, cancelled.progress) == ("running", "ann", {"epoch": 2})
        assert queries.get_run(connection, other.id) == other
        assert queries.beat_run(connection, other.id + 1) is None
        assert not queries.cancel_run(connection, other.id + 1, "ann")


def test_a_run_is_asked_to_stop_from_elsewhere_while_its_trainer_works(database: Engine) -> None:
    with transaction(database) as connection:
        make_class_sets(connection)
        run = opened(connection)
    with transaction(database) as asking:
        assert queries.cancel_run(asking, run.id, "ann")
    with transaction(database) as training:
        assert queries.beat_run(training, run.id) == "ann"
        assert queries.finish_run(training, run.id, state="cancelled", fingerprint=None, result={})


def test_of_tasks_that_open_a_run_of_a_set_at_once_exactly_one_runs(database: Engine) -> None:
    with transaction(database) as connection:
        make_class_sets(connection)
    ready = threading.Barrier(5)

    def work(index: int) -> queries.Run | None:
        with transaction(database) as connection:
            start(connection, str(index))
            ready.wait(timeout=60)
            return queries.open_run(connection, task_id=str(index), class_set="intake", node=None)

    with ThreadPoolExecutor(5) as pool:
        runs = [run for run in pool.map(work, range(5)) if run is not None]
    with transaction(database) as connection:
        assert [queries.running_run(connection, "intake")] == runs


def test_who_opens_a_run_waits_for_the_one_that_is_being_opened_and_runs_if_that_is_undone(
    database: Engine,
) -> None:
    with transaction(database) as connection:
        make_class_sets(connection)

    def second() -> queries.Run | None:
        with transaction(database) as connection:
            return open_run(connection, "second")

    with ThreadPoolExecutor(1) as pool:
        with database.connect() as first:
            opened(first, "first")
            opening = pool.submit(second)
            with transaction(database) as observer:
                waiting = text("SELECT 1 FROM pg_locks WHERE NOT granted")
                while not opening.done() and observer.execute(waiting).first() is None:
                    time.sleep(0.01)
            assert not opening.done()
            first.rollback()
        run = opening.result()
    assert run is not None
    assert run.task_id == "second"


def test_runs_are_listed_newest_first(connection: Connection) -> None:
    made = [ended(connection, "1", "promoted"), ended(connection, "2", "failed", "other"), opened(connection, "3")]
    assert queries.list_runs(connection) == made[::-1]
    assert queries.list_runs(connection, "intake") == [made[2], made[0]]
    assert queries.list_runs(connection, "intake", 1) == [made[2]]
    assert queries.list_runs(connection, "unknown") == []


def test_what_was_learned_from_last_is_told_by_the_newest_run_that_was_promoted_or_rejected(
    connection: Connection,
) -> None:
    assert queries.latest_trained(connection, "intake") is None
    ended(connection, "skipped first", "skipped")
    assert queries.latest_trained(connection, "intake") is None
    promoted = ended(connection, "promoted", "promoted")
    assert queries.latest_trained(connection, "intake") == promoted
    rejected = ended(connection, "rejected", "rejected")
    for state in ("skipped", "cancelled", "failed"):
        ended(connection, state, state)
    ended(connection, "elsewhere", "promoted", "other")
    opened(connection, "running")
    assert queries.latest_trained(connection, "intake") == rejected
    assert rejected.fingerprint == "rejected"


def age_job(connection: Connection, task_id: str, seconds: float) -> None:
    connection.execute(
        update(models.Job)
        .where(models.Job.task_id == task_id)
        .values(started_at=func.now() - timedelta(seconds=seconds))
    )


def age_run(connection: Connection, task_id: str, seconds: float) -> None:
    connection.execute(
        update(models.TrainingRun)
        .where(models.TrainingRun.task_id == task_id)
        .values(heartbeat_at=func.now() - timedelta(seconds=seconds))
    )


def test_an_open_job_without_a_sign_of_life_is_interrupted(connection: Connection) -> None:
    # task id, seconds since the start, seconds since the run's heartbeat
    for task_id, class_set, started, beaten in [
        ("alive", "alive", 500, 5),
        ("silent", "silent", 500, 70),
        ("just resumed", "resumed", 5, 400),
        ("no run, silent", None, 80, None),
        ("no run, alive", None, 50, None),
    ]:
        if class_set is None:
            start(connection, task_id)
        else:
            queries.create_class_set(connection, class_set)
            opened(connection, task_id, class_set)
        age_job(connection, task_id, started)
        if beaten is not None:
            age_run(connection, task_id, beaten)
    for task_id in ("postponed", "ended"):
        start(connection, task_id)
        age_job(connection, task_id, 500)
    queries.postpone_job(connection, task_id="postponed", error_code="busy", error_message="later")
    queries.finish_job(connection, task_id="ended", state="failed")
    start(connection, "another task", "docintake.classify")
    age_job(connection, "another task", 500)

    found = queries.interrupted_jobs(connection, RETRAIN, 60)
    assert [job.task_id for job in found] == ["postponed", "no run, silent", "silent"]
    assert found[1] == queries.get_job(connection, "no run, silent")
    assert [job.task_id for job in queries.interrupted_jobs(connection, RETRAIN, 4.5)] == [
        "postponed",
        "no run, silent",
        "silent",
        "no run, alive",
        "alive",
        "just resumed",
    ]
    assert queries.interrupted_jobs(connection, RETRAIN, 1000) == []


def test_a_job_that_a_person_reopened_is_interrupted_where_it_never_starts(connection: Connection) -> None:
    start(connection)
    queries.finish_job(connection, task_id="t", state="failed")
    queries.reopen_job(connection, task_id="t")
    assert not queries.interrupted_jobs(connection, RETRAIN, 60)
    assert [job.task_id for job in queries.interrupted_jobs(connection, RETRAIN, -1)] == ["t"]


def test_an_interrupted_job_is_looked_at_by_one_transaction_at_a_time(database: Engine) -> None:
    with transaction(database) as connection:
        for task_id in ("one", "other"):
            start(connection, task_id)
    with transaction(database) as first, transaction(database) as second:
        assert len(queries.interrupted_jobs(first, RETRAIN, -1)) == 2
        assert queries.interrupted_jobs(second, RETRAIN, -1) == []
    with transaction(database) as third:
        assert len(queries.interrupted_jobs(third, RETRAIN, -1)) == 2


# Checkpoints and their promotions


def test_a_checkpoint_comes_back_as_it_was_put(connection: Connection) -> None:
    version_id, _ = queries.create_version(connection, "intake", "d")
    run = opened(connection)
    parent = put_checkpoint(connection)
    made = queries.put_checkpoint(
        connection,
        class_set="intake",
        class_version_id=version_id,
        run_id=run.id,
        parents=[parent],
        encoder="e",
        file="a.safetensors",
        sha256=A,
        fingerprint=B,
        labels=12,
        metrics={"accuracy": 0.75},
        accepted=False,
        reasons=["not better", "slower"],
    )
    stored = queries.get_checkpoint(connection, made)
    assert stored is not None
    assert stored == queries.Checkpoint(
        id=made,
        class_set="intake",
        class_version_id=version_id,
        run_id=run.id,
        parents=[parent],
        encoder="e",
        file="a.safetensors",
        sha256=A,
        fingerprint=B,
        labels=12,
        metrics={"accuracy": 0.75},
        accepted=False,
        reasons=["not better", "slower"],
        created_at=stored.created_at,
        state="rejected",
    )
    assert queries.get_checkpoint(connection, made + 1) is None


def test_checkpoints_are_listed_newest_first_and_found_in_the_order_that_was_asked_for(
    connection: Connection,
) -> None:
    first, elsewhere, last = (
        put_checkpoint(connection),
        put_checkpoint(connection, "other"),
        put_checkpoint(connection),
    )
    assert [item.id for item in queries.list_checkpoints(connection)] == [last, elsewhere, first]
    assert [item.id for item in queries.list_checkpoints(connection, "intake")] == [last, first]
    assert queries.list_checkpoints(connection, "unknown") == []
    found = queries.get_checkpoints(connection, [elsewhere, last + 1, first, last])
    assert [item.id for item in found] == [elsewhere, first, last]
    assert found[1] == queries.get_checkpoint(connection, first)
    assert queries.get_checkpoints(connection, []) == []


def states(connection: Connection, class_set: str = "intake") -> list[CheckpointState]:
    """Oldest first."""
    return [item.state for item in queries.list_checkpoints(connection, class_set)][::-1]


def test_the_state_of_a_checkpoint_follows_from_the_promotions_of_its_set(connection: Connection) -> None:
    first, second, refused = (
        put_checkpoint(connection),
        put_checkpoint(connection),
        put_checkpoint(connection, accepted=False),
    )
    put_checkpoint(connection, "other")
    assert states(connection) == ["candidate", "candidate", "rejected"]

    trained = promote(connection, first)
    assert states(connection) == ["active", "candidate", "rejected"]
    both = promote(connection, first, second, back_to=trained.id)
    assert states(connection) == ["active", "active", "rejected"]
    promote(connection, second, back_to=both.id)
    assert states(connection) == ["retired", "active", "rejected"]
    promote(connection, refused)
    assert states(connection) == ["retired", "retired", "active"]
    promote(connection)
    assert states(connection) == ["retired", "retired", "retired"]
    promote(connection, first)
    assert states(connection) == ["active", "retired", "retired"]
    assert states(connection, "other") == ["candidate"]
    found = queries.get_checkpoint(connection, first)
    assert found is not None
    assert found.state == "active"


def test_a_promotion_of_another_set_changes_no_state(connection: Connection) -> None:
    ours, theirs = put_checkpoint(connection), put_checkpoint(connection, "other")
    promote(connection, ours)
    promote(connection, theirs, class_set="other")
    assert states(connection) == states(connection, "other") == ["active"]


def test_the_newest_promotion_serves_and_an_empty_one_is_zero_shot(connection: Connection) -> None:
    assert queries.serving(connection, "intake") is None
    first, second = put_checkpoint(connection), put_checkpoint(connection)
    trained = promote(connection, second, first)
    assert (trained.class_set, trained.checkpoints, trained.back_to, trained.by) == (
        "intake",
        [second, first],
        None,
        "ann",
    )
    assert queries.serving(connection, "intake") == trained
    promote(connection, class_set="other")
    zero_shot = promote(connection, back_to=trained.id)
    assert (zero_shot.checkpoints, zero_shot.back_to) == ([], trained.id)
    assert queries.serving(connection, "intake") == zero_shot
    assert queries.get_promotion(connection, trained.id) == trained
    assert queries.get_promotion(connection, zero_shot.id + 1) is None
    assert queries.list_promotions(connection, "intake") == [zero_shot, trained]
    assert queries.list_promotions(connection, "unknown") == []


def test_of_promotions_made_at_once_each_goes_back_to_the_one_before_it(database: Engine) -> None:
    with transaction(database) as connection:
        make_class_sets(connection)

    def work(_: int) -> None:
        with transaction(database) as connection:
            assert queries.lock_class_set(connection, "intake")
            before = queries.serving(connection, "intake")
            promote(connection, back_to=None if before is None else before.id)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(work, range(10)))
    with transaction(database) as connection:
        made = queries.list_promotions(connection, "intake")
    assert [item.back_to for item in made] == [*(item.id for item in made[1:]), None]


# Labels


def test_a_document_is_what_its_newest_correction_says(connection: Connection) -> None:
    correct(connection, "1", A, "letter")
    second = correct(connection, "2", C, "bill")
    correct(connection, "3", A, "bill", "other")
    fourth = correct(connection, "4", B, "letter")
    fifth = correct(connection, "5", A, "receipt")
    now = connection.execute(select(func.now())).scalar_one()
    assert queries.latest_labels(connection, "intake") == [
        queries.Label(C, "bill", second, now),
        queries.Label(B, "letter", fourth, now),
        queries.Label(A, "receipt", fifth, now),
    ]
    assert queries.latest_labels(connection, "intake", up_to=fourth)[-1] == queries.Label(B, "letter", fourth, now)
    assert [label.label for label in queries.latest_labels(connection, "other")] == ["bill"]
    assert queries.latest_labels(connection, "unknown") == []


def test_labels_after_a_correction_are_counted_by_document(connection: Connection) -> None:
    first = correct(connection, "1", A, "letter")
    correct(connection, "2", B, "letter")
    third = correct(connection, "3", A, "bill")
    correct(connection, "4", B, "letter", "other")
    last = correct(connection, "5", A, "letter")
    assert queries.count_labels_since(connection, "intake", 0) == 2
    assert queries.count_labels_since(connection, "intake", first) == 2
    assert queries.count_labels_since(connection, "intake", third) == 1
    assert queries.count_labels_since(connection, "intake", last) == 0
    assert queries.count_labels_since(connection, "unknown", 0) == 0


# Forgetting

NOW = datetime(2024, 6, 1, tzinfo=UTC)


def days_ago(days: int) -> datetime:
    return NOW - timedelta(days=days)


def seen(connection: Connection, sha256: str, days: int) -> None:
    put_document(connection, sha256)
    connection.execute(
        update(models.Document).where(models.Document.sha256 == sha256).values(created_at=days_ago(days))
    )


def use(connection: Connection, kind: str, sha256: str, days: int) -> None:
    """Classify, ask about or correct a document that many days ago."""
    task_id = f"{kind} {sha256[0]} {days}"
    values = {"sha256": sha256, "created_at": days_ago(days)}
    if kind == "correction":
        values |= {"class_set": "intake", "label": "letter", "correction_task_id": task_id, "by": "ann"}
        connection.execute(insert(models.Correction).values(**values))
        return
    start(connection, task_id)
    values |= {"task_id": task_id, "result": {}}
    if kind == "inquiry":
        connection.execute(insert(models.Inquiry).values(**values))
    else:
        values |= {"confidence": 0.5, "status": "classified", "reasons": []}
        connection.execute(insert(models.Classification).values(**values))


def documents(connection: Connection) -> list[str]:
    return list(connection.execute(select(models.Document.sha256).order_by(models.Document.sha256)).scalars())


@pytest.mark.parametrize("kind", ["classification", "inquiry", "correction"])
def test_a_document_is_forgotten_when_it_was_last_used_before_then(connection: Connection, kind: str) -> None:
    for sha256 in (A, B, C, D):
        seen(connection, sha256, 90)
    seen(connection, E, 20)
    use(connection, kind, A, 80)
    use(connection, kind, B, 80)
    use(connection, kind, B, 10)
    use(connection, kind, C, 30)
    assert forget_before(connection, days_ago(30), 10) == 2
    assert documents(connection) == [B, C, E]
    assert forget_before(connection, days_ago(30), 10) == 0


def test_what_was_made_of_a_forgotten_document_goes_with_it_and_its_jobs_stay(connection: Connection) -> None:
    seen(connection, A, 90)
    for kind in ("classification", "inquiry", "correction"):
        use(connection, kind, A, 80)
    queries.put_features(connection, A, "e", {1: b"x"})
    assert forget_before(connection, days_ago(30), 10) == 1
    for model in (models.Classification, models.Inquiry, models.Correction, models.Feature):
        assert connection.execute(select(func.count()).select_from(model)).scalar_one() == 0
    assert queries.count_jobs(connection)["started"] == 2


def test_documents_are_forgotten_oldest_first_up_to_the_limit(connection: Connection) -> None:
    for sha256, days in ((A, 60), (B, 90), (C, 70), (D, 80)):
        seen(connection, sha256, days)
    assert forget_before(connection, days_ago(30), 3) == 3
    assert documents(connection) == [A]
    assert forget_before(connection, days_ago(30), 3) == 1


def test_a_document_that_is_just_being_added_to_is_left_and_nobody_waits(database: Engine) -> None:
    with transaction(database) as connection:
        seen(connection, A, 90)
        seen(connection, B, 90)
    with transaction(database) as adding:
        queries.put_features(adding, A, "e", {1: b"x"})
        with transaction(database) as forgetting:
            assert forget_before(forgetting, days_ago(30), 10) == 1
    with transaction(database) as connection:
        assert documents(connection) == [A]


def forget_before(connection: Connection, when: datetime, limit: int) -> int:
    return queries.forget_documents(connection, queries.due_documents(connection, when, {}, limit).due)


def forget_jobs_before(connection: Connection, when: datetime, limit: int) -> int:
    return queries.forget_jobs(connection, queries.due_jobs(connection, when, (), limit).due)


def end_job(connection: Connection, task_id: str, state: EndState, days: int) -> None:
    """End a job that is there or not, that many days ago."""
    if queries.get_job(connection, task_id) is None:
        start(connection, task_id)
    queries.finish_job(connection, task_id=task_id, state=state)
    connection.execute(update(models.Job).where(models.Job.task_id == task_id).values(finished_at=days_ago(days)))


def jobs(connection: Connection) -> list[str]:
    return sorted(job.task_id for job in queries.list_jobs(connection))


def test_jobs_that_ended_before_then_are_forgotten_oldest_first_and_open_ones_never(connection: Connection) -> None:
    end_job(connection, "old", "succeeded", 60)
    end_job(connection, "older", "rejected", 70)
    end_job(connection, "oldest", "failed", 80)
    end_job(connection, "reopened", "failed", 90)
    end_job(connection, "new", "succeeded", 30)
    queries.reopen_job(connection, task_id="reopened")
    start(connection, "started")
    age_job(connection, "started", 1e9)
    assert forget_jobs_before(connection, days_ago(30), 2) == 2
    assert jobs(connection) == ["new", "old", "reopened", "started"]
    assert forget_jobs_before(connection, days_ago(30), 2) == 1
    assert forget_jobs_before(connection, days_ago(30), 2) == 0
    assert jobs(connection) == ["new", "reopened", "started"]


def test_a_forgotten_job_takes_its_results_and_its_run_along_and_leaves_the_checkpoint(
    connection: Connection,
) -> None:
    seen(connection, A, 90)
    use(connection, "classification", A, 80)
    end_job(connection, "classification a 80", "succeeded", 80)
    run = opened(connection)
    made = put_checkpoint(connection, run_id=run.id)
    promote(connection, made)
    queries.finish_run(connection, run.id, state="promoted", fingerprint=B, result={})
    end_job(connection, "t", "succeeded", 80)
    assert forget_jobs_before(connection, days_ago(30), 10) == 2
    assert queries.get_run(connection, run.id) is None
    assert queries.get_classification(connection, "classification a 80") is None
    assert documents(connection) == [A]
    kept = queries.get_checkpoint(connection, made)
    assert kept is not None
    assert (kept.run_id, kept.state, kept.fingerprint) == (None, "active", B)


def classified(connection: Connection, sha256: str, days: int, prediction: str | None) -> None:
    use(connection, "classification", sha256, days)
    connection.execute(
        update(models.Classification)
        .where(models.Classification.task_id == f"classification {sha256[0]} {days}")
        .values(prediction=prediction)
    )


def labelled(connection: Connection, sha256: str, days: int, label: str, class_set: str = "intake") -> None:
    use(connection, "correction", sha256, days)
    connection.execute(
        update(models.Correction)
        .where(models.Correction.correction_task_id == f"correction {sha256[0]} {days}")
        .values(label=label, class_set=class_set)
    )


def test_a_document_goes_by_its_newest_label_else_by_its_newest_prediction(connection: Connection) -> None:
    for sha256 in (A, B, C, D, E):
        seen(connection, sha256, 90)
    classified(connection, A, 80, "letter")
    classified(connection, A, 70, "payslip")
    classified(connection, B, 80, "payslip")
    classified(connection, B, 70, "letter")
    classified(connection, C, 60, "letter")
    labelled(connection, C, 80, "payslip", "other")
    labelled(connection, D, 80, "payslip")
    labelled(connection, D, 70, "letter")
    classified(connection, D, 60, "payslip")
    classified(connection, E, 80, "payslip")
    classified(connection, E, 20, "payslip")
    assert queries.due_documents(connection, None, {"payslip": days_ago(30)}, 10).due == [A, C]
    assert queries.due_documents(connection, None, {"payslip": days_ago(65)}, 10).due == [A]
    # Fewer days than others, or more.
    assert queries.due_documents(connection, days_ago(75), {"payslip": days_ago(10)}, 10).due == [A, C, E]
    assert queries.due_documents(connection, days_ago(30), {"payslip": days_ago(365)}, 10).due == [B, D]


def test_a_document_of_no_class_goes_as_those_without_days_of_their_own(connection: Connection) -> None:
    seen(connection, A, 90)
    seen(connection, B, 90)
    classified(connection, B, 80, None)
    assert queries.due_documents(connection, days_ago(30), {"payslip": days_ago(365)}, 10).due == [A, B]
    assert queries.due_documents(connection, None, {"payslip": days_ago(1)}, 10).due == []


def test_a_look_goes_on_behind_what_stays(connection: Connection) -> None:
    for sha256, days in ((A, 90), (B, 90), (C, 80), (D, 70), (E, 60)):
        seen(connection, sha256, days)
    for sha256 in (A, B, C):
        labelled(connection, sha256, 5, "letter")
    looks = [queries.due_documents(connection, days_ago(30), {}, 2)]
    while (end := looks[-1].end) is not None:
        looks.append(queries.due_documents(connection, days_ago(30), {}, 2, end))
    assert [look.due for look in looks] == [[], [D], [E], []]


def test_jobs_about_documents_of_a_class_with_days_of_its_own_stay_for_their_documents(
    connection: Connection,
) -> None:
    seen(connection, A, 90)
    seen(connection, B, 90)
    classified(connection, A, 80, "payslip")
    classified(connection, B, 80, "letter")
    for sha256 in (A, B):
        use(connection, "inquiry", sha256, 80)
    for job in jobs(connection):
        end_job(connection, job, "succeeded", 80)
    end_job(connection, "refused", "rejected", 80)
    look = queries.due_jobs(connection, days_ago(30), ["payslip"], 2)
    rest = queries.due_jobs(connection, days_ago(30), ["payslip"], 10, look.end)
    assert sorted(look.due + rest.due) == ["classification b 80", "inquiry b 80", "refused"]
    assert queries.tasks_about(connection, [A]) == {"classification a 80", "inquiry a 80"}


@pytest.mark.parametrize(
    ("index", "find"),
    [
        ("jobs_document_uri", lambda connection: queries.tasks_naming(connection, [], ["file:///x"], [])),
        ("jobs_document_id", lambda connection: queries.tasks_naming(connection, [A, B], [], [])),
        ("jobs_corrects", lambda connection: queries.tasks_naming(connection, [], [], ["t", "u"])),
        ("documents_uri", lambda connection: queries.documents_about(connection, ["t"])),
        ("documents_uri", lambda connection: queries.places_of(connection, [A])),
        ("corrections_task_id", lambda connection: queries.forget_corrections(connection, ["t"])),
    ],
)
def test_what_is_to_be_forgotten_is_found_by_an_index(
    connection: Connection, index: str, find: Callable[[Connection], object]
) -> None:
    place = "file:///x"
    queries.put_document(connection, sha256=A, media_type="image/png", page_count=1, size=1, uri=place)
    queries.start_job(
        connection, task_id="t", task=RETRAIN, request={"document": {"uri": place}}, external_id=None, node=None
    )
    # Small tables are read whole where that may be, or in the order of some other index.
    for way in ("seqscan", "indexscan", "indexonlyscan"):
        connection.execute(text(f"SET LOCAL enable_{way} = off"))
    count = text("SELECT pg_stat_get_xact_numscans(CAST(:index AS regclass))")
    before = connection.execute(count, {"index": index}).scalar_one()
    find(connection)
    assert connection.execute(count, {"index": index}).scalar_one() > before
