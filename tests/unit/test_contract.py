"""What goes over the wire, and the small wheel that a back office installs."""

import base64
import json
import shutil
import subprocess
import sys
import threading
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic_core
import pytest
import redis
from celery import Celery
from celery.exceptions import TimeoutError as NotInTime
from node import disconnect
from pydantic import ValidationError

from core import contract
from core.contract import (
    ANSWER,
    CLASSIFY,
    INLINE_LIMIT,
    AnswerRequest,
    ClassifyManyRequest,
    ClassifyManyResult,
    ClassifyRequest,
    ClassifyResult,
    CorrectRequest,
    CorrectResult,
    DocumentInfo,
    DocumentReference,
    Ended,
    IntakeClient,
    IntakeError,
    Outcome,
    inline,
)
from core.errors import ModelFailure, RejectedInput

URI = "file:///srv/inbox/a.pdf"
RESULT = ClassifyResult(
    task_id="t",
    document=DocumentInfo(document_id="a" * 64, media_type="image/png", page_count=1),
    status="classified",
    reasons=[],
    prediction="invoice",
    confidence=0.9,
    probabilities={"letter": 0.1, "invoice": 0.9},
    pages=[],
    class_set="intake",
    class_set_version=1,
    backend="fake",
    checkpoint=None,
    cached=False,
    seconds={},
)


class Queue:
    """A Redis of its own prefix: what the client enqueues, as another program finds it there and answers it."""

    def __init__(self, url: str) -> None:
        prefix = f"{uuid.uuid4().hex}:"
        self.client = IntakeClient(url, key_prefix=prefix)
        self.app = Celery(broker=url, backend=url, set_as_current=False)
        self.app.conf.broker_transport_options = {"global_keyprefix": prefix}
        self.app.conf.result_backend_transport_options = {"global_keyprefix": prefix}

    def take(self, queue: str = "classify") -> Any:
        with self.app.connection_for_read() as connection:
            message = connection.channel().basic_get(queue, no_ack=True)
        assert message is not None
        return message

    def take_request(self, queue: str = "classify") -> dict[str, Any]:
        arguments, keywords, _ = self.take(queue).decode()
        assert arguments == []
        return dict(keywords)


@pytest.fixture
def queue(redis_url: str) -> Iterator[Queue]:
    queue = Queue(redis_url)
    yield queue
    for client in (queue.client, IntakeClient(queue.app)):
        disconnect(client)


def test_a_document_may_be_given_as_a_plain_uri() -> None:
    assert ClassifyRequest.model_validate({"document": URI}).document == DocumentReference(uri=URI)
    many = ClassifyManyRequest.model_validate({"documents": [URI, {"document": {"document_id": "a" * 64}}]})
    assert [item.document for item in many.documents] == [
        DocumentReference(uri=URI),
        DocumentReference(document_id="a" * 64),
    ]


@pytest.mark.parametrize(
    "reference",
    [{}, {"uri": URI, "document_id": "a" * 64}, {"document_id": "short"}, {"path": "/a"}, 7],
    ids=["nothing", "two ways", "no hash", "unknown field", "no text"],
)
def test_a_document_is_named_in_exactly_one_known_way(reference: Any) -> None:
    with pytest.raises(ValidationError):
        DocumentReference.model_validate(reference)


@pytest.mark.parametrize("pages", ["first", "all", "1", "1-3", "1-3,7", "2,2-2"])
def test_pages_are_chosen_by_word_number_or_range(pages: str) -> None:
    assert ClassifyRequest(document=DocumentReference(uri=URI), pages=pages).pages == pages


@pytest.mark.parametrize("pages", ["", "last", "0", "3-1", "1-", "1, 2", "-1", "1;2", "first,2", "1\n"])
def test_other_choices_of_pages_are_refused(pages: str) -> None:
    with pytest.raises(ValidationError, match="pages"):
        ClassifyRequest(document=DocumentReference(uri=URI), pages=pages)


@pytest.mark.parametrize(
    "classes", [["one"], ["a", "a"], ["a", " a "], ["a", ""], {"only": "one"}, [], {}, ["a", "b" * 201]]
)
def test_one_off_classes_are_at_least_two_with_names_of_their_own(classes: Any) -> None:
    with pytest.raises(ValidationError, match="classes"):
        ClassifyRequest(document=DocumentReference(uri=URI), classes=classes)


def test_classes_come_from_a_set_or_from_the_request() -> None:
    with pytest.raises(ValidationError, match="not both"):
        ClassifyRequest(document=DocumentReference(uri=URI), class_set="intake", classes=["a", "b"])


@pytest.mark.parametrize("fields", [{}, {"document": URI, "task_id": "t"}])
def test_a_correction_is_of_a_document_or_of_a_request(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="one of them"):
        CorrectRequest.model_validate({"label": "invoice", "by": "ann", **fields})


@pytest.mark.parametrize(
    "fields",
    [{"external_id": "a\0b"}, {"metadata": {"deep": [{"er": "\ud800"}]}}, {"metadata": {"\0": 1}}],
    ids=["nul", "half a pair", "key"],
)
def test_text_that_the_database_cannot_keep_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="NUL character or half"):
        ClassifyRequest.model_validate({"document": URI, **fields})


def test_an_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="topk"):
        ClassifyRequest.model_validate({"document": URI, "topk": 3})


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"metadata": nested(33)}, "metadata"),
        ({"metadata": nested(900)}, "metadata"),
        ({"metadata": nested(100_000)}, "metadata"),
        ({"metadata": {"a": "x" * 64 * 1024}}, "metadata"),
        ({"metadata": {"a": float("nan")}}, "metadata"),
        ({"metadata": {"a": [float("-inf")]}}, "metadata"),
        ({"external_id": "x" * 201}, "external_id"),
        ({"classes": [str(number) for number in range(1001)]}, "classes"),
        ({"classes": {"a": "x" * 10_001, "b": ""}}, "classes"),
        ({"pages": "1," * 200}, "pages"),
        ({"pages": [[[[]]]]}, "pages"),
        ({"pages": nested(100_000)}, "pages"),
        ({"document": "file:///" + "x" * 4096}, "document"),
        ({"document": {"content": "A" * 2 * 1024**2}}, "document"),
        ({"document": nested(5000)}, "document"),
        ({"class_set": "x" * 101}, "class_set"),
        ({"x" * 100_000: 1}, "x" * 100),
        ({"colour": nested(100_000)}, "colour"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_what_is_too_large_too_deep_or_unknown_is_refused_by_name(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(ValidationError, match=name) as refused:
        ClassifyRequest.model_validate({"document": "file:///x"} | fields)
    assert len(str(refused.value)) < 200_000


def test_what_is_as_large_and_deep_as_it_may_be_is_taken() -> None:
    metadata = nested(31) | {"b": "x" * 60_000, "when": [1.5, None, True]}
    request = ClassifyRequest(document="file:///x", metadata=metadata)  # type: ignore[arg-type]
    assert request.metadata == metadata
    several = {"documents": [{"document": "file:///x", "metadata": nested(32)}]}
    assert ClassifyManyRequest.model_validate(several).documents[0].metadata == nested(32)


def test_probabilities_stand_best_first() -> None:
    assert list(RESULT.probabilities) == ["invoice", "letter"]


def test_results_survive_the_wire() -> None:
    outcome = Outcome(result=RESULT)
    assert Outcome.model_validate(json.loads(json.dumps(outcome.model_dump(mode="json")))) == outcome


def test_every_model_has_a_json_schema() -> None:
    models = [item for item in vars(contract).values() if isinstance(item, type) and issubclass(item, contract.Wire)]
    assert len(models) >= 10
    for model in models:
        json.dumps(model.model_json_schema())


def test_content_of_a_reference_is_not_shown() -> None:
    assert "c2VjcmV0" not in repr(DocumentReference(content="c2VjcmV0"))


def test_a_file_travels_inline_up_to_the_limit_and_not_beyond(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(bytes(INLINE_LIMIT))
    assert base64.b64decode(inline(file).content or "") == bytes(INLINE_LIMIT)
    file.write_bytes(bytes(INLINE_LIMIT + 1))
    with pytest.raises(ValueError, match="send its URI"):
        inline(file)


def test_a_request_is_enqueued_as_anyone_could_have_sent_it(queue: Queue) -> None:
    handle = queue.client.classify(URI, classes={"a": "", "b": "the other"}, external_id="7", metadata={"k": [1]})
    message = queue.take()
    assert message.headers["task"] == CLASSIFY
    assert message.headers["id"] == handle.id
    assert message.content_type == "application/json"
    arguments, keywords, _ = message.decode()
    assert arguments == []
    assert keywords == {
        "document": {"uri": URI},
        "classes": {"a": "", "b": "the other"},
        "external_id": "7",
        "metadata": {"k": [1]},
    }
    assert ClassifyRequest.model_validate(keywords).external_id == "7"


def test_a_caller_may_choose_the_task_id_and_want_no_result(queue: Queue) -> None:
    assert queue.client.classify(URI, task_id="mine", ignore_result=True).id == "mine"
    headers = queue.take().headers
    assert headers["id"] == "mine"
    assert headers["ignore_result"] is True


def test_urgent_requests_overtake_normal_ones_and_those_bulk(queue: Queue) -> None:
    sent = {priority: queue.client.classify(URI, priority=priority).id for priority in ("bulk", "normal", "urgent")}
    taken = [queue.take().headers["id"] for _ in sent]
    assert taken == [sent["urgent"], sent["normal"], sent["bulk"]]


def test_many_documents_travel_in_messages_of_256(queue: Queue) -> None:
    handles = queue.client.classify_many([f"file:///{n}.png" for n in range(300)], classes=["a", "b"])
    assert len(handles) == 2
    bodies = [ClassifyManyRequest.model_validate(queue.take_request()) for _ in handles]
    assert [len(body.documents) for body in bodies] == [256, 44]
    assert bodies[1].documents[-1].document.uri == "file:///299.png"
    assert {tuple(body.classes or ()) for body in bodies} == {("a", "b")}
    assert queue.client.classify_many([]) == []


def test_questions_go_to_a_queue_of_their_own(queue: Queue) -> None:
    handle = queue.client.answer(URI, ["Who sent it?", "When?"], pages="all", external_id="7", task_id="mine")
    message = queue.take("qa")
    assert (message.headers["task"], message.headers["id"], handle.id) == (ANSWER, "mine", "mine")
    assert message.decode()[1] == {
        "document": {"uri": URI},
        "questions": ["Who sent it?", "When?"],
        "pages": "all",
        "external_id": "7",
    }


def test_one_string_is_one_question(queue: Queue) -> None:
    queue.client.answer(URI, " Who sent it? ")
    assert queue.take_request("qa")["questions"] == ["Who sent it?"]
    assert AnswerRequest.model_validate({"document": URI, "questions": "Who?"}).questions == ["Who?"]


@pytest.mark.parametrize(
    "questions",
    [[], "", [" "], ["a\0b"], ["\ud800"], ["a" * 501], ["Who?"] * 101, [7], None],
    ids=["none", "empty", "blank", "nul", "half a pair", "long", "many", "number", "null"],
)
def test_what_is_no_question_is_not_asked(questions: Any) -> None:
    with pytest.raises(ValidationError, match="questions"):
        AnswerRequest.model_validate({"document": URI, "questions": questions})


def test_a_correction_overtakes_and_names_its_request(queue: Queue) -> None:
    queue.client.classify(URI)
    queue.client.correct("invoice", by="ann", task_id="t", note="see the header")
    assert CorrectRequest.model_validate(queue.take_request()) == CorrectRequest(
        task_id="t", label="invoice", by="ann", note="see the header"
    )


def test_the_client_works_over_the_back_offices_own_app(queue: Queue) -> None:
    IntakeClient(queue.app).classify(URI, ignore_result=True)
    assert queue.take().headers["task"] == CLASSIFY


def test_what_is_no_request_is_not_sent(queue: Queue) -> None:
    with pytest.raises(ValidationError):
        queue.client.classify(URI, pages="last")
    with pytest.raises(AssertionError):
        queue.take()


def test_a_handle_gives_the_result_as_its_model(queue: Queue) -> None:
    handle = queue.client.classify(URI)
    assert not handle.ready()
    queue.app.backend.store_result(handle.id, RESULT.model_dump(mode="json"), "SUCCESS")
    assert handle.get(timeout=10) == RESULT
    assert handle.ready()
    handle.forget()
    assert not handle.ready()


def test_a_handle_finds_a_result_of_which_it_never_heard(queue: Queue, redis_url: str) -> None:
    handle = queue.client.classify(URI)
    other = queue.client.classify(URI)
    with pytest.raises(NotInTime):
        handle.get(timeout=0.2)
    queue.app.backend.store_result(other.id, RESULT.model_dump(mode="json"), "SUCCESS")

    def store_silently() -> None:
        # As it stands once the news of it are lost.
        with redis.Redis.from_url(redis_url) as store:
            key = queue.app.backend.get_key_for_task(other.id).decode()
            meta = store.get(key).decode().replace(other.id, handle.id)
            store.set(key.replace(other.id, handle.id), meta)

    silently = threading.Timer(0.5, store_silently)
    silently.start()
    assert handle.get(timeout=30) == RESULT
    silently.join()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RejectedInput("not_found", "there is no such file"), ("rejected", "not_found", "there is no such file")),
        (ModelFailure("bad_weights", "reinstall them"), ("failed", "bad_weights", "reinstall them")),
        (ValueError("what they earn"), ("failed", "unexpected", "ValueError; see the worker's log for this task")),
    ],
)
def test_a_handle_tells_whose_fault_it_was(queue: Queue, error: Exception, expected: tuple[str, str, str]) -> None:
    handle = queue.client.classify(URI)
    queue.app.backend.mark_as_failure(handle.id, error)
    with pytest.raises(IntakeError) as caught:
        handle.get(timeout=10)
    assert (caught.value.kind, caught.value.code, caught.value.message) == expected


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The contract's wheel, built from a copy so that the source folder stays clean."""
    folder = tmp_path_factory.mktemp("contract")
    source = folder / "source"
    shutil.copytree(Path(contract.__file__).parent, source, ignore=shutil.ignore_patterns("__pycache__", "build"))
    build: list[str | Path] = [
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        folder,
        source,
    ]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_contract_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        inside = {Path(name).parts[0]: None for name in opened.namelist()}
        assert list(inside) == ["docintake_contract", "docintake_contract-0.1.0.dist-info"]
        modules = {Path(name).name for name in opened.namelist() if name.startswith("docintake_contract/")}
    assert modules == {"py.typed", *(file.name for file in Path(contract.__file__).parent.glob("*.py"))}


def test_the_wheel_needs_pydantic_alone(wheel: Path, tmp_path: Path) -> None:
    install: list[str | Path] = [
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        tmp_path / "site",
        wheel,
    ]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, capture_output=True)
    # What pydantic itself needs is let in from here; everything else that is not the standard library's is kept out.
    program = f"""
import sys
allowed = sys.stdlib_module_names | {{
    "docintake_contract", "pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection",
}}
class Gate:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed and not name.startswith("_sysconfigdata"):
            raise ModuleNotFoundError(name + " is not for a back office", name=name)
sys.meta_path.insert(0, Gate())
sys.path[:0] = {[str(tmp_path / "site"), str(Path(pydantic_core.__file__).parents[1])]!r}
import docintake_contract as contract
for name in contract.__all__:
    getattr(contract, name)
assert contract.__file__.startswith({str(tmp_path)!r}), contract.__file__
contract.ClassifyRequest(document="{URI}")
for blocked in ("torch", "celery", "sqlalchemy", "core"):
    try:
        __import__(blocked)
    except ModuleNotFoundError:
        continue
    raise AssertionError(blocked + " was let in")
print("fine")
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.stderr == ""
    assert done.stdout == "fine\n"


@pytest.mark.parametrize(
    ("callback", "fault"),
    [
        ({"task": "docintake.purge", "queue": "office"}, "task of docintake's own"),
        ({"task": "office.told"}, "queue"),
        *(
            ({"task": "office.told", "queue": queue}, "own")
            for queue in ("classify", "qa", "retrain", "unacked", "unacked_index", "celery-task-meta-1")
        ),
        *(
            ({"task": "office.told", "queue": queue}, "pattern")
            for queue in ("classify\x06\x163", "_kombu.binding.qa", "a b", "a\n", "", "é", "a*")
        ),
        ({"task": "a task", "queue": "office"}, "pattern"),
        ({"task": "a" * 201, "queue": "office"}, "200 characters"),
        ({"task": "office.told", "queue": "a" * 101}, "100 characters"),
    ],
)
def test_a_callback_names_a_task_and_a_queue_of_somebody_elses(callback: dict[str, str], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        ClassifyRequest.model_validate({"document": "file:///a.pdf", "callback": callback})


def test_an_outcome_is_told_by_what_stands_in_it() -> None:
    label = {"correction_id": 1, "document_id": "0" * 64, "class_set": "intake", "label": "a", "previous": None}
    told = {"task_id": "1", "task": "docintake.correct", "external_id": None, "state": "succeeded"}
    assert isinstance(Ended.model_validate({**told, "result": {"task_id": "1", **label}}).result, CorrectResult)
    many = {**told, "result": {"task_id": "1", "outcomes": []}}
    assert isinstance(Ended.model_validate(many).result, ClassifyManyResult)
