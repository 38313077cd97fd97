"""The classes that requests are decided among, ready to score, kept as long as they are current."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy import Engine

from core.backends import EncodePages
from core.class_set import ClassSet
from core.classify import Classifier
from core.errors import ModelFailure, RejectedInput
from core.zero_shot import ZeroShot
from db import queries
from db.queries import Checkpoint, Promotion
from db.session import transaction
from worker import checkpoints, class_sets, metrics

if TYPE_CHECKING:
    from torch import Tensor

    from core.alignment import Learned

log = structlog.get_logger()

ONE_OFF_KEPT = 64
_PAUSE: Final = 1.5
"""Refresh times after which what is there may be long out of date: then all wait for it to be looked up."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A classifier and where its classes came from: a version of a class set, or (all None) the request itself.

    `checkpoints` are those that decide as well; without any the classifier goes by descriptions alone. `encoders`, by
    key, are those that pages have to be seen by for it, beside the backend's own.
    """

    classifier: Classifier
    class_set: str | None = None
    version: int | None = None
    version_id: int | None = None
    checkpoints: tuple[int, ...] = ()
    encoders: Mapping[str, EncodePages] = field(default_factory=dict)

    @property
    def checkpoint(self) -> str | None:
        """What results call it: `12`, or `12+15` for an ensemble."""
        return "+".join(map(str, self.checkpoints)) or None


@dataclass(slots=True)
class _OneOff:
    """Classes that a request brought along; whoever builds their classifier holds the lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    choice: Choice | None = None


@dataclass(slots=True)
class _Published:
    """A class set as it is served here. Whoever looks it up holds the lock, and others wait if it is `awaited`.

    `learned` are the checkpoints that decide, and `encoders` what they see pages with; `noticed` is the last
    promotion that could not be followed.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    choice: Choice | None = None
    looked_up: float = float("-inf")
    awaited: bool = True
    learned: "dict[int, Learned]" = field(default_factory=dict)
    encoders: dict[str, EncodePages] = field(default_factory=dict)
    noticed: int | None = None


class Catalogue:
    """Gives the classifier of a published class set, or of one-off classes.

    A set's published version and its promoted checkpoints are looked up again once they are older than `refresh`
    seconds, by one task while others go on with what there is. A version's embeddings are made once, and a
    checkpoint's file in `store` is read once. What cannot be loaded leaves the old one serving, and where there is
    none, descriptions alone. `zero_shot` makes classes of a class set, `encoder` names what documents' features are
    made with here, and `tuned` makes it see by a checkpoint's own blocks, as `Backend.tuned` does.
    """

    def __init__(
        self,
        engine: Engine,
        zero_shot: Callable[[ClassSet], ZeroShot],
        encoder: str,
        store: Path,
        refresh: float,
        tuned: "Callable[[Mapping[str, Tensor]], EncodePages]",
    ) -> None:
        self._engine = engine
        self._zero_shot = zero_shot
        self._encoder = encoder
        self._store = store
        self._refresh = refresh
        self._tuned = tuned
        self._published: dict[str, _Published] = {}
        self._one_off: OrderedDict[str, _OneOff] = OrderedDict()
        self._lock = threading.Lock()

    def one_off(self, classes: list[str] | dict[str, str]) -> Choice:
        """The classifier of classes that a request brought along; the latest ones are kept in memory alone."""
        class_set = ClassSet.one_off(classes)
        with self._lock:
            kept = self._one_off.setdefault(class_set.digest, _OneOff())
            self._one_off.move_to_end(class_set.digest)
            while len(self._one_off) > ONE_OFF_KEPT:
                self._one_off.popitem(last=False)
        with kept.lock:
            if kept.choice is None:
                classifier = Classifier(self._zero_shot(class_set))
                kept.choice = Choice(classifier, encoders=classifier.zero_shot.encoders)
            return kept.choice

    def published(self, class_set: str) -> Choice:
        """The published version of a class set. Raises RejectedInput(`unknown_class_set`) when there is none."""
        with self._lock:
            served = self._published.setdefault(class_set, _Published())
            choice, age = served.choice, time.monotonic() - served.looked_up
            if choice is not None and age < self._refresh:
                return choice
            mine = served.lock.acquire(blocking=False)
            if mine:
                served.awaited = age > _PAUSE * self._refresh
            elif choice is not None and not served.awaited:
                return choice
        if not mine:
            served.lock.acquire()
        try:
            return self._look_up(class_set, served)
        finally:
            with self._lock:
                # Anything may be asked for: of what is not there, nothing is kept.
                if served.choice is None:
                    self._published.pop(class_set, None)
                else:
                    self._published[class_set] = served
            served.lock.release()

    def _look_up(self, class_set: str, served: _Published) -> Choice:
        if served.choice is not None and time.monotonic() - served.looked_up < self._refresh:
            return served.choice
        try:
            current = self._current(class_set, served)
        except RejectedInput:
            served.choice = None
            raise
        except Exception:
            if served.choice is None:
                raise
            log.exception("class set not refreshed, the old version serves", class_set=class_set)
            current = served.choice
        served.choice, served.looked_up = current, time.monotonic()
        return current

    def _current(self, class_set: str, served: _Published) -> Choice:
        with transaction(self._engine) as connection:
            version = queries.published_version(connection, class_set)
            if version is None:
                raise RejectedInput(
                    "unknown_class_set",
                    f"no class set {class_set!r} is published; `docintake classes list` shows those that are",
                )
            promotion = queries.serving(connection, class_set)
            wanted = tuple(promotion.checkpoints) if promotion else ()
            before = served.choice if served.choice is not None and served.choice.version_id == version.id else None
            if before is not None and before.checkpoints == wanted:
                return before
            content = class_sets.read(connection, version)
            promoted = queries.get_checkpoints(connection, wanted)
        untrained = before.classifier if before is not None else Classifier(self._zero_shot(content))
        classifier = self._taught(untrained, served, promotion, promoted)
        serving = tuple(served.learned)
        if before is not None and before.checkpoints == serving:
            return before
        log.info(
            "class set loaded",
            class_set=class_set,
            version=version.number,
            classes=len(content.classes),
            checkpoints=serving,
        )
        metrics.ACTIVE_CHECKPOINT.labels(class_set).set(max(serving, default=0))
        encoders = {**classifier.zero_shot.encoders, **served.encoders}
        return Choice(classifier, class_set, version.number, version.id, serving, encoders)

    def _taught(
        self, classifier: Classifier, served: _Published, promotion: Promotion | None, promoted: Sequence[Checkpoint]
    ) -> Classifier:
        """The classifier with what was promoted, or else with what served before: `served` says which."""
        try:
            learned = self._learned(served, promotion, promoted)
            taught = checkpoints.taught(classifier, list(learned.values()))
            encoders = {
                item.key: served.encoders.get(item.key) or self._tuned(item.blocks)
                for item in learned.values()
                if item.key is not None
            }
        except Exception:
            if promotion is not None and self._is_news(served, promotion):
                log.exception(
                    "checkpoints not loaded, what decided before goes on",
                    class_set=promotion.class_set,
                    promoted=promotion.checkpoints,
                    serving=list(served.learned),
                )
                metrics.LOAD_FAILURES.labels(promotion.class_set).inc()
            return checkpoints.taught(classifier, list(served.learned.values()))
        served.learned, served.encoders = learned, encoders
        return taught

    def _learned(
        self, served: _Published, promotion: Promotion | None, promoted: Sequence[Checkpoint]
    ) -> "dict[int, Learned]":
        """What was promoted, by checkpoint; nothing where another encoder's documents were learned from."""
        if promotion is None:
            return {}
        if len(promoted) < len(promotion.checkpoints):
            raise ModelFailure("checkpoint_missing", f"promotion {promotion.id} names checkpoints that are gone")
        if any(item.encoder != self._encoder for item in promoted):
            if self._is_news(served, promotion):
                log.warning(
                    "checkpoints are of another encoder, descriptions alone decide",
                    class_set=promotion.class_set,
                    promoted=promotion.checkpoints,
                    encoder=self._encoder,
                )
            return {}
        return {item.id: served.learned.get(item.id) or checkpoints.load(self._store, item) for item in promoted}

    @staticmethod
    def _is_news(served: _Published, promotion: Promotion) -> bool:
        """Whether this promotion's trouble is to be told of: once, though each refresh tries again."""
        news = served.noticed != promotion.id
        served.noticed = promotion.id
        return news
