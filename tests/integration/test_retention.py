"""What is purged and what is kept, on a real PostgreSQL."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, func, insert, select, update
from structlog.testing import capture_logs

from core.contract import CLASSIFY
from core.errors import RejectedInput, TransientFailure
from core.settings import Retention, Settings
from db import models, queries
from db.session import transaction
from worker import retention
from worker.app import make_app
from worker.retention import Removed, Terms, purge, remove
from worker.runtime import Runtime


@pytest.fixture
def runtime(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """Keeps for seven days, and removes three rows at a time."""
    monkeypatch.setattr(retention, "_BATCH", 3)
    with closing(Runtime(settings.model_copy(update={"retention": Retention(days=7)}), "test-node")) as runtime:
        yield runtime


@pytest.fixture(autouse=True)
def _rows(database: Engine) -> None:
    """Eight documents and ended jobs of a month ago, three of now, and a job of a month ago that goes on."""
    names = [name_of(number) for number in range(11)]
    long_ago = func.now() - timedelta(days=30)
    with transaction(database) as connection:
        for name in names:
            queries.put_document(connection, sha256=name, media_type="image/png", page_count=1, size=1, uri=None)
            start(connection, name)
            queries.finish_job(connection, task_id=name, state="failed")
        start(connection, "open")
        old = models.Document.sha256.in_(names[:8])
        connection.execute(update(models.Document).where(old).values(created_at=long_ago))
        connection.execute(update(models.Job).where(models.Job.task_id.in_(names[:8])).values(finished_at=long_ago))
        connection.execute(update(models.Job).where(models.Job.task_id == "open").values(received_at=long_ago))


def name_of(number: int) -> str:
    """The id of a document, and of a job."""
    return hashlib.sha256(bytes([number])).hexdigest()


def start(connection: Connection, task_id: str) -> None:
    queries.start_job(connection, task_id=task_id, task=CLASSIFY, request={}, external_id=None, node=None)


def left(database: Engine) -> tuple[int, int]:
    """Documents and jobs."""
    with transaction(database) as connection:
        documents = connection.execute(select(func.count()).select_from(models.Document)).scalar_one()
        jobs = connection.execute(select(func.count()).select_from(models.Job)).scalar_one()
    return documents, jobs


def test_what_is_too_old_is_removed_to_the_last_and_counted(
    runtime: Runtime, settings: Settings, database: Engine
) -> None:
    with capture_logs() as said:
        purge(runtime, make_app(settings))
    assert [line for line in said if line["event"] == "purged"] == [
        {"event": "purged", "log_level": "info", "documents": 8, "jobs": 8}
    ]
    assert left(database) == (3, 4)
    purge(runtime, make_app(settings))
    assert left(database) == (3, 4)


def test_without_days_nothing_is_ever_removed(settings: Settings, database: Engine) -> None:
    with closing(Runtime(settings, "test-node")) as runtime:
        purge(runtime, make_app(settings))
    assert left(database) == (11, 12)


def test_a_node_that_is_to_stop_leaves_the_rest_to_another_one(
    runtime: Runtime, settings: Settings, database: Engine
) -> None:
    looks = iter([False, False, True])
    runtime.stopping = lambda: next(looks)
    with pytest.raises(TransientFailure, match="node_stopping"):
        purge(runtime, make_app(settings))
    assert left(database) == (5, 12)
    runtime.stopping = lambda: False
    purge(runtime, make_app(settings))
    assert left(database) == (3, 4)


def classify(database: Engine, number: int, prediction: str) -> None:
    """Have one of the documents, and its job, be of a class."""
    with transaction(database) as connection:
        connection.execute(
            insert(models.Classification).values(
                task_id=name_of(number),
                sha256=name_of(number),
                prediction=prediction,
                confidence=0.5,
                status="classified",
                reasons=[],
                result={},
                created_at=func.now() - timedelta(days=30),
            )
        )


def kept(database: Engine) -> tuple[set[int], set[int]]:
    """Numbers of the documents, and of the jobs, that are there."""
    with transaction(database) as connection:
        documents = set(connection.execute(select(models.Document.sha256)).scalars())
        jobs = set(connection.execute(select(models.Job.task_id)).scalars())
    return (
        {number for number in range(11) if name_of(number) in documents},
        {number for number in range(11) if name_of(number) in jobs},
    )


def test_a_class_has_days_of_its_own_and_its_jobs_go_with_its_documents(settings: Settings, database: Engine) -> None:
    for number, prediction in enumerate(["payslip", "payslip", "contract", "contract", "letter"]):
        classify(database, number, prediction)
    terms = Retention(days=25, classes={"payslip": 40, "contract": 20})
    with closing(Runtime(settings.model_copy(update={"retention": terms}), "test-node")) as runtime:
        purge(runtime, make_app(settings))
    assert kept(database) == ({0, 1, 8, 9, 10}, {0, 1, 8, 9, 10})


def test_a_class_alone_may_have_days(settings: Settings, database: Engine) -> None:
    for number, prediction in enumerate(["payslip", "contract"]):
        classify(database, number, prediction)
    terms = Retention(classes={"payslip": 29})
    with closing(Runtime(settings.model_copy(update={"retention": terms}), "test-node")) as runtime:
        purge(runtime, make_app(settings))
    assert kept(database) == (set(range(1, 11)), set(range(1, 11)))


@pytest.mark.parametrize("batch", [2, 100])
def test_a_dry_run_counts_what_would_go_and_removes_nothing(
    database: Engine, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(retention, "_BATCH", batch)
    for number, prediction in enumerate(["payslip", "contract"]):
        classify(database, number, prediction)
    terms = Terms.of(Retention(days=7, classes={"payslip": 40}))
    expected = remove(database, terms, dry_run=True)
    assert expected == Removed(documents=7, jobs=7)
    assert left(database) == (11, 12)
    assert remove(database, terms) == expected
    assert left(database) == (4, 5)


@pytest.mark.parametrize(
    ("days", "class_name", "classes", "others"),
    [
        (None, None, {"payslip": 30}, 365),
        (10, None, {"payslip": 30}, 10),
        (None, "payslip", {"payslip": 30}, None),
        (None, "letter", {"letter": 365}, None),
        (10, "payslip", {"payslip": 10}, None),
    ],
)
def test_days_given_by_hand_stand_in_for_those_of_all_others_or_of_one_class(
    days: int | None, class_name: str | None, classes: dict[str, int], others: int | None
) -> None:
    terms = Terms.of(Retention(days=365, classes={"payslip": 30}), days, class_name)
    now = datetime.now(UTC)
    assert {name: (now - moment).days for name, moment in terms.classes.items()} == classes
    assert (terms.others and (now - terms.others).days) == others


@pytest.mark.parametrize("class_name", [None, "letter"])
def test_where_nothing_says_how_old_is_too_old_nothing_is_removed(class_name: str | None) -> None:
    own = {} if class_name is None else {"payslip": 30}
    with pytest.raises(RejectedInput, match=r"no_retention: .*retention\.days.*--days"):
        Terms.of(Retention(classes=own), None, class_name)
