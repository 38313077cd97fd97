"""What a class set has classified, decided on anew by what is kept of it: in a process a core where there is much."""

import gc
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Engine

from core.classify import Classifier, Decision
from core.errors import TransientFailure
from core.features import Features
from core.settings import Database, Thresholds
from db import queries
from db.queries import LatestClassification
from db.session import make_engine, transaction
from worker import features

T = TypeVar("T")

TOGETHER: Final = 256
"""Documents that are decided on together."""
PART: Final = 2_000
"""Documents, about, that one process takes at a time."""
MANY: Final = 20_000
"""Documents from which on several processes are faster than one: each takes a second to start."""

_BEYOND: Final = "g"
"""Sorts behind all hexadecimal digits."""
_Part = tuple[str, str]
"""Documents from the one id on, and before the other."""


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """What is asked about each document, on the pages that it was classified by.

    All of it goes to other processes: `told`, a module's function, makes of what was said and of what the classifiers
    say now, in their order, something to be told of the document, or None.
    """

    encoder: str
    classifiers: tuple[Classifier, ...]
    thresholds: Thresholds
    told: Callable[[LatestClassification, Sequence[Decision]], T | None]


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """How many documents there is nothing to be told of, what is told of the others, and the ids of those that no
    page's features stand for: another model or reader read them. Both by the documents' ids.
    """

    silent: int
    told: tuple[T, ...]
    without_features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deciders:
    """Those that decide about the documents of one class set: this process, and `others` in a pool. They take its
    parts until none is left.
    """

    engine: Engine
    class_set: str
    parts: Sequence[_Part]
    others: int = 0
    pool: ProcessPoolExecutor | None = None

    def decide(
        self, question: Question[T], show: Callable[[int, int], None] = lambda _done, _total: None
    ) -> Outcome[T]:
        """Decide about each document, by what is committed, and tell `show` how many parts are done, of how many.

        Stored features are all that is needed, and what the classifiers' own encoders made of the pages: no document
        is fetched, read or encoded.

        Raises TransientFailure: `decider_lost` when a process dies, and what `db.session.transaction` raises.
        """
        # What modules consist of is no garbage. Looking through it again and again takes a tenth of the time.
        gc.freeze()
        try:
            outcomes = self._side_by_side(question, show)
        except BrokenProcessPool as error:
            raise TransientFailure(
                "decider_lost",
                "a process that decided on stored documents was killed, as for a lack of memory; try again, on fewer "
                "cores if memory is short: each has a process (`taskset --cpu-list 0 docintake …` leaves one)",
            ) from error
        finally:
            gc.unfreeze()
        return Outcome(
            sum(outcome.silent for outcome in outcomes),
            tuple(item for outcome in outcomes for item in outcome.told),
            tuple(sha256 for outcome in outcomes for sha256 in outcome.without_features),
        )

    def _side_by_side(self, question: Question[T], show: Callable[[int, int], None]) -> list[Outcome[T]]:
        """What comes of each part, in their order. The others take them from the first on, this process from the
        last.
        """
        # As bytes, which come with each part: torch would share what it pickles for a process by itself, through
        # files that are held open, and a process that is given them as it starts is waited for until it has.
        asked = pickle.dumps(question)
        left, own, futures = deque(self.parts), list[Outcome[T]](), list[Future[Outcome[T]]]()
        while left:
            while self.pool and left and sum(not future.done() for future in futures) < 2 * self.others:
                futures.append(self.pool.submit(_decide_here, asked, left.popleft()))
            if left:
                own.append(_decide(self.engine, self.class_set, question, left.pop()))
                gc.freeze()  # what is kept is no garbage either
                show(len(own) + sum(map(Future.done, futures)), len(self.parts))
        theirs: list[Outcome[T]] = []
        for future in futures:
            theirs.append(future.result())
            show(len(own) + max(len(theirs), sum(map(Future.done, futures))), len(self.parts))
        return [*theirs, *reversed(own)]


@contextmanager
def deciders(database: Database, class_set: str) -> Iterator[Deciders]:
    """Those that decide about each document that the set has classified: from `MANY` on, a process for each core that
    this one may use. They have what deciding needs, and no model, and start while the question is put together.

    Raises what `db.session.transaction` raises.
    """
    engine = _engine(database)
    try:
        with transaction(engine) as connection:
            count = queries.count_classifications(connection, class_set)
        parts = _parts(count)
        others = min(len(os.sched_getaffinity(0)), len(parts)) - 1
        if count < MANY or not others:
            yield Deciders(engine, class_set, parts)
            return
        pool = ProcessPoolExecutor(
            others, multiprocessing.get_context("spawn"), initializer=_start, initargs=(database, class_set)
        )
        try:
            # Ctrl-C goes to all processes of a terminal: the one that asks has to heed it, and no other.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                for _ in range(others):
                    pool.submit(_begin)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            yield Deciders(engine, class_set, parts, others, pool)
        finally:
            pool.shutdown(cancel_futures=True)
    finally:
        engine.dispose()


def _parts(count: int) -> list[_Part]:
    """Of documents whose ids are digests: about as many in each."""
    number = max(1, round(count / PART))
    starts = [f"{index * 16**8 // number:08x}" for index in range(1, number)]
    return list(pairwise(["", *starts, _BEYOND]))


_here: tuple[Engine, str]
"""Of such a process: its connection, and the class set."""


def _start(database: Database, class_set: str) -> None:
    """The child's end."""
    global _here  # noqa: PLW0603 - a pool's processes have no other place
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _here = _engine(database), class_set


def _die_with_parent() -> None:
    """A pool's process that has lost its parent would wait for work for ever."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _begin() -> None:
    """The first work of a process: a pool starts none without any."""


def _decide_here(asked: bytes, part: _Part) -> Outcome[Any]:
    return _decide(*_here, _question(asked), part)


@lru_cache(maxsize=1)
def _question(asked: bytes) -> Question[Any]:
    """The same for each part, and read once."""
    question: Question[Any] = pickle.loads(asked)  # noqa: S301 - the parent's
    gc.freeze()
    if torch := sys.modules.get("torch"):
        # Each core has its process.
        torch.set_num_threads(1)
    return question


def _decide(engine: Engine, class_set: str, question: Question[T], part: _Part) -> Outcome[T]:
    silent = 0
    told: list[T] = []
    without_features: list[str] = []
    keys = frozenset[str]().union(*(classifier.keys_of_encoders for classifier in question.classifiers))
    with transaction(engine) as connection:
        said = queries.latest_classifications(connection, class_set, *part)
        while batch := list(islice(said, TOGETHER)):
            stored = features.of(connection, [item.sha256 for item in batch], question.encoder, keys)
            seen: list[LatestClassification] = []
            documents: list[list[tuple[int, Features | None]]] = []
            for item in batch:
                pages = stored.get(item.sha256, {})
                if pages.keys() >= set(item.pages):
                    seen.append(item)
                    documents.append([(page, pages[page]) for page in item.pages])
                else:
                    without_features.append(item.sha256)
            decisions = [
                classifier.decide_all(documents, question.thresholds, top=1) for classifier in question.classifiers
            ]
            for item, *own in zip(seen, *decisions, strict=True):
                tale = question.told(item, own)
                if tale is None:
                    silent += 1
                else:
                    told.append(tale)
    return Outcome(silent, tuple(told), tuple(without_features))


def _engine(database: Database) -> Engine:
    url = database.url
    return make_engine(
        url.get_secret_value() if url else "", statement_timeout=database.statement_timeout, pool_size=1
    )
