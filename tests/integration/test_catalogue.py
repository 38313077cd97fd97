"""The classes that a node decides among: current within seconds, built once, and kept when the database is away.

So are the checkpoints that decide with them.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from prometheus_client import REGISTRY
from sqlalchemy import Engine
from structlog.testing import capture_logs
from trained import ENCODER, features, keep, learned, report

from core.backends import EncodePages, Vectors
from core.backends.fake import Fake
from core.class_set import ClassSet, DocumentClass
from core.descriptions import Descriptions
from core.errors import ModelFailure, RejectedInput, TransientFailure
from db import queries
from db.session import make_engine, transaction
from worker import checkpoints, class_sets
from worker.catalogue import ONE_OFF_KEPT, Catalogue, Choice

REFRESH = 0.3
PAGE = features("please pay the bill\ntotal 12.50")


class Encoder:
    """The `fake` backend's, counting its calls; fails when told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = None
        self.entered = threading.Event()
        self.holds_up: threading.Event | None = None

    def __call__(self, texts: Sequence[str]) -> Vectors:
        self.calls += 1
        if self.error:
            raise self.error
        if self.holds_up:
            self.entered.set()
            assert self.holds_up.wait(30)
        return Fake().encode_texts(texts)

    def zero_shot(self, class_set: ClassSet) -> Descriptions:
        return Descriptions.build(class_set, self)


@pytest.fixture
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def catalogue(database: Engine, encoder: Encoder, store: Path) -> Catalogue:
    return Catalogue(database, encoder.zero_shot, ENCODER, store, REFRESH, Fake().tuned)


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
    encoder: Encoder, store: Path, away: Engine
) -> None:
    with pytest.raises(TransientFailure):
        Catalogue(away, encoder.zero_shot, ENCODER, store, REFRESH, Fake().tuned).published("papers")


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
    catalogue: Catalogue, encoder: Encoder, store: Path
) -> None:
    alone = Encoder()
    Catalogue(catalogue._engine, alone.zero_shot, ENCODER, store, REFRESH, Fake().tuned).one_off(["bill", "letter"])
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


def test_names_that_stand_for_nothing_leave_nothing_behind(catalogue: Catalogue, encoder: Encoder) -> None:
    for number in range(3):
        with pytest.raises(RejectedInput):
            catalogue.published(f"no-set-{number}")
    encoder.error = ModelFailure("model_failed", "see log")
    with pytest.raises(ModelFailure):
        catalogue.one_off(["bill", "letter"])
    encoder.error = None
    assert catalogue.one_off(["bill", "letter"]).classifier.names == ("bill", "letter")
    assert catalogue._published == {}


# Refreshing


def test_many_who_ask_for_a_set_at_first_build_it_once(
    database: Engine, catalogue: Catalogue, encoder: Encoder
) -> None:
    publish(database, "bill", "letter")
    encoder.holds_up = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(catalogue.published, "papers") for _ in range(8)]
        assert encoder.entered.wait(30)
        encoder.holds_up.set()
        choices = [item.result(30) for item in waiting]
    assert all(choice is choices[0] for choice in choices)


def test_a_refresh_that_takes_long_holds_nobody_else_up(
    database: Engine, catalogue: Catalogue, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow this machine is just now, the refresh comes soon after it is due.
    monkeypatch.setattr("worker.catalogue._PAUSE", 1000.0)
    publish(database, "bill", "letter")
    first = catalogue.published("papers")
    publish(database, "bill", "recipe")
    encoder.holds_up = threading.Event()
    time.sleep(REFRESH * 1.1)
    with ThreadPoolExecutor(1) as pool:
        refreshing = pool.submit(catalogue.published, "papers")
        assert encoder.entered.wait(30)
        assert all(catalogue.published("papers") is first for _ in range(3))
        assert not refreshing.done()
        encoder.holds_up.set()
        second = refreshing.result(30)
    assert second.version == 2
    assert catalogue.published("papers") is second


def test_after_a_pause_all_wait_for_what_is_current(database: Engine, catalogue: Catalogue, encoder: Encoder) -> None:
    publish(database, "bill", "letter")
    catalogue.published("papers")
    publish(database, "bill", "recipe")
    encoder.holds_up = threading.Event()
    time.sleep(REFRESH * 2)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(catalogue.published, "papers") for _ in range(8)]
        assert encoder.entered.wait(30)
        encoder.holds_up.set()
        assert {item.result(30).version for item in waiting} == {2}


# Checkpoints


@pytest.fixture
def trained(database: Engine, store: Path) -> list[int]:
    """`papers` is in service, and three checkpoints of it are there; of the seeds 0, 1 and 2."""
    publish(database, "bill", "letter")
    with transaction(database) as connection:
        return [keep(connection, store, seed=seed).id for seed in range(3)]


def promote(database: Engine, *ids: int) -> None:
    with transaction(database) as connection:
        checkpoints.promote(connection, "papers", ids, "ann")


def refreshed(catalogue: Catalogue) -> Choice:
    time.sleep(REFRESH * 1.1)
    return catalogue.published("papers")


def file_of(database: Engine, store: Path, checkpoint_id: int) -> Path:
    with transaction(database) as connection:
        return store / checkpoints.find(connection, checkpoint_id).file


def flip_a_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def says(choice: Choice) -> list[float]:
    return [float(chance) for chance in choice.classifier.chances([PAGE])[0]]


def expected(choice: Choice, *seeds: int) -> Any:
    """What the choice's classes say by descriptions and checkpoints of these seeds."""
    untrained = choice.classifier.with_learned(())
    taught = checkpoints.taught(untrained, [learned(seed) for seed in seeds])
    # A file keeps half of the anchors' digits.
    return pytest.approx(says(Choice(taught)), abs=1e-4)


def failures() -> float:
    return REGISTRY.get_sample_value("docintake_checkpoint_load_failures_total", {"class_set": "papers"}) or 0


def active() -> float | None:
    return REGISTRY.get_sample_value("docintake_active_checkpoint", {"class_set": "papers"})


def test_a_promotion_serves_within_the_refresh_time_and_a_rollback_too(
    database: Engine, catalogue: Catalogue, trained: list[int]
) -> None:
    untrained = catalogue.published("papers")
    assert (untrained.checkpoints, untrained.checkpoint, active()) == ((), None, 0)
    promote(database, trained[0])
    first = refreshed(catalogue)
    assert (first.version, first.checkpoint, active()) == (1, str(trained[0]), trained[0])
    assert says(first) == expected(first, 0) != says(untrained)
    promote(database, trained[1])
    assert says(refreshed(catalogue)) == expected(first, 1) != says(first)
    for serving in (trained[0], 0):
        with transaction(database) as connection:
            checkpoints.roll_back(connection, "papers", "ann")
        assert (refreshed(catalogue).checkpoints, active()) == ((serving,) if serving else (), serving)
    assert says(catalogue.published("papers")) == says(untrained)


def test_nothing_is_made_anew_while_neither_version_nor_checkpoints_change(
    database: Engine, catalogue: Catalogue, trained: list[int], encoder: Encoder
) -> None:
    promote(database, trained[0])
    first, calls = catalogue.published("papers"), encoder.calls
    assert refreshed(catalogue) is first
    promote(database, trained[1])
    assert refreshed(catalogue) is not first
    assert encoder.calls == calls


def test_an_ensemble_decides_by_the_mean_of_its_logits(
    database: Engine, catalogue: Catalogue, trained: list[int]
) -> None:
    promote(database, trained[2], trained[1])
    choice = catalogue.published("papers")
    assert (choice.checkpoint, active()) == (f"{trained[1]}+{trained[2]}", trained[2])
    untrained = choice.classifier.with_learned(())
    logits, _ = untrained.logits([[PAGE]])
    bound = [learned(seed).bind(untrained.names, untrained.class_vectors) for seed in (1, 2)]
    total = sum(item.adjust(logits, [[PAGE]])[0] for item in bound)
    mean = total / (bound[0].temperature + bound[1].temperature)
    np.testing.assert_allclose(says(choice), np.exp(mean) / np.exp(mean).sum(), atol=1e-4)


def test_a_new_version_is_decided_by_the_checkpoints_that_are_loaded(
    database: Engine, catalogue: Catalogue, trained: list[int], store: Path
) -> None:
    promote(database, trained[0])
    catalogue.published("papers")
    file_of(database, store, trained[0]).unlink()
    publish(database, "bill", "letter", "recipe")
    choice = refreshed(catalogue)
    assert (choice.version, choice.checkpoints, len(choice.classifier.names)) == (2, (trained[0],), 3)
    assert says(choice) == expected(choice, 0)


def test_a_damaged_file_leaves_what_served_serving_and_is_told_of_once(
    database: Engine, catalogue: Catalogue, trained: list[int], store: Path
) -> None:
    promote(database, trained[0])
    first, before = catalogue.published("papers"), failures()
    file = file_of(database, store, trained[1])
    whole = file.read_bytes()
    flip_a_byte(file)
    promote(database, trained[1])
    with capture_logs() as said:
        assert refreshed(catalogue) is first
        assert refreshed(catalogue) is first
    (line,) = said
    assert (line["log_level"], line["promoted"], line["serving"]) == ("error", [trained[1]], [trained[0]])
    assert (failures() - before, active()) == (1, trained[0])

    file.write_bytes(whole)
    assert says(refreshed(catalogue)) == expected(first, 1)
    flip_a_byte(file_of(database, store, trained[2]))
    promote(database, trained[2])
    assert refreshed(catalogue).checkpoints == (trained[1],)
    assert failures() - before == 2


def test_a_new_version_serves_though_a_checkpoint_cannot(
    database: Engine, catalogue: Catalogue, trained: list[int], store: Path
) -> None:
    promote(database, trained[0])
    catalogue.published("papers")
    flip_a_byte(file_of(database, store, trained[1]))
    promote(database, trained[1])
    publish(database, "bill", "letter", "recipe")
    choice = refreshed(catalogue)
    assert (choice.version, choice.checkpoints) == (2, (trained[0],))
    assert says(choice) == expected(choice, 0)


def put_a_link(file: Path) -> None:
    """To the very same bytes, outside the store."""
    file.symlink_to(file.rename(file.parent.parent / file.name))


def put_a_pickle(file: Path) -> None:
    torch.save({"weight": torch.ones(2)}, file)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("harm", [Path.unlink, flip_a_byte, cut, put_a_link, put_a_pickle])
def test_a_node_that_starts_without_a_sound_file_goes_by_descriptions_alone(
    database: Engine, catalogue: Catalogue, trained: list[int], store: Path, harm: Callable[[Path], None]
) -> None:
    promote(database, trained[0])
    before, file = failures(), file_of(database, store, trained[0])
    whole = file.read_bytes()
    harm(file)
    with capture_logs() as said:
        untrained = catalogue.published("papers")
    assert [line["event"] for line in said if line["log_level"] == "error"] == [
        "checkpoints not loaded, what decided before goes on"
    ]
    assert (untrained.version, untrained.checkpoints, failures() - before, active()) == (1, (), 1, 0)
    assert says(untrained) == expected(untrained)
    file.unlink(missing_ok=True)
    file.write_bytes(whole)
    assert refreshed(catalogue).checkpoints == (trained[0],)


def with_blocks(database: Engine, store: Path) -> int:
    """A checkpoint with a block of its own."""
    own = replace(learned(1), blocks={"layers.0.weight": torch.ones(2)})
    with transaction(database) as connection:
        kept = checkpoints.keep(
            connection, store, own, report(), run_id=None, class_version_id=None, fingerprint="f" * 64
        )
    return kept.id


def test_an_encoder_with_a_checkpoints_own_blocks_is_made_once(
    database: Engine, encoder: Encoder, trained: list[int], store: Path
) -> None:
    made: list[list[str]] = []

    def tuned(blocks: Mapping[str, Any]) -> EncodePages:
        made.append(list(blocks))
        return Fake().encode_texts  # type: ignore[return-value] # never called

    catalogue = Catalogue(database, encoder.zero_shot, ENCODER, store, REFRESH, tuned)
    checkpoint = with_blocks(database, store)
    promote(database, checkpoint)
    (key,) = catalogue.published("papers").encoders
    promote(database, trained[0], checkpoint)
    together = refreshed(catalogue)
    assert (list(together.encoders), together.classifier.keys_of_encoders) == ([key], {key})
    assert made == [["layers.0.weight"]]
    promote(database, trained[0])
    assert refreshed(catalogue).encoders == {}


def test_blocks_that_this_encoder_has_not_leave_what_served_serving(
    database: Engine, catalogue: Catalogue, trained: list[int], store: Path
) -> None:
    promote(database, trained[0])
    first, before = catalogue.published("papers"), failures()
    promote(database, with_blocks(database, store))
    assert refreshed(catalogue) is first
    assert failures() - before == 1


def test_a_checkpoint_whose_row_is_gone_leaves_what_served_serving(
    database: Engine, catalogue: Catalogue, trained: list[int]
) -> None:
    promote(database, trained[0])
    first, before = catalogue.published("papers"), failures()
    with transaction(database) as connection:
        queries.lock_class_set(connection, "papers")
        queries.promote(connection, class_set="papers", checkpoints=[999], back_to=None, by="ann")
    assert refreshed(catalogue) is first
    assert failures() - before == 1


def test_a_checkpoint_of_another_encoder_leaves_a_set_untrained_and_is_warned_of_once(
    database: Engine, encoder: Encoder, trained: list[int], store: Path
) -> None:
    catalogue = Catalogue(database, encoder.zero_shot, "another", store, REFRESH, Fake().tuned)
    promote(database, trained[0])
    before = failures()
    with capture_logs() as said:
        untrained = catalogue.published("papers")
        assert refreshed(catalogue) is untrained
    assert [line["log_level"] for line in said] == ["warning", "info"]
    assert (untrained.checkpoint, failures()) == (None, before)


def test_one_off_classes_are_decided_by_descriptions_alone(
    database: Engine, catalogue: Catalogue, trained: list[int]
) -> None:
    promote(database, trained[0])
    assert catalogue.published("papers").checkpoint == str(trained[0])
    choice = catalogue.one_off(["bill", "letter"])
    assert choice.checkpoint is None
    assert choice.classifier.learned == ()
