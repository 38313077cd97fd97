"""Months of plausible work of a class set, written straight into the tables: for reports to be made of.

`python tests/history.py --rows 9000` makes a database of it that stays up until ctrl-C, and says how it is reached.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection, text

from core.class_set import ClassSet, DocumentClass
from core.contract import RETRAIN
from db import migrations, queries
from db.session import make_engine, transaction
from worker import class_sets
from worker.embedded import Embedded

CLASSES = ("invoice", "receipt", "letter", "contract", "payslip", "bank_statement")

# One row a document: fewer at weekends, more from month to month, and surer once something was learned.
_DRAW = """
CREATE TEMP TABLE drawn AS
WITH days AS (
    SELECT day, :days - (current_date - day::date) AS age,
        CASE WHEN extract(isodow FROM day) > 5 THEN 0.15 ELSE 1 END AS busy
    FROM generate_series(current_date - :days + 1, current_date, '1 day') AS day
), shares AS (
    SELECT day, age, busy * (0.6 + 0.8 * age / :days) AS share,
        sum(busy * (0.6 + 0.8 * age / :days)) OVER () AS total
    FROM days
), items AS (
    SELECT day, age, least(now(), day + interval '7 hours' + random() * interval '11 hours') AS at,
        random() AS a, random() AS b, random() AS c, random() AS d
    FROM shares, generate_series(1, greatest(1, round(:rows * share / total)::int))
), seen AS (
    SELECT row_number() OVER (ORDER BY at) AS i, at, age, c, d,
        (:classes)[1 + floor(a * a * 6)::int] AS truth,
        b < CASE WHEN age > :days * 0.5 THEN 0.95 ELSE 0.88 END AS is_right,
        CASE WHEN d < 0.02 THEN 0.0
             WHEN age > :days * 0.5 THEN 1 - 0.55 * c * c ELSE 1 - 0.8 * c * c END AS sure
    FROM items
)
SELECT i, at, age, c, d, truth, encode(sha256(('document ' || i)::bytea), 'hex') AS sha256,
    'task-' || i AS task_id,
    CASE WHEN d < 0.02 THEN NULL WHEN is_right THEN truth ELSE (:classes)[1 + floor(c * 6)::int] END AS prediction,
    CASE WHEN is_right THEN sure ELSE sure * (0.3 + 0.6 * c) END AS confidence,
    exp(ln(0.05) + 1.1 * (random() + random() + random() - 1.5) * 2)
        * CASE WHEN extract(hour FROM at) BETWEEN 9 AND 10 THEN 8 ELSE 1 END AS queued
FROM seen
"""
_FILL = (
    """
    INSERT INTO documents (sha256, media_type, page_count, size, created_at)
    SELECT sha256, 'application/pdf', 1 + floor(c * 4)::int, 40000 + floor(d * 900000)::int, at FROM drawn
    """,
    """
    INSERT INTO jobs (task_id, task, state, attempts, request, node, received_at, started_at, finished_at, seconds,
        error_code, error_message)
    SELECT task_id, 'docintake.classify', CASE WHEN bad IS NULL THEN 'succeeded' WHEN bad = 'poison' THEN 'failed'
            ELSE 'rejected' END,
        1, '{}', 'node@one', at, at + make_interval(secs => queued), at + make_interval(secs => queued + 0.4 + c),
        CASE WHEN bad IS NULL THEN jsonb_build_object('queued', queued, 'fetch', 0.004 + 0.01 * d,
            'read', 0.03 + 0.9 * c * c, 'encode', 0.02 + 0.03 * d, 'decide', 0.001 + 0.002 * c,
            'store', 0.003 + 0.003 * d) END,
        bad, CASE WHEN bad IS NOT NULL THEN 'it is so' END
    FROM (SELECT *, CASE WHEN i % 89 = 0 THEN 'unreadable' WHEN i % 131 = 0 THEN 'not_found'
            WHEN i % 997 = 0 THEN 'poison' END AS bad FROM drawn) AS drawn
    """,
    """
    INSERT INTO classifications (task_id, sha256, class_version_id, prediction, confidence, status, reasons, result,
        created_at)
    SELECT task_id, sha256, :version, prediction, confidence,
        CASE WHEN prediction IS NULL OR confidence < 0.5 OR d > 0.97 THEN 'needs_review' ELSE 'classified' END,
        CASE WHEN prediction IS NULL THEN '{blank_page}'::text[] WHEN confidence < 0.5 THEN '{low_confidence}'
             WHEN d > 0.97 THEN '{out_of_set}' ELSE '{}' END,
        jsonb_build_object('task_id', task_id, 'prediction', prediction, 'probabilities',
            jsonb_build_object('invoice', c, 'receipt', d, 'letter', 0.1), 'backend', repeat('x', 60),
            'pages', jsonb_build_array(jsonb_build_object('number', 1, 'source', 'ocr', 'confidence', c))),
        at
    FROM drawn JOIN jobs USING (task_id) WHERE state = 'succeeded'
    """,
    # People look at what they were asked to, a few days behind, and at some of the rest.
    """
    INSERT INTO corrections (sha256, class_set, label, previous, task_id, correction_task_id, by, created_at)
    SELECT sha256, 'intake', truth, drawn.prediction, task_id, 'correction-' || i, 'ann', at + interval '1 day'
    FROM drawn JOIN classifications USING (task_id, sha256)
    WHERE at < now() - interval '2 days' AND (status = 'needs_review' AND i % 5 > 0 OR i % 40 = 0)
    ORDER BY i
    """,
)
_TRAINED = (
    # (share of the days ago, how many labels, macro accuracy before and after, whether it was promoted)
    (0.80, 120, 0.861, 0.902, True),
    (0.50, 320, 0.902, 0.947, True),
    (0.35, 450, 0.947, 0.941, False),
    (0.12, 700, 0.947, 0.958, True),
)


def make(connection: Connection, rows: int = 9000, days: int = 90, classes: Sequence[str] = CLASSES) -> None:
    """Fill the tables as if so many documents had come in over so many days, in class set `intake`."""
    described = tuple(DocumentClass(name=name, description=f"a {name}") for name in classes)
    class_sets.import_draft(connection, ClassSet(name="intake", classes=described))
    version = class_sets.publish(connection, "intake").now.id
    # Its guess at how many rows there are is far too high.
    connection.execute(text("SET LOCAL jit = off"))
    connection.execute(text("SELECT setseed(0.4711)"))
    values = {"rows": rows, "days": days, "classes": list(classes), "version": version}
    connection.execute(text(_DRAW), values)
    for statement in _FILL:
        connection.execute(text(statement), values)
    for number, (ago, labels, before, after, accepted) in enumerate(_TRAINED, start=1):
        task_id = f"retrain-{number}"
        queries.start_job(connection, task_id=task_id, task=RETRAIN, request={}, external_id=None, node="trainer@one")
        queries.finish_job(connection, task_id=task_id, state="succeeded")
        run = queries.open_run(connection, task_id=task_id, class_set="intake", node="trainer@one")
        assert run
        reasons = [f"macro accuracy is {'better' if accepted else 'no better'}: {before:.1%} → {after:.1%}"]
        state = "promoted" if accepted else "rejected"
        queries.finish_run(connection, run.id, state=state, fingerprint="f", result={"reasons": reasons})
        checkpoint = queries.put_checkpoint(
            connection,
            class_set="intake",
            class_version_id=version,
            run_id=run.id,
            parents=[],
            encoder="fake",
            file=f"{number}.safetensors",
            sha256="0" * 64,
            fingerprint="f",
            labels=labels,
            metrics={"macro_accuracy_before": before, "macro_accuracy_after": after},
            accepted=accepted,
            reasons=reasons,
        )
        if accepted:
            queries.promote(connection, class_set="intake", checkpoints=[checkpoint], back_to=None, by="the schedule")
        # They were not made today. Only a superuser may say so, past the triggers that keep what was written.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for table, columns in (
            ("training_runs", ("started_at", "finished_at")),
            ("jobs", ("received_at", "finished_at")),
            ("checkpoints", ("created_at",)),
            ("promotions", ("created_at",)),
        ):
            moved = ", ".join(f"{column} = now() - CAST(:ago AS interval)" for column in columns)
            statement = f"UPDATE {table} SET {moved} WHERE {columns[0]} = now()"  # noqa: S608 - names from above
            connection.execute(text(statement), {"ago": f"{ago * days} days"})
        connection.execute(text("SET LOCAL session_replication_role = origin"))


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--rows", type=int, default=9000)
    words.add_argument("--days", type=int, default=90)
    given = words.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="docintake-history-"))
    folder.chmod(0o755)
    with Embedded(folder / "data", durable=False) as servers:
        engine = make_engine(servers.database_url, statement_timeout=600, pool_size=1)
        migrations.upgrade(engine)
        with transaction(engine) as connection:
            make(connection, given.rows, given.days)
        print(f"export DOCINTAKE_DATA_DIR={folder / 'data'}", flush=True)
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main()
