"""The retrain job in this process: what it learns from, when it has nothing to do, how it ends."""

import json
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from node import wait_until
from parted import Parts
from serving import Serving
from sqlalchemy import text

from core.contract import CLASSIFY, CORRECT, RETRAIN, ClassifyResult, RetrainResult, TrainingProgress
from core.errors import ModelFailure, RejectedInput, TransientFailure
from core.training import lesson
from db import queries
from db.session import transaction
from worker import checkpoints, retrain

WORDS = {
    "north": "parcel crate freight pallet",
    "south": "nurse ward doctor clinic",
    "east": "tenant lease flat rent",
}
QUICK = {"epochs": 8, "min_new_labels": 4, "learning_rate": 0.01}


@pytest.fixture
def desks(serving: Serving) -> str:
    """A class set of its own for each test, whose descriptions say nothing."""
    name = f"desks-{uuid.uuid4().hex[:8]}"
    serving.publish(name, **{desk: f"what the {desk} desk does" for desk in WORDS})
    return name


@pytest.fixture(autouse=True)
def heartbeat(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs show signs of life, and look whether they are cancelled, all the time."""
    settings = serving.runtime.settings
    training = settings.training.model_copy(update={"heartbeat": 0.02})
    monkeypatch.setattr(serving.runtime, "settings", settings.model_copy(update={"training": training}))


def label(serving: Serving, desks: str, count: int = 12) -> None:
    """So many documents of each desk, and what people say of them."""
    for desk, words in WORDS.items():
        for uri in papers(serving, words, count):
            serving.run(CORRECT, {"document": uri, "label": desk, "class_set": desks, "by": "ann"})


def papers(serving: Serving, words: str, count: int) -> list[str]:
    """URIs of documents with these words."""
    parts, found = Parts(count), list[str]()
    while not parts.complete:
        uri = serving.file(*words.split())
        if parts.take(Path(uri.removeprefix("file://")).read_bytes()):
            found.append(uri)
    return found


def run(serving: Serving, desks: str, task_id: str | None = None, **overrides: Any) -> RetrainResult:
    result = serving.run(RETRAIN, {"class_set": desks, "overrides": {**QUICK, **overrides}}, task_id)
    assert isinstance(result, RetrainResult)
    return result


def classify(serving: Serving, desks: str, uri: str) -> ClassifyResult:
    result = serving.run(CLASSIFY, {"document": uri, "class_set": desks})
    assert isinstance(result, ClassifyResult)
    return result


def run_of(serving: Serving, task_id: str) -> queries.Run:
    with transaction(serving.database) as connection:
        found = queries.get_run_of(connection, task_id)
    assert found
    return found


def test_what_was_wrong_is_right_once_people_have_said_what_it_is(serving: Serving, desks: str) -> None:
    label(serving, desks)
    task_id = uuid.uuid4().hex
    result = run(serving, desks, task_id)
    assert (result.status, result.labels, result.left_out) == ("promoted", 36, 0), result.reasons
    assert result.metrics["macro_accuracy_after"] > result.metrics["macro_accuracy_before"]
    row = run_of(serving, task_id)
    assert (row.state, row.id, row.starts) == ("promoted", result.run_id, 1)
    assert row.result == result.model_dump(mode="json")
    with transaction(serving.database) as connection:
        (kept,) = checkpoints.serving(connection, desks)
    assert (kept.id, kept.run_id, kept.accepted) == (result.checkpoint, row.id, True)
    assert kept.fingerprint == row.fingerprint

    uri = serving.file("parcel")
    wait_until(lambda: classify(serving, desks, uri).checkpoint == str(result.checkpoint), "the checkpoint serves")
    for desk, words in WORDS.items():
        assert classify(serving, desks, serving.file(*words.split())).prediction == desk
    assert not list((serving.runtime.settings.checkpoints / "runs").glob("*")), "the lesson was left behind"


def test_a_task_that_comes_again_returns_what_it_ended_with(serving: Serving, desks: str) -> None:
    label(serving, desks)
    task_id = uuid.uuid4().hex
    first = run(serving, desks, task_id)
    assert run(serving, desks, task_id) == first
    with transaction(serving.database) as connection:
        assert len(queries.list_checkpoints(connection, desks)) == 1


def test_too_few_labels_are_no_reason_to_train(serving: Serving, desks: str) -> None:
    label(serving, desks, 1)
    result = run(serving, desks, min_new_labels=20)
    assert (result.status, result.reasons, result.checkpoint) == ("skipped", ["3 labels of 20 needed"], None)


def test_nothing_new_is_no_reason_to_train(serving: Serving, desks: str) -> None:
    label(serving, desks)
    first = run(serving, desks)
    again = run(serving, desks)
    assert (again.status, again.reasons) == ("skipped", [f"nothing changed since run {first.run_id}"])
    serving.run(CORRECT, {"document": serving.file("parcel"), "label": "north", "class_set": desks, "by": "ann"})
    third = run(serving, desks)
    assert third.reasons == [f"1 new labels of 4 needed; nothing else changed since run {first.run_id}"]


def test_another_description_is_a_reason_to_train(serving: Serving, desks: str) -> None:
    label(serving, desks)
    run(serving, desks)
    serving.publish(desks, **{desk: f"papers for {desk}" for desk in WORDS})
    wait_until(lambda: serving.runtime.catalogue.published(desks).version == 2, "the new version serves")
    assert run(serving, desks).status in ("promoted", "rejected")


def test_what_is_no_better_is_kept_but_does_not_serve(serving: Serving, desks: str) -> None:
    label(serving, desks)
    first = run(serving, desks)
    assert first.status == "promoted"
    result = run(serving, desks, seed=5)
    assert result.status == "rejected"
    assert "macro accuracy is not better" in result.reasons[0]
    with transaction(serving.database) as connection:
        states = {item.id: item.state for item in queries.list_checkpoints(connection, desks)}
    assert states == {first.checkpoint: "active", result.checkpoint: "rejected"}


def test_labels_of_one_class_teach_nothing(serving: Serving, desks: str) -> None:
    for _ in range(6):
        serving.run(CORRECT, {"document": serving.file("parcel"), "label": "north", "class_set": desks, "by": "ann"})
    result = run(serving, desks)
    assert result.status == "skipped"
    assert "two classes" in result.reasons[0]


def test_a_second_run_of_a_set_is_skipped_while_one_goes_on(
    serving: Serving, desks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(serving, desks)
    entered, leave = threading.Event(), threading.Event()
    learn = lesson.learn

    def slow(*args: Any, **options: Any) -> Any:
        entered.set()
        assert leave.wait(60)
        return learn(*args, **options)

    monkeypatch.setattr(lesson, "learn", slow)
    results: list[RetrainResult] = []
    first = threading.Thread(target=lambda: results.append(run(serving, desks)))
    first.start()
    assert entered.wait(60)
    second = run(serving, desks)
    leave.set()
    first.join()
    assert (second.status, second.run_id) == ("skipped", None)
    assert "already running" in second.reasons[0]
    assert results[0].status == "promoted"


def test_somebody_may_cancel_a_run(serving: Serving, desks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    label(serving, desks)
    task_id = uuid.uuid4().hex
    learn = lesson.learn

    def cancelled(*args: Any, report: Any, **options: Any) -> Any:
        with transaction(serving.database) as connection:
            assert queries.cancel_run(connection, run_of(serving, task_id).id, "bob")

        def until_heard(progress: TrainingProgress) -> None:
            for _ in range(500):
                report(progress)
                threading.Event().wait(0.01)

        return learn(*args, report=until_heard, **options)

    monkeypatch.setattr(lesson, "learn", cancelled)
    result = run(serving, desks, task_id)
    assert (result.status, result.reasons) == ("cancelled", ["bob asked for it"])
    assert run_of(serving, task_id).state == "cancelled"


def test_a_run_that_was_interrupted_learns_from_the_labels_that_it_began_with(
    serving: Serving, desks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(serving, desks)
    task_id = uuid.uuid4().hex
    stopping = {"now": False}
    monkeypatch.setattr(serving.runtime, "stopping", lambda: stopping["now"])
    report_epochs: list[tuple[str, int]] = []
    tell = retrain._Heart.tell

    def watched(self: Any, progress: TrainingProgress) -> None:
        report_epochs.append((progress.phase, progress.done))
        if not stopping["now"] and (progress.phase, progress.done) == ("rehearsal", 2):
            stopping["now"] = True
        tell(self, progress)

    monkeypatch.setattr(retrain._Heart, "tell", watched)
    with pytest.raises(TransientFailure, match="node_stopping"):
        run(serving, desks, task_id)
    assert run_of(serving, task_id).state == "running"
    label(serving, desks, 2)
    assert run(serving, desks).reasons[0].startswith("already running")

    stopping["now"] = False
    report_epochs.clear()
    result = run(serving, desks, task_id)
    assert result.status == "promoted"
    assert result.labels == 36
    assert ("rehearsal", 1) not in report_epochs, "it began anew"
    assert ("rehearsal", 3) in report_epochs
    assert run_of(serving, task_id).starts == 2


def test_a_run_that_fails_says_so_and_makes_way(
    serving: Serving, desks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(serving, desks)
    task_id = uuid.uuid4().hex
    with monkeypatch.context() as patched:
        patched.setattr(lesson, "learn", lambda *_, **__: 1 / 0)
        with pytest.raises(ModelFailure, match="unexpected"):
            run(serving, desks, task_id)
    assert run_of(serving, task_id).state == "failed"
    with transaction(serving.database) as connection:
        assert queries.reopen_job(connection, task_id=task_id)
    result = run(serving, desks, task_id)
    assert result.status == "promoted"
    assert run_of(serving, task_id).starts == 2


def test_captioned_images_are_learned_from_and_broken_ones_left_out(serving: Serving, desks: str) -> None:
    entries: list[dict[str, str]] = []
    for desk, words in WORDS.items():
        for uri in papers(serving, words, 12):
            name = uri.rpartition("/")[2]
            entries.append({"image": name, "caption": f"something about a {words.split()[0]}", "class": desk})
    entries.append({"image": "gone.pdf", "caption": "not there", "class": "north"})
    entries.append({"image": entries[0]["image"], "caption": "another caption", "class": "north"})
    file = serving.inbox / f"{desks}.json"
    file.write_text(json.dumps(entries))
    task_id = uuid.uuid4().hex
    captions = {"file": file.as_uri(), "images": serving.inbox.as_uri()}
    payload = {"class_set": desks, "overrides": QUICK, "captions": captions}
    result = serving.run(RETRAIN, payload, task_id)
    assert isinstance(result, RetrainResult)
    assert (result.status, result.labels, result.left_out) == ("promoted", 36, 1)

    with pytest.raises(RejectedInput, match="too_many_left_out"):
        serving.run(RETRAIN, {**payload, "overrides": {**QUICK, "max_left_out": 0, "seed": 1}})


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"epoch": 3}, "'epoch'"),
        ({"epochs": 0}, "epochs"),
        ({"store": "here"}, "'store'"),
        ({"time_limit": 1}, "time_"),
    ],
)
def test_settings_that_no_run_has_are_refused_by_name(
    serving: Serving, desks: str, overrides: dict[str, Any], said: str
) -> None:
    with pytest.raises(RejectedInput, match="bad_overrides") as error:
        serving.run(RETRAIN, {"class_set": desks, "overrides": overrides})
    assert said in error.value.message


def test_a_label_of_a_class_that_is_no_more_is_left_out(serving: Serving, desks: str) -> None:
    label(serving, desks)
    serving.publish(desks, north="what the north desk does", south="what the south desk does")
    wait_until(lambda: serving.runtime.catalogue.published(desks).version == 2, "the new version serves")
    result = run(serving, desks)
    assert (result.labels, result.left_out) == (24, 12)


def test_documents_that_people_labelled_are_not_read_again(serving: Serving, desks: str) -> None:
    label(serving, desks)
    for file in serving.inbox.glob("*.pdf"):
        file.unlink()
    with transaction(serving.database) as connection:
        connection.execute(text("DELETE FROM pages"))
    assert run(serving, desks).status == "promoted"
