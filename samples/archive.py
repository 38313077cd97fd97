"""Months of made-up work, put straight into the tables: what a database looks like that has served for long."""

from typing import Final

from sqlalchemy import Connection, text

DAYS: Final = 90
"""Over which it is spread, until now."""
CLASS_SET: Final = "archive"
CLASSES: Final = ("invoice", "receipt", "letter", "contract", "payslip")

# Of the number `n` of a piece of work, of which there are as many documents, jobs and results.
_SHA256: Final = "encode(sha256(n::text::bytea), 'hex')"
_CLASS: Final = f"(ARRAY{list(CLASSES)!r})[1 + n % {len(CLASSES)}]"
_WHEN: Final = f"now() - interval '{DAYS} days' * (1 - n / :count::float8)"
_IS_CLASSIFIED: Final = "n % 40 <> 0 AND n % 10 <> 1"
_IS_ASKED: Final = "n % 40 <> 0 AND n % 10 = 1"
_NUMBERS: Final = "FROM generate_series(1, :count) AS n"

_STATEMENTS: Final = (
    f"INSERT INTO class_sets (name, versions) VALUES ('{CLASS_SET}', 1)",
    f"""INSERT INTO class_versions (class_set, number, state, digest, published_at)
    VALUES ('{CLASS_SET}', 1, 'published', repeat('0', 64), now() - interval '{DAYS} days')""",
    f"""INSERT INTO documents (sha256, media_type, page_count, size, uri, created_at)
    SELECT {_SHA256}, 'application/pdf', 1, 10000, 'file:///archive/' || n || '.pdf', {_WHEN} {_NUMBERS}""",
    f"""INSERT INTO pages (sha256, number, reader, width, height, source, lines, created_at)
    SELECT {_SHA256}, 1, :reader, 850, 1100, 'text_layer', '[]', {_WHEN} {_NUMBERS}""",
    f"""INSERT INTO features (sha256, page, encoder, data, created_at)
    SELECT {_SHA256}, 1, :encoder, :features, {_WHEN} {_NUMBERS}""",
    f"""INSERT INTO jobs (task_id, task, state, attempts, request, external_id, node, error_code, error_message,
        received_at, started_at, finished_at, seconds)
    SELECT 'archive-' || n, CASE WHEN {_IS_ASKED} THEN 'docintake.answer' ELSE 'docintake.classify' END,
        CASE WHEN n % 40 <> 0 THEN 'succeeded' WHEN n % 120 = 0 THEN 'failed' ELSE 'rejected' END, 1,
        jsonb_build_object('document', jsonb_build_object('uri', 'file:///archive/' || n || '.pdf')), 'case-' || n,
        'node@archive', CASE WHEN n % 40 = 0 THEN CASE WHEN n % 120 = 0 THEN 'poison' ELSE 'unreadable' END END,
        CASE WHEN n % 40 = 0 THEN 'it is broken' END,
        {_WHEN}, {_WHEN}, {_WHEN} + interval '1 second' * (0.2 + n % 7), '{{"queued": 0.1, "read": 0.2}}'
    {_NUMBERS}""",
    f"""INSERT INTO classifications (task_id, sha256, class_version_id, prediction, confidence, status, reasons,
        result, external_id, created_at)
    SELECT 'archive-' || n, {_SHA256}, version.id, {_CLASS}, 0.4 + (n % 60) / 100.0,
        CASE WHEN n % 60 < 12 THEN 'needs_review' ELSE 'classified' END,
        CASE WHEN n % 60 < 12 THEN ARRAY['low_confidence'] ELSE ARRAY[]::text[] END,
        jsonb_build_object('pages', jsonb_build_array(jsonb_build_object('number', 1)), 'checkpoint', NULL),
        'case-' || n, {_WHEN} {_NUMBERS}, class_versions AS version
    WHERE version.class_set = '{CLASS_SET}' AND {_IS_CLASSIFIED}""",
    f"""INSERT INTO inquiries (task_id, sha256, result, external_id, created_at)
    SELECT 'archive-' || n, {_SHA256}, '{{}}', 'case-' || n, {_WHEN} {_NUMBERS} WHERE {_IS_ASKED}""",
    f"""INSERT INTO answers (sha256, asked, pages, question, reader, kind, status, answer, confidence,
        evidence)
    SELECT {_SHA256}, repeat('a', 64), ARRAY[1], 'What is the total?', 'reader', 'extraction', 'answered', '1', 1,
        '[]' {_NUMBERS} WHERE {_IS_ASKED}""",
    f"""INSERT INTO corrections (sha256, class_set, label, previous, task_id, correction_task_id, by, created_at)
    SELECT {_SHA256}, '{CLASS_SET}', (ARRAY{list(CLASSES)!r})[1 + (n + (n % 3) / 2) % {len(CLASSES)}], {_CLASS},
        'archive-' || n, 'correction-' || n, 'ann', {_WHEN} {_NUMBERS} WHERE {_IS_CLASSIFIED} AND n % 50 < 4""",
    "ANALYZE",
)


def fill(connection: Connection, count: int, *, reader: str, encoder: str, features: bytes) -> None:
    """Write `count` documents of a page each, read and encoded, with the jobs about them and what came of these: most
    were classified, some asked about, a few refused; people corrected some.
    """
    values = {"count": count, "reader": reader, "encoder": encoder, "features": features}
    for statement in _STATEMENTS:
        # A driver takes `::` for no parameter, SQLAlchemy's text() would.
        connection.execute(text(statement.replace("::", r"\:\:")), values if ":" in statement else {})
