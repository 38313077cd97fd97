"""Every table. What each one is for, and which states its rows go through, stands in its docstring.

The tables serve Core statements (db/queries.py); db/migrations/ makes them and is kept equal to them by a test.
"""

from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_COLUMN_TYPES: Final = {
    str: Text(),
    float: Double(),
    datetime: DateTime(timezone=True),
    list[str]: ARRAY(Text()),
    list[int]: ARRAY(Integer()),
    dict[str, Any]: JSONB(none_as_null=True),
}

JobState = Literal["received", "started", "succeeded", "rejected", "failed"]
OpenState = Literal["received", "started"]
EndState = Literal["succeeded", "rejected", "failed"]
Source = Literal["text_layer", "ocr", "image", "blank"]
VersionState = Literal["draft", "published", "retired"]
RunState = Literal["running", "promoted", "rejected", "skipped", "cancelled", "failed"]
RunEnd = Literal["promoted", "rejected", "skipped", "cancelled", "failed"]
CheckpointState = Literal["candidate", "active", "retired", "rejected"]


class Base(DeclarativeBase):
    type_annotation_map = _COLUMN_TYPES
    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        }
    )


class Document(Base):
    """A document that was seen, by the SHA-256 of its bytes: its public `document_id`.

    It has no states: it is written once, and only the place to fetch it from may change. Deleting it deletes its
    pages, features, classifications, corrections, inquiries and answers.
    """

    __tablename__ = "documents"
    __table_args__ = (
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
        CheckConstraint("page_count >= 1", name="page_count"),
        CheckConstraint("size >= 0", name="size"),
        Index("documents_created_at", "created_at"),
        # Hashed: a URI may be longer than what other indexes take.
        Index("documents_uri", "uri", postgresql_using="hash"),
    )

    sha256: Mapped[str] = mapped_column(primary_key=True)
    media_type: Mapped[str]
    page_count: Mapped[int]
    size: Mapped[int] = mapped_column(BigInteger)  # bytes
    uri: Mapped[str | None]  # where it was last fetched; null if it only came inside messages
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Page(Base):
    """What one reader read on one page. It has no states: written once; another reader's version is another row."""

    __tablename__ = "pages"
    __table_args__ = (
        CheckConstraint("number >= 1", name="number"),
        CheckConstraint("source IN ('text_layer', 'ocr', 'image', 'blank')", name="source"),
    )

    sha256: Mapped[str] = mapped_column(ForeignKey("documents.sha256", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    reader: Mapped[str] = mapped_column(primary_key=True)
    width: Mapped[int]  # pixels
    height: Mapped[int]  # pixels
    source: Mapped[Source] = mapped_column(Text)
    lines: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    turns: Mapped[int] = mapped_column(server_default=text("0"))  # quarters, counter-clockwise, that made it upright
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Feature(Base):
    """What one encoder made of one page; a blank page has a row without data, so that it is not read again.

    It has no states: written once; another encoder's version is another row.
    """

    __tablename__ = "features"
    __table_args__ = (CheckConstraint("page >= 1", name="page"),)

    sha256: Mapped[str] = mapped_column(ForeignKey("documents.sha256", ondelete="CASCADE"), primary_key=True)
    page: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    encoder: Mapped[str] = mapped_column(primary_key=True)
    data: Mapped[bytes | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TextVector(Base):
    """What one encoder made of one text, by the SHA-256 of its UTF-8; the text itself is not kept. No states."""

    __tablename__ = "text_vectors"
    __table_args__ = (CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),)

    sha256: Mapped[str] = mapped_column(primary_key=True)
    encoder: Mapped[str] = mapped_column(primary_key=True)
    data: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ClassSet(Base):
    """A named set of classes; what it says stands in its versions. It has no states.

    `versions` counts the versions ever made: the row's lock makes numbering them and publishing them take turns.
    """

    __tablename__ = "class_sets"

    name: Mapped[str] = mapped_column(primary_key=True)
    versions: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ClassVersion(Base):
    """One version of a class set, numbered from 1.

    draft → published → retired, and retired → published again (a rollback). At most one version of a set is
    published. A version and its descriptions never change once it left draft; triggers see to that and to the
    transitions.
    """

    __tablename__ = "class_versions"
    __table_args__ = (
        UniqueConstraint("class_set", "number"),
        CheckConstraint("number >= 1", name="number"),
        CheckConstraint("state IN ('draft', 'published', 'retired')", name="state"),
        Index("class_versions_published", "class_set", unique=True, postgresql_where=text("state = 'published'")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    class_set: Mapped[str] = mapped_column(ForeignKey("class_sets.name", ondelete="CASCADE"))
    number: Mapped[int]
    state: Mapped[VersionState] = mapped_column(Text, server_default=text("'draft'"))
    digest: Mapped[str]  # SHA-256 of what the classes say
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    published_at: Mapped[datetime | None]  # the last time


class ClassDescription(Base):
    """One class of a version, as people describe it. It has no states: fixed once its version left draft."""

    __tablename__ = "class_descriptions"
    __table_args__ = (UniqueConstraint("version_id", "name"),)

    version_id: Mapped[int] = mapped_column(ForeignKey("class_versions.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    description: Mapped[str]
    wording: Mapped[list[str]] = mapped_column(JSONB)
    templates: Mapped[list[str]] = mapped_column(JSONB)
    captions: Mapped[list[str]] = mapped_column(JSONB)


class Job(Base):
    """One row a task id: what was asked for and how it ended.

    received → started → succeeded | rejected | failed. A transient failure takes a started job back to received, with
    the error in its row; a start of a started job is a redelivery after its node died. The last three states end a
    job: it changes only when a person reopens a rejected or failed one (→ received, counted from 0 again).

    `attempts` counts starts, before the work; `retries` counts those that a transient failure ended. So
    `attempts - retries` is the number of starts that nobody saw end, the present one included.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("state IN ('received', 'started', 'succeeded', 'rejected', 'failed')", name="state"),
        CheckConstraint(
            "(state IN ('succeeded', 'rejected', 'failed')) = (finished_at IS NOT NULL)", name="finished"
        ),
        # Almost every job succeeded: what is in flight or went wrong is found without them.
        Index("jobs_not_succeeded", "state", "received_at", postgresql_where=text("state <> 'succeeded'")),
        Index("jobs_received_at", "received_at"),
        Index("jobs_finished_at", "finished_at"),
        Index("jobs_external_id", "external_id", postgresql_where=text("external_id IS NOT NULL")),
        # By what a request names a case is found again that is to be forgotten.
        Index("jobs_document_uri", text("(request #>> '{document,uri}')"), postgresql_using="hash"),
        Index("jobs_document_id", text("(request #>> '{document,document_id}')"), postgresql_using="hash"),
        Index("jobs_corrects", text("(request ->> 'task_id')"), postgresql_using="hash"),
    )

    task_id: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str]
    state: Mapped[JobState] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    retries: Mapped[int] = mapped_column(server_default=text("0"))
    request: Mapped[dict[str, Any]]  # without inline content
    external_id: Mapped[str | None]
    node: Mapped[str | None]  # the last one that started it
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]  # the last time
    finished_at: Mapped[datetime | None]
    seconds: Mapped[dict[str, Any] | None]  # time spent by stage


class Callback(Base):
    """The outcome of a job that has ended, to be sent to a task of a back office's own; what it is stands elsewhere.

    unsent → sent, by `sent_at`; unsent again when a job that a person reopened has ended once more, which `endings`
    counts. Written in the transaction that ends the job. Deleting the job deletes it.
    """

    __tablename__ = "callbacks"
    __table_args__ = (Index("callbacks_unsent", "ended_at", postgresql_where=text("sent_at IS NULL")),)

    task_id: Mapped[str] = mapped_column(ForeignKey("jobs.task_id", ondelete="CASCADE"), primary_key=True)
    task: Mapped[str]  # theirs
    queue: Mapped[str]
    endings: Mapped[int] = mapped_column(server_default=text("1"))
    ended_at: Mapped[datetime] = mapped_column(server_default=func.now())
    sent_at: Mapped[datetime | None]


class Classification(Base):
    """A classify task's result, whole in `result`; the other columns are for looking up. No states: written once."""

    __tablename__ = "classifications"
    __table_args__ = (
        CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
        CheckConstraint("status IN ('classified', 'needs_review')", name="status"),
        Index("classifications_sha256", "sha256", "created_at"),
        Index("classifications_class_version_id", "class_version_id", "created_at"),
        Index("classifications_external_id", "external_id", postgresql_where=text("external_id IS NOT NULL")),
        Index(
            "classifications_needs_review",
            "created_at",
            "task_id",
            postgresql_where=text("status = 'needs_review'"),
        ),
    )

    task_id: Mapped[str] = mapped_column(ForeignKey("jobs.task_id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("documents.sha256", ondelete="CASCADE"))
    class_version_id: Mapped[int | None] = mapped_column(ForeignKey("class_versions.id"))  # null: one-off classes
    prediction: Mapped[str | None]
    confidence: Mapped[float]
    status: Mapped[str]
    reasons: Mapped[list[str]]
    result: Mapped[dict[str, Any]]
    external_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Review(Base):
    """Who looks at a classification that needs review. A row is made when somebody first claims or dismisses it.

    open → claimed → open again (released, or the claim lapsed) → resolved | dismissed. A correction resolves it: one
    of its document in the class set that it was classified by, or one that names its task. So that is no state of
    this row, and a case whose label is forgotten is open again. Nothing is learned from one that is dismissed: it is
    of none of the classes, or of no use.
    """

    __tablename__ = "reviews"
    __table_args__ = (
        CheckConstraint("(claimed_by IS NULL) = (claimed_at IS NULL)", name="claimed"),
        CheckConstraint("(dismissed_by IS NULL) = (dismissed_at IS NULL)", name="dismissed"),
    )

    task_id: Mapped[str] = mapped_column(ForeignKey("classifications.task_id", ondelete="CASCADE"), primary_key=True)
    claimed_by: Mapped[str | None]
    claimed_at: Mapped[datetime | None]
    dismissed_by: Mapped[str | None]
    dismissed_at: Mapped[datetime | None]
    note: Mapped[str | None]  # why it was dismissed


class Correction(Base):
    """What a person says a document is: a label to learn from. No states: written once; the latest one counts.

    `correction_task_id` is the correct task's own id; `task_id` is the classify request that it corrects, if it
    named one, and `previous` what that had said.
    """

    __tablename__ = "corrections"
    __table_args__ = (
        Index("corrections_class_set", "class_set", "id"),
        Index("corrections_created_at", "class_set", "created_at"),
        Index("corrections_sha256", "sha256"),
        Index("corrections_task_id", "task_id", postgresql_using="hash"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("documents.sha256", ondelete="CASCADE"))
    class_set: Mapped[str] = mapped_column(ForeignKey("class_sets.name"))
    label: Mapped[str]
    previous: Mapped[str | None]
    task_id: Mapped[str | None]
    correction_task_id: Mapped[str] = mapped_column(unique=True)
    by: Mapped[str]
    note: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Inquiry(Base):
    """An answer task's result, whole in `result`; the other columns are for looking up. No states: written once."""

    __tablename__ = "inquiries"
    __table_args__ = (
        Index("inquiries_sha256", "sha256", "created_at"),
        Index("inquiries_external_id", "external_id", postgresql_where=text("external_id IS NOT NULL")),
    )

    task_id: Mapped[str] = mapped_column(ForeignKey("jobs.task_id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("documents.sha256", ondelete="CASCADE"))
    result: Mapped[dict[str, Any]]
    external_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Answer(Base):
    """What one reader answers to one question about these pages of a document, so that it is not asked again.

    `asked` is the SHA-256 of pages, question and reader, which may be too long for an index. It has no states:
    written once, and never for a question that failed; another reader's version is another row.
    """

    __tablename__ = "answers"
    __table_args__ = (
        CheckConstraint("asked ~ '^[0-9a-f]{64}$'", name="asked"),
        CheckConstraint("kind IN ('document_type', 'counting', 'extraction', 'verification')", name="kind"),
        CheckConstraint("status IN ('answered', 'not_found')", name="status"),
        CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
    )

    sha256: Mapped[str] = mapped_column(ForeignKey("documents.sha256", ondelete="CASCADE"), primary_key=True)
    asked: Mapped[str] = mapped_column(primary_key=True)
    pages: Mapped[list[int]]  # those that were read
    question: Mapped[str]
    reader: Mapped[str]
    kind: Mapped[str]
    status: Mapped[str]
    answer: Mapped[str | None]
    value: Mapped[dict[str, Any] | None]
    confidence: Mapped[float]
    evidence: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TrainingRun(Base):
    """One row a retrain task: a try to learn from the corrections of a class set. At most one of a set is running.

    running → promoted | rejected | skipped | cancelled | failed. The last five states end a run, which never changes
    again, but for a failed one whose job a person starts anew (→ running). A run whose node died stays running and is
    resumed by the next start of its task. `cancelled_by` asks a running run to end; its trainer looks whenever it
    renews `heartbeat_at`. `labels_up_to` is the last correction that there was when it began: a resumed run learns
    from no later one. Deleting the job deletes the run.
    """

    __tablename__ = "training_runs"
    __table_args__ = (
        CheckConstraint(
            "state IN ('running', 'promoted', 'rejected', 'skipped', 'cancelled', 'failed')", name="state"
        ),
        CheckConstraint("(state = 'running') = (finished_at IS NULL)", name="finished"),
        Index("training_runs_running", "class_set", unique=True, postgresql_where=text("state = 'running'")),
        Index("training_runs_class_set", "class_set", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("jobs.task_id", ondelete="CASCADE"), unique=True)
    class_set: Mapped[str] = mapped_column(ForeignKey("class_sets.name"))
    state: Mapped[RunState] = mapped_column(Text)
    starts: Mapped[int] = mapped_column(server_default=text("1"))  # more than one: it was resumed
    node: Mapped[str | None]  # the last one that started it
    labels_up_to: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    fingerprint: Mapped[str | None]  # of all that it learned from
    progress: Mapped[dict[str, Any] | None]
    result: Mapped[dict[str, Any] | None]  # whole, as the caller got it
    cancelled_by: Mapped[str | None]
    heartbeat_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())  # the first time
    finished_at: Mapped[datetime | None]


class Checkpoint(Base):
    """A trained alignment: the file in the store, what it was made from, and how it was judged.

    Written once; a trigger sees to that, and lets only `run_id` go when the run is deleted. No states are stored:
    what people see follows from the promotions. candidate → active → retired, and retired → active again, by being
    in the newest promotion of its set, or only in earlier ones; one that no promotion names is a candidate if it was
    accepted and rejected if not.
    """

    __tablename__ = "checkpoints"
    __table_args__ = (
        CheckConstraint("file ~ '^[^/.][^/]*$'", name="file"),
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
        CheckConstraint("labels >= 0", name="labels"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    class_set: Mapped[str] = mapped_column(ForeignKey("class_sets.name"))
    class_version_id: Mapped[int | None] = mapped_column(ForeignKey("class_versions.id"))
    run_id: Mapped[int | None] = mapped_column(ForeignKey("training_runs.id", ondelete="SET NULL"))
    parents: Mapped[list[int]] = mapped_column(ARRAY(BigInteger()))  # those that served when it was made
    encoder: Mapped[str]
    file: Mapped[str]  # its name inside the store
    sha256: Mapped[str]  # of the file
    fingerprint: Mapped[str]  # SHA-256 of all that it learned from
    labels: Mapped[int]  # how many it learned from
    metrics: Mapped[dict[str, Any]]
    accepted: Mapped[bool]  # what the gate said
    reasons: Mapped[list[str]]  # why it said so
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Promotion(Base):
    """Which checkpoints serve a class set from when on: the newest one counts, and without any the set is untrained.

    It has no states: written once, and a trigger sees to that; going back is another row. An empty `checkpoints` is
    zero-shot. `back_to` is the promotion that a rollback of this one returns to; null: to untrained.
    """

    __tablename__ = "promotions"
    __table_args__ = (Index("promotions_class_set", "class_set", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    class_set: Mapped[str] = mapped_column(ForeignKey("class_sets.name"))
    checkpoints: Mapped[list[int]] = mapped_column(ARRAY(BigInteger()))
    back_to: Mapped[int | None] = mapped_column(ForeignKey("promotions.id"))
    by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
