"""Histories that are decided on anew, on a real PostgreSQL, by one process and by several."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from core.backends.fake import Fake
from core.class_set import ClassSet, DocumentClass
from core.classify import Classifier, Decision
from core.descriptions import Descriptions
from core.errors import TransientFailure
from core.settings import Database, Thresholds
from db.queries import LatestClassification
from db.session import transaction
from worker import class_sets, history
from worker.history import Outcome, Question
from worker.runtime import encoder_of

NAMES = ("invoice", "letter", "receipt")
PAPERS = ClassSet(name="papers", classes=tuple(DocumentClass(name=name) for name in NAMES))
TEXTS = ("dear bob", "please pay the bill", "total 12.50", "amount due", "to pay", "kind regards", "receipt")
"""The digest of `to pay` is in the first of eight parts, that of `kind regards` in the last."""

Said = tuple[str, str | None, float]


def said(item: LatestClassification, decisions: Sequence[Decision]) -> Said | None:
    (decision,) = decisions
    return None if decision.prediction == NAMES[0] else (item.sha256, decision.prediction, decision.confidence)


def killed(_item: LatestClassification, _decisions: Sequence[Decision]) -> None:
    """By the kernel, as when memory is short; the one that asked does nothing until then."""
    if multiprocessing.parent_process():
        os.kill(os.getpid(), signal.SIGKILL)
    for other in multiprocessing.active_children():
        other.join(60)


def unsaid(_item: LatestClassification, _decisions: Sequence[Decision]) -> None:
    """Nothing is to be told of any."""


def interrupted(_item: LatestClassification, _decisions: Sequence[Decision]) -> None:
    if not multiprocessing.parent_process():
        raise KeyboardInterrupt


@pytest.fixture
def settings(database: Engine, classified: Callable[..., str]) -> Database:
    """Of a history of eight documents, one of them without features."""
    with transaction(database) as connection:
        class_sets.import_draft(connection, PAPERS)
        class_sets.publish(connection, "papers")
    for text in TEXTS:
        classified(text)
    classified("dear aunt", encoder="an older model")
    return Database(url=SecretStr(database.url.render_as_string(hide_password=False)))


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document each, of which two are decided on together."""
    monkeypatch.setattr(history, "PART", 1)
    monkeypatch.setattr(history, "TOGETHER", 2)


@pytest.fixture
def two_cores(small_parts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """To be used from the first document on."""
    monkeypatch.setattr(history, "MANY", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0, 1})


def asked(told: Callable[[LatestClassification, Sequence[Decision]], Said | None]) -> Question[Said]:
    classifier = Classifier(Descriptions.build(PAPERS, Fake().encode_texts))
    return Question(encoder_of(Fake()), (classifier,), Thresholds(), told)


def decided(
    settings: Database,
    told: Callable[[LatestClassification, Sequence[Decision]], Said | None],
    show: Callable[[int, int], None] = lambda _done, _total: None,
) -> Outcome[Said]:
    with history.deciders(settings, "papers") as those:
        return those.decide(asked(told), show)


def test_parts_leave_nothing_out_and_have_as_much_each() -> None:
    assert history._parts(0) == history._parts(2_999) == [("", "g")]
    parts = history._parts(100_000)
    assert [len(parts), parts[0], parts[-1]] == [50, ("", "051eb851"), ("fae147ae", "g")]
    assert all(one[1] == other[0] for one, other in pairwise(parts))


@pytest.mark.usefixtures("small_parts")
def test_a_small_history_is_decided_on_by_this_process_in_parts(settings: Database) -> None:
    shown = []
    found = decided(settings, said, lambda *far: shown.append((*far, len(multiprocessing.active_children()))))
    assert shown == [(done, 8, 0) for done in range(1, 9)]
    assert len(found.without_features) == 1
    assert found.silent + len(found.told) == len(TEXTS)


@pytest.mark.usefixtures("two_cores")
def test_two_processes_say_what_one_says_in_the_same_order(
    settings: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []
    found = decided(settings, said, lambda *far: shown.append((*far, multiprocessing.active_children())))
    assert [total for _, total, _ in shown] == [8] * len(shown)
    assert [done for done, _, _ in shown] == sorted(done for done, _, _ in shown)
    assert shown[-1][0] == 8
    assert any(others for _, _, others in shown)
    assert multiprocessing.active_children() == []
    monkeypatch.undo()
    assert decided(settings, said) == found
    assert found.told
    assert found.silent
    assert list(found.told) == sorted(found.told)


@pytest.mark.usefixtures("two_cores")
def test_a_process_that_dies_ends_it_all_with_what_to_do(settings: Database) -> None:
    with pytest.raises(TransientFailure, match=r"decider_lost.*try again, on fewer cores"):
        decided(settings, killed)
    assert multiprocessing.active_children() == []


@pytest.mark.usefixtures("two_cores")
def test_an_interrupt_ends_all_processes(settings: Database) -> None:
    with pytest.raises(KeyboardInterrupt):
        decided(settings, interrupted)
    assert multiprocessing.active_children() == []


@pytest.mark.usefixtures("two_cores")
def test_the_others_start_before_anything_is_asked_and_end_if_nothing_is(settings: Database) -> None:
    with history.deciders(settings, "papers"):
        assert multiprocessing.active_children()
    assert multiprocessing.active_children() == []


@pytest.mark.usefixtures("two_cores")
def test_the_others_do_not_heed_an_interrupt_even_while_they_start(settings: Database) -> None:
    with history.deciders(settings, "papers") as those:
        for other in multiprocessing.active_children():
            assert other.pid
            os.kill(other.pid, signal.SIGINT)
        assert those.decide(asked(said)).told


@pytest.mark.usefixtures("two_cores")
def test_the_same_processes_are_asked_one_thing_after_another(settings: Database) -> None:
    with history.deciders(settings, "papers") as those:
        before = multiprocessing.active_children()
        first, second = those.decide(asked(said)), those.decide(asked(unsaid))
        assert multiprocessing.active_children() == before
    assert first.told
    assert (second.told, second.silent) == ((), len(TEXTS))
