"""Who looks at which case, and what there is to look at, on a real PostgreSQL."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from printed import pdf
from serving import Serve, Serving
from sqlalchemy import text

from core.contract import ANSWER, CLASSIFY, CORRECT, ClassifyResult
from core.errors import RejectedInput
from core.settings import Deciding, Model, Thresholds
from db import queries
from db.session import transaction
from worker import review, review_page
from worker.case import Case

LAPSE = 60.0
SURE = {"receipt": "a shop's receipt for goods paid", "letter": "a letter to a person"}


@pytest.fixture(scope="module")
def doubting(serve: Serve) -> Iterator[Serving]:
    """Where every classification needs review."""
    with serve(model=Model(backend="fake"), deciding=Deciding(thresholds=Thresholds(confidence=1))) as serving:
        serving.publish("intake", **SURE)
        yield serving


@pytest.fixture
def desk(doubting: Serving) -> Serving:
    """The same with no case open."""
    with transaction(doubting.database) as connection:
        connection.execute(text("DELETE FROM documents; DELETE FROM jobs"))
    return doubting


def case(desk: Serving, **request: Any) -> str:
    task_id = uuid.uuid4().hex
    desk.run(CLASSIFY, {"document": desk.file("receipt"), **request}, task_id)
    return task_id


def open_cases(desk: Serving) -> list[str]:
    with transaction(desk.database) as connection:
        return [each.task_id for each in queries.list_open_cases(connection)]


def claimed_by(desk: Serving, by: str) -> str | None:
    found = review.claim_next(desk.database, by, LAPSE)
    return found and found.task_id


def let_lapse(desk: Serving) -> None:
    with transaction(desk.database) as connection:
        connection.execute(text("UPDATE reviews SET claimed_at = claimed_at - interval '61 s'"))


def test_the_case_that_waits_longest_comes_first_and_each_is_claimed_once(desk: Serving) -> None:
    first, second = case(desk), case(desk)
    assert (claimed_by(desk, "ann"), claimed_by(desk, "bob"), claimed_by(desk, "ann")) == (first, second, None)
    assert open_cases(desk) == [first, second]


def test_a_claim_lapses_and_can_be_released(desk: Serving) -> None:
    first = case(desk)
    assert claimed_by(desk, "ann") == first
    let_lapse(desk)
    assert claimed_by(desk, "bob") == first
    assert review.release(desk.database, first).claimed_by == "bob"
    assert claimed_by(desk, "ann") == first


def test_many_who_claim_at_once_get_a_case_each(desk: Serving) -> None:
    cases = {case(desk) for _ in range(8)}
    together = threading.Barrier(8, timeout=30)

    def claim(number: int) -> str | None:
        together.wait()
        return claimed_by(desk, f"clerk {number}")

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(claim, range(8)))
    assert set(found) == cases


@pytest.mark.parametrize("how", ["task", "document"])
def test_a_correction_resolves_a_case_however_it_is_made_and_its_being_forgotten_opens_it_again(
    desk: Serving, how: str
) -> None:
    document = desk.file("receipt")
    task_id, again = case(desk, document=document), case(desk, document=document)
    named = {"task_id": task_id} if how == "task" else {"document": document}
    said = uuid.uuid4().hex
    desk.run(CORRECT, {**named, "label": "letter", "by": "ann"}, said)
    # The other one asks the same of the same document.
    assert open_cases(desk) == []
    with pytest.raises(RejectedInput, match="not_open"):
        review.release(desk.database, again)
    with transaction(desk.database) as connection:
        queries.forget_corrections(connection, [said])
    assert open_cases(desk) == [task_id, again]


def test_a_correction_in_another_class_set_resolves_nothing(desk: Serving) -> None:
    desk.publish("other", letter="a letter", bill="a bill")
    document = desk.file("receipt")
    task_id = case(desk, document=document)
    desk.run(CORRECT, {"document": document, "label": "bill", "class_set": "other", "by": "ann"})
    assert open_cases(desk) == [task_id]


def test_classes_sent_along_make_cases_that_naming_the_task_resolves(desk: Serving) -> None:
    task_id = case(desk, classes=["receipt", "parcel"])
    desk.run(CORRECT, {"task_id": task_id, "label": "letter", "class_set": "intake", "by": "ann"})
    assert open_cases(desk) == []


def test_a_case_of_no_class_is_dismissed_with_who_and_why(desk: Serving) -> None:
    task_id = case(desk)
    review.dismiss(desk.database, task_id, "ann", "a coffee filter", LAPSE)
    assert open_cases(desk) == []
    with transaction(desk.database) as connection:
        row = connection.execute(text("SELECT dismissed_by, note, dismissed_at FROM reviews")).one()
    assert (row.dismissed_by, row.note) == ("ann", "a coffee filter")
    assert row.dismissed_at


def test_nobody_closes_what_another_one_has_until_that_lapses(desk: Serving) -> None:
    task_id = case(desk)
    assert claimed_by(desk, "bob") == task_id
    with pytest.raises(RejectedInput, match=f"claimed: bob has .*release {task_id}"):
        review.dismiss(desk.database, task_id, "ann", None, LAPSE)
    let_lapse(desk)
    review.dismiss(desk.database, task_id, "ann", None, LAPSE)


def test_what_is_no_case_is_said_to_be_none(desk: Serving) -> None:
    with pytest.raises(RejectedInput, match="unknown_task"):
        review.release(desk.database, "none")


def test_a_case_goes_with_its_document(desk: Serving) -> None:
    task_id = case(desk, external_id="mine")
    assert claimed_by(desk, "ann") == task_id
    with transaction(desk.database) as connection:
        found = Case.of_external_id(connection, "mine")
        assert queries.count_rows(connection, found.documents, found.tasks)["reviews"] == 1
        queries.forget_documents(connection, found.documents)
        assert connection.execute(text("SELECT count(*) FROM reviews")).scalar_one() == 0


def sheets(desk: Serving) -> list[review.Sheet]:
    with transaction(desk.database) as connection:
        cases = queries.list_open_cases(connection)
    runtime = desk.runtime
    return list(review.sheets(desk.database, runtime.settings, runtime.reader, cases))


def test_a_page_shows_the_document_where_answers_stand_on_it_and_what_it_may_be(desk: Serving) -> None:
    document = desk.file("receipt", "Total 12.00", pages=2)
    task_id = case(desk, document=document, external_id="<case> & 1", pages="all")
    desk.run(ANSWER, {"document": document, "questions": ["What is the receipt?"]})
    (sheet,) = sheets(desk)
    assert [page.number for page in sheet.pages] == [1, 2]
    assert all(image.ndim == 3 for image in sheet.images)
    page = review_page.to_html(sheet)
    assert page.count("data:image/jpeg;base64,") == 2
    evidence = [line for answer in sheet.answers for line in answer.evidence]
    assert evidence
    assert page.count("<rect ") == len(evidence)
    assert f"docintake review resolve {task_id} <b>receipt</b> --by YOU" in page
    assert "&lt;case&gt; &amp; 1" in page
    for name, description in SURE.items():
        assert name in page
        assert description.replace("'", "&#x27;") in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_document_that_is_gone_is_said_to_be_and_the_rest_is_shown(desk: Serving) -> None:
    document = desk.file("receipt")
    case(desk, document=document)
    next(desk.inbox.glob(f"*{document.rpartition('/')[2]}")).unlink()
    (sheet,) = sheets(desk)
    page = review_page.to_html(sheet)
    assert "cannot be shown" in page
    assert "<img" not in page
    assert "docintake review resolve" in page


def test_blank_pages_and_one_off_classes_have_pages_too(desk: Serving) -> None:
    blank = desk.inbox / "blank.pdf"
    blank.write_bytes(pdf())
    task_id = case(desk, document=blank.as_uri(), classes=["a b", "c"])
    (sheet,) = sheets(desk)
    assert isinstance(sheet.result, ClassifyResult)
    page = review_page.to_html(sheet)
    assert "What is this?" in page
    assert f"docintake review resolve {task_id} <b>CLASS</b> --by YOU" in page
