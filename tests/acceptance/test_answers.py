"""A back office asks about good, blank and broken documents, all at once, through real nodes and the real reader."""

import gc
import io
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pypdfium2
import pytest
from node import PATIENCE, Node, disconnect
from printed import file_of, picture
from pydantic import SecretStr, ValidationError
from sqlalchemy import Engine, text

from core.contract import ANSWER, QUEUES, AnswerResult, Handle, IntakeClient, IntakeError
from core.settings import Broker, Database, Documents, Model, Reading, Settings
from core.settings import Node as NodeSettings
from db.session import make_engine, transaction
from samples import Sample, render

NUMBER = "What is the invoice number?"
PASSPORT = "What is the passport number?"
TYPE = "What type of document is this?"


class Office:
    """A back office with a folder of documents, and the database that the node writes to.

    No class set is published: a question about a document's type fails.
    """

    def __init__(self, settings: Settings, folder: Path, database: Engine) -> None:
        assert settings.broker.url
        self.folder = folder
        self.database = database
        self.client = IntakeClient(settings.broker.url.get_secret_value(), key_prefix=settings.broker.key_prefix)

    def file(self, content: bytes, suffix: str = "pdf") -> str:
        path = self.folder / f"{uuid.uuid4().hex}.{suffix}"
        path.write_bytes(content)
        return path.as_uri()

    def ask(self, document: str, *questions: str, pages: str | None = None) -> AnswerResult:
        return self.client.answer(document, questions, pages=pages).get(PATIENCE)

    def count(self, statement: str, **values: object) -> int:
        with transaction(self.database) as connection:
            return int(connection.execute(text(statement), values).scalar_one())

    def state(self, handle: Handle[AnswerResult]) -> str:
        with transaction(self.database) as connection:
            found = connection.execute(text("SELECT state FROM jobs WHERE task_id = :id"), {"id": handle.id})
            return str(found.scalar_one())


@pytest.fixture(scope="module")
def office(
    fresh_database: Callable[[], AbstractContextManager[str]],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    with fresh_database() as url:
        settings = Settings(
            data_dir=folder / "data",
            broker=Broker(url=SecretStr(redis_url), key_prefix=f"{uuid.uuid4().hex}:"),
            database=Database(url=SecretStr(url)),
            documents=Documents(roots=(str(folder),)),
            reading=Reading(processes=2),
            model=Model(backend="ocr_text"),
            node=NodeSettings(concurrency=4, retry_delay=0.3),
        )
        database = make_engine(url, statement_timeout=30, pool_size=2)
        with Node(settings, folder) as node:
            node.until_ready()
            office = Office(settings, folder, database)
            yield office
            # Celery's results unsubscribe when they are collected, for which their server must still be there.
            gc.collect()
            disconnect(office.client)
            assert node.terminate()[0] == 0
            log = node.log.read_text()
        database.dispose()
    # What was asked and answered is private.
    assert "passport" not in log
    assert invoice(4).fields["number"].text not in log


def invoice(seed: int) -> Sample:
    return render("invoice", seed)


def bound(*documents: bytes) -> bytes:
    """One PDF of the pages of several."""
    with pypdfium2.PdfDocument.new() as whole:
        for document in documents:
            with pypdfium2.PdfDocument(document) as part:
                whole.import_pages(part)
        file = io.BytesIO()
        whole.save(file)
    return file.getvalue()


def check_number(result: AnswerResult, index: int, sample: Sample, page: int = 1) -> None:
    """The answer is the invoice's number as printed, and its evidence stands where that was printed."""
    answer, number = result.answers[index], sample.fields["number"]
    assert (answer.question, answer.kind, answer.status) == (NUMBER, "extraction", "answered")
    assert answer.answer == number.text
    (line,) = answer.evidence
    assert line.page == page
    assert number.text in line.text
    (size,) = [(read.width, read.height) for read in result.pages if read.number == page]
    # It may be printed more than once.
    printed = [drawn.box for drawn in sample.pages[0].lines if number.text in drawn.text]
    assert any(holds(line.box, box, size, sample.images[0].size) for box in printed)


Box = tuple[float, float, float, float]


def holds(box: Box, printed: Box, size: tuple[int, int], drawn: tuple[int, int]) -> bool:
    """Whether the middle of what was printed, on a page drawn in its own size, stands in the box."""
    left, top, right, bottom = printed
    x, y = (left + right) / 2 * size[0] / drawn[0], (top + bottom) / 2 * size[1] / drawn[1]
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def test_of_a_mixed_batch_each_document_has_its_own_outcome(office: Office) -> None:
    good, other = invoice(4), invoice(5)
    scan = file_of(other.images[0])
    questions = [NUMBER, PASSPORT, TYPE]
    sent = {
        "good": office.client.answer(office.file(good.pdf), questions, external_id="A-1", metadata={"desk": 3}),
        "scan": office.client.answer(office.file(scan, "png"), questions),
        "blank": office.client.answer(office.file(file_of(picture((), (800, 1000))), "png"), questions),
        "broken": office.client.answer(office.file(b"%PDF-1.7\nnothing more"), questions),
        "gone": office.client.answer((office.folder / "gone.pdf").as_uri(), questions),
    }
    for name, sample in (("good", good), ("scan", other)):
        result = sent[name].get(PATIENCE)
        check_number(result, 0, sample)
        number, passport, kind = result.answers
        assert number.confidence > 0.5
        assert (passport.status, passport.answer, passport.evidence) == ("not_found", None, [])
        assert kind.status == "failed"
        assert kind.error
        assert kind.error.code == "no_default_set"
        assert [page.number for page in result.pages] == [1]
        assert not result.cached
    result = sent["good"].get(PATIENCE)
    assert (result.external_id, result.metadata, result.task_id) == ("A-1", {"desk": 3}, sent["good"].id)
    blank = sent["blank"].get(PATIENCE)
    assert [answer.status for answer in blank.answers] == ["not_found"] * 3
    assert [page.source for page in blank.pages] == ["blank"]
    for name, code in (("broken", "unreadable"), ("gone", "not_found")):
        with pytest.raises(IntakeError) as caught:
            sent[name].get(PATIENCE)
        assert (caught.value.kind, caught.value.code) == ("rejected", code)
    assert [office.state(handle) for handle in sent.values()] == ["succeeded"] * 3 + ["rejected"] * 2
    inquiries = "SELECT count(*) FROM inquiries WHERE task_id = ANY(:ids)"
    assert office.count(inquiries, ids=[handle.id for handle in sent.values()]) == 3


def test_what_was_answered_once_is_taken_from_the_database(office: Office) -> None:
    sample = invoice(3)
    document = office.file(sample.pdf)
    first, again = (office.ask(document, NUMBER, PASSPORT) for _ in range(2))
    check_number(first, 0, sample)
    assert (first.cached, again.cached) == (False, True)
    assert again.answers == first.answers
    assert again.reader == first.reader
    assert "ask" not in again.seconds
    of_it = "SELECT count(*) FROM answers WHERE sha256 = :id AND reader = :reader"
    assert office.count(of_it, id=first.document.document_id, reader=first.reader) == 2
    of_it = "SELECT count(*) FROM inquiries WHERE sha256 = :id"
    assert office.count(of_it, id=first.document.document_id) == 2


def test_a_question_that_stands_twice_is_answered_twice(office: Office) -> None:
    sample = invoice(2)
    result = office.ask(office.file(sample.pdf), NUMBER, PASSPORT, NUMBER)
    check_number(result, 0, sample)
    assert result.answers[2] == result.answers[0]
    of_it = "SELECT count(*) FROM answers WHERE sha256 = :id"
    assert office.count(of_it, id=result.document.document_id) == 2


def test_an_answer_is_found_on_whichever_page_it_stands(office: Office) -> None:
    sample = invoice(1)
    document = office.file(bound(render("letter", 1).pdf, sample.pdf))
    check_number(office.ask(document, NUMBER, pages="all"), 0, sample, page=2)
    alone = office.ask(document, NUMBER, pages="first")
    assert [answer.status for answer in alone.answers] == ["not_found"]


def test_a_task_id_sent_twice_is_done_once(office: Office) -> None:
    task_id, document = uuid.uuid4().hex, office.file(invoice(0).pdf)
    first = office.client.answer(document, NUMBER, task_id=task_id).get(PATIENCE)
    again = office.client.answer(document, [NUMBER, PASSPORT], task_id=task_id).get(PATIENCE)
    assert again == first
    assert office.count("SELECT attempts FROM jobs WHERE task_id = :id", id=task_id) == 1
    assert office.count("SELECT count(*) FROM inquiries WHERE task_id = :id", id=task_id) == 1


def test_what_is_no_question_is_refused_here_and_there(office: Office) -> None:
    document = office.file(invoice(0).pdf)
    with pytest.raises(ValidationError, match="NUL"):
        office.client.answer(document, "What is\0this?")
    request = {"document": document, "questions": ["What is\0this?"]}
    task = office.client._app.send_task(ANSWER, kwargs=request, queue=QUEUES[ANSWER])
    with pytest.raises(IntakeError) as caught:
        Handle(task, AnswerResult).get(PATIENCE)
    assert (caught.value.kind, caught.value.code) == ("rejected", "bad_request")
