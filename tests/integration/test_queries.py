"""Every statement, alone and against others that run at the same time."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal
from typing import TypeVar

import pytest
from sqlalchemy import Connection, Engine, func, select, text, update
from sqlalchemy.exc import IntegrityError, NoResultFound

from core.class_set import DocumentClass
from core.contract import (
    AmountValue,
    Answer,
    AnswerResult,
    ClassifyResult,
    DateValue,
    DocumentInfo,
    Evidence,
    PageResult,
    YesNoValue,
)
from core.page import Line, Page
from db import models, queries
from db.models import EndState
from db.session import make_engine, transaction

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
LETTER = DocumentClass(name="letter", description="a letter", wording=("dear", "yours"), captions=("to aunt Ann",))
BILL = DocumentClass(name="bill", description="a bill", templates=("a scan of {}",))
Said = TypeVar("Said")


@pytest.fixture
def connection(database: Engine) -> Iterator[Connection]:
    with transaction(database) as connection:
        yield connection


@pytest.fixture
def crowd(database: Engine) -> Iterator[Engine]:
    """An engine with a connection for each of the threads of `at_once`."""
    engine = make_engine(database.url.render_as_string(hide_password=False), statement_timeout=30, pool_size=8)
    yield engine
    engine.dispose()


def at_once(engine: Engine, work: Callable[[Connection, int], Said], times: int = 8) -> list[Said]:
    """Do `work(connection, index)` in as many threads, each in a transaction of its own that is open already."""
    ready = threading.Barrier(times)

    def one(index: int) -> Said:
        with transaction(engine) as connection:
            queries.ping(connection)
            ready.wait(timeout=60)
            return work(connection, index)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


def start(connection: Connection, task_id: str = "t", node: str = "n") -> queries.Job | None:
    return queries.start_job(
        connection,
        task_id=task_id,
        task="docintake.classify",
        request={"document": {"uri": "file:///a.png"}},
        external_id="case-7",
        node=node,
    )


def put_document(connection: Connection, sha256: str = A, uri: str | None = "file:///a.png") -> None:
    queries.put_document(connection, sha256=sha256, media_type="image/png", page_count=2, size=10, uri=uri)


def draft(connection: Connection, class_set: str = "intake", digest: str = "d") -> tuple[int, int]:
    queries.create_class_set(connection, class_set)
    version = queries.create_version(connection, class_set, digest)
    queries.add_descriptions(connection, version[0], [LETTER, BILL])
    return version


def replace_published(connection: Connection, class_set: str, version_id: int) -> None:
    assert queries.lock_class_set(connection, class_set)
    queries.retire_published(connection, class_set)
    assert queries.publish(connection, version_id) is not None


def classify(
    connection: Connection,
    task_id: str,
    sha256: str,
    version_id: int | None,
    *,
    prediction: str = "letter",
    pages: tuple[int, ...] = (1,),
) -> ClassifyResult:
    start(connection, task_id)
    result = ClassifyResult(
        task_id=task_id,
        document=DocumentInfo(document_id=sha256, media_type="image/png", page_count=2),
        status="needs_review",
        reasons=["small_margin"],
        prediction=prediction,
        confidence=0.6,
        probabilities={"letter": 0.6, "bill": 0.4},
        pages=[PageResult(number=n, source="ocr", prediction=prediction, confidence=0.6) for n in pages],
        class_set="intake",
        class_set_version=1,
        backend="fake",
        checkpoint=None,
        cached=False,
        seconds={"read": 0.1},
        external_id="case-7",
        metadata={"desk": 3},
    )
    queries.put_classification(connection, result, version_id)
    return result


def correct(connection: Connection, correction_task_id: str, label: str = "bill") -> int:
    return queries.put_correction(
        connection,
        correction_task_id=correction_task_id,
        sha256=A,
        class_set="intake",
        label=label,
        previous="letter",
        task_id="t",
        by="ann",
        note=None,
    )


def test_a_ping_is_answered(connection: Connection) -> None:
    queries.ping(connection)


# Jobs


def test_a_job_that_is_first_seen_is_started_with_one_attempt(connection: Connection) -> None:
    job = start(connection)
    assert job is not None
    assert (job.task_id, job.task, job.state, job.attempts, job.retries) == (
        "t",
        "docintake.classify",
        "started",
        1,
        0,
    )
    assert (job.external_id, job.node, job.error_code, job.finished_at) == ("case-7", "n", None, None)
    assert job.request == {"document": {"uri": "file:///a.png"}}
    assert job.started_at is not None
    assert queries.get_job(connection, "t") == job
    assert queries.get_job(connection, "unknown") is None


def test_a_job_whose_node_died_is_started_again_and_counted(connection: Connection) -> None:
    start(connection, node="first")
    job = start(connection, node="second")
    assert job is not None
    assert (job.state, job.attempts, job.retries, job.node) == ("started", 2, 0, "second")


def test_a_postponed_job_is_open_again_with_its_error_and_one_retry_more(connection: Connection) -> None:
    start(connection)
    queries.postpone_job(connection, task_id="t", error_code="fetch_failed", error_message="try later")
    job = queries.get_job(connection, "t")
    assert job is not None
    assert (job.state, job.attempts, job.retries, job.error_code, job.error_message) == (
        "received",
        1,
        1,
        "fetch_failed",
        "try later",
    )
    again = start(connection)
    assert again is not None
    assert (again.state, again.attempts, again.retries) == ("started", 2, 1)


ENDS: list[EndState] = ["succeeded", "rejected", "failed"]


@pytest.mark.parametrize("state", ENDS)
def test_a_job_that_has_ended_is_neither_started_nor_postponed_nor_finished_again(
    connection: Connection, state: EndState
) -> None:
    start(connection)
    assert queries.finish_job(
        connection, task_id="t", state=state, error_code="code", error_message="message", seconds={"read": 0.5}
    )
    ended = queries.get_job(connection, "t")
    assert ended is not None
    assert (ended.state, ended.error_code, ended.error_message, ended.seconds) == (
        state,
        "code",
        "message",
        {"read": 0.5},
    )
    assert ended.finished_at is not None

    assert start(connection) is None
    queries.postpone_job(connection, task_id="t", error_code="late", error_message="late")
    assert not queries.finish_job(connection, task_id="t", state="failed", error_code="late")
    assert queries.get_job(connection, "t") == ended


def test_a_success_clears_the_error_of_an_earlier_attempt(connection: Connection) -> None:
    start(connection)
    queries.postpone_job(connection, task_id="t", error_code="fetch_failed", error_message="try later")
    start(connection)
    assert queries.finish_job(connection, task_id="t", state="succeeded")
    job = queries.get_job(connection, "t")
    assert job is not None
    assert (job.error_code, job.error_message, job.seconds) == (None, None, None)
    assert connection.execute(select(models.Job.seconds.is_(None))).scalar_one(), "SQL's NULL, not JSON's"


def test_a_job_that_was_postponed_may_still_be_finished_by_its_other_start(connection: Connection) -> None:
    start(connection)
    queries.postpone_job(connection, task_id="t", error_code="fetch_failed", error_message="try later")
    assert queries.finish_job(connection, task_id="t", state="succeeded")


def test_a_job_that_nobody_started_cannot_be_finished(connection: Connection) -> None:
    assert not queries.finish_job(connection, task_id="unknown", state="succeeded")


@pytest.mark.parametrize("state", ["rejected", "failed"])
def test_a_reopened_job_is_as_if_it_had_just_come_in(connection: Connection, state: EndState) -> None:
    start(connection)
    queries.postpone_job(connection, task_id="t", error_code="fetch_failed", error_message="try later")
    queries.finish_job(connection, task_id="t", state=state, error_code="code", seconds={"read": 0.5})
    job = queries.reopen_job(connection, task_id="t")
    assert job is not None
    assert (job.state, job.attempts, job.retries) == ("received", 0, 0)
    assert (job.error_code, job.error_message, job.started_at, job.finished_at, job.seconds) == (None,) * 5
    again = start(connection)
    assert again is not None
    assert (again.state, again.attempts) == ("started", 1)


def test_a_job_that_succeeded_or_has_not_ended_cannot_be_reopened(connection: Connection) -> None:
    start(connection)
    assert queries.reopen_job(connection, task_id="t") is None
    queries.finish_job(connection, task_id="t", state="succeeded")
    assert queries.reopen_job(connection, task_id="t") is None
    assert queries.reopen_job(connection, task_id="unknown") is None


def test_every_one_of_many_concurrent_starts_of_a_task_is_counted(crowd: Engine) -> None:
    jobs = at_once(crowd, lambda connection, index: start(connection))
    assert sorted(job.attempts for job in jobs if job is not None) == [1, 2, 3, 4, 5, 6, 7, 8]
    with transaction(crowd) as connection:
        assert queries.count_jobs(connection)["started"] == 1


def test_only_one_of_many_concurrent_ends_of_a_job_counts(crowd: Engine) -> None:
    with transaction(crowd) as connection:
        start(connection)
    ended = at_once(
        crowd,
        lambda connection, index: queries.finish_job(
            connection, task_id="t", state=ENDS[index % 3], error_message=str(index)
        ),
    )
    assert sum(ended) == 1
    with transaction(crowd) as connection:
        job = queries.get_job(connection, "t")
    assert job is not None
    assert (job.state, job.error_message) == (ENDS[ended.index(True) % 3], str(ended.index(True)))


def test_of_a_start_and_an_end_at_once_the_end_stays(crowd: Engine) -> None:
    with transaction(crowd) as connection:
        start(connection)

    def work(connection: Connection, index: int) -> None:
        if index == 0:
            assert queries.finish_job(connection, task_id="t", state="succeeded")
        else:
            start(connection)

    at_once(crowd, work)
    with transaction(crowd) as connection:
        job = queries.get_job(connection, "t")
    assert job is not None
    assert job.state == "succeeded"


def test_jobs_are_listed_newest_first_by_state_and_code_and_counted(connection: Connection) -> None:
    jobs: list[tuple[str, EndState | None, str | None]] = [
        ("done", "succeeded", None),
        ("bad", "rejected", "too_large"),
        ("worse", "rejected", "broken_file"),
        ("ours", "failed", "too_large"),
        ("open", None, None),
    ]
    for age, (task_id, state, code) in enumerate(jobs):
        start(connection, task_id)
        if state is not None:
            queries.finish_job(connection, task_id=task_id, state=state, error_code=code)
        connection.execute(
            update(models.Job)
            .where(models.Job.task_id == task_id)
            .values(received_at=models.Job.received_at - timedelta(hours=age))
        )

    def listed(**options: object) -> list[str]:
        return [job.task_id for job in queries.list_jobs(connection, **options)]  # type: ignore[arg-type] # any option

    assert listed() == ["done", "bad", "worse", "ours", "open"]
    assert listed(limit=2) == ["done", "bad"]
    assert listed(states=["rejected", "failed"]) == ["bad", "worse", "ours"]
    assert listed(code="too_large") == ["bad", "ours"]
    assert listed(states=["rejected"], code="too_large") == ["bad"]
    assert listed(states=[]) == []
    assert queries.count_jobs(connection) == {
        "received": 0,
        "started": 1,
        "succeeded": 1,
        "rejected": 2,
        "failed": 1,
    }


# Documents, their pages and features


def test_a_document_is_kept_once_as_it_was_first_seen(connection: Connection) -> None:
    put_document(connection)
    queries.put_document(connection, sha256=A, media_type="text/other", page_count=9, size=9, uri="file:///a.png")
    document = queries.get_document(connection, A)
    assert document is not None
    assert (document.sha256, document.media_type, document.page_count, document.size, document.uri) == (
        A,
        "image/png",
        2,
        10,
        "file:///a.png",
    )
    assert queries.get_document(connection, B) is None


@pytest.mark.parametrize(
    ("first", "then", "kept"),
    [(None, "file:///b", "file:///b"), ("file:///a", None, "file:///a"), ("file:///a", "file:///b", "file:///b")],
)
def test_a_document_is_to_be_fetched_from_where_it_was_last_found(
    connection: Connection, first: str | None, then: str | None, kept: str
) -> None:
    put_document(connection, uri=first)
    put_document(connection, uri=then)
    document = queries.get_document(connection, A)
    assert document is not None
    assert document.uri == kept


def test_many_tasks_may_store_the_same_document_at_once(crowd: Engine) -> None:
    numbers = list(range(1, 301))
    at_once(crowd, lambda connection, index: put_document(connection, uri=f"file:///{index}"))

    def order(index: int) -> list[int]:
        return numbers if index % 2 else numbers[::-1]

    def store_pages(connection: Connection, index: int) -> None:
        queries.put_pages(connection, A, "r", [Page(n, 10, 20, "blank", ()) for n in order(index)])

    at_once(crowd, store_pages)
    at_once(crowd, lambda connection, index: queries.put_features(connection, A, "e", dict.fromkeys(order(index))))
    with transaction(crowd) as connection:
        assert [page["number"] for page in queries.get_pages(connection, A, "r", numbers)] == numbers
        assert queries.get_features(connection, A, "e", numbers) == dict.fromkeys(numbers)


def test_pages_come_back_as_they_were_read_in_page_order(connection: Connection) -> None:
    put_document(connection)
    first = Page(
        1, 100, 200, "ocr", (Line("Größe 漢字", (0.0, 1.5, 2.0, 3.0), 0.75), Line("2", (1.0, 1.0, 2.0, 2.0)))
    )
    second = Page(2, 100, 200, "blank", (), turns=3)
    queries.put_pages(connection, A, "reader", [second, first])
    queries.put_pages(connection, A, "other reader", [Page(1, 5, 5, "text_layer", ())])

    def pages(numbers: list[int], reader: str = "reader") -> list[Page]:
        return [Page.from_json(page) for page in queries.get_pages(connection, A, reader, numbers)]

    assert pages([2, 1, 3]) == [first, second]
    assert pages([2]) == [second]
    assert pages([]) == []
    assert pages([1], "nobody") == []
    assert [page.source for page in pages([1, 2], "other reader")] == ["text_layer"]


def test_pages_and_features_that_are_there_stay_as_they_are(connection: Connection) -> None:
    put_document(connection)
    queries.put_pages(connection, A, "r", [Page(1, 10, 20, "ocr", ())])
    queries.put_pages(connection, A, "r", [Page(1, 99, 99, "blank", ()), Page(2, 10, 20, "blank", ())])
    queries.put_pages(connection, A, "r", [])
    assert [page["width"] for page in queries.get_pages(connection, A, "r", [1, 2])] == [10, 10]
    queries.put_features(connection, A, "e", {1: b"first"})
    queries.put_features(connection, A, "e", {1: b"second", 2: b"new"})
    queries.put_features(connection, A, "e", {})
    assert queries.get_features(connection, A, "e", [1, 2]) == {1: b"first", 2: b"new"}


def test_features_are_kept_for_each_encoder_and_for_blank_pages(connection: Connection) -> None:
    put_document(connection)
    queries.put_features(connection, A, "one", {2: None, 1: b"\x00\xff"})
    queries.put_features(connection, A, "two", {1: b"else"})
    assert queries.get_features(connection, A, "one", [1, 2, 3]) == {1: b"\x00\xff", 2: None}
    assert queries.get_features(connection, A, "two", [1, 2]) == {1: b"else"}
    assert queries.get_features(connection, A, "one", []) == {}
    assert queries.get_features(connection, B, "one", [1]) == {}


def test_what_was_seen_of_a_document_comes_with_what_each_encoder_made_of_it(connection: Connection) -> None:
    assert queries.get_seen(connection, A, "r", ["one"], [1]) is None
    put_document(connection)
    media_type, page_count, pages = queries.get_seen(connection, A, "r", ["one"], [1]) or ("", 0, [])
    document = queries.get_document(connection, A)
    assert document
    assert (media_type, page_count, pages) == (document.media_type, document.page_count, [])
    queries.put_pages(connection, A, "r", [Page(number, 10, 20, "ocr", ()) for number in (1, 2, 3)])
    queries.put_features(connection, A, "one", {1: b"first", 2: None})
    queries.put_features(connection, A, "two", {1: b"else"})
    _, _, pages = queries.get_seen(connection, A, "r", ["one", "two"], [3, 1, 2, 9]) or ("", 0, [])
    found = [(each.number, each.features) for each in pages]
    assert found == [(1, {"one": b"first", "two": b"else"}), (2, {"one": None}), (3, {})]
    _, _, pages = queries.get_seen(connection, A, "another", ["one"], [1]) or ("", 0, [])
    assert pages == []


def test_vectors_of_texts_are_kept_for_each_encoder_and_stay_as_they_are(connection: Connection) -> None:
    queries.put_text_vectors(connection, "one", {A: b"first"})
    queries.put_text_vectors(connection, "one", {A: b"second", B: b"new"})
    queries.put_text_vectors(connection, "two", {A: b"else"})
    queries.put_text_vectors(connection, "two", {})
    assert queries.get_text_vectors(connection, "one", [A, B, C]) == {A: b"first", B: b"new"}
    assert queries.get_text_vectors(connection, "two", [A, B]) == {A: b"else"}
    assert queries.get_text_vectors(connection, "one", []) == {}


def test_features_of_several_documents_are_found_by_their_ids(connection: Connection) -> None:
    for sha256 in (A, B, C):
        put_document(connection, sha256)
        queries.put_features(connection, sha256, "e", {2: sha256[:1].encode(), 1: None})
        queries.put_features(connection, sha256, "other", {1: b"else"})
    assert queries.get_features_of(connection, [A, C, "f" * 64], "e") == {
        A: {1: None, 2: b"a"},
        C: {1: None, 2: b"c"},
    }
    assert queries.get_features_of(connection, [], "e") == {}


# Class sets and their versions


def test_a_class_set_is_made_once(connection: Connection) -> None:
    queries.create_class_set(connection, "intake")
    queries.create_version(connection, "intake", "d")
    queries.create_class_set(connection, "intake")
    assert [(row.name, row.versions) for row in queries.list_class_sets(connection)] == [("intake", 1)]


def test_versions_are_drafts_numbered_from_one_in_each_set(connection: Connection) -> None:
    assert [draft(connection, name)[1] for name in ("intake", "intake", "other", "intake")] == [1, 2, 1, 3]
    version = queries.get_version(connection, "intake", 2)
    assert version is not None
    assert (version.class_set, version.number, version.state, version.digest, version.published_at) == (
        "intake",
        2,
        "draft",
        "d",
        None,
    )
    assert queries.get_version(connection, "intake", 4) is None
    assert [item.number for item in queries.list_versions(connection, "intake")] == [3, 2, 1]
    assert queries.list_versions(connection, "unknown") == []


def test_a_version_of_no_class_set_is_an_error(connection: Connection) -> None:
    with pytest.raises(NoResultFound):
        queries.create_version(connection, "unknown", "d")


def test_versions_made_at_once_have_numbers_without_a_gap(crowd: Engine) -> None:
    with transaction(crowd) as connection:
        queries.create_class_set(connection, "intake")
    made = at_once(crowd, lambda connection, index: queries.create_version(connection, "intake", str(index)))
    assert sorted(number for _, number in made) == [1, 2, 3, 4, 5, 6, 7, 8]
    with transaction(crowd) as connection:
        assert {(item.id, item.number) for item in queries.list_versions(connection, "intake")} == set(made)


def test_a_version_that_was_rolled_back_leaves_its_number_free(database: Engine) -> None:
    with transaction(database) as connection:
        queries.create_class_set(connection, "intake")
    with database.connect() as connection:
        assert queries.create_version(connection, "intake", "d")[1] == 1
    with transaction(database) as connection:
        assert queries.create_version(connection, "intake", "d")[1] == 1


def test_descriptions_come_back_as_they_were_given(connection: Connection) -> None:
    version_id, _ = draft(connection)
    assert queries.get_descriptions(connection, version_id) == [
        queries.Description("letter", "a letter", ["dear", "yours"], [], ["to aunt Ann"]),
        queries.Description("bill", "a bill", [], ["a scan of {}"], []),
    ]
    assert queries.get_descriptions(connection, version_id + 1) == []
    queries.add_descriptions(connection, version_id, [])


def test_a_version_that_left_draft_takes_no_more_descriptions(connection: Connection) -> None:
    version_id, _ = draft(connection)
    queries.publish(connection, version_id)
    with pytest.raises(IntegrityError, match="is published and cannot be changed"):
        queries.add_descriptions(connection, version_id, [DocumentClass(name="new")])


def test_who_writes_a_draft_that_is_being_published_waits_and_is_refused(crowd: Engine) -> None:
    with transaction(crowd) as connection:
        version_id, _ = draft(connection)

    def write() -> None:
        with transaction(crowd) as connection:
            queries.add_descriptions(connection, version_id, [DocumentClass(name="late")])

    with ThreadPoolExecutor(1) as pool:
        with transaction(crowd) as connection:
            queries.publish(connection, version_id)
            writing = pool.submit(write)
            with transaction(crowd) as observer:
                waiting = text("SELECT 1 FROM pg_locks WHERE NOT granted")
                while not writing.done() and observer.execute(waiting).first() is None:
                    time.sleep(0.01)
        with pytest.raises(IntegrityError, match="is published and cannot be changed"):
            writing.result()


def test_the_newest_version_with_a_digest_is_found(connection: Connection) -> None:
    for digest in ("x", "y", "x", "z"):
        draft(connection, digest=digest)
    draft(connection, "other", digest="w")
    found = queries.latest_version(connection, "intake", "x")
    assert found is not None
    assert found.number == 3
    assert queries.latest_version(connection, "intake", "w") is None


def test_publishing_retires_what_was_published_and_can_be_rolled_back(connection: Connection) -> None:
    first, _ = draft(connection)
    second, _ = draft(connection)
    assert queries.published_version(connection, "intake") is None
    assert queries.retire_published(connection, "intake") is None

    replace_published(connection, "intake", first)
    published = queries.published_version(connection, "intake")
    assert published is not None
    assert published.id == first
    assert published.published_at is not None
    assert queries.publish(connection, first) is None, "it is published already"

    replace_published(connection, "intake", second)
    assert [item.state for item in queries.list_versions(connection, "intake")] == ["published", "retired"]
    replace_published(connection, "intake", first)
    assert [item.state for item in queries.list_versions(connection, "intake")] == ["retired", "published"]
    retired = queries.retire_published(connection, "intake")
    assert retired is not None
    assert (retired.id, retired.state) == (first, "retired")
    assert queries.published_version(connection, "intake") is None


def test_publishing_touches_no_other_class_set(connection: Connection) -> None:
    ours, _ = draft(connection, "intake")
    theirs, _ = draft(connection, "other")
    replace_published(connection, "other", theirs)
    replace_published(connection, "intake", ours)
    published = queries.published_version(connection, "other")
    assert published is not None
    assert published.id == theirs


def test_a_second_version_cannot_be_published_beside_the_first(connection: Connection) -> None:
    first, _ = draft(connection)
    second, _ = draft(connection)
    queries.publish(connection, first)
    with pytest.raises(IntegrityError, match="class_versions_published"):
        queries.publish(connection, second)


def test_of_versions_published_at_once_exactly_one_is_in_service(crowd: Engine) -> None:
    with transaction(crowd) as connection:
        versions = [draft(connection)[0] for _ in range(8)]
    at_once(crowd, lambda connection, index: replace_published(connection, "intake", versions[index]))
    with transaction(crowd) as connection:
        states = [item.state for item in queries.list_versions(connection, "intake")]
    assert sorted(states) == ["published"] + ["retired"] * 7


def test_a_class_set_that_is_not_there_cannot_be_locked(connection: Connection) -> None:
    assert not queries.lock_class_set(connection, "unknown")


def test_class_sets_are_listed_with_their_versions_and_classes(connection: Connection) -> None:
    queries.create_class_set(connection, "empty")
    draft(connection, "drafts")
    published, _ = draft(connection, "served")
    queries.publish(connection, published)
    larger = queries.create_version(connection, "served", "e")[0]
    queries.add_descriptions(connection, larger, [LETTER, BILL, DocumentClass(name="third")])
    queries.add_descriptions(connection, queries.create_version(connection, "drafts", "e")[0], [LETTER])
    assert [(row.name, row.versions, row.published, row.classes) for row in queries.list_class_sets(connection)] == [
        ("drafts", 2, None, 1),
        ("empty", 0, None, 0),
        ("served", 2, 1, 2),
    ]


# Classifications and corrections


def test_a_classification_comes_back_whole_and_is_kept_once(connection: Connection) -> None:
    put_document(connection)
    version_id, _ = draft(connection)
    result = classify(connection, "t", A, version_id)
    classify(connection, "t", A, version_id, prediction="bill")
    stored = queries.get_classification(connection, "t")
    assert ClassifyResult.model_validate(stored) == result
    assert queries.get_classification(connection, "unknown") is None
    row = connection.execute(select(models.Classification.__table__)).one()
    assert (row.sha256, row.class_version_id, row.prediction, row.confidence, row.status, row.reasons) == (
        A,
        version_id,
        "letter",
        0.6,
        "needs_review",
        ["small_margin"],
    )
    assert row.external_id == "case-7"


def test_a_classification_needs_its_job_and_its_document(connection: Connection) -> None:
    with pytest.raises(IntegrityError, match="classifications_sha256_fkey"):
        classify(connection, "t", A, None)


def test_the_latest_classification_of_each_document_in_any_version_of_a_set_streams(connection: Connection) -> None:
    first, _ = draft(connection)
    second, _ = draft(connection)
    other, _ = draft(connection, "other")
    for sha256 in (C, B, A):
        put_document(connection, sha256, uri=None if sha256 == B else f"file:///{sha256[0]}")
    # task id, document, version, prediction, pages, hours ago
    told = [
        ("1", A, first, "letter", (1,), 3),
        ("2", A, second, "bill", (1, 2), 2),
        ("3", A, other, "letter", (1,), 1),
        ("4", A, None, "letter", (1,), 0),
        ("5", B, second, "bill", (1,), 3),
        ("6", B, first, "letter", (2,), 2),
        ("7", C, other, "bill", (1,), 0),
    ]
    for task_id, sha256, version, prediction, pages, age in told:
        classify(connection, task_id, sha256, version, prediction=prediction, pages=pages)
        connection.execute(
            update(models.Classification)
            .where(models.Classification.task_id == task_id)
            .values(created_at=func.now() - timedelta(hours=age))
        )
    assert list(queries.latest_classifications(connection, "intake")) == [
        queries.LatestClassification(A, "2", 2, "bill", 0.6, (1, 2), "file:///a"),
        queries.LatestClassification(B, "6", 1, "letter", 0.6, (2,), None),
    ]
    assert [row.sha256 for row in queries.latest_classifications(connection, "other")] == [A, C]
    assert list(queries.latest_classifications(connection, "unknown")) == []


def test_classifications_stream_through_a_cursor_of_the_server_and_others_are_asked_meanwhile(
    connection: Connection,
) -> None:
    version, _ = draft(connection)
    ids = [f"{number:064x}" for number in range(450)]
    for sha256 in ids:
        put_document(connection, sha256)
        queries.put_features(connection, sha256, "e", {1: b"x"})
        classify(connection, sha256, sha256, version)
    stream = queries.latest_classifications(connection, "intake")
    assert next(stream).sha256 == ids[0]
    assert connection.execute(text("SELECT count(*) FROM pg_cursors")).scalar_one() == 1
    assert queries.get_features_of(connection, ids[:2], "e") == {sha256: {1: b"x"} for sha256 in ids[:2]}
    assert [said.sha256 for said in stream] == ids[1:]


def test_classifications_stream_in_parts_by_the_documents_ids(connection: Connection) -> None:
    version, _ = draft(connection)
    for sha256 in (A, B, C):
        put_document(connection, sha256)
        classify(connection, sha256, sha256, version)
        classify(connection, "again " + sha256, sha256, version)
    assert queries.count_classifications(connection, "intake") == 6
    assert queries.count_classifications(connection, "unknown") == 0

    def part(*bounds: str) -> list[str]:
        return [said.sha256 for said in queries.latest_classifications(connection, "intake", *bounds)]

    assert [*part("", "b"), *part("b", "bbbbbbbc"), *part("bbbbbbbc")] == [A, B, C]
    assert part("", "b") == [A]
    assert part(B, C) == [B]


def test_a_correction_that_comes_again_finds_its_own_id_and_changes_nothing(connection: Connection) -> None:
    put_document(connection)
    queries.create_class_set(connection, "intake")
    first = correct(connection, "c")
    assert correct(connection, "c", label="letter") == first
    stored = queries.get_correction(connection, "c")
    assert stored is not None
    assert (stored.id, stored.sha256, stored.class_set, stored.label, stored.previous) == (
        first,
        A,
        "intake",
        "bill",
        "letter",
    )
    assert (stored.task_id, stored.correction_task_id, stored.by, stored.note) == ("t", "c", "ann", None)
    assert queries.get_correction(connection, "unknown") is None


def test_a_correction_that_comes_many_times_at_once_has_one_id(crowd: Engine) -> None:
    with transaction(crowd) as connection:
        put_document(connection)
        queries.create_class_set(connection, "intake")
    assert len(set(at_once(crowd, lambda connection, index: correct(connection, "c")))) == 1


def test_corrections_of_a_set_are_listed_oldest_first(connection: Connection) -> None:
    put_document(connection)
    queries.create_class_set(connection, "intake")
    queries.create_class_set(connection, "other")
    made = [correct(connection, name) for name in ("x", "a", "m")]
    listed = queries.list_corrections(connection, "intake")
    assert [item.id for item in listed] == made
    assert [item.correction_task_id for item in listed] == ["x", "a", "m"]
    assert queries.list_corrections(connection, "other") == []


# Questions and their answers

EVIDENCE = [Evidence(page=2, box=(1.5, 2.0, 30.25, 4.0), text="Größe 漢字 12,40 €")]
TOTAL = Answer(
    question="What is the total?",
    kind="extraction",
    status="answered",
    answer="12,40 €",
    value=AmountValue(amount=Decimal("12.40"), currency="EUR"),
    confidence=0.875,
    evidence=EVIDENCE,
)
DUE = TOTAL.model_copy(update={"question": "When is it due?", "value": DateValue(date=date(2024, 2, 29))})
PAID = TOTAL.model_copy(update={"question": "Is it paid?", "kind": "verification", "value": YesNoValue(yes=False)})
WHO = Answer(question="Who signed?", kind="extraction", status="not_found", confidence=0.7)
KEPT = {answer.question: answer for answer in (TOTAL, DUE, PAID, WHO)}
READERS = dict.fromkeys(KEPT, "reader")


def test_answers_come_back_as_they_were_given_and_only_those_that_were_asked_for(connection: Connection) -> None:
    put_document(connection)
    queries.put_answers(connection, A, [1, 2], READERS, KEPT)
    assert queries.get_answers(connection, A, [1, 2], READERS) == KEPT
    asked = {WHO.question: "reader", "Who paid?": "reader"}
    assert queries.get_answers(connection, A, [1, 2], asked) == {WHO.question: WHO}
    assert queries.get_answers(connection, A, [1, 2], {}) == {}


def test_an_answer_is_that_of_its_document_pages_question_and_reader_alone(connection: Connection) -> None:
    put_document(connection)
    put_document(connection, B)
    queries.put_answers(connection, A, [1], READERS, {WHO.question: WHO})
    asked = {WHO.question: "reader"}
    assert queries.get_answers(connection, A, [1], asked)
    assert not queries.get_answers(connection, B, [1], asked)
    assert not queries.get_answers(connection, A, [1, 2], asked)
    assert not queries.get_answers(connection, A, [1], {WHO.question: "another reader"})
    assert not queries.get_answers(connection, A, [1], {"who signed?": "reader"})


def test_an_answer_that_is_there_stays_as_it_is(connection: Connection) -> None:
    put_document(connection)
    queries.put_answers(connection, A, [1], READERS, {WHO.question: WHO})
    queries.put_answers(connection, A, [1], READERS, {**KEPT, WHO.question: TOTAL})
    queries.put_answers(connection, A, [1], READERS, {})
    assert queries.get_answers(connection, A, [1], READERS) == KEPT


def test_the_longest_question_about_the_most_pages_is_kept(connection: Connection) -> None:
    put_document(connection)
    # Nothing that compression could make fit into an index.
    text = "".join(chr(number) for number in random.Random(1).sample(range(0x20000, 0x2A6DF), 500))
    pages = list(range(1, 2001))
    answer = WHO.model_copy(update={"question": text})
    queries.put_answers(connection, A, pages, {text: "r" * 2000}, {text: answer})
    assert queries.get_answers(connection, A, pages, {text: "r" * 2000}) == {text: answer}


def test_many_tasks_may_keep_the_same_answers_at_once(crowd: Engine) -> None:
    answers = [
        (f"Who is {number}?", WHO.model_copy(update={"question": f"Who is {number}?"})) for number in range(100)
    ]
    readers = dict.fromkeys(dict(answers), "reader")
    at_once(crowd, lambda connection, index: put_document(connection))
    at_once(
        crowd,
        lambda connection, index: queries.put_answers(
            connection, A, [1], readers, dict(answers if index % 2 else answers[::-1])
        ),
    )
    with transaction(crowd) as connection:
        assert len(queries.get_answers(connection, A, [1], readers)) == 100


def test_a_failed_answer_is_never_kept(connection: Connection) -> None:
    put_document(connection)
    with pytest.raises(IntegrityError, match="answers_status_check"):
        queries.put_answers(connection, A, [1], READERS, {WHO.question: WHO.model_copy(update={"status": "failed"})})


def inquiry(connection: Connection, task_id: str) -> AnswerResult:
    start(connection, task_id)
    return AnswerResult(
        task_id=task_id,
        document=DocumentInfo(document_id=A, media_type="image/png", page_count=2),
        answers=[TOTAL, WHO],
        pages=[],
        reader="reader",
        cached=False,
        seconds={"ask": 0.25},
        external_id="case-7",
        metadata={"desk": 3},
    )


def test_the_answers_to_an_inquiry_come_back_whole_and_are_kept_once(connection: Connection) -> None:
    put_document(connection)
    result = inquiry(connection, "t")
    queries.put_inquiry(connection, result)
    queries.put_inquiry(connection, result.model_copy(update={"answers": []}))
    found = queries.get_inquiry(connection, "t")
    assert AnswerResult.model_validate(found) == result
    assert queries.get_inquiry(connection, "unknown") is None
    row = connection.execute(select(models.Inquiry.sha256, models.Inquiry.external_id)).one()
    assert tuple(row) == (A, "case-7")


def test_answers_need_their_job_and_their_document(connection: Connection) -> None:
    with pytest.raises(IntegrityError, match="inquiries_sha256_fkey"):
        queries.put_inquiry(connection, inquiry(connection, "t"))
