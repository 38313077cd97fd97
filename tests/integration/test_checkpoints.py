"""Checkpoints from the file that is written to the promotion that is taken back."""

import json
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr
from serving import Serving
from sqlalchemy import Connection, Engine
from trained import CLASSES, ENCODER, features, keep, learned, report

from core import checkpoints as files
from core.backends.fake import Fake
from core.class_set import ClassSet, DocumentClass
from core.classify import Classifier
from core.contract import ANSWER, CLASSIFY, AnswerResult, ClassifyResult
from core.descriptions import Descriptions
from core.errors import ModelFailure, RejectedInput, TransientFailure
from core.settings import Database, Thresholds
from db import queries
from db.session import transaction
from worker import checkpoints, class_sets
from worker.history import deciders

PAPERS = ClassSet(name="papers", classes=tuple(DocumentClass(name=name) for name in CLASSES))


@pytest.fixture
def connection(database: Engine) -> Iterator[Connection]:
    """One open transaction, in which the class sets `papers` and `other` are there."""
    with transaction(database) as connection:
        class_sets.import_draft(connection, PAPERS)
        class_sets.publish(connection, "papers")
        queries.create_class_set(connection, "other")
        yield connection


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises((RejectedInput, ModelFailure, TransientFailure)) as raised:
        call()
    return raised.value.code


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


# Files


def test_what_is_kept_is_read_back_as_it_was(connection: Connection, store: Path) -> None:
    kept = keep(connection, store, parents=(3, 5))
    assert (kept.class_set, kept.encoder, kept.labels, kept.parents) == ("papers", ENCODER, 17, [3, 5])
    assert (kept.state, kept.accepted, kept.reasons) == ("candidate", True, ["macro accuracy is better"])
    assert [path.name for path in store.iterdir()] == [kept.file]
    assert checkpoints.report_of(store, kept) == report(parents=(3, 5))
    assert checkpoints.condition(store, kept) == "ok"

    classifier = Classifier(Descriptions.build(PAPERS, Fake().encode_texts))
    page = features("dear bob\nplease pay the bill")
    expected, found = (checkpoints.taught(classifier, [item]) for item in (learned(), checkpoints.load(store, kept)))
    np.testing.assert_allclose(found.chances([page])[0], expected.chances([page])[0], atol=1e-6)
    assert not np.allclose(found.chances([page])[0], classifier.chances([page])[0])


def test_only_figures_that_there_are_become_metrics(connection: Connection, store: Path) -> None:
    assert set(keep(connection, store).metrics) == {
        f"{name}_{when}" for name in ("accuracy", "macro_accuracy", "ece") for when in ("before", "after")
    }
    kept = keep(connection, store, unseen_before=0.5, unseen_after=0.75)
    assert (kept.metrics["unseen_before"], kept.metrics["unseen_after"]) == (0.5, 0.75)
    assert (kept.metrics["accuracy_before"], kept.metrics["accuracy_after"]) == (0.5, 0.75)


def test_no_two_checkpoints_share_a_file(connection: Connection, store: Path) -> None:
    assert len({keep(connection, store).file for _ in range(3)}) == 3


def test_a_file_that_was_changed_or_is_gone_is_not_loaded(connection: Connection, store: Path) -> None:
    kept = keep(connection, store)
    damage(store / kept.file)
    assert code_of(lambda: checkpoints.load(store, kept)) == "checkpoint_damaged"
    assert code_of(lambda: checkpoints.report_of(store, kept)) == "checkpoint_damaged"
    assert checkpoints.condition(store, kept) == "damaged"
    (store / kept.file).unlink()
    assert code_of(lambda: checkpoints.load(store, kept)) == "checkpoint_missing"
    assert checkpoints.condition(store, kept) == "missing"


@pytest.mark.parametrize("changed", [{"class_set": "other"}, {"encoder": "another"}, {"report": {}}])
def test_a_file_of_another_class_set_encoder_or_version_is_not_used(
    connection: Connection, store: Path, changed: dict[str, object]
) -> None:
    about = {
        **learned().about(),
        "class_set": "papers",
        "encoder": ENCODER,
        "report": json.loads(report().model_dump_json()),
    }
    sha256 = files.write(store / "papers-x", learned().tensors(), about | changed)
    checkpoint_id = queries.put_checkpoint(
        connection,
        class_set="papers",
        class_version_id=None,
        run_id=None,
        parents=[],
        encoder=ENCODER,
        file="papers-x",
        sha256=sha256,
        fingerprint="f" * 64,
        labels=17,
        metrics={},
        accepted=True,
        reasons=[],
    )
    kept = checkpoints.find(connection, checkpoint_id)
    read = checkpoints.report_of if "report" in changed else checkpoints.load
    assert code_of(lambda: read(store, kept)) == "checkpoint_unusable"


def test_a_store_that_cannot_be_written_keeps_nothing(connection: Connection, store: Path) -> None:
    store.write_text("a file where the folder should be")
    assert code_of(lambda: keep(connection, store)) == "store_not_writable"
    assert queries.list_checkpoints(connection) == []


# Promotions


def test_promotions_are_taken_back_one_by_one_until_the_set_is_untrained(connection: Connection, store: Path) -> None:
    one, two, three = (keep(connection, store).id for _ in range(3))
    for checkpoint_id in (one, two, three):
        checkpoints.promote(connection, "papers", [checkpoint_id], "ann")
    turns = [checkpoints.roll_back(connection, "papers", "bob") for _ in range(3)]
    assert [(turn.before, turn.now) for turn in turns] == [((three,), (two,)), ((two,), (one,)), ((one,), ())]
    assert checkpoints.serving(connection, "papers") == ()
    assert code_of(lambda: checkpoints.roll_back(connection, "papers", "bob")) == "nothing_to_roll_back"
    assert [item.by for item in queries.list_promotions(connection, "papers")] == ["bob"] * 3 + ["ann"] * 3


def test_a_promotion_after_a_rollback_goes_back_to_what_it_found(connection: Connection, store: Path) -> None:
    one, two, three = (keep(connection, store).id for _ in range(3))
    checkpoints.promote(connection, "papers", [one], "ann")
    checkpoints.promote(connection, "papers", [two], "ann")
    checkpoints.roll_back(connection, "papers", "ann")
    checkpoints.promote(connection, "papers", [three], "ann")
    assert [checkpoints.roll_back(connection, "papers", "ann").now for _ in range(2)] == [(one,), ()]
    checkpoints.promote(connection, "papers", [two], "ann")
    assert checkpoints.roll_back(connection, "papers", "ann").now == ()


def test_a_set_can_be_made_untrained_and_that_too_is_taken_back(connection: Connection, store: Path) -> None:
    one = keep(connection, store).id
    assert not checkpoints.promote(connection, "papers", [], "ann").changed
    checkpoints.promote(connection, "papers", [one], "ann")
    assert checkpoints.promote(connection, "papers", [], "ann").now == ()
    assert checkpoints.roll_back(connection, "papers", "ann").now == (one,)


def test_promoting_what_serves_changes_nothing(connection: Connection, store: Path) -> None:
    one, two = (keep(connection, store).id for _ in range(2))
    assert checkpoints.promote(connection, "papers", [two, one, two], "ann") == checkpoints.Turn((one, two), ())
    assert not checkpoints.promote(connection, "papers", [one, two], "bob").changed
    assert len(queries.list_promotions(connection, "papers")) == 1
    assert [item.id for item in checkpoints.serving(connection, "papers")] == [one, two]


def test_what_must_not_serve_is_refused(connection: Connection, store: Path) -> None:
    one = keep(connection, store).id
    others = keep(connection, store, "other").id
    strange = keep(connection, store, encoder="another").id
    rejected = keep(connection, store, accepted=False, reasons=("class bill falls",)).id

    def refusal(*ids: int, class_set: str = "papers") -> str:
        return code_of(lambda: checkpoints.promote(connection, class_set, ids, "ann"))

    assert refusal(one, class_set="none") == "unknown_class_set"
    assert refusal(one, 999) == "unknown_checkpoint"
    assert refusal(others) == "other_class_set"
    assert refusal(one, strange) == "mixed_encoders"
    assert refusal(rejected) == "not_accepted"
    assert queries.list_promotions(connection, "papers") == []
    assert checkpoints.promote(connection, "papers", [rejected], "ann", force=True).now == (rejected,)
    assert not checkpoints.promote(connection, "papers", [rejected], "ann").changed


def test_of_two_who_promote_at_once_each_goes_back_to_another(database: Engine, store: Path) -> None:
    with transaction(database) as connection:
        queries.create_class_set(connection, "papers")
        ids = [keep(connection, store).id for _ in range(2)]
    together = threading.Barrier(2)

    def promote(checkpoint_id: int) -> None:
        together.wait(30)
        with transaction(database) as connection:
            checkpoints.promote(connection, "papers", [checkpoint_id], "ann")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(promote, ids))
    with transaction(database) as connection:
        later, earlier = queries.list_promotions(connection, "papers")
    assert (earlier.back_to, later.back_to) == (None, earlier.id)


# Comparing


def test_what_was_learned_decides_alike_in_another_process() -> None:
    classifier = checkpoints.taught(Classifier(Descriptions.build(PAPERS, Fake().encode_texts)), [learned(1)])
    there = pickle.loads(pickle.dumps(classifier))  # noqa: S301 - our own
    documents = [[(1, features(text))] for text in ("dear bob", "total 12.50", "amount due")]
    assert there.decide_all(documents, Thresholds()) == classifier.decide_all(documents, Thresholds())


def test_a_comparison_finds_what_two_checkpoints_decide_differently(
    database: Engine, store: Path, classified: Callable[..., str]
) -> None:
    with transaction(database) as connection:
        class_sets.import_draft(connection, PAPERS)
        class_sets.publish(connection, "papers")
    texts = ["dear bob", "please pay the bill", "total 12.50", "amount due", "invoice number 4", "kind regards"]
    ids = [classified(text) for text in texts]
    unknown = classified("dear aunt", encoder="an older model")
    untrained = Classifier(Descriptions.build(PAPERS, Fake().encode_texts))
    a, b = (checkpoints.taught(untrained, [learned(seed)]) for seed in (1, 2))
    settings = Database(url=SecretStr(database.url.render_as_string(hide_password=False)))
    labels = {ids[0]: "letter", "f" * 64: "bill", **dict.fromkeys(ids[3:], "letter")}
    with deciders(settings, "papers") as those:
        found = checkpoints.compare(those, a, b, labels, Thresholds(), ENCODER)
        itself = checkpoints.compare(those, a, a, labels, Thresholds(), ENCODER)
    expected = {
        document_id: (one, other)
        for document_id, text in zip(ids, texts, strict=True)
        if (one := a.decide([(1, features(text))], Thresholds()).prediction)
        != (other := b.decide([(1, features(text))], Thresholds()).prediction)
    }
    assert expected
    assert {item.document_id: (item.a, item.b) for item in found.disagreements} == expected
    assert [item.label for item in found.disagreements] == [
        labels.get(item.document_id) for item in found.disagreements
    ]
    assert (found.documents, found.same, found.without_features) == (7, 6 - len(expected), (unknown,))
    assert (itself.same, itself.disagreements) == (6, ())


# Serving


def test_results_name_the_checkpoint_that_decided_and_answers_are_kept_for_each(serving: Serving) -> None:
    document = serving.file("Receipt", "goods paid in the shop")

    def classified(**options: object) -> str | None:
        time.sleep(serving.runtime.settings.node.class_refresh * 1.1)
        result = serving.run(CLASSIFY, {"document": {"uri": document}, **options})
        assert isinstance(result, ClassifyResult)
        return result.checkpoint

    def asked_before() -> bool:
        result = serving.run(ANSWER, {"document": {"uri": document}, "questions": ["What type of document is this?"]})
        assert isinstance(result, AnswerResult)
        return result.cached

    assert classified() is None
    assert [asked_before(), asked_before()] == [False, True]
    with transaction(serving.database) as connection:
        store = serving.runtime.settings.checkpoints
        one, two = (keep(connection, store, "intake", seed=seed).id for seed in range(2))
        checkpoints.promote(connection, "intake", [one], "ann")
    assert classified() == str(one)
    assert classified(classes=["receipt", "letter"]) is None
    assert [asked_before(), asked_before()] == [False, True]
    with transaction(serving.database) as connection:
        checkpoints.promote(connection, "intake", [one, two], "ann")
    assert classified() == f"{one}+{two}"
    assert not asked_before()
    with transaction(serving.database) as connection:
        checkpoints.promote(connection, "intake", [], "ann")
    assert classified() is None
    assert asked_before()
