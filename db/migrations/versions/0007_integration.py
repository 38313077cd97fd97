"""Outcomes that are sent to back offices, cases that people look at, and the views that reports stand on."""

from alembic import op

revision = "0007"
down_revision = "0006"

TABLES = """
CREATE TABLE callbacks (
    task_id text PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    task text NOT NULL,
    queue text NOT NULL,
    endings integer NOT NULL DEFAULT 1,
    ended_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz
);
CREATE INDEX callbacks_unsent ON callbacks (ended_at) WHERE sent_at IS NULL;

CREATE TABLE reviews (
    task_id text PRIMARY KEY REFERENCES classifications ON DELETE CASCADE,
    claimed_by text,
    claimed_at timestamptz,
    dismissed_by text,
    dismissed_at timestamptz,
    note text,
    CONSTRAINT reviews_claimed_check CHECK ((claimed_by IS NULL) = (claimed_at IS NULL)),
    CONSTRAINT reviews_dismissed_check CHECK ((dismissed_by IS NULL) = (dismissed_at IS NULL))
);
CREATE INDEX classifications_needs_review ON classifications (created_at, task_id) WHERE status = 'needs_review';
CREATE INDEX corrections_created_at ON corrections (class_set, created_at);
"""

# What a person last said of a document: in the class set that it was classified by, or naming this very task.
CORRECTED = """
LEFT JOIN LATERAL (
    SELECT label, by, created_at FROM corrections
    WHERE corrections.sha256 = classifications.sha256
    AND (corrections.task_id = classifications.task_id OR corrections.class_set = class_versions.class_set)
    ORDER BY id DESC LIMIT 1
) AS corrected ON true
"""

RESULTS = f"""
CREATE VIEW results_v1 AS
SELECT
    classifications.task_id,
    classifications.external_id,
    classifications.result #>> '{{metadata,tenant}}' AS tenant,
    classifications.sha256 AS document_id,
    documents.media_type,
    documents.page_count,
    class_versions.class_set,
    class_versions.number AS class_set_version,
    classifications.prediction,
    classifications.confidence,
    classifications.status,
    classifications.reasons,
    classifications.result ->> 'backend' AS backend,
    classifications.result ->> 'checkpoint' AS checkpoint,
    (classifications.result ->> 'cached')::boolean AS cached,
    corrected.label AS corrected_to,
    corrected.by AS corrected_by,
    corrected.created_at AS corrected_at,
    jobs.received_at,
    jobs.finished_at,
    (jobs.seconds ->> 'queued')::double precision AS queued_seconds,
    extract(epoch FROM jobs.finished_at - jobs.received_at)::double precision AS seconds
FROM classifications
JOIN jobs USING (task_id)
JOIN documents USING (sha256)
LEFT JOIN class_versions ON class_versions.id = classifications.class_version_id
{CORRECTED}
"""  # noqa: S608 - all of it stands here

REVIEW_QUEUE = """
CREATE VIEW review_queue_v1 AS
SELECT
    classifications.task_id,
    classifications.external_id,
    classifications.result #>> '{metadata,tenant}' AS tenant,
    classifications.sha256 AS document_id,
    class_versions.class_set,
    class_versions.number AS class_set_version,
    classifications.prediction,
    classifications.confidence,
    classifications.reasons,
    classifications.created_at AS waiting_since,
    reviews.claimed_by,
    reviews.claimed_at
FROM classifications
LEFT JOIN class_versions ON class_versions.id = classifications.class_version_id
LEFT JOIN reviews USING (task_id)
WHERE classifications.status = 'needs_review'
AND reviews.dismissed_at IS NULL
AND NOT EXISTS (
    SELECT FROM corrections
    WHERE corrections.sha256 = classifications.sha256
    AND (corrections.task_id = classifications.task_id OR corrections.class_set = class_versions.class_set)
)
"""


def upgrade() -> None:
    for statement in (TABLES, RESULTS, REVIEW_QUEUE):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP VIEW results_v1, review_queue_v1")
    op.execute("DROP TABLE reviews, callbacks")
    op.execute("DROP INDEX classifications_needs_review, corrections_created_at")
