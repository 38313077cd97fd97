"""What each task does, through job, intake, the real reader and a real PostgreSQL."""

import threading
import time
import uuid
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from printed import file_of, picture
from serving import Serving
from sqlalchemy import text

from core.answer import Inquiry, not_found
from core.contract import (
    ANSWER,
    CLASSIFY,
    CLASSIFY_MANY,
    CORRECT,
    Answer,
    AnswerResult,
    ClassifyManyResult,
    ClassifyResult,
    CorrectResult,
    Evidence,
)
from core.errors import ModelFailure, RejectedInput, TransientFailure
from core.question import Question
from core.settings import Deciding
from db import queries
from db.session import transaction
from worker import intake, tasks

RECEIPT = ("RECEIPT", "goods paid in the shop", "Total 3.40")
LETTER = ("LETTER", "Dear person", "Sincerely yours")


def classify(serving: Serving, document: Any, task_id: str | None = None, **options: Any) -> ClassifyResult:
    result = serving.run(CLASSIFY, {"document": document, **options}, task_id)
    assert isinstance(result, ClassifyResult)
    return result


def classify_many(serving: Serving, task_id: str | None = None, **payload: Any) -> ClassifyManyResult:
    result = serving.run(CLASSIFY_MANY, payload, task_id)
    assert isinstance(result, ClassifyManyResult)
    return result


def correct(serving: Serving, own_id: str | None = None, **payload: Any) -> CorrectResult:
    result = serving.run(CORRECT, payload, own_id)
    assert isinstance(result, CorrectResult)
    return result


def code_of(serving: Serving, name: str, payload: dict[str, Any]) -> str:
    with pytest.raises((RejectedInput, ModelFailure)) as caught:
        serving.run(name, payload)
    return caught.value.code


def stored(serving: Serving, task_id: str) -> dict[str, Any] | None:
    with transaction(serving.database) as connection:
        return queries.get_classification(connection, task_id)


def test_a_document_is_classified_among_a_published_set(serving: Serving) -> None:
    result = classify(serving, serving.file(*RECEIPT))
    assert (result.class_set, result.prediction) == ("intake", "receipt")
    assert (result.class_set_version, result.backend) == (1, serving.runtime.encoder)
    assert set(result.probabilities) == {"receipt", "letter"}
    assert result.confidence == result.probabilities["receipt"] == max(result.probabilities.values())
    assert [(page.number, page.source, page.prediction) for page in result.pages] == [(1, "text_layer", "receipt")]
    assert classify(serving, serving.file(*LETTER), class_set="intake").prediction == "letter"


def test_one_off_classes_are_names_or_names_with_descriptions_and_are_no_set(serving: Serving) -> None:
    document = serving.file(*LETTER)
    named = classify(serving, document, classes=["receipt", "letter"])
    described = classify(serving, document, classes={"A": "goods paid in the shop", "B": "Dear person, sincerely"})
    assert (named.prediction, described.prediction) == ("letter", "B")
    assert set(described.probabilities) == {"A", "B"}
    assert {named.class_set, named.class_set_version, described.class_set} == {None}
    with transaction(serving.database) as connection:
        assert [item.name for item in queries.list_class_sets(connection)] == ["intake"]


def test_as_many_classes_come_back_as_were_asked_for_best_first(serving: Serving) -> None:
    names = [f"kind {letter}" for letter in "ABCDEFG"]
    document = serving.file(*RECEIPT)
    assert len(classify(serving, document, classes=names).probabilities) == 5
    assert len(classify(serving, document, classes=names, top_k=100).probabilities) == 7
    (best,) = classify(serving, document, classes=names, top_k=1).probabilities.items()
    assert best == max(classify(serving, document, classes=names, top_k=7).probabilities.items(), key=lambda x: x[1])


def test_what_the_back_office_sent_of_its_own_comes_back_and_stands_in_the_row(serving: Serving) -> None:
    metadata = {"case": 7, "tags": ["a", {"b": None}], "Größe": "½"}
    task_id = uuid.uuid4().hex
    result = classify(serving, serving.file(*RECEIPT), task_id, external_id="A-1", metadata=metadata)
    assert (result.external_id, result.metadata) == ("A-1", metadata)
    assert stored(serving, task_id) == result.model_dump(mode="json")
    assert serving.job(task_id).external_id == "A-1"
    assert serving.job(task_id).request["metadata"] == metadata


def test_what_stands_in_the_row_is_the_result_as_it_was_sent(serving: Serving) -> None:
    task_id = uuid.uuid4().hex
    payload = {"document": serving.file(*RECEIPT), "classes": [f"kind {n}" for n in range(9)], "top_k": 9}
    first, again = (classify(serving, task_id=task_id, **payload) for _ in range(2))
    assert first == again
    assert list(first.probabilities) == list(again.probabilities)


def test_a_result_by_document_id_says_that_nothing_had_to_be_read(serving: Serving) -> None:
    first = classify(serving, serving.file(*RECEIPT))
    again = classify(serving, {"document_id": first.document.document_id})
    assert (first.cached, again.cached) == (False, True)
    assert (again.prediction, again.probabilities) == (first.prediction, first.probabilities)


def test_unknown_class_sets_and_bad_documents_are_refused(serving: Serving) -> None:
    assert code_of(serving, CLASSIFY, {"document": serving.file(*LETTER), "class_set": "none"}) == "unknown_class_set"
    assert code_of(serving, CLASSIFY, {"document": "file:///etc/passwd"}) == "not_allowed"
    assert code_of(serving, CLASSIFY, {"document": (serving.inbox / "none.pdf").as_uri()}) == "not_found"


def test_many_documents_come_back_in_order_and_a_bad_one_fails_alone(serving: Serving) -> None:
    documents = [
        serving.file(*RECEIPT),
        (serving.inbox / "none.pdf").as_uri(),
        {"document": serving.file(*LETTER), "external_id": "A-3", "metadata": {"a": 1}},
        serving.file(*RECEIPT),
    ]
    many = classify_many(serving, "many-1", documents=documents, top_k=1)
    first, bad, third, last = many.outcomes
    assert many.task_id == "many-1"
    assert [item.result and item.result.prediction for item in many.outcomes] == [
        "receipt",
        None,
        "letter",
        "receipt",
    ]
    assert bad.error
    assert (bad.error.kind, bad.error.code, bad.result) == ("rejected", "not_found", None)
    assert first.result
    assert third.result
    assert last.result
    assert (third.result.external_id, third.result.metadata) == ("A-3", {"a": 1})
    assert len(first.result.probabilities) == 1
    rows = [serving.job(f"many-1/{index}") for index in range(4)]
    assert [row.state for row in rows] == ["succeeded", "rejected", "succeeded", "succeeded"]
    assert {row.task for row in rows} == {CLASSIFY}
    assert [row.external_id for row in rows] == [None, None, "A-3", None]
    assert serving.job("many-1").state == "succeeded"
    assert stored(serving, "many-1/3") == last.result.model_dump(mode="json")


def test_a_document_that_makes_us_fail_fails_alone_too(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = serving.file(*LETTER)
    fetch = intake.fetch

    def fetch_or_fail(reference: Any, limits: Any) -> Any:
        if reference.uri == bad:
            raise KeyError(bad)
        return fetch(reference, limits)

    monkeypatch.setattr(intake, "fetch", fetch_or_fail)
    good, failed = classify_many(serving, documents=[serving.file(*RECEIPT), bad]).outcomes
    assert good.result
    assert failed.error
    assert (failed.error.kind, failed.error.code) == ("failed", "unexpected")
    assert bad not in failed.error.message


def test_a_redelivered_message_does_only_what_was_not_done(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [serving.file(*RECEIPT), serving.file(*LETTER)]
    flaky, fetched = documents[1], []
    fetch = intake.fetch

    def fetch_or_fail(reference: Any, limits: Any) -> Any:
        fetched.append(reference.uri)
        if fetched.count(flaky) == 1 and reference.uri == flaky:
            raise TransientFailure("fetch_failed", "try again")
        return fetch(reference, limits)

    monkeypatch.setattr(intake, "fetch", fetch_or_fail)
    with pytest.raises(TransientFailure):
        classify_many(serving, "many-2", documents=documents)
    assert serving.job("many-2").state == serving.job("many-2/1").state == "received"
    many = classify_many(serving, "many-2", documents=documents)
    assert [item.result and item.result.prediction for item in many.outcomes] == ["receipt", "letter"]
    assert sorted(fetched) == sorted([documents[0], flaky, flaky])
    assert classify_many(serving, "many-2", documents=documents) == many
    assert (len(fetched), serving.job("many-2").attempts) == (3, 2)


def test_a_document_that_cannot_be_had_is_given_up_alone_and_leaves_no_job_open(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [serving.file(*RECEIPT), serving.file(*LETTER)]
    fetch = intake.fetch

    def fetch_or_fail(reference: Any, limits: Any) -> Any:
        if reference.uri == documents[1]:
            raise TransientFailure("fetch_failed", "try again")
        return fetch(reference, limits)

    monkeypatch.setattr(intake, "fetch", fetch_or_fail)
    for _ in range(serving.runtime.settings.node.max_retries):
        with pytest.raises(TransientFailure):
            classify_many(serving, "many-3", documents=documents)
    good, given_up = classify_many(serving, "many-3", documents=documents).outcomes
    assert good.result
    assert given_up.error
    assert (given_up.error.kind, given_up.error.code) == ("failed", "fetch_failed")
    assert [serving.job(f"many-3{item}").state for item in ("", "/0", "/1")] == ["succeeded", "succeeded", "failed"]


def test_a_correction_of_a_task_is_kept_with_who_and_when_and_what_was_said_before(serving: Serving) -> None:
    said = classify(serving, serving.file(*RECEIPT), "said-1")
    result = correct(serving, "correct-1", task_id="said-1", label="letter", by="Ann", note="it says so")
    assert (result.document_id, result.class_set) == (said.document.document_id, "intake")
    assert (result.label, result.previous) == ("letter", "receipt")
    with transaction(serving.database) as connection:
        row = queries.get_correction(connection, "correct-1")
        now = connection.execute(text("SELECT now()")).scalar_one()
    assert row
    assert (row.id, row.by, row.note, row.task_id) == (result.correction_id, "Ann", "it says so", "said-1")
    assert 0 <= (now - row.created_at).total_seconds() < 60


def test_a_correction_of_one_document_among_many_names_its_own_task(serving: Serving) -> None:
    classify_many(serving, "many-4", documents=[serving.file(*RECEIPT), serving.file(*LETTER)])
    result = correct(serving, task_id="many-4/1", label="receipt", by="Ann")
    assert (result.label, result.previous) == ("receipt", "letter")


def test_a_correction_of_a_document_never_seen_takes_it_in(serving: Serving) -> None:
    document = serving.file(*RECEIPT)
    result = correct(serving, document=document, label="letter", by="Ann")
    assert (result.class_set, result.previous) == ("intake", None)
    assert classify(serving, {"document_id": result.document_id}).cached
    assert correct(serving, document={"document_id": result.document_id}, label="receipt", by="Ben").previous is None


def test_a_correction_that_comes_again_is_kept_once(serving: Serving) -> None:
    payload = {"document": serving.file(*RECEIPT), "label": "letter", "by": "Ann"}
    first, again = (serving.run(CORRECT, payload, "correct-2") for _ in range(2))
    assert first == again
    with transaction(serving.database) as connection:
        kept = queries.list_corrections(connection, "intake")
    assert [item.correction_task_id for item in kept].count("correct-2") == 1


def test_unknown_tasks_classes_and_sets_are_refused_and_nothing_is_kept(serving: Serving) -> None:
    with transaction(serving.database) as connection:
        before = queries.list_corrections(connection, "intake")
    document = serving.file(*RECEIPT)
    said = {"label": "letter", "by": "Ann"}
    assert code_of(serving, CORRECT, {**said, "task_id": "never"}) == "unknown_task"
    assert code_of(serving, CORRECT, {**said, "document": document, "label": "menu"}) == "unknown_class"
    assert code_of(serving, CORRECT, {**said, "document": document, "class_set": "none"}) == "unknown_class_set"
    assert code_of(serving, CORRECT, {**said, "document": {"document_id": "0" * 64}}) == "unknown_document"
    assert code_of(serving, CORRECT, {**said, "document": document, "task_id": "said-1"}) == "bad_request"
    with transaction(serving.database) as connection:
        assert queries.list_corrections(connection, "intake") == before


def test_a_newly_published_class_is_decided_on_within_seconds(serving: Serving) -> None:
    serving.publish("menus", menu="dishes and prices", letter="a letter")
    document = serving.file("MENU", "dishes and prices of the day")
    assert classify(serving, document, class_set="menus").class_set_version == 1
    serving.publish("menus", menu="dishes and prices", letter="a letter", map="streets")
    time.sleep(serving.runtime.settings.node.class_refresh * 1.1)
    result = classify(serving, document, class_set="menus")
    assert (result.class_set_version, len(result.probabilities)) == (2, 3)


class Clerk:
    """Answers with the first line that holds the question's last word; keeps what it was asked, batch by batch.

    It stumbles over any batch in which a question speaks of dragons.
    """

    fingerprint = "clerk-1"
    needs_pixels = False

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.inquiries: list[Inquiry] = []
        self.error: Exception = ValueError("dragons")

    def prepare(self, inquiry: Inquiry) -> Inquiry:
        self.inquiries.append(inquiry)
        return inquiry

    def weight(self, prepared: Inquiry) -> int:
        return 1

    def run(self, batch: Sequence[tuple[Inquiry, Question]]) -> list[str]:
        assert threading.current_thread().name == "device"
        questions = [question for _, question in batch]
        if any("dragon" in question.text for question in questions):
            raise self.error
        self.asked.append([question.text for question in questions])
        return [question.text.rstrip("?").split()[-1] for question in questions]

    def finish(self, prepared: Inquiry, question: Question, output: str) -> Answer:
        if question.kind == "document_type":
            kind = prepared.document_type()
            return not_found(question, kind.confidence) if kind.name is None else _said(question, kind.name, [])
        for page in prepared.pages:
            for line in page.lines:
                if output in line.text:
                    return _said(question, line.text, [Evidence(page=page.number, box=line.box, text=line.text)])
        return not_found(question, 0.75)


def _said(question: Question, words: str, evidence: list[Evidence]) -> Answer:
    return Answer(
        question=question.text,
        kind=question.kind,
        status="answered",
        answer=words,
        confidence=0.9,
        evidence=evidence,
    )


@pytest.fixture
def clerk(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> Clerk:
    clerk = Clerk()
    monkeypatch.setitem(vars(serving.runtime), "answerer", clerk)
    monkeypatch.setitem(vars(serving.runtime), "answering", "clerk")
    return clerk


def ask(serving: Serving, document: Any, *questions: str, task_id: str | None = None, **options: Any) -> AnswerResult:
    result = serving.run(ANSWER, {"document": document, "questions": list(questions), **options}, task_id)
    assert isinstance(result, AnswerResult)
    return result


def kept(serving: Serving, result: AnswerResult) -> dict[str, str]:
    """Question → status of the answers that are kept of this document."""
    with transaction(serving.database) as connection:
        rows = connection.execute(
            text("SELECT question, status FROM answers WHERE sha256 = :id"), {"id": result.document.document_id}
        ).all()
    return dict(rows)


def test_questions_are_answered_in_order_and_the_answers_stand_in_the_row(serving: Serving, clerk: Clerk) -> None:
    task_id = uuid.uuid4().hex
    result = ask(
        serving,
        serving.file(*RECEIPT),
        "What is the Total?",
        "Where is the moon?",
        task_id=task_id,
        external_id="A-1",
        metadata={"case": 7},
    )
    total, moon = result.answers
    assert (total.question, total.status, total.answer) == ("What is the Total?", "answered", "Total 3.40")
    assert [(line.page, line.text) for line in total.evidence] == [(1, "Total 3.40")]
    assert (moon.question, moon.status, moon.confidence) == ("Where is the moon?", "not_found", 0.75)
    (page,) = result.pages
    assert (page.number, page.source, page.width, page.height) == (1, "text_layer", 1546, 2000)
    assert (result.reader, result.cached, result.class_set) == ("clerk", False, None)
    assert {"fetch", "lookup", "read", "store", "ask"} == result.seconds.keys()
    assert (result.external_id, result.metadata) == ("A-1", {"case": 7})
    with transaction(serving.database) as connection:
        assert queries.get_inquiry(connection, task_id) == result.model_dump(mode="json")
    assert serving.job(task_id).state == "succeeded"
    assert serving.job(task_id).request["questions"] == ["What is the Total?", "Where is the moon?"]
    assert kept(serving, result) == {"What is the Total?": "answered", "Where is the moon?": "not_found"}


def test_a_task_sent_twice_is_done_once(serving: Serving, clerk: Clerk) -> None:
    document = serving.file(*RECEIPT)
    first, again = (ask(serving, document, "Total?", task_id="ask-1") for _ in range(2))
    assert first == again
    assert clerk.asked == [["Total?"]]


def test_what_was_answered_before_is_neither_read_nor_asked_again(serving: Serving, clerk: Clerk) -> None:
    document = serving.file(*RECEIPT)
    first = ask(serving, document, "Total?", "Where is the moon?")
    Path(unquote(urlsplit(document).path)).unlink()
    known = {"document_id": first.document.document_id}
    again = ask(serving, known, "Where is the moon?", "Total?")
    assert (first.cached, again.cached) == (False, True)
    assert again.answers == first.answers[::-1]
    more = ask(serving, known, "Total?", "shop?")
    assert not more.cached
    assert [answer.status for answer in more.answers] == ["answered", "answered"]
    assert clerk.asked == [["Total?", "Where is the moon?"], ["shop?"]]


def test_a_question_that_stands_twice_is_asked_once_and_answered_twice(serving: Serving, clerk: Clerk) -> None:
    result = ask(
        serving, serving.file(*RECEIPT), "The Total?", "shop?", " The   Total? ", "The\nTotal?", "the Total?"
    )
    assert [answer.question for answer in result.answers] == [
        "The Total?",
        "shop?",
        "The   Total?",
        "The\nTotal?",
        "the Total?",
    ]
    assert [answer.answer for answer in result.answers].count("Total 3.40") == 4
    assert clerk.asked == [["The Total?", "shop?", "the Total?"]]


def test_a_question_that_fails_fails_alone_and_is_asked_again(serving: Serving, clerk: Clerk) -> None:
    document = serving.file(*RECEIPT)
    questions = ["Total?", "Is there a dragon?", "shop?", "Where is the moon?"]
    result = ask(serving, document, *questions)
    assert [answer.status for answer in result.answers] == ["answered", "failed", "answered", "not_found"]
    error = result.answers[1].error
    assert error
    assert (error.kind, error.code) == ("failed", "model_failed")
    assert "dragon" not in error.message
    assert kept(serving, result).keys() == {"Total?", "shop?", "Where is the moon?"}
    clerk.asked.clear()
    clerk.error = ModelFailure("no_dragons", "feed it")
    again = ask(serving, document, *questions)
    assert (again.cached, clerk.asked) == (False, [])
    assert again.answers[1].error
    assert again.answers[1].error.code == "no_dragons"
    assert again.answers[2:] == result.answers[2:]


def test_a_device_that_is_lost_has_the_whole_task_done_again(serving: Serving, clerk: Clerk) -> None:
    clerk.error = TransientFailure("device_lost", "its node restarts")
    document = serving.file(*RECEIPT)
    with pytest.raises(TransientFailure):
        ask(serving, document, "Total?", "a dragon?", task_id="ask-2")
    assert serving.job("ask-2").state == "received"
    clerk.error = ValueError("dragons")
    assert [answer.status for answer in ask(serving, document, "Total?", "a dragon?", task_id="ask-2").answers] == [
        "answered",
        "failed",
    ]


def test_answers_are_those_of_the_pages_that_were_read(serving: Serving, clerk: Clerk) -> None:
    document = serving.file(*RECEIPT, pages=4)
    assert [page.number for page in ask(serving, document, "Total?").pages] == [1, 2, 3]
    (found,) = ask(serving, document, "Total?", pages="2,4").answers
    assert found.evidence[0].page == 2
    assert len(clerk.asked) == 2
    assert ask(serving, document, "Total?", pages="4,2-2").cached


def test_another_reader_is_asked_for_itself(serving: Serving, clerk: Clerk, monkeypatch: pytest.MonkeyPatch) -> None:
    document = serving.file(*RECEIPT)
    ask(serving, document, "Total?")
    monkeypatch.setitem(vars(serving.runtime), "answering", "another")
    assert not ask(serving, document, "Total?").cached
    assert ask(serving, document, "Total?").cached
    assert len(clerk.asked) == 2


def test_a_blank_page_holds_no_answer_and_nobody_is_asked(serving: Serving, clerk: Clerk) -> None:
    file = serving.inbox / "white.png"
    file.write_bytes(file_of(picture((), (600, 800))))
    result = ask(serving, file.as_uri(), "Total?", "What type of document is this?", "How many pages are there?")
    assert {answer.status for answer in result.answers} == {"not_found"}
    assert [page.source for page in result.pages] == ["blank"]
    assert clerk.asked == []
    assert ask(serving, file.as_uri(), "Total?").cached


TYPE = "What type of document is this?"


@pytest.fixture
def papers(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> str:
    """The node's default class set, of this test's own."""
    name = f"papers-{uuid.uuid4().hex[:8]}"
    settings = serving.runtime.settings.model_copy(update={"deciding": Deciding(class_set=name)})
    monkeypatch.setattr(serving.runtime, "settings", settings)
    return name


def test_what_a_document_is_is_told_by_the_default_class_set(serving: Serving, clerk: Clerk, papers: str) -> None:
    serving.publish(papers, receipt="a shop's receipt for goods paid", letter="a letter to a person")
    document = serving.file(*RECEIPT)
    result = ask(serving, document, TYPE, "shop?")
    assert [answer.answer for answer in result.answers] == ["receipt", "goods paid in the shop"]
    assert (result.class_set, result.class_set_version) == (papers, 1)
    assert ask(serving, document, TYPE).cached
    serving.publish(papers, receipt="a shop's receipt for goods paid", letter="a letter to a person", map="streets")
    time.sleep(serving.runtime.settings.node.class_refresh * 1.1)
    again = ask(serving, document, TYPE, "shop?")
    assert [answer.answer for answer in again.answers] == ["receipt", "goods paid in the shop"]
    assert (again.class_set_version, clerk.asked[1:]) == (2, [[TYPE]])


def test_a_document_of_no_known_class_has_no_type(serving: Serving, clerk: Clerk, papers: str) -> None:
    serving.publish(papers, passport="a passport", map="a map of streets")
    (answer,) = ask(serving, serving.file(*RECEIPT), TYPE).answers
    assert (answer.status, answer.answer) == ("not_found", None)
    assert answer.confidence > 0.5


@pytest.mark.usefixtures("clerk", "papers")
def test_without_classes_in_service_only_those_questions_fail_that_need_them(serving: Serving) -> None:
    result = ask(serving, serving.file(*RECEIPT), TYPE, "shop?")
    assert [answer.status for answer in result.answers] == ["failed", "answered"]
    assert result.answers[0].error
    assert result.answers[0].error.code == "no_default_set"
    assert result.class_set is None


def test_a_question_about_today_is_asked_anew_tomorrow(
    serving: Serving, clerk: Clerk, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Tomorrow(date):
        @classmethod
        def today(cls) -> date:
            return date.today() + timedelta(1)

    document = serving.file("PASSPORT", "Date of expiry 2031-01-01")
    questions = ["Is this passport still valid?", "Date of expiry?"]
    ask(serving, document, *questions)
    assert ask(serving, document, *questions).cached
    monkeypatch.setattr(tasks, "date", Tomorrow)
    ask(serving, document, *questions)
    assert clerk.asked == [questions, questions[:1]]


def test_who_answers_from_pixels_is_given_those_of_the_pages(serving: Serving, clerk: Clerk) -> None:
    clerk.needs_pixels = True
    document = serving.file(*RECEIPT, pages=2)
    first = ask(serving, document, "Total?", pages="2")
    ask(serving, {"document_id": first.document.document_id}, "shop?", pages="all")
    for inquiry, numbers in zip(clerk.inquiries, ([2], [1, 2]), strict=True):
        assert [page.number for page in inquiry.pages] == numbers
        assert [image.shape[:2] for image in inquiry.images] == [(page.height, page.width) for page in inquiry.pages]
        assert inquiry.page_count == 2
    assert "render" in first.seconds
    assert "render" not in ask(serving, document, "Total?", pages="2").seconds


@pytest.mark.usefixtures("clerk")
def test_answering_reads_no_document_a_second_time_to_classify_it(serving: Serving) -> None:
    document = serving.file(*RECEIPT)
    ask(serving, document, "Total?")
    result = classify(serving, document)
    assert (result.prediction, result.cached) == ("receipt", False)
    assert {"encode", "decide"} < result.seconds.keys()
    assert "read" not in result.seconds


def test_bad_documents_and_questions_are_refused(serving: Serving, clerk: Clerk) -> None:
    document = serving.file(*RECEIPT)
    assert code_of(serving, ANSWER, {"document": "file:///etc/passwd", "questions": ["Who?"]}) == "not_allowed"
    for questions in ([], ["a\0b"], ["Who?"] * 101):
        assert code_of(serving, ANSWER, {"document": document, "questions": questions}) == "bad_request"
    assert clerk.asked == []
