"""Learning from corrections: training runs, the checkpoints that they make, and which of these serve."""

from alembic import op

revision = "0004"
down_revision = "0003"

TABLES = """
CREATE TABLE training_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id text NOT NULL UNIQUE REFERENCES jobs ON DELETE CASCADE,
    class_set text NOT NULL REFERENCES class_sets,
    state text NOT NULL CONSTRAINT training_runs_state_check
        CHECK (state IN ('running', 'promoted', 'rejected', 'skipped', 'cancelled', 'failed')),
    starts integer NOT NULL DEFAULT 1,
    node text,
    labels_up_to bigint NOT NULL DEFAULT 0,
    fingerprint text,
    progress jsonb,
    result jsonb,
    cancelled_by text,
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CONSTRAINT training_runs_finished_check CHECK ((state = 'running') = (finished_at IS NULL))
);
CREATE UNIQUE INDEX training_runs_running ON training_runs (class_set) WHERE state = 'running';
CREATE INDEX training_runs_class_set ON training_runs (class_set, id);

CREATE TABLE checkpoints (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    class_set text NOT NULL REFERENCES class_sets,
    class_version_id bigint REFERENCES class_versions,
    run_id bigint REFERENCES training_runs ON DELETE SET NULL,
    parents bigint[] NOT NULL,
    encoder text NOT NULL,
    file text NOT NULL CONSTRAINT checkpoints_file_check CHECK (file ~ '^[^/.][^/]*$'),
    sha256 text NOT NULL CONSTRAINT checkpoints_sha256_check CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    fingerprint text NOT NULL,
    labels integer NOT NULL CONSTRAINT checkpoints_labels_check CHECK (labels >= 0),
    metrics jsonb NOT NULL,
    accepted boolean NOT NULL,
    reasons text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE promotions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    class_set text NOT NULL REFERENCES class_sets,
    checkpoints bigint[] NOT NULL,
    back_to bigint REFERENCES promotions,
    by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX promotions_class_set ON promotions (class_set, id);

-- What is to be forgotten is found oldest first.
CREATE INDEX documents_created_at ON documents (created_at);
"""

TRIGGERS = """
CREATE FUNCTION training_run_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE 'training run % of % is % and cannot be changed', OLD.id, OLD.class_set, OLD.state
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER training_run_guard BEFORE UPDATE ON training_runs
    FOR EACH ROW WHEN (OLD.state <> 'running' AND (OLD.state, NEW.state) <> ('failed', 'running'))
    EXECUTE FUNCTION training_run_guard();

CREATE FUNCTION written_once_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE 'row % of % cannot be changed', OLD.id, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
-- A run that is deleted takes itself out of the checkpoints that it made.
CREATE TRIGGER checkpoint_guard BEFORE UPDATE ON checkpoints
    FOR EACH ROW
    WHEN (NEW.run_id IS NOT NULL OR to_jsonb(NEW) - 'run_id' IS DISTINCT FROM to_jsonb(OLD) - 'run_id')
    EXECUTE FUNCTION written_once_guard();
CREATE TRIGGER promotion_guard BEFORE UPDATE ON promotions
    FOR EACH ROW EXECUTE FUNCTION written_once_guard();
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(TRIGGERS)


def downgrade() -> None:
    op.execute("DROP INDEX documents_created_at")
    op.execute("DROP TABLE promotions, checkpoints, training_runs")
    op.execute("DROP FUNCTION training_run_guard(), written_once_guard()")
