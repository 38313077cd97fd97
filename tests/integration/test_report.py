"""Reports about months of made-up work, on a real PostgreSQL: the figures agree with what is in the tables."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import history
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from core.errors import RejectedInput
from core.settings import Database, Settings
from db.session import make_engine, transaction
from worker.report import Report, gather, since_of
from worker.report_page import to_html

NOW = datetime.now(UTC)
DAYS = 60


@pytest.fixture(scope="module")
def past(fresh_database: Callable[[], AbstractContextManager[str]]) -> Iterator[Engine]:
    """A database with 60 days of work in class set `intake`."""
    with fresh_database() as url:
        engine = make_engine(url, statement_timeout=60, pool_size=1)
        with transaction(engine) as connection:
            history.make(connection, rows=1500, days=DAYS)
        yield engine
        engine.dispose()


@pytest.fixture(scope="module")
def report(past: Engine) -> Report:
    return about(past, DAYS)


def about(engine: Engine, days: float, class_set: str = "intake") -> Report:
    url = SecretStr(engine.url.render_as_string(hide_password=False))
    return gather(engine, Settings(database=Database(url=url)), class_set, NOW - timedelta(days=days), NOW)


def counted(engine: Engine, statement: str) -> int:
    with transaction(engine) as connection:
        found: int = connection.execute(text(statement)).scalar_one()
    return found


def test_every_document_is_in_one_period_one_class_and_one_step_of_confidence(past: Engine, report: Report) -> None:
    documents = counted(past, "SELECT count(*) FROM classifications")
    assert report.documents == documents
    assert sum(item.documents for item in report.classes) == documents
    assert sum(report.confidences) == documents
    to_review = counted(past, "SELECT count(*) FROM classifications WHERE status = 'needs_review'")
    assert report.to_review == sum(item.to_review for item in report.classes) == to_review
    # Each of them was sent there for one reason.
    assert sum(report.reasons.values()) == to_review
    assert report.classes[0].name == "invoice"
    for place in range(len(report.periods)):
        shares = [share for item in report.classes if (share := item.shares[place]) is not None]
        assert sum(shares) == pytest.approx(1 if shares else 0)


def test_known_errors_are_what_people_said_otherwise(past: Engine, report: Report) -> None:
    wrong = counted(past, "SELECT count(*) FROM corrections WHERE label IS DISTINCT FROM previous")
    assert sum(item.wrong for item in report.labelled) == wrong
    assert sum(item.right + item.wrong for item in report.labelled) == counted(
        past, "SELECT count(*) FROM corrections"
    )


def test_a_higher_threshold_sends_more_to_people_and_catches_more_errors(past: Engine, report: Report) -> None:
    first, *_, last = report.thresholds
    assert (first.to_review, first.errors_caught) == (0, 0)
    assert (last.to_review, last.errors_caught) == (1, 1)
    caught = [item.errors_caught or 0 for item in report.thresholds]
    assert caught == sorted(caught)
    (half,) = [item for item in report.thresholds if item.confidence == 0.5]
    below = counted(past, "SELECT count(*) FROM classifications WHERE confidence < 0.5")
    assert half.to_review == pytest.approx(below / report.documents)


def test_jobs_waits_stages_and_checkpoints_are_told(past: Engine, report: Report) -> None:
    assert sum(period.rejected for period in report.periods) == counted(
        past, "SELECT count(*) FROM jobs WHERE state = 'rejected'"
    )
    assert {code for _, code, _ in report.errors} <= {"unreadable", "not_found", "poison"}
    assert all(wait.p50 <= wait.p95 <= wait.p99 for wait in report.waits)
    assert sum(wait.count for wait in report.waits) == report.documents
    stages = [stage.stage for stage in report.stages]
    assert stages[0] == "read"
    assert "queued" not in stages
    assert [(item.state, item.promoted is not None) for item in report.checkpoints] == [
        ("retired", True),
        ("retired", True),
        ("rejected", False),
        ("active", True),
    ]


def test_a_longer_time_is_told_by_the_week_and_a_shorter_one_leaves_out_what_was_before(
    past: Engine, report: Report
) -> None:
    year = about(past, 365)
    assert (report.period, year.period) == ("day", "week")
    assert year.documents == report.documents
    assert all(period.start.weekday() == 0 for period in year.periods)
    assert 0 < about(past, 10).documents < report.documents


def test_a_correction_that_names_no_task_is_about_the_newest_classification(database: Engine) -> None:
    with transaction(database) as connection:
        history.make(connection, rows=40, days=5)
        connection.execute(text("UPDATE corrections SET task_id = NULL"))
    labelled = about(database, 5).labelled
    assert sum(item.right + item.wrong for item in labelled) == counted(database, "SELECT count(*) FROM corrections")


def test_the_page_needs_nothing_else_and_escapes_what_classes_are_called(database: Engine) -> None:
    with transaction(database) as connection:
        history.make(connection, rows=60, days=5, classes=("<script>", "b", "c", "d", "e", "f"))
    page = to_html(about(database, 5))
    assert "&lt;script&gt;" in page
    assert not re.search(r"<script|<link|<img|src=|url\(|https?://|@import", page)


def test_an_empty_time_says_what_is_missing(database: Engine) -> None:
    with transaction(database) as connection:
        history.make(connection, rows=30, days=5)
        connection.execute(text("TRUNCATE jobs, corrections, checkpoints, promotions CASCADE"))
    page = to_html(about(database, 5))
    for part in ("Nothing was classified", "Every job that ended", "Nothing was learned yet", "No message said"):
        assert part in page
    assert "<polyline" not in page


def test_a_class_set_that_is_not_there_is_refused(past: Engine) -> None:
    with pytest.raises(RejectedInput, match="unknown_class_set"):
        about(past, 5, "nothing")


@pytest.mark.parametrize(("said", "hours"), [("30d", 720), ("12h", 12)])
def test_a_time_is_said_as_people_say_it(said: str, hours: int) -> None:
    assert since_of(said, NOW) == NOW - timedelta(hours=hours)
    assert since_of("2020-02-01", NOW) == datetime(2020, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize("said", ["", "d", "30", "soon", "2999-01-01", "-1d"])
def test_what_is_no_time_is_refused(said: str) -> None:
    with pytest.raises(RejectedInput, match="bad_arguments"):
        since_of(said, NOW)
