"""Every statement: one function each, on the caller's connection and in the caller's transaction.

What belongs together is put together by the caller, inside `transaction(engine)`. Errors are SQLAlchemy's own;
`transaction` turns those that are likely to pass into TransientFailure.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol, TypeVar, get_args

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    DateTime,
    Double,
    Integer,
    Row,
    Select,
    Text,
    and_,
    any_,
    bindparam,
    case,
    cast,
    column,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    table,
    text,
    true,
    tuple_,
    union,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as insert_or
from sqlalchemy.orm import aliased

from core.contract import Answer, AnswerResult, ClassifyResult
from db import models
from db.copy import copied
from db.models import CheckpointState, EndState, JobState, OpenState, RunEnd, RunState, Source, VersionState

_IS_OPEN: Final = or_(*(models.Job.state == state for state in get_args(OpenState)))
"""Not `in_`, whose list is written into the statement anew each time that it is executed."""
_CHUNK: Final = 200
"""Rows that come at a time where a function streams."""
_RESULTS: Final[tuple[Any, ...]] = (models.Classification, models.Inquiry)
"""Of tasks, about a document each."""
_PLACE: Final = models.Job.request["document", "uri"].astext
_NAMED: Final = models.Job.request["document", "document_id"].astext
_CORRECTED: Final = models.Job.request["task_id"].astext
"""What a request says of its document, and which task it corrects; each has an index."""


@dataclass(frozen=True, slots=True)
class Job:
    """A row of `jobs`; models.Job says what its states and counts mean."""

    task_id: str
    task: str
    state: JobState
    attempts: int
    retries: int
    request: dict[str, Any]
    external_id: str | None
    node: str | None
    error_code: str | None
    error_message: str | None
    received_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds: dict[str, float] | None


@dataclass(frozen=True, slots=True)
class Callback:
    """A row of `callbacks` that is to be sent."""

    task_id: str
    task: str
    queue: str
    endings: int


@dataclass(frozen=True, slots=True)
class Document:
    """A row of `documents`; `size` in bytes."""

    sha256: str
    media_type: str
    page_count: int
    size: int
    uri: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SeenPage:
    """A page that was read: how, and what encoders made of it, by their names; None for a blank page."""

    number: int
    source: Source
    features: dict[str, bytes | None]


@dataclass(frozen=True, slots=True)
class Version:
    """A row of `class_versions`."""

    id: int
    class_set: str
    number: int
    state: VersionState
    digest: str
    created_at: datetime
    published_at: datetime | None


@dataclass(frozen=True, slots=True)
class Description:
    """A row of `class_descriptions`."""

    name: str
    description: str
    wording: list[str]
    templates: list[str]
    captions: list[str]


@dataclass(frozen=True, slots=True)
class ClassSetSummary:
    """A class set: how many versions it has, the number of the published one, and how many classes that one has
    (the newest one where none is published).
    """

    name: str
    created_at: datetime
    versions: int
    published: int | None
    classes: int


class LatestClassification(NamedTuple):
    """What a class set last said about a document: by which version, from which pages (1-based, ascending).

    A tuple, as there are hundreds of thousands: a dataclass takes three times as long to make.
    """

    sha256: str
    task_id: str
    version: int
    prediction: str | None
    confidence: float
    pages: tuple[int, ...]
    uri: str | None


@dataclass(frozen=True, slots=True)
class Correction:
    """A row of `corrections`."""

    id: int
    sha256: str
    class_set: str
    label: str
    previous: str | None
    task_id: str | None
    correction_task_id: str
    by: str
    note: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Label:
    """What a document is by the newest correction of a class set, and when that one was made."""

    sha256: str
    label: str
    correction_id: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Run:
    """A row of `training_runs`; models.TrainingRun says what its states mean."""

    id: int
    task_id: str
    class_set: str
    state: RunState
    starts: int
    node: str | None
    labels_up_to: int
    fingerprint: str | None
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    cancelled_by: str | None
    heartbeat_at: datetime
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A row of `checkpoints`, with the `state` that follows from the promotions; models.Checkpoint says how."""

    id: int
    class_set: str
    class_version_id: int | None
    run_id: int | None
    parents: list[int]
    encoder: str
    file: str
    sha256: str
    fingerprint: str
    labels: int
    metrics: dict[str, Any]
    accepted: bool
    reasons: list[str]
    created_at: datetime
    state: CheckpointState


@dataclass(frozen=True, slots=True)
class Promotion:
    """A row of `promotions`; models.Promotion says which one counts."""

    id: int
    class_set: str
    checkpoints: list[int]
    back_to: int | None
    by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A row of the view `review_queue_v1`; docs/integration.md says what its columns mean."""

    task_id: str
    external_id: str | None
    tenant: str | None
    document_id: str
    class_set: str | None
    class_set_version: int | None
    prediction: str | None
    confidence: float
    reasons: list[str]
    waiting_since: datetime
    claimed_by: str | None
    claimed_at: datetime | None


class ReadPage(Protocol):
    """A page as core.page knows it: `to_json` gives `number`, `width`, `height`, `source`, `lines` and `turns`."""

    def to_json(self) -> dict[str, Any]: ...


class DescribedClass(Protocol):
    """A class as core.class_set knows it."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def wording(self) -> Sequence[str]: ...
    @property
    def templates(self) -> Sequence[str]: ...
    @property
    def captions(self) -> Sequence[str]: ...


Shape = TypeVar(
    "Shape",
    Job,
    Callback,
    Document,
    Version,
    Description,
    ClassSetSummary,
    Correction,
    Run,
    Checkpoint,
    Promotion,
    OpenCase,
)

_CASES: Final = table("review_queue_v1", *(column(field.name) for field in fields(OpenCase)))


def _columns(model: type[models.Base], shape: type[Shape]) -> list[Any]:
    return [getattr(model, field.name) for field in fields(shape)]


def _shaped(shape: type[Shape], row: Row[Any] | None) -> Shape | None:
    return None if row is None else shape(**row._mapping)


def ping(connection: Connection) -> None:
    """Ask the server for a sign of life."""
    connection.execute(select(1))


def line_to(connection: Connection) -> str:
    """As whom and over what line one is connected, such as `as node, over TLSv1.3`."""
    found = connection.execute(
        text("SELECT current_user, version, inet_client_addr() FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    ).one()
    unencrypted = "over a socket of this machine" if found.inet_client_addr is None else "not encrypted"
    return f"as {found.current_user}, {f'over {found.version}' if found.version else unencrypted}"


# Jobs


_START: Final = (
    insert_or(models.Job)
    .values(state="started", attempts=1, started_at=func.now())
    .on_conflict_do_update(
        index_elements=[models.Job.task_id],
        set_={
            "state": "started",
            "attempts": models.Job.attempts + 1,
            "node": insert_or(models.Job).excluded.node,
            "started_at": func.now(),
        },
        where=_IS_OPEN & (models.Job.task == insert_or(models.Job).excluded.task),
    )
    # Who is told of the start does not wait for the disk: if the server itself dies in that moment, the row is gone,
    # and the job is begun anew.
    .returning(*_columns(models.Job, Job), func.set_config("synchronous_commit", "off", True))
)


def start_job(
    connection: Connection,
    *,
    task_id: str,
    task: str,
    request: Mapping[str, Any],
    external_id: str | None,
    node: str | None,
) -> Job | None:
    """Count one more start of a task, which is first seen here or was left open; None when it has ended already, or
    when its id belongs to another kind of task.

    Commit before the work begins, so that a start which takes its node down is counted too. `request` must not hold
    inline content.
    """
    row = connection.execute(
        _START,
        {"task_id": task_id, "task": task, "request": request, "external_id": external_id, "node": node},
    ).one_or_none()
    return None if row is None else Job(*row[:-1])


def get_job(connection: Connection, task_id: str) -> Job | None:
    row = connection.execute(select(*_columns(models.Job, Job)).where(models.Job.task_id == task_id)).one_or_none()
    return _shaped(Job, row)


def count_deaths(connection: Connection, task_id: str) -> int:
    """How often a node died while it ran the job; one that runs now counts as dead."""
    statement = select(models.Job.attempts - models.Job.retries).where(models.Job.task_id == task_id)
    return connection.execute(statement).scalar_one_or_none() or 0


def count_poisoned_parts(connection: Connection, task_id: str) -> int:
    """How many jobs that the job consists of were set aside."""
    statement = select(func.count()).where(
        models.Job.task_id.startswith(f"{task_id}/", autoescape=True), models.Job.error_code == "poison"
    )
    return connection.execute(statement).scalar_one()


def postpone_job(connection: Connection, *, task_id: str, error_code: str, error_message: str) -> None:
    """Note the transient failure that ended a start; the job is open again. A job that has ended stays as it is."""
    connection.execute(
        update(models.Job)
        .where(models.Job.task_id == task_id, _IS_OPEN)
        .values(
            state="received",
            retries=models.Job.retries + 1,
            error_code=error_code,
            error_message=error_message,
        )
    )


_FINISH: Final = (
    update(models.Job).where(models.Job.task_id == bindparam("id"), _IS_OPEN).values(finished_at=func.now())
)


def finish_job(
    connection: Connection,
    *,
    task_id: str,
    state: EndState,
    error_code: str | None = None,
    error_message: str | None = None,
    seconds: Mapping[str, float] | None = None,
) -> bool:
    """End an open job. False when it has ended already (or was never started): then nothing changes."""
    result = connection.execute(
        _FINISH,
        {
            "id": task_id,
            "state": state,
            "error_code": error_code,
            "error_message": error_message,
            "seconds": seconds,
        },
    )
    return result.rowcount == 1


def reopen_job(connection: Connection, *, task_id: str) -> Job | None:
    """Open a rejected or failed job as if it had just come in; None when it is no such job."""
    row = connection.execute(
        update(models.Job)
        .where(models.Job.task_id == task_id, models.Job.state.in_(["rejected", "failed"]))
        .values(
            state="received",
            attempts=0,
            retries=0,
            error_code=None,
            error_message=None,
            received_at=func.now(),
            started_at=None,
            finished_at=None,
            seconds=None,
        )
        .returning(*_columns(models.Job, Job))
    ).one_or_none()
    return _shaped(Job, row)


def list_jobs(
    connection: Connection,
    *,
    states: Collection[JobState] | None = None,
    code: str | None = None,
    limit: int | None = 50,
) -> list[Job]:
    """The jobs that came in last, newest first; only those in `states`, only those with the error `code`."""
    statement = select(*_columns(models.Job, Job)).order_by(models.Job.received_at.desc(), models.Job.task_id)
    if states is not None:
        statement = statement.where(models.Job.state.in_(states))
    if code is not None:
        # A success clears its error; saying so spares the search the many that succeeded.
        statement = statement.where(models.Job.error_code == code, models.Job.state != "succeeded")
    return [Job(**row._mapping) for row in connection.execute(statement.limit(limit))]


def count_jobs(connection: Connection) -> dict[JobState, int]:
    """How many jobs are in each state; every state is there."""
    rows = connection.execute(select(models.Job.state, func.count()).group_by(models.Job.state))
    found = dict(rows.all())
    return {state: found.get(state, 0) for state in get_args(JobState)}


def interrupted_jobs(connection: Connection, task: str, silent_for: float) -> list[Job]:
    """Open jobs of a kind of task that gave no sign of life for this many seconds, longest silent first.

    A start is a sign of life, and so is a heartbeat of the job's training run. Postponed jobs are among them: whether
    they only wait for their turn is for the caller to find out. They are locked until the transaction ends; those
    that another one has locked are left out.
    """
    sign = func.greatest(
        func.coalesce(models.Job.started_at, models.Job.received_at), models.TrainingRun.heartbeat_at
    )
    rows = connection.execute(
        select(*_columns(models.Job, Job))
        .outerjoin(models.TrainingRun, models.TrainingRun.task_id == models.Job.task_id)
        .where(
            models.Job.task == task,
            _IS_OPEN,
            sign < func.now() - timedelta(seconds=silent_for),
        )
        .order_by(sign, models.Job.task_id)
        .with_for_update(of=models.Job, skip_locked=True)
    )
    return [Job(**row._mapping) for row in rows]


def lock_job(connection: Connection, task_id: str) -> bool:
    """Be the only one at work on a job, for as long as the connection lives; False: somebody else is.

    The lock is the session's, as that of `lock_training`.
    """
    key = func.hashtextextended(f"docintake job {task_id}", 0)
    mine: bool = connection.execute(select(func.pg_try_advisory_lock(key))).scalar_one()
    return mine


def put_callback(connection: Connection, *, task_id: str, task: str, queue: str) -> None:
    """Have the outcome of a job that ends be sent, once more where it was sent for an earlier end."""
    new = insert_or(models.Callback).values(task_id=task_id, task=task, queue=queue)
    connection.execute(
        new.on_conflict_do_update(
            index_elements=[models.Callback.task_id],
            set_={
                "task": new.excluded.task,
                "queue": new.excluded.queue,
                "endings": models.Callback.endings + 1,
                "ended_at": func.now(),
                "sent_at": None,
            },
        )
    )


def lock_callback(connection: Connection, task_id: str) -> Callback | None:
    """An outcome that is to be sent, locked until the transaction ends; None: it was sent, or somebody is at it."""
    row = connection.execute(
        select(*_columns(models.Callback, Callback))
        .where(models.Callback.task_id == task_id, models.Callback.sent_at.is_(None))
        .with_for_update(skip_locked=True)
    ).one_or_none()
    return _shaped(Callback, row)


def mark_callback_sent(connection: Connection, task_id: str) -> None:
    connection.execute(update(models.Callback).where(models.Callback.task_id == task_id).values(sent_at=func.now()))


def unsent_callbacks(connection: Connection, ended_for: float, limit: int) -> list[str]:
    """Ids of up to `limit` jobs that ended so many seconds ago and whose outcome is to be sent, oldest first."""
    found = (
        select(models.Callback.task_id)
        .where(
            models.Callback.sent_at.is_(None), models.Callback.ended_at < func.now() - timedelta(seconds=ended_for)
        )
        .order_by(models.Callback.ended_at)
        .limit(limit)
    )
    return list(connection.execute(found).scalars())


def get_parts(connection: Connection, task_ids: Collection[str]) -> dict[str, tuple[Job, dict[str, Any] | None]]:
    """Task id → job and what it was classified as, if it was."""
    rows = connection.execute(
        select(*_columns(models.Job, Job), models.Classification.result)
        .outerjoin(models.Classification, models.Classification.task_id == models.Job.task_id)
        .where(models.Job.task_id.in_(task_ids))
    )
    return {row.task_id: (Job(*row[:-1]), row.result) for row in rows}


def callback_queues(connection: Connection, task_ids: Collection[str]) -> set[str]:
    """The queues that outcomes of these tasks were, or are to be, sent to."""
    found = select(models.Callback.queue).where(models.Callback.task_id.in_(task_ids)).distinct()
    return set(connection.execute(found).scalars())


# Documents, their pages and features


def put_document(
    connection: Connection, *, sha256: str, media_type: str, page_count: int, size: int, uri: str | None
) -> None:
    """Keep a document; of one that is there already only the place to fetch it from is renewed."""
    new = insert_or(models.Document).values(
        sha256=sha256, media_type=media_type, page_count=page_count, size=size, uri=uri
    )
    connection.execute(
        new.on_conflict_do_update(
            index_elements=[models.Document.sha256],
            set_={"uri": new.excluded.uri},
            where=new.excluded.uri.is_not(None) & models.Document.uri.is_distinct_from(new.excluded.uri),
        )
    )


_GET_DOCUMENT: Final = select(*_columns(models.Document, Document)).where(
    models.Document.sha256 == bindparam("sha256")
)


def get_document(connection: Connection, sha256: str) -> Document | None:
    return _shaped(Document, connection.execute(_GET_DOCUMENT, {"sha256": sha256}).one_or_none())


_PUT_PAGES: Final = insert_or(models.Page).on_conflict_do_nothing()


def put_pages(connection: Connection, sha256: str, reader: str, pages: Sequence[ReadPage]) -> None:
    """Keep what `reader` read; pages that are there already stay as they are."""
    rows = [{"sha256": sha256, "reader": reader, **page.to_json()} for page in pages]
    if rows:
        # In one order everywhere: two tasks that store the same document cannot wait for each other in a circle.
        rows.sort(key=lambda row: row["number"])
        connection.execute(_PUT_PAGES, rows)


def get_pages(connection: Connection, sha256: str, reader: str, numbers: Collection[int]) -> list[dict[str, Any]]:
    """Those of the pages that `reader` has read, in page order, each as core.page's `Page.from_json` takes it."""
    rows = connection.execute(
        select(
            models.Page.number,
            models.Page.width,
            models.Page.height,
            models.Page.source,
            models.Page.lines,
            models.Page.turns,
        )
        .where(models.Page.sha256 == sha256, models.Page.reader == reader, models.Page.number.in_(numbers))
        .order_by(models.Page.number)
    )
    return [dict(row._mapping) for row in rows]


_PUT_FEATURES: Final = insert_or(models.Feature).on_conflict_do_nothing()


def put_features(connection: Connection, sha256: str, encoder: str, features: Mapping[int, bytes | None]) -> None:
    """Keep what `encoder` made of each page, None for a blank one; what is there already stays as it is."""
    rows = [
        {"sha256": sha256, "page": page, "encoder": encoder, "data": data} for page, data in sorted(features.items())
    ]
    if rows:
        connection.execute(_PUT_FEATURES, rows)


def get_features(
    connection: Connection, sha256: str, encoder: str, numbers: Collection[int]
) -> dict[int, bytes | None]:
    """Page number → its features, None for a blank one, for those of the pages that `encoder` has seen."""
    rows = connection.execute(
        select(models.Feature.page, models.Feature.data)
        .where(models.Feature.sha256 == sha256, models.Feature.encoder == encoder, models.Feature.page.in_(numbers))
        .order_by(models.Feature.page)
    )
    return dict(rows.all())


_SEEN: Final = (
    select(
        models.Document.media_type,
        models.Document.page_count,
        models.Page.number,
        models.Page.source,
        models.Feature.encoder,
        models.Feature.data,
    )
    .outerjoin(
        models.Page,
        and_(
            models.Page.sha256 == models.Document.sha256,
            models.Page.reader == bindparam("reader"),
            models.Page.number == any_(bindparam("numbers", type_=ARRAY(Integer))),
        ),
    )
    .outerjoin(
        models.Feature,
        and_(
            models.Feature.sha256 == models.Page.sha256,
            models.Feature.page == models.Page.number,
            models.Feature.encoder == any_(bindparam("encoders", type_=ARRAY(Text))),
        ),
    )
    .where(models.Document.sha256 == bindparam("sha256"))
    .order_by(models.Page.number)
)


def get_seen(
    connection: Connection, sha256: str, reader: str, encoders: Collection[str], numbers: Collection[int]
) -> tuple[str, int, list[SeenPage]] | None:
    """A document's media type, its number of pages, and those of the numbered ones that `reader` has read, in page
    order; None where the document is not known.
    """
    rows = connection.execute(
        _SEEN, {"sha256": sha256, "reader": reader, "encoders": list(encoders), "numbers": list(numbers)}
    ).all()
    if not rows:
        return None
    pages: dict[int, SeenPage] = {}
    for _, _, number, source, encoder, data in rows:
        if number is not None:
            page = pages.setdefault(number, SeenPage(number, source, {}))
            if encoder is not None:
                page.features[encoder] = data
    return rows[0].media_type, rows[0].page_count, list(pages.values())


_FEATURES_OF: Final = (
    select(models.Feature.sha256, models.Feature.page, models.Feature.data)
    .where(
        # One parameter: hundreds of them take longer to be written down than what they find takes to be read.
        models.Feature.sha256 == any_(bindparam("hashes", type_=ARRAY(Text))),
        models.Feature.encoder == bindparam("encoder"),
    )
    .order_by(models.Feature.sha256, models.Feature.page)
)


def get_features_of(
    connection: Connection, hashes: Collection[str], encoder: str
) -> dict[str, dict[int, bytes | None]]:
    """Of several documents, sha256 → page number → features, as `get_features` gives those of one."""
    found: dict[str, dict[int, bytes | None]] = {}
    for sha256, page, data in copied(connection, _FEATURES_OF, {"hashes": [*hashes], "encoder": encoder}):
        found.setdefault(sha256.decode(), {})[int.from_bytes(page)] = data
    return found


# Class sets and their versions


def put_text_vectors(connection: Connection, encoder: str, vectors: Mapping[str, bytes]) -> None:
    """Keep what `encoder` made of texts, by their SHA-256; what is there already stays as it is."""
    rows = [{"sha256": sha256, "encoder": encoder, "data": data} for sha256, data in sorted(vectors.items())]
    if rows:
        connection.execute(insert_or(models.TextVector).on_conflict_do_nothing(), rows)


def get_text_vectors(connection: Connection, encoder: str, hashes: Collection[str]) -> dict[str, bytes]:
    """SHA-256 → vector of those texts that `encoder` has seen."""
    rows = connection.execute(
        select(models.TextVector.sha256, models.TextVector.data).where(
            models.TextVector.encoder == encoder, models.TextVector.sha256.in_(hashes)
        )
    )
    return dict(rows.all())


def create_class_set(connection: Connection, class_set: str) -> None:
    """Make a class set without versions; nothing happens when it is there."""
    connection.execute(insert_or(models.ClassSet).values(name=class_set).on_conflict_do_nothing())


def lock_class_set(connection: Connection, class_set: str) -> bool:
    """Make others who publish or number versions of this set, or promote its checkpoints, wait for this transaction;
    False: there is no such set.

    Comes before `retire_published`, `publish` and `promote`: two who publish at once take turns, and the later one
    wins.
    """
    statement = select(models.ClassSet.name).where(models.ClassSet.name == class_set).with_for_update(key_share=True)
    return connection.execute(statement).one_or_none() is not None


def create_version(connection: Connection, class_set: str, digest: str) -> tuple[int, int]:
    """(id, number) of a new draft with the set's next number; others who do the same wait for this transaction.

    Raises NoResultFound when there is no such class set.
    """
    counted = (
        update(models.ClassSet)
        .where(models.ClassSet.name == class_set)
        .values(versions=models.ClassSet.versions + 1)
        .returning(models.ClassSet.name, models.ClassSet.versions)
        .cte("counted")
    )
    row = connection.execute(
        insert(models.ClassVersion)
        .from_select(
            ["class_set", "number", "digest"],
            select(counted.c.name, counted.c.versions, literal(digest)),
        )
        .returning(models.ClassVersion.id, models.ClassVersion.number)
    ).one()
    return row.id, row.number


def add_descriptions(connection: Connection, version_id: int, classes: Sequence[DescribedClass]) -> None:
    """Give a draft its classes, in this order. Raises IntegrityError when the version is no draft any more, or a name
    stands twice.
    """
    rows = [
        {
            "version_id": version_id,
            "position": position,
            "name": item.name,
            "description": item.description,
            "wording": list(item.wording),
            "templates": list(item.templates),
            "captions": list(item.captions),
        }
        for position, item in enumerate(classes)
    ]
    if rows:
        connection.execute(insert(models.ClassDescription), rows)


def get_descriptions(connection: Connection, version_id: int) -> list[Description]:
    """The classes of a version, in their order."""
    rows = connection.execute(
        select(*_columns(models.ClassDescription, Description))
        .where(models.ClassDescription.version_id == version_id)
        .order_by(models.ClassDescription.position)
    )
    return [Description(**row._mapping) for row in rows]


def get_version(connection: Connection, class_set: str, number: int) -> Version | None:
    row = connection.execute(
        select(*_columns(models.ClassVersion, Version)).where(
            models.ClassVersion.class_set == class_set, models.ClassVersion.number == number
        )
    ).one_or_none()
    return _shaped(Version, row)


def published_version(connection: Connection, class_set: str) -> Version | None:
    row = connection.execute(
        select(*_columns(models.ClassVersion, Version)).where(
            models.ClassVersion.class_set == class_set, models.ClassVersion.state == "published"
        )
    ).one_or_none()
    return _shaped(Version, row)


def latest_version(connection: Connection, class_set: str, digest: str) -> Version | None:
    """The newest version of a set whose classes say just what this digest stands for."""
    row = connection.execute(
        select(*_columns(models.ClassVersion, Version))
        .where(models.ClassVersion.class_set == class_set, models.ClassVersion.digest == digest)
        .order_by(models.ClassVersion.number.desc())
        .limit(1)
    ).one_or_none()
    return _shaped(Version, row)


def list_versions(connection: Connection, class_set: str) -> list[Version]:
    """All versions of a set, newest first."""
    rows = connection.execute(
        select(*_columns(models.ClassVersion, Version))
        .where(models.ClassVersion.class_set == class_set)
        .order_by(models.ClassVersion.number.desc())
    )
    return [Version(**row._mapping) for row in rows]


def list_class_sets(connection: Connection) -> list[ClassSetSummary]:
    """All class sets, by name."""
    published = aliased(models.ClassVersion)
    shown = aliased(models.ClassVersion)
    classes = (
        select(func.count()).where(models.ClassDescription.version_id == shown.id).correlate(shown).scalar_subquery()
    )
    rows = connection.execute(
        select(
            models.ClassSet.name,
            models.ClassSet.created_at,
            models.ClassSet.versions,
            published.number.label("published"),
            classes.label("classes"),
        )
        .outerjoin(published, (published.class_set == models.ClassSet.name) & (published.state == "published"))
        .outerjoin(
            shown,
            (shown.class_set == models.ClassSet.name)
            & (shown.number == func.coalesce(published.number, models.ClassSet.versions)),
        )
        .order_by(models.ClassSet.name)
    )
    return [ClassSetSummary(**row._mapping) for row in rows]


def retire_published(connection: Connection, class_set: str) -> Version | None:
    """Take the published version of a set out of service and return it; None when there was none."""
    row = connection.execute(
        update(models.ClassVersion)
        .where(models.ClassVersion.class_set == class_set, models.ClassVersion.state == "published")
        .values(state="retired")
        .returning(*_columns(models.ClassVersion, Version))
    ).one_or_none()
    return _shaped(Version, row)


def publish(connection: Connection, version_id: int) -> Version | None:
    """Put a draft or a retired version into service; None when it is there already, or is not at all.

    Raises IntegrityError when another version of the set is published: `lock_class_set` and `retire_published` come
    first.
    """
    row = connection.execute(
        update(models.ClassVersion)
        .where(models.ClassVersion.id == version_id, models.ClassVersion.state != "published")
        .values(state="published", published_at=func.now())
        .returning(*_columns(models.ClassVersion, Version))
    ).one_or_none()
    return _shaped(Version, row)


# Classifications and corrections


_PUT_CLASSIFICATION: Final = insert_or(models.Classification).on_conflict_do_nothing(
    index_elements=[models.Classification.task_id]
)


def put_classification(connection: Connection, result: ClassifyResult, class_version_id: int | None) -> None:
    """Keep a classify task's result; nothing happens when it has one. Its job and document must be there."""
    connection.execute(
        _PUT_CLASSIFICATION,
        {
            "task_id": result.task_id,
            "sha256": result.document.document_id,
            "class_version_id": class_version_id,
            "prediction": result.prediction,
            "confidence": result.confidence,
            "status": result.status,
            "reasons": list(result.reasons),
            "result": result.model_dump(mode="json"),
            "external_id": result.external_id,
        },
    )


def get_classification(connection: Connection, task_id: str) -> dict[str, Any] | None:
    """A classify task's result as `ClassifyResult.model_validate` takes it."""
    statement = select(models.Classification.result).where(models.Classification.task_id == task_id)
    return connection.execute(statement).scalar_one_or_none()


def count_classifications(connection: Connection, class_set: str) -> int:
    """How often any version of a set has classified a document."""
    return connection.execute(
        select(func.count())
        .select_from(models.Classification)
        .join(models.ClassVersion, models.ClassVersion.id == models.Classification.class_version_id)
        .where(models.ClassVersion.class_set == class_set)
    ).scalar_one()


def latest_classifications(
    connection: Connection, class_set: str, first: str = "", before: str = "g"
) -> Iterator[LatestClassification]:
    """What any version of a set last said about each document, by sha256, a chunk in memory at a time: of those from
    `first` on and before `before`, by default all, since no hexadecimal digit comes after `g`.

    The connection's transaction must stay open until the end.
    """
    pages = func.jsonb_path_query_array(models.Classification.result, text("'$.pages[*].number'"))
    rows = connection.execute(
        select(
            models.Classification.sha256,
            models.Classification.task_id,
            models.ClassVersion.number.label("version"),
            models.Classification.prediction,
            models.Classification.confidence,
            cast(pages, Text).label("pages"),
            models.Document.uri,
        )
        .join(models.ClassVersion, models.ClassVersion.id == models.Classification.class_version_id)
        .join(models.Document, models.Document.sha256 == models.Classification.sha256)
        .where(
            models.ClassVersion.class_set == class_set,
            models.Classification.sha256 >= first,
            models.Classification.sha256 < before,
            # The same of both: PostgreSQL would not conclude it, and read all documents for every part of them.
            models.Document.sha256 >= first,
            models.Document.sha256 < before,
        )
        .ext(distinct_on(models.Classification.sha256))
        .order_by(
            models.Classification.sha256, models.Classification.created_at.desc(), models.Classification.task_id
        ),
        execution_options={"yield_per": _CHUNK},
    )
    for sha256, task_id, version, prediction, confidence, numbers, uri in rows:
        yield LatestClassification(sha256, task_id, version, prediction, confidence, _numbers(numbers), uri)


@lru_cache
def _numbers(array: str) -> tuple[int, ...]:
    """Of a JSON array: most documents have the same few."""
    return tuple(json.loads(array))


def put_correction(
    connection: Connection,
    *,
    correction_task_id: str,
    sha256: str,
    class_set: str,
    label: str,
    previous: str | None,
    task_id: str | None,
    by: str,
    note: str | None,
) -> int:
    """Keep a label and return its id; a correct task that comes again finds its own and changes nothing."""
    correction_id: int = connection.execute(
        insert_or(models.Correction)
        .values(
            correction_task_id=correction_task_id,
            sha256=sha256,
            class_set=class_set,
            label=label,
            previous=previous,
            task_id=task_id,
            by=by,
            note=note,
        )
        # DO NOTHING would return no row: this sets the column to what it is.
        .on_conflict_do_update(
            index_elements=[models.Correction.correction_task_id], set_={"correction_task_id": correction_task_id}
        )
        .returning(models.Correction.id)
    ).scalar_one()
    return correction_id


def get_correction(connection: Connection, correction_task_id: str) -> Correction | None:
    row = connection.execute(
        select(*_columns(models.Correction, Correction)).where(
            models.Correction.correction_task_id == correction_task_id
        )
    ).one_or_none()
    return _shaped(Correction, row)


def list_corrections(connection: Connection, class_set: str) -> list[Correction]:
    """All corrections of a set, oldest first."""
    rows = connection.execute(
        select(*_columns(models.Correction, Correction))
        .where(models.Correction.class_set == class_set)
        .order_by(models.Correction.id)
    )
    return [Correction(**row._mapping) for row in rows]


def latest_labels(connection: Connection, class_set: str, up_to: int | None = None) -> list[Label]:
    """What each document is by its newest correction of a set, in the order of these corrections.

    With `up_to`, as if no correction had come after that one.
    """
    newest = (
        select(
            models.Correction.sha256,
            models.Correction.label,
            models.Correction.id.label("correction_id"),
            models.Correction.created_at,
        )
        .where(models.Correction.class_set == class_set)
        .where(literal(True) if up_to is None else models.Correction.id <= up_to)
        .ext(distinct_on(models.Correction.sha256))
        .order_by(models.Correction.sha256, models.Correction.id.desc())
        .subquery()
    )
    return [Label(**row._mapping) for row in connection.execute(select(newest).order_by(newest.c.correction_id))]


def count_labels_since(connection: Connection, class_set: str, correction_id: int) -> int:
    """How many documents a set's corrections after this one are about: a document corrected twice counts once."""
    return connection.execute(
        select(func.count(models.Correction.sha256.distinct())).where(
            models.Correction.class_set == class_set, models.Correction.id > correction_id
        )
    ).scalar_one()


# Cases that people look at


def list_open_cases(
    connection: Connection, *, class_set: str | None = None, by: str | None = None, limit: int | None = 50
) -> list[OpenCase]:
    """The cases that nobody has resolved or dismissed, longest waiting first; only those that `by` has claimed."""
    statement = select(_CASES).order_by(_CASES.c.waiting_since, _CASES.c.task_id)
    if class_set is not None:
        statement = statement.where(_CASES.c.class_set == class_set)
    if by is not None:
        statement = statement.where(_CASES.c.claimed_by == by)
    return [OpenCase(**row._mapping) for row in connection.execute(statement.limit(limit))]


def count_open_cases(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(_CASES)).scalar_one()


def get_open_case(connection: Connection, task_id: str) -> OpenCase | None:
    return _shaped(OpenCase, connection.execute(select(_CASES).where(_CASES.c.task_id == task_id)).one_or_none())


def next_case(connection: Connection, lapse: float, class_set: str | None = None) -> OpenCase | None:
    """The open case that waits longest and that nobody has claimed within these seconds, locked until the
    transaction ends; those that another one has locked are passed over.
    """
    is_free = or_(_CASES.c.claimed_at.is_(None), _CASES.c.claimed_at < func.now() - timedelta(seconds=lapse))
    statement = (
        select(_CASES)
        .join(models.Job, models.Job.task_id == _CASES.c.task_id)
        .where(is_free)
        .order_by(_CASES.c.waiting_since, _CASES.c.task_id)
        .limit(1)
        .with_for_update(of=models.Job, skip_locked=True)
    )
    if class_set is not None:
        statement = statement.where(_CASES.c.class_set == class_set)
    return _shaped(OpenCase, connection.execute(statement).one_or_none())


def claim_case(connection: Connection, task_id: str, by: str, lapse: float) -> bool:
    """Note who looks at a case; False: somebody else has claimed it within these seconds."""
    review = models.Review
    claimed = connection.execute(
        insert_or(models.Review)
        .values(task_id=task_id, claimed_by=by, claimed_at=func.now())
        .on_conflict_do_update(
            index_elements=[models.Review.task_id],
            set_={"claimed_by": by, "claimed_at": func.now()},
            where=or_(
                review.claimed_at.is_(None),
                review.claimed_at < func.now() - timedelta(seconds=lapse),
                review.claimed_by == by,
            ),
        )
    )
    return claimed.rowcount == 1


def release_case(connection: Connection, task_id: str) -> bool:
    """Let others claim a case; False: nobody had."""
    released = connection.execute(
        update(models.Review)
        .where(models.Review.task_id == task_id, models.Review.claimed_at.is_not(None))
        .values(claimed_by=None, claimed_at=None)
    )
    return released.rowcount == 1


def dismiss_case(connection: Connection, task_id: str, by: str, note: str | None) -> None:
    """Close a case without a label."""
    how = {"dismissed_by": by, "dismissed_at": func.now(), "note": note}
    connection.execute(
        insert_or(models.Review)
        .values(task_id=task_id, **how)
        .on_conflict_do_update(index_elements=[models.Review.task_id], set_=how)
    )


# Training runs


def open_run(
    connection: Connection, *, task_id: str, class_set: str, node: str | None, labels_up_to: int = 0
) -> Run | None:
    """Note that a retrain task begins to run; None when its class set has a running run, or the task has any run.

    `resume_run` comes next then. Whoever opens a run of the set at the same time is waited for.
    """
    row = connection.execute(
        insert_or(models.TrainingRun)
        .values(task_id=task_id, class_set=class_set, state="running", node=node, labels_up_to=labels_up_to)
        .on_conflict_do_nothing()
        .returning(*_columns(models.TrainingRun, Run))
    ).one_or_none()
    return _shaped(Run, row)


def resume_run(connection: Connection, *, task_id: str, node: str | None) -> Run | None:
    """Count one more start of a task's run that is running or failed; None when it ended otherwise, or there is none.

    Raises IntegrityError when it failed and another run of the set is running by now.
    """
    row = connection.execute(
        update(models.TrainingRun)
        .where(models.TrainingRun.task_id == task_id, models.TrainingRun.state.in_(["running", "failed"]))
        .values(
            state="running",
            starts=models.TrainingRun.starts + 1,
            node=node,
            heartbeat_at=func.now(),
            result=None,
            cancelled_by=None,
            finished_at=None,
        )
        .returning(*_columns(models.TrainingRun, Run))
    ).one_or_none()
    return _shaped(Run, row)


def end_orphaned_runs(connection: Connection, class_set: str) -> int:
    """Fail the running run of a set whose job has ended without it, as poison does; returns how many there were."""
    ended = connection.execute(
        update(models.TrainingRun)
        .where(
            models.TrainingRun.class_set == class_set,
            models.TrainingRun.state == "running",
            models.TrainingRun.task_id == models.Job.task_id,
            ~_IS_OPEN,
        )
        .values(state="failed", finished_at=func.now())
    )
    return ended.rowcount


def lock_training(connection: Connection, class_set: str) -> bool:
    """Be the only one who trains this set, for as long as the connection lives; False: somebody else is.

    The lock is the session's, not the transaction's: PostgreSQL gives it back when the connection breaks.
    """
    key = func.hashtextextended(f"docintake training {class_set}", 0)
    mine: bool = connection.execute(select(func.pg_try_advisory_lock(key))).scalar_one()
    return mine


def skip_run(
    connection: Connection, *, task_id: str, class_set: str, node: str | None, result: Mapping[str, Any]
) -> None:
    """Note that a retrain task had nothing to do, and what it told its caller; nothing happens when it has a run."""
    connection.execute(
        insert_or(models.TrainingRun)
        .values(
            task_id=task_id,
            class_set=class_set,
            state="skipped",
            node=node,
            result=dict(result),
            finished_at=func.now(),
        )
        .on_conflict_do_nothing(index_elements=[models.TrainingRun.task_id])
    )


def beat_run(connection: Connection, run_id: int, progress: Mapping[str, Any] | None = None) -> str | None:
    """Say that a running run is alive, and how far it is if that is given; returns who asked for it to stop.

    None: go on. A run that has ended stays as it is; its trainer learns of that from `finish_run`.
    """
    changes: dict[str, Any] = {"heartbeat_at": func.now()}
    if progress is not None:
        changes["progress"] = dict(progress)
    return connection.execute(
        update(models.TrainingRun)
        .where(models.TrainingRun.id == run_id, models.TrainingRun.state == "running")
        .values(**changes)
        .returning(models.TrainingRun.cancelled_by)
    ).scalar_one_or_none()


def finish_run(
    connection: Connection, run_id: int, *, state: RunEnd, fingerprint: str | None, result: Mapping[str, Any] | None
) -> bool:
    """End a running run. False when it has ended already, or is not at all: then nothing changes."""
    ended = connection.execute(
        update(models.TrainingRun)
        .where(models.TrainingRun.id == run_id, models.TrainingRun.state == "running")
        .values(
            state=state,
            fingerprint=fingerprint,
            result=None if result is None else dict(result),
            finished_at=func.now(),
        )
    )
    return ended.rowcount == 1


def cancel_run(connection: Connection, run_id: int, by: str) -> bool:
    """Ask a running run to stop; who asked first stays. False when it has ended, or is not at all."""
    asked = connection.execute(
        update(models.TrainingRun)
        .where(models.TrainingRun.id == run_id, models.TrainingRun.state == "running")
        .values(cancelled_by=func.coalesce(models.TrainingRun.cancelled_by, by))
    )
    return asked.rowcount == 1


def get_run(connection: Connection, run_id: int) -> Run | None:
    row = connection.execute(
        select(*_columns(models.TrainingRun, Run)).where(models.TrainingRun.id == run_id)
    ).one_or_none()
    return _shaped(Run, row)


def get_run_of(connection: Connection, task_id: str) -> Run | None:
    """The run of a retrain task."""
    row = connection.execute(
        select(*_columns(models.TrainingRun, Run)).where(models.TrainingRun.task_id == task_id)
    ).one_or_none()
    return _shaped(Run, row)


def running_run(connection: Connection, class_set: str) -> Run | None:
    row = connection.execute(
        select(*_columns(models.TrainingRun, Run)).where(
            models.TrainingRun.class_set == class_set, models.TrainingRun.state == "running"
        )
    ).one_or_none()
    return _shaped(Run, row)


def list_runs(connection: Connection, class_set: str | None = None, limit: int | None = 50) -> list[Run]:
    """The runs of a set, or of all sets, that began last, newest first."""
    statement = select(*_columns(models.TrainingRun, Run)).order_by(models.TrainingRun.id.desc())
    if class_set is not None:
        statement = statement.where(models.TrainingRun.class_set == class_set)
    return [Run(**row._mapping) for row in connection.execute(statement.limit(limit))]


def latest_trained(connection: Connection, class_set: str) -> Run | None:
    """The newest run of a set that trained to its end, promoted or rejected: what was learned from last."""
    row = connection.execute(
        select(*_columns(models.TrainingRun, Run))
        .where(
            models.TrainingRun.class_set == class_set,
            models.TrainingRun.state.in_(["promoted", "rejected"]),
        )
        .order_by(models.TrainingRun.id.desc())
        .limit(1)
    ).one_or_none()
    return _shaped(Run, row)


# Checkpoints and their promotions


def put_checkpoint(
    connection: Connection,
    *,
    class_set: str,
    class_version_id: int | None,
    run_id: int | None,
    parents: Sequence[int],
    encoder: str,
    file: str,
    sha256: str,
    fingerprint: str,
    labels: int,
    metrics: Mapping[str, Any],
    accepted: bool,
    reasons: Sequence[str],
) -> int:
    """Keep what a run trained and return its id. Its file is in the store already."""
    return connection.execute(
        insert(models.Checkpoint)
        .values(
            class_set=class_set,
            class_version_id=class_version_id,
            run_id=run_id,
            parents=list(parents),
            encoder=encoder,
            file=file,
            sha256=sha256,
            fingerprint=fingerprint,
            labels=labels,
            metrics=dict(metrics),
            accepted=accepted,
            reasons=list(reasons),
        )
        .returning(models.Checkpoint.id)
    ).scalar_one()


def get_checkpoint(connection: Connection, checkpoint_id: int) -> Checkpoint | None:
    row = connection.execute(_checkpoints().where(models.Checkpoint.id == checkpoint_id)).one_or_none()
    return _shaped(Checkpoint, row)


def get_checkpoints(connection: Connection, ids: Sequence[int]) -> list[Checkpoint]:
    """Those of the checkpoints that are there, in the order of `ids`."""
    rows = connection.execute(_checkpoints().where(models.Checkpoint.id.in_(ids)))
    found = {row.id: Checkpoint(**row._mapping) for row in rows}
    return [found[checkpoint_id] for checkpoint_id in ids if checkpoint_id in found]


def list_checkpoints(connection: Connection, class_set: str | None = None) -> list[Checkpoint]:
    """All checkpoints of a set, or of all sets, newest first."""
    statement = _checkpoints().order_by(models.Checkpoint.id.desc())
    if class_set is not None:
        statement = statement.where(models.Checkpoint.class_set == class_set)
    return [Checkpoint(**row._mapping) for row in connection.execute(statement)]


def _checkpoints() -> Select[Any]:
    """Checkpoints with the state that follows from the promotions of their set."""
    later = aliased(models.Promotion)
    named = (
        exists()
        .where(
            models.Promotion.class_set == models.Checkpoint.class_set,
            models.Checkpoint.id == any_(models.Promotion.checkpoints),
        )
        .correlate(models.Checkpoint)
    )
    serves = named.where(
        ~exists().where(later.class_set == models.Promotion.class_set, later.id > models.Promotion.id)
    )
    state = case((serves, "active"), (named, "retired"), (models.Checkpoint.accepted, "candidate"), else_="rejected")
    stored = [getattr(models.Checkpoint, field.name) for field in fields(Checkpoint) if field.name != "state"]
    return select(*stored, state.label("state"))


def promote(
    connection: Connection, *, class_set: str, checkpoints: Sequence[int], back_to: int | None, by: str
) -> Promotion:
    """Let these checkpoints of a set serve it from now on; none at all: zero-shot. `lock_class_set` comes first."""
    row = connection.execute(
        insert(models.Promotion)
        .values(class_set=class_set, checkpoints=list(checkpoints), back_to=back_to, by=by)
        .returning(*_columns(models.Promotion, Promotion))
    ).one()
    return Promotion(**row._mapping)


def serving(connection: Connection, class_set: str) -> Promotion | None:
    """The promotion of a set that counts; None while it is untrained."""
    row = connection.execute(
        select(*_columns(models.Promotion, Promotion))
        .where(models.Promotion.class_set == class_set)
        .order_by(models.Promotion.id.desc())
        .limit(1)
    ).one_or_none()
    return _shaped(Promotion, row)


def get_promotion(connection: Connection, promotion_id: int) -> Promotion | None:
    row = connection.execute(
        select(*_columns(models.Promotion, Promotion)).where(models.Promotion.id == promotion_id)
    ).one_or_none()
    return _shaped(Promotion, row)


def list_promotions(connection: Connection, class_set: str) -> list[Promotion]:
    """All promotions of a set, newest first."""
    rows = connection.execute(
        select(*_columns(models.Promotion, Promotion))
        .where(models.Promotion.class_set == class_set)
        .order_by(models.Promotion.id.desc())
    )
    return [Promotion(**row._mapping) for row in rows]


# Questions and their answers


def put_answers(
    connection: Connection,
    sha256: str,
    pages: Sequence[int],
    readers: Mapping[str, str],
    answers: Mapping[str, Answer],
) -> None:
    """Keep what its reader answered to each question from these pages; what is there already stays as it is."""
    rows = [
        {
            "sha256": sha256,
            "asked": _asked(pages, question, readers[question]),
            "pages": list(pages),
            "reader": readers[question],
            **answer.model_dump(mode="json", exclude={"error"}),
            "question": question,
        }
        for question, answer in answers.items()
    ]
    if rows:
        rows.sort(key=lambda row: row["asked"])
        connection.execute(insert_or(models.Answer).on_conflict_do_nothing(), rows)


_ANSWER: Final = (
    models.Answer.question,
    models.Answer.kind,
    models.Answer.status,
    models.Answer.answer,
    models.Answer.value,
    models.Answer.confidence,
    models.Answer.evidence,
)
"""What an answer consists of, as the contract has it."""


def get_answers(
    connection: Connection, sha256: str, pages: Sequence[int], readers: Mapping[str, str]
) -> dict[str, Answer]:
    """Question → answer, for those that its reader has answered from these pages."""
    asked = [_asked(pages, question, reader) for question, reader in readers.items()]
    rows = connection.execute(select(*_ANSWER).where(models.Answer.sha256 == sha256, models.Answer.asked.in_(asked)))
    return {row.question: Answer.model_validate(dict(row._mapping)) for row in rows}


def _asked(pages: Sequence[int], question: str, reader: str) -> str:
    return hashlib.sha256(json.dumps([list(pages), question, reader]).encode()).hexdigest()


def answers_about(connection: Connection, sha256: str) -> list[Answer]:
    """What was found on a document, each question's newest answer, in the order in which they were first asked."""
    rows = connection.execute(
        select(*_ANSWER).where(models.Answer.sha256 == sha256).order_by(models.Answer.created_at, models.Answer.asked)
    )
    return list({row.question: Answer.model_validate(dict(row._mapping)) for row in rows}.values())


def put_inquiry(connection: Connection, result: AnswerResult) -> None:
    """Keep an answer task's result; nothing happens when it has one. Its job and document must be there."""
    connection.execute(
        insert_or(models.Inquiry)
        .values(
            task_id=result.task_id,
            sha256=result.document.document_id,
            result=result.model_dump(mode="json"),
            external_id=result.external_id,
        )
        .on_conflict_do_nothing(index_elements=[models.Inquiry.task_id])
    )


def get_inquiry(connection: Connection, task_id: str) -> dict[str, Any] | None:
    """An answer task's result as `AnswerResult.model_validate` takes it."""
    statement = select(models.Inquiry.result).where(models.Inquiry.task_id == task_id)
    return connection.execute(statement).scalar_one_or_none()


# What is known of a case


def tasks_for(connection: Connection, external_id: str) -> set[str]:
    """Ids of the tasks that were sent for a back office's id."""
    return set(connection.execute(select(models.Job.task_id).where(models.Job.external_id == external_id)).scalars())


def tasks_about(connection: Connection, hashes: Collection[str]) -> set[str]:
    """Ids of the tasks that have a result about one of the documents."""
    found = union(
        *(select(result.task_id).where(result.sha256.in_(hashes)) for result in _RESULTS),
        select(models.Correction.correction_task_id).where(models.Correction.sha256.in_(hashes)),
    )
    return set(connection.execute(found).scalars())


def tasks_naming(
    connection: Connection, hashes: Collection[str], places: Collection[str], task_ids: Collection[str]
) -> set[str]:
    """Ids of the tasks whose requests name one of the documents, or correct one of the tasks; and of those that name
    one of the places and have no result.
    """
    job = models.Job
    has_result = or_(
        *(exists().where(result.task_id == job.task_id) for result in _RESULTS),
        exists().where(models.Correction.correction_task_id == job.task_id),
    )
    named = (_NAMED.in_(hashes), and_(_PLACE.in_(places), ~has_result), _CORRECTED.in_(task_ids))
    # One after the other, each by its own index.
    found = union(*(select(job.task_id).where(how) for how in named))
    return set(connection.execute(found).scalars())


def documents_about(connection: Connection, task_ids: Collection[str]) -> set[str]:
    """The documents that these tasks have results about or name; and those that they named the place of, when nobody
    has a result about such a document.
    """
    document, job = models.Document, models.Job
    places = select(_PLACE).where(job.task_id.in_(task_ids), _PLACE.is_not(None))
    named = select(_NAMED).where(job.task_id.in_(task_ids), _NAMED.is_not(None))
    nobody = [~exists().where(result.sha256 == document.sha256) for result in (*_RESULTS, models.Correction)]
    found = union(
        *(select(result.sha256).where(result.task_id.in_(task_ids)) for result in _RESULTS),
        select(models.Correction.sha256).where(models.Correction.correction_task_id.in_(task_ids)),
        select(document.sha256).where(document.sha256.in_(named)),
        select(document.sha256).where(document.uri.in_(places), *nobody),
    )
    return set(connection.execute(found).scalars())


def documents_of_others(connection: Connection, hashes: Collection[str], external_id: str) -> set[str]:
    """Those of the documents that tasks for another id of a back office have results about."""
    found = union(
        *(
            select(result.sha256).where(result.sha256.in_(hashes), result.external_id != external_id)
            for result in _RESULTS
        )
    )
    return set(connection.execute(found).scalars())


def places_of(connection: Connection, hashes: Collection[str]) -> set[str]:
    """Where the documents are fetched from; a place that other documents were found at as well is none of theirs."""
    document, other = models.Document, aliased(models.Document)
    shared = exists().where(other.uri == document.uri, other.sha256.not_in(hashes))
    found = select(document.uri).where(document.sha256.in_(hashes), document.uri.is_not(None), ~shared)
    return {place for place in connection.execute(found).scalars() if place is not None}


def tasks_among(connection: Connection, task_ids: Collection[str]) -> dict[str, tuple[str, JobState]]:
    """Task id → task and state, of those that have a job."""
    job = models.Job
    rows = connection.execute(select(job.task_id, job.task, job.state).where(job.task_id.in_(task_ids)))
    return {row.task_id: (row.task, row.state) for row in rows}


def checkpoints_since_labels(connection: Connection, hashes: Collection[str]) -> list[int]:
    """The checkpoints of a class set that were made after a person said what one of the documents is in that set."""
    said = exists().where(
        models.Correction.sha256.in_(hashes),
        models.Correction.class_set == models.Checkpoint.class_set,
        models.Correction.created_at <= models.Checkpoint.created_at,
    )
    found = select(models.Checkpoint.id).where(said).order_by(models.Checkpoint.id)
    return list(connection.execute(found).scalars())


def count_rows(connection: Connection, hashes: Collection[str], task_ids: Collection[str]) -> dict[str, int]:
    """How many rows there are of these documents and tasks, by kind."""
    correction = models.Correction

    def about(model: Any) -> Any:
        return model.sha256.in_(hashes)

    def about_or_of(model: Any) -> Any:
        return or_(about(model), model.task_id.in_(task_ids))

    kinds: dict[str, tuple[type[models.Base], Any]] = {
        "documents": (models.Document, about(models.Document)),
        "pages": (models.Page, about(models.Page)),
        "features": (models.Feature, about(models.Feature)),
        "answers": (models.Answer, about(models.Answer)),
        "classifications": (models.Classification, about_or_of(models.Classification)),
        "inquiries": (models.Inquiry, about_or_of(models.Inquiry)),
        "labels": (correction, or_(about_or_of(correction), correction.correction_task_id.in_(task_ids))),
        "callbacks": (models.Callback, models.Callback.task_id.in_(task_ids)),
        "reviews": (models.Review, models.Review.task_id.in_(task_ids)),
        "jobs": (models.Job, models.Job.task_id.in_(task_ids)),
    }
    counts = (
        select(func.count()).select_from(model).where(which).scalar_subquery().label(kind)
        for kind, (model, which) in kinds.items()
    )
    return dict(connection.execute(select(*counts)).one()._mapping)


# Forgetting


@dataclass(frozen=True, slots=True)
class Look:
    """One look at what is old: the keys of those rows that are due, and where the next look begins; None: nowhere."""

    due: list[str]
    end: tuple[datetime, str] | None


def due_documents(
    connection: Connection,
    when: datetime | None,
    classes: Mapping[str, datetime],
    limit: int,
    after: tuple[datetime, str] | None = None,
) -> Look:
    """Look at up to `limit` documents, oldest first: those are due that were last used before `when`, or before what
    `classes` says of their class. None: documents of other classes never are.

    Being seen first, classified, asked about and corrected are uses. A document is of the class that its newest
    correction says, in whatever class set, and without any of the one that its newest classification says. Documents
    are locked until the transaction ends; one that a transaction is just adding to is left for the next time.
    """
    latest = max([*classes.values(), *([] if when is None else [when])])
    looked_at = _look_at(models.Document.sha256, models.Document.created_at, latest, limit, after).cte("looked_at")
    default = literal(when, DateTime(timezone=True))
    since = case(dict(classes), value=_class_of(looked_at.c.sha256), else_=default) if classes else default
    # Worked out once a document.
    aged = select(looked_at, since.label("since")).cte("aged").prefix_with("MATERIALIZED", dialect="postgresql")
    is_due = and_(
        aged.c.created_at < aged.c.since,
        *(
            ~exists().where(use.sha256 == aged.c.sha256, use.created_at >= aged.c.since)
            for use in (*_RESULTS, models.Correction)
        ),
    )
    rows = connection.execute(
        select(aged.c.sha256, aged.c.created_at, is_due.label("is_due")).order_by(aged.c.created_at, aged.c.sha256)
    )
    return _look(rows.all())


def due_jobs(
    connection: Connection,
    when: datetime,
    classes: Collection[str],
    limit: int,
    after: tuple[datetime, str] | None = None,
) -> Look:
    """Look at up to `limit` jobs that ended before `when`, oldest first: those are due whose result is about no
    document of these classes. Such a job goes with its document. Jobs are locked as documents are.
    """
    looked_at = _look_at(models.Job.task_id, models.Job.finished_at, when, limit, after).cte("looked_at")
    is_due = and_(
        true(),
        *(
            ~exists().where(result.task_id == looked_at.c.task_id, _class_of(result.sha256).in_(classes))
            for result in _RESULTS
            if classes
        ),
    )
    rows = connection.execute(
        select(looked_at, is_due.label("is_due")).order_by(looked_at.c.finished_at, looked_at.c.task_id)
    )
    return _look(rows.all())


def _look_at(key: Any, moment: Any, before: datetime, limit: int, after: tuple[datetime, str] | None) -> Select[Any]:
    rows = select(key, moment).where(moment < before)
    if after is not None:
        rows = rows.where(tuple_(moment, key) > tuple_(literal(after[0]), literal(after[1])))
    return rows.order_by(moment, key).limit(limit).with_for_update(skip_locked=True)


def _look(rows: Sequence[Any]) -> Look:
    """Of rows (key, moment, whether it is due)."""
    return Look([row[0] for row in rows if row[2]], (rows[-1][1], rows[-1][0]) if rows else None)


def _class_of(sha256: Any) -> ColumnElement[str | None]:
    correction, said = aliased(models.Correction), aliased(models.Classification)
    label = select(correction.label).where(correction.sha256 == sha256).order_by(correction.id.desc()).limit(1)
    prediction = select(said.prediction).where(said.sha256 == sha256).order_by(said.created_at.desc()).limit(1)
    return func.coalesce(label.scalar_subquery(), prediction.scalar_subquery())


def forget_documents(connection: Connection, hashes: Collection[str]) -> int:
    """Delete documents with all that was made of them, labels included; returns how many. Their jobs stay."""
    return connection.execute(delete(models.Document).where(models.Document.sha256.in_(hashes))).rowcount


def forget_jobs(connection: Connection, task_ids: Collection[str]) -> int:
    """Delete jobs with their results and training runs; returns how many. Checkpoints stay, without their run."""
    return connection.execute(delete(models.Job).where(models.Job.task_id.in_(task_ids))).rowcount


def forget_corrections(connection: Connection, task_ids: Collection[str]) -> int:
    """Delete the corrections that these tasks made, and those of what they had said; returns how many."""
    correction = models.Correction
    forgotten = connection.execute(
        delete(correction).where(or_(correction.task_id.in_(task_ids), correction.correction_task_id.in_(task_ids)))
    )
    return forgotten.rowcount


def forget_places(connection: Connection, hashes: Collection[str], task_ids: Collection[str]) -> None:
    """Have documents that these tasks were about be fetched from where the newest other task about them found them;
    from nowhere, if none did.
    """
    document, job = models.Document, models.Job
    own = select(_PLACE).where(job.task_id.in_(task_ids), _PLACE.is_not(None))
    about_it = union_all(
        *(select(result.task_id).where(result.sha256 == document.sha256).correlate(document) for result in _RESULTS)
    )
    other = (
        select(_PLACE)
        .where(_PLACE.is_not(None), job.task_id.not_in(task_ids), job.task_id.in_(about_it))
        .order_by(job.received_at.desc())
        .limit(1)
        .scalar_subquery()
        .correlate(document)
    )
    connection.execute(update(document).where(document.sha256.in_(hashes), document.uri.in_(own)).values(uri=other))


def redact_errors(connection: Connection, hashes: Collection[str]) -> list[str]:
    """Take documents' ids, one at least, out of what jobs' errors say, which may list them; returns the jobs' ids."""
    job = models.Job
    listed = "|".join(hashes)
    changed = connection.execute(
        update(job)
        .where(job.state != "succeeded", job.error_message.regexp_match(listed))
        .values(error_message=job.error_message.regexp_replace(listed, "...", flags="g"))
        .returning(job.task_id)
    )
    return list(changed.scalars())


# How it is doing, in figures


@dataclass(frozen=True, slots=True)
class ReviewBacklog:
    """Cases of one class set that a person should look at and nobody has: how many, and since when the oldest."""

    count: int
    oldest: datetime


def review_backlogs(connection: Connection) -> dict[str | None, ReviewBacklog]:
    """Class set → what waits for a person; None: documents that were classified by classes that came along."""
    rows = connection.execute(
        select(_CASES.c.class_set, func.count(), func.min(_CASES.c.waiting_since)).group_by(_CASES.c.class_set)
    )
    return {class_set: ReviewBacklog(count, oldest) for class_set, count, oldest in rows}


def count_ended(connection: Connection, lately: timedelta) -> list[tuple[str, JobState, int]]:
    """(task, state, jobs) of those that ended lately."""
    job = models.Job
    rows = connection.execute(
        select(job.task, job.state, func.count())
        .where(job.finished_at >= func.now() - lately)
        .group_by(job.task, job.state)
        .order_by(job.task, job.state)
    )
    return [(task, state, count) for task, state, count in rows]


def count_unfinished(connection: Connection) -> dict[JobState, int]:
    """How many jobs have not ended, by state; found without those that have."""
    job = models.Job
    rows = connection.execute(
        select(job.state, func.count())
        .where(_IS_OPEN, job.state != "succeeded")
        .group_by(job.state)
        .order_by(job.state)
    )
    return dict(rows.all())


CONFIDENCE_STEPS: Final = 20
"""Equal steps from 0 to 1 that confidences are counted in."""


@dataclass(frozen=True, slots=True)
class ClassifiedGroup:
    """Documents that were classified in one period, with one outcome; `step` of CONFIDENCE_STEPS, from 0."""

    period: datetime
    prediction: str | None
    status: str
    step: int
    count: int
    confidence: float


@dataclass(frozen=True, slots=True)
class CorrectedGroup:
    """Documents that a person has labelled, by how sure the classification was and whether it was wrong."""

    step: int
    is_wrong: bool
    count: int


@dataclass(frozen=True, slots=True)
class JobGroup:
    """Jobs of a kind that ended in one period in one state."""

    period: datetime
    task: str
    state: JobState
    count: int


@dataclass(frozen=True, slots=True)
class Waits:
    """How long messages waited in one period whose senders said when they sent them: percentiles in seconds."""

    period: datetime
    count: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class StageSeconds:
    """What one stage of a kind of task took, in how many jobs: seconds in all, and percentiles."""

    task: str
    stage: str
    count: int
    total: float
    p50: float
    p95: float


def classified_groups(connection: Connection, class_set: str, since: datetime, period: str) -> list[ClassifiedGroup]:
    """What a class set said since then, by `day` or `week` (UTC), prediction, status and confidence."""
    said = models.Classification
    groups = (_period(said.created_at, period), said.prediction, said.status, _step(said.confidence))
    rows = connection.execute(
        select(*groups, func.count(), func.avg(said.confidence))
        .where(said.class_version_id.in_(_versions_of(class_set)), said.created_at >= since)
        .group_by(*groups)
        .order_by(groups[0])
    )
    return [ClassifiedGroup(*row) for row in rows]


def review_reasons(connection: Connection, class_set: str, since: datetime) -> dict[str, int]:
    """Reason → cases of a class set that it sent to a person since then, the most frequent first."""
    said = models.Classification
    reason = func.unnest(said.reasons).label("reason")
    rows = connection.execute(
        select(reason, func.count())
        .where(
            said.class_version_id.in_(_versions_of(class_set)),
            said.created_at >= since,
            said.status == "needs_review",
        )
        .group_by(reason)
        .order_by(func.count().desc(), reason)
    )
    return dict(rows.all())


def corrected_groups(connection: Connection, class_set: str, since: datetime) -> list[CorrectedGroup]:
    """Of the documents that were labelled in a class set since then, by the newest label of each: how sure the
    classification was that it is about, and whether it was wrong. That is the one it names, else the newest of the
    document in this set; a document that was never classified in it is left out.
    """
    said, correction = models.Classification, models.Correction
    newest = (
        select(correction.sha256, correction.label, correction.task_id)
        .where(correction.class_set == class_set, correction.created_at >= since)
        .ext(distinct_on(correction.sha256))
        .order_by(correction.sha256, correction.id.desc())
        .cte("newest")
    )
    judged = (
        select(said.prediction, said.confidence)
        .where(
            said.sha256 == newest.c.sha256,
            or_(said.task_id == newest.c.task_id, newest.c.task_id.is_(None)),
            said.class_version_id.in_(_versions_of(class_set)),
        )
        .order_by(said.created_at.desc())
        .limit(1)
        .lateral("judged")
    )
    groups = (_step(judged.c.confidence), judged.c.prediction.is_distinct_from(newest.c.label))
    rows = connection.execute(
        select(*groups, func.count()).select_from(newest).join(judged, true()).group_by(*groups).order_by(*groups)
    )
    return [CorrectedGroup(*row) for row in rows]


def job_groups(connection: Connection, since: datetime, period: str) -> list[JobGroup]:
    """Jobs that ended since then, by `day` or `week` (UTC), kind and state."""
    job = models.Job
    groups = (_period(job.finished_at, period), job.task, job.state)
    rows = connection.execute(
        select(*groups, func.count()).where(job.finished_at >= since).group_by(*groups).order_by(*groups)
    )
    return [JobGroup(*row) for row in rows]


def waits(connection: Connection, since: datetime, period: str) -> list[Waits]:
    """How long messages waited whose jobs succeeded since then, by `day` or `week` (UTC)."""
    job = models.Job
    queued, moment = job.seconds["queued"].as_float(), _period(job.finished_at, period)
    rows = connection.execute(
        select(
            moment.label("period"),
            func.count(queued).label("count"),
            _percentile(0.5, queued).label("p50"),
            _percentile(0.95, queued).label("p95"),
            _percentile(0.99, queued).label("p99"),
        )
        .where(job.finished_at >= since, job.seconds.has_key("queued"))
        .group_by(moment)
        .order_by(moment)
    )
    return [Waits(**row._mapping) for row in rows]


def stage_seconds(connection: Connection, since: datetime, newest: int) -> list[StageSeconds]:
    """What stages took in the `newest` jobs that succeeded since then, waiting left out; the costliest first."""
    job = models.Job
    looked_at = (
        select(job.task, job.seconds)
        .where(job.finished_at >= since, job.state == "succeeded", job.seconds.is_not(None))
        .order_by(job.finished_at.desc())
        .limit(newest)
        .cte("looked_at")
    )
    stage = func.jsonb_each_text(looked_at.c.seconds).table_valued("key", "value").lateral("stage")
    seconds = cast(stage.c.value, Double)
    rows = connection.execute(
        select(
            looked_at.c.task,
            stage.c.key,
            func.count(),
            func.sum(seconds),
            *(_percentile(share, seconds) for share in (0.5, 0.95)),
        )
        .select_from(looked_at)
        .join(stage, stage.c.key != "queued")
        .group_by(looked_at.c.task, stage.c.key)
        .order_by(func.sum(seconds).desc())
    )
    return [StageSeconds(*row) for row in rows]


def error_codes(connection: Connection, since: datetime) -> list[tuple[JobState, str, int]]:
    """(state, code, jobs) of those that ended without a result since then, the most frequent first."""
    job = models.Job
    rows = connection.execute(
        select(job.state, job.error_code, func.count())
        .where(job.finished_at >= since, job.state.in_(["rejected", "failed"]), job.state != "succeeded")
        .group_by(job.state, job.error_code)
        .order_by(func.count().desc(), job.error_code)
    )
    return [(state, code or "", count) for state, code, count in rows]


def _versions_of(class_set: str) -> Select[Any]:
    return select(models.ClassVersion.id).where(models.ClassVersion.class_set == class_set)


def _period(moment: Any, period: str) -> ColumnElement[datetime]:
    return func.date_trunc(period, moment, "UTC")


def _step(confidence: Any) -> ColumnElement[int]:
    return func.least(func.floor(confidence * CONFIDENCE_STEPS), CONFIDENCE_STEPS - 1).cast(Integer)


def _percentile(share: float, value: Any) -> ColumnElement[float]:
    return func.percentile_cont(share).within_group(value)
