"""Forgetting a case everywhere: in PostgreSQL and Redis, in the hands of nodes, and in the logs of this machine."""

import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from celery import Celery
from kombu.exceptions import OperationalError
from redis import RedisError
from redis.exceptions import NoPermissionError
from sqlalchemy import Connection, Engine

from core.errors import RejectedInput, TransientFailure
from db import queries
from db.session import transaction
from worker.case import Case
from worker.forgotten import DROP
from worker.mail import Mail, Message, Result

PATIENCE: Final = 60.0
"""Seconds that nodes may take to end what they are at work on: one that died is not told from one that takes long."""
_TICK: Final = 0.2
_TASK_ID: Final = re.compile(rb'"task_id": ("(?:[^"\\]|\\.)*")')

Find = Callable[[Connection], Case]


@contextmanager
def _with_a_broker() -> Iterator[None]:
    try:
        yield
    except NoPermissionError as error:
        raise RejectedInput(
            "broker_refused", f"Redis refuses its user: {error}; docs/access.md says what forgetting needs"
        ) from error
    except (RedisError, OperationalError) as error:
        raise TransientFailure(
            "broker_unavailable", "Redis cannot be reached, and holds what it held of the case; run this again"
        ) from error


@dataclass(frozen=True, slots=True)
class Erased:
    """How much there was of a case: rows by kind, `messages` and `results` in Redis, `log_lines`.

    And what is left: `kept`, the ids of documents that others sent as well; `checkpoints` that may have learned from
    its labels; `at_work`, the ids of tasks that nodes had not ended in time, and may leave something behind.
    """

    counts: dict[str, int]
    kept: tuple[str, ...] = ()
    checkpoints: tuple[int, ...] = ()
    at_work: tuple[str, ...] = ()


class Forgetting:
    """The places where a case may be: a database, a broker, and the folder of this machine's logs.

    A case is given by the function that finds it in the database, as it is by then. All of it raises RejectedInput
    (`unknown_case`) where nothing is known of it anywhere, and TransientFailure: `database_unavailable`,
    `broker_unavailable`.
    """

    def __init__(self, engine: Engine, app: Celery, logs: Path) -> None:
        self._engine = engine
        self._app = app
        self._mail = Mail(app)
        self._logs = logs

    @_with_a_broker()
    def look(self, find: Find) -> Erased:
        """What there is of a case, which stays."""
        with transaction(self._engine) as connection:
            case = find(connection)
            counts = queries.count_rows(connection, case.documents, case.tasks)
            checkpoints = queries.checkpoints_since_labels(connection, case.documents)
        messages = self._mail.messages(case)
        case = _with_tasks_of(case, messages)
        results = self._mail.results(case)
        _refuse_unknown(counts, messages, results)
        counts |= {"messages": len(messages), "results": len(results), "log_lines": self._mask(case, dry_run=True)}
        return Erased(counts, tuple(sorted(case.shared)), tuple(checkpoints))

    @_with_a_broker()
    def forget(self, find: Find, tell: Callable[[int], None] = lambda _: None) -> Erased:
        """Erase a case. It is safe to do so again.

        Messages go first, so that no node begins anew. Then what nodes are at work on is waited for, up to PATIENCE
        seconds: `tell` hears how many tasks that are. What PostgreSQL knows goes in one transaction, and results
        that wait in Redis after it.
        """
        with transaction(self._engine) as connection:
            case = find(connection)
            counts = queries.count_rows(connection, case.documents, case.tasks)
        messages = self._mail.messages(case)
        case = _with_tasks_of(case, messages)
        _refuse_unknown(counts, messages, self._mail.results(case))
        self._drop(case)
        self._erase(messages)
        held = {message.task_id for message in messages if message.tag is not None}
        at_work = self._wait(case.tasks | held, tell)
        log_lines = self._mask(case)
        with transaction(self._engine) as connection:
            # By now there may be more of it.
            now = find(connection)
            case = replace(now, tasks=now.tasks | case.tasks)
            counts = queries.count_rows(connection, case.documents, case.tasks)
            checkpoints = queries.checkpoints_since_labels(connection, case.documents)
            queries.forget_places(connection, case.shared, case.tasks)
            queries.forget_corrections(connection, case.tasks)
            queries.forget_jobs(connection, case.tasks)
            queries.forget_documents(connection, case.documents)
            redacted = queries.redact_errors(connection, case.documents) if case.documents else []
        again = self._mail.messages(case)
        self._erase(again)
        results = self._mail.results(case)
        for result in results:
            self._mail.erase_result(result)
        for task_id in redacted:
            self._mail.redact(task_id, case.documents)
        counts |= {
            "messages": len({message.task_id for message in (*messages, *again)}),
            "results": len(results),
            "log_lines": log_lines + self._mask(case),
        }
        return Erased(counts, tuple(sorted(case.shared)), tuple(checkpoints), at_work)

    def _drop(self, case: Case) -> None:
        """Have nodes drop what they have in their memory, or are sent again, of tasks that are under way."""
        with transaction(self._engine) as connection:
            known = queries.tasks_among(connection, case.tasks)
        under_way = [
            task_id for task_id in case.tasks if task_id not in known or known[task_id][1] in ("received", "started")
        ]
        if under_way:
            self._app.control.broadcast(DROP, arguments={"task_ids": under_way})

    def _erase(self, messages: Collection[Message]) -> None:
        for message in messages:
            self._mail.erase_message(message)

    def _wait(self, task_ids: Collection[str], tell: Callable[[int], None]) -> tuple[str, ...]:
        """Those of the tasks that have not ended in time."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with transaction(self._engine) as connection:
                known = queries.tasks_among(connection, task_ids)
            at_work = sorted(task_id for task_id, (_, state) in known.items() if state == "started")
            if not at_work or time.monotonic() > deadline:
                return tuple(at_work)
            tell(len(at_work))
            time.sleep(_TICK)

    def _mask(self, case: Case, *, dry_run: bool = False) -> int:
        """Write over what names the case in the logs of `docintake up`; returns in how many lines that was.

        In place, to the byte, since others append to them. Raises RejectedInput(`log_not_writable`).
        """
        return sum(_mask_log(log, case, dry_run) for log in sorted(self._logs.glob("*.log")))


def _with_tasks_of(case: Case, messages: Collection[Message]) -> Case:
    return replace(case, tasks=case.tasks | {message.task_id for message in messages if message.rest is None})


def _refuse_unknown(counts: dict[str, int], messages: list[Message], results: list[Result]) -> None:
    if not (any(counts.values()) or messages or results):
        raise RejectedInput(
            "unknown_case", "nothing is known of it: no row, no message, no result; it may be forgotten already"
        )


def _mask_log(log: Path, case: Case, dry_run: bool) -> int:
    needles = [text.encode() for text in (*case.documents, *case.places)]

    def masked(line: bytes) -> bytes:
        line = _TASK_ID.sub(
            lambda found: (
                found.group().replace(found[1], b'"' + b"x" * (len(found[1]) - 2) + b'"')
                if json.loads(found[1]) in case.tasks
                else found.group()
            ),
            line,
        )
        for needle in needles:
            line = line.replace(needle, b"x" * len(needle))
        return line

    try:
        with log.open("rb" if dry_run else "r+b") as file:
            at = lines = 0
            for line in file:
                if (clean := masked(line)) != line:
                    lines += 1
                    if not dry_run:
                        os.pwrite(file.fileno(), clean, at)
                at += len(line)
            return lines
    except OSError as error:
        raise RejectedInput(
            "log_not_writable", f"{log} names the case and cannot be changed: {error.strerror}; run this as its owner"
        ) from error
