"""What a class set has classified, decided on anew by what is kept of it: in a process a core where there is much."""

import gc
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """What is asked about each document that `class_set` has classified, on the pages that it was classified by.

    All of it goes to other processes: `told`, a module's function, makes of what was said and of what the classifiers
    say now, in their order, something to be told of the document, or None.
    """

    class_set: str
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


def decide(
    database: Database, question: Question[T], show: Callable[[int, int], None] = lambda _done, _total: None
) -> Outcome[T]:
    """Decide about each document, by what is committed, and tell `show` how many parts are done, of how many.

    Stored features are all that is needed, and what the classifiers' own encoders made of the pages: no document is
    fetched, read or encoded. From `MANY` documents on, each core that this process may use has a process: this one,
    and others that have what deciding needs, and no model.

    Raises TransientFailure: `decider_lost` when one of them dies, and what `db.session.transaction` raises.
    """
    engine = _engine(database)
    # What modules consist of is no garbage. Looking through it again and again takes a tenth of the time.
    gc.freeze()
    try:
        with transaction(engine) as connection:
            count = queries.count_classifications(connection, question.class_set)
        parts = _parts(count)
        others = min(len(os.sched_getaffinity(0)), len(parts)) - 1
        if count >= MANY and others:
            outcomes = _side_by_side(database, engine, question, parts, others, show)
        else:
            outcomes = []
            for part in parts:
                outcomes.append(_decide(engine, question, part))
                show(len(outcomes), len(parts))
    finally:
        gc.unfreeze()
        engine.dispose()
    return Outcome(
        sum(outcome.silent for outcome in outcomes),
        tuple(item for outcome in outcomes for item in outcome.told),
        tuple(sha256 for outcome in outcomes for sha256 in outcome.without_features),
    )


_Part = tuple[str, str]
"""Documents from the one id on, and before the other."""


def _parts(count: int) -> list[_Part]:
    """Of documents whose ids are digests: about as many in each."""
    number = max(1, round(count / PART))
    starts = [f"{index * 16**8 // number:08x}" for index in range(1, number)]
    return list(pairwise(["", *starts, _BEYOND]))


def _side_by_side(
    database: Database,
    engine: Engine,
    question: Question[T],
    parts: Sequence[_Part],
    others: int,
    show: Callable[[int, int], None],
) -> list[Outcome[T]]:
    """What comes of each part, in their order. The others take them from the first on, this process from the last."""
    pool = ProcessPoolExecutor(
        others,
        multiprocessing.get_context("spawn"),
        initializer=_start,
        # As bytes: torch would share what it pickles for a process by itself, through files that are held open.
        initargs=(database, pickle.dumps(question)),
    )
    try:
        left, own, futures = deque(parts), list[Outcome[T]](), list[Future[Outcome[T]]]()
        while left:
            while left and sum(not future.done() for future in futures) < 2 * others:
                futures.append(pool.submit(_decide_here, left.popleft()))
            if left:
                own.append(_decide(engine, question, left.pop()))
                show(len(own) + sum(map(Future.done, futures)), len(parts))
        theirs: list[Outcome[T]] = []
        for future in futures:
            theirs.append(future.result())
            show(len(own) + max(len(theirs), sum(map(Future.done, futures))), len(parts))
    except BrokenProcessPool as error:
        raise TransientFailure(
            "decider_lost",
            "a process that decided on stored documents was killed, as for a lack of memory; try again, on fewer "
            "cores if memory is short: each has a process (`taskset --cpu-list 0 docintake …` leaves one)",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
    return [*theirs, *reversed(own)]


_here: tuple[Engine, Question[Any]]
"""Of such a process: its connection, and what is asked."""


def _start(database: Database, question: bytes) -> None:
    """The child's end. Ctrl-C goes to all processes of a terminal: the parent's part is to heed it."""
    global _here  # noqa: PLW0603 - a pool's processes have no other place
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _here = _engine(database), pickle.loads(question)  # noqa: S301 - the parent's
    gc.freeze()
    if torch := sys.modules.get("torch"):
        # Each core has its process.
        torch.set_num_threads(1)


def _die_with_parent() -> None:
    """A pool's process that has lost its parent would wait for work for ever."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _decide_here(part: _Part) -> Outcome[Any]:
    return _decide(*_here, part)


def _decide(engine: Engine, question: Question[T], part: _Part) -> Outcome[T]:
    silent = 0
    told: list[T] = []
    without_features: list[str] = []
    keys = frozenset[str]().union(*(classifier.keys_of_encoders for classifier in question.classifiers))
    with transaction(engine) as connection:
        said = queries.latest_classifications(connection, question.class_set, *part)
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
