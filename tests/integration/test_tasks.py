"""What each task does, through job, intake, the real reader and a real PostgreSQL."""

import time
import uuid
from typing import Any

import pytest
from conftest import Serving
from sqlalchemy import text

from core.contract import (
    CLASSIFY,
    CLASSIFY_MANY,
    CORRECT,
    ClassifyManyResult,
    ClassifyResult,
    CorrectResult,
)
from core.errors import ModelFailure, RejectedInput, TransientFailure
from db import queries
from db.session import transaction
from worker import intake

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
