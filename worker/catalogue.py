"""The classes that requests are decided among, ready to score, kept as long as they are current."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Engine

from core.backends import Vectors
from core.class_set import ClassSet
from core.classify import Classifier
from core.errors import RejectedInput
from db import queries
from db.session import transaction
from worker import class_sets

log = structlog.get_logger()

ONE_OFF_KEPT = 64


@dataclass(frozen=True, slots=True)
class Choice:
    """A classifier and where its classes came from: a version of a class set, or (all None) the request itself."""

    classifier: Classifier
    class_set: str | None = None
    version: int | None = None
    version_id: int | None = None


class Catalogue:
    """Gives the classifier of a published class set, or of one-off classes.

    A set's published version is looked up again once it is older than `refresh` seconds; a version's embeddings
    are made once. When the new version cannot be loaded, the old one goes on serving and the log says so.
    """

    def __init__(self, engine: Engine, encode_texts: Callable[[Sequence[str]], Vectors], refresh: float) -> None:
        self._engine = engine
        self._encode_texts = encode_texts
        self._refresh = refresh
        self._published: dict[str, tuple[float, Choice]] = {}
        self._one_off: OrderedDict[str, Choice] = OrderedDict()
        self._lock = threading.Lock()
        self._building: dict[str, threading.Lock] = {}

    def one_off(self, classes: list[str] | dict[str, str]) -> Choice:
        """The classifier of classes that a request brought along; the latest ones are kept in memory alone."""
        class_set = ClassSet.one_off(classes)
        digest = class_set.digest
        with self._building_of(digest):
            choice = self._one_off.get(digest) or Choice(Classifier.build(class_set, self._encode_texts))
        with self._lock:
            self._one_off[digest] = choice
            self._one_off.move_to_end(digest)
            while len(self._one_off) > ONE_OFF_KEPT:
                self._one_off.popitem(last=False)
            self._building.pop(digest, None)
        return choice

    def published(self, class_set: str) -> Choice:
        """The published version of a class set. Raises RejectedInput(`unknown_class_set`) when there is none."""
        with self._building_of(class_set):
            looked_up, choice = self._published.get(class_set, (float("-inf"), None))
            if choice is not None and time.monotonic() - looked_up < self._refresh:
                return choice
            try:
                current = self._current(class_set, choice)
            except RejectedInput:
                raise
            except Exception:
                if choice is None:
                    raise
                log.exception("class set not refreshed, the old version serves", class_set=class_set)
                current = choice
            self._published[class_set] = (time.monotonic(), current)
            return current

    def _current(self, class_set: str, serving: Choice | None) -> Choice:
        with transaction(self._engine) as connection:
            version = queries.published_version(connection, class_set)
            if version is None:
                raise RejectedInput(
                    "unknown_class_set",
                    f"no class set {class_set!r} is published; `docintake classes list` shows those that are",
                )
            if serving is not None and serving.version_id == version.id:
                return serving
            content = class_sets.read(connection, version)
        classifier = Classifier.build(content, self._encode_texts)
        log.info("class set loaded", class_set=class_set, version=version.number, classes=len(content.classes))
        return Choice(classifier, class_set, version.number, version.id)

    def _building_of(self, key: str) -> threading.Lock:
        with self._lock:
            return self._building.setdefault(key, threading.Lock())
