"""The classes that a node decides among: current within seconds, built once, and kept when the database is away."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from core.backends import Vectors
from core.backends.fake import Fake
from core.class_set import ClassSet, DocumentClass
from core.errors import ModelFailure, RejectedInput, TransientFailure
from db.session import make_engine, transaction
from worker import class_sets
from worker.catalogue import ONE_OFF_KEPT, Catalogue

REFRESH = 0.3


class Encoder:
    """The `fake` backend's, counting its calls; fails when told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = None
        self.holds_up: threading.Event | None = None

    def __call__(self, texts: Sequence[str]) -> Vectors:
        self.calls += 1
        if self.error:
            raise self.error
        if self.holds_up:
            assert self.holds_up.wait(30)
        return Fake().encode_texts(texts)


@pytest.fixture
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture
def catalogue(database: Engine, encoder: Encoder) -> Catalogue:
    return Catalogue(database, encoder, REFRESH)


@pytest.fixture
def away(encoder: Encoder) -> Iterator[Engine]:
    """An engine whose server is not there."""
    engine = make_engine("postgresql://nobody@127.0.0.1:1/none", statement_timeout=1, pool_size=1)
    yield engine
    engine.dispose()


def publish(database: Engine, *names: str) -> int:
    classes = tuple(DocumentClass(name=name, description=f"a {name}") for name in names)
    with transaction(database) as connection:
        class_sets.import_draft(connection, ClassSet(name="papers", classes=classes))
        return class_sets.publish(connection, "papers").now.number


def test_a_published_set_is_loaded_once(database: Engine, catalogue: Catalogue, encoder: Encoder) -> None:
    publish(database, "bill", "letter")
    first = catalogue.published("papers")
    calls = encoder.calls
    assert (first.class_set, first.version) == ("papers", 1)
    assert sorted(first.classifier.names) == ["bill", "letter"]
    assert catalogue.published("papers") is first
    time.sleep(REFRESH * 1.1)
    assert catalogue.published("papers") is first
    assert encoder.calls == calls


def test_a_new_version_serves_within_the_refresh_time_and_a_rollback_too(
    database: Engine, catalogue: Catalogue
) -> None:
    publish(database, "bill", "letter")
    assert catalogue.published("papers").version == 1
    publish(database, "bill", "letter", "recipe")
    time.sleep(REFRESH * 1.1)
    assert sorted(catalogue.published("papers").classifier.names) == ["bill", "letter", "recipe"]
    with transaction(database) as connection:
        class_sets.roll_back(connection, "papers")
    time.sleep(REFRESH * 1.1)
    current = catalogue.published("papers")
    assert (current.version, sorted(current.classifier.names)) == (1, ["bill", "letter"])


def test_a_set_that_is_not_published_is_refused_until_it_is(database: Engine, catalogue: Catalogue) -> None:
    for _ in range(2):
        with pytest.raises(RejectedInput, match="unknown_class_set"):
            catalogue.published("papers")
    publish(database, "bill", "letter")
    assert catalogue.published("papers").version == 1


def test_the_old_version_serves_on_while_the_database_is_away(
    database: Engine, catalogue: Catalogue, away: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(database, "bill", "letter")
    first = catalogue.published("papers")
    publish(database, "bill", "recipe")
    monkeypatch.setattr(catalogue, "_engine", away)
    time.sleep(REFRESH * 1.1)
    assert catalogue.published("papers") is first
    monkeypatch.setattr(catalogue, "_engine", database)
    time.sleep(REFRESH * 1.1)
    assert catalogue.published("papers").version == 2


def test_without_an_old_version_a_database_that_is_away_is_a_transient_failure(
    encoder: Encoder, away: Engine
) -> None:
    with pytest.raises(TransientFailure):
        Catalogue(away, encoder, REFRESH).published("papers")


@pytest.mark.parametrize("error", [ModelFailure("model_failed", "see log"), KeyError("of the model's")])
def test_a_version_that_cannot_be_loaded_leaves_the_old_one_serving(
    database: Engine, catalogue: Catalogue, encoder: Encoder, error: Exception
) -> None:
    publish(database, "bill", "letter")
    first = catalogue.published("papers")
    publish(database, "bill", "recipe")
    encoder.error = error
    time.sleep(REFRESH * 1.1)
    assert catalogue.published("papers") is first
    encoder.error = None
    time.sleep(REFRESH * 1.1)
    assert catalogue.published("papers").version == 2


def test_one_off_classes_are_built_once_in_whatever_order_they_stand(catalogue: Catalogue, encoder: Encoder) -> None:
    first = catalogue.one_off(["bill", "letter"])
    calls = encoder.calls
    assert (first.class_set, first.version, first.version_id) == (None, None, None)
    assert catalogue.one_off(["letter", "bill"]) is first
    assert catalogue.one_off({"bill": "", "letter": ""}) is first
    assert encoder.calls == calls
    assert catalogue.one_off({"bill": "a supplier's", "letter": ""}) is not first


def test_many_who_bring_the_same_one_off_classes_at_once_build_them_once(
    catalogue: Catalogue, encoder: Encoder
) -> None:
    alone = Encoder()
    Catalogue(catalogue._engine, alone, REFRESH).one_off(["bill", "letter"])
    encoder.holds_up = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(catalogue.one_off, ["bill", "letter"]) for _ in range(8)]
        encoder.holds_up.set()
        choices = [item.result(30) for item in waiting]
    assert all(choice is choices[0] for choice in choices)
    assert encoder.calls == alone.calls


def test_only_the_latest_one_off_classes_are_kept(
    catalogue: Catalogue, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.catalogue.ONE_OFF_KEPT", 3)
    assert ONE_OFF_KEPT > 3
    first = catalogue.one_off(["bill", "letter"])
    second = catalogue.one_off(["bill", "recipe"])
    catalogue.one_off(["bill", "menu"])
    assert catalogue.one_off(["bill", "letter"]) is first
    catalogue.one_off(["bill", "map"])
    assert catalogue.one_off(["bill", "letter"]) is first
    assert catalogue.one_off(["bill", "recipe"]) is not second
