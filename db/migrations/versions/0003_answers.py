"""Answers to questions: each task's whole result, and what one reader answers, so that nothing is asked twice."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("ALTER TABLE pages ADD COLUMN turns integer NOT NULL DEFAULT 0")
    op.execute("""
        CREATE TABLE inquiries (
            task_id text PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
            sha256 text NOT NULL REFERENCES documents ON DELETE CASCADE,
            result jsonb NOT NULL,
            external_id text,
            created_at timestamptz NOT NULL DEFAULT now()
        );
        CREATE INDEX inquiries_sha256 ON inquiries (sha256, created_at);
        CREATE INDEX inquiries_external_id ON inquiries (external_id) WHERE external_id IS NOT NULL;

        CREATE TABLE answers (
            sha256 text REFERENCES documents ON DELETE CASCADE,
            asked text CONSTRAINT answers_asked_check CHECK (asked ~ '^[0-9a-f]{64}$'),
            pages integer[] NOT NULL,
            question text NOT NULL,
            reader text NOT NULL,
            kind text NOT NULL CONSTRAINT answers_kind_check
                CHECK (kind IN ('document_type', 'counting', 'extraction', 'verification')),
            status text NOT NULL CONSTRAINT answers_status_check CHECK (status IN ('answered', 'not_found')),
            answer text,
            value jsonb,
            confidence double precision NOT NULL
                CONSTRAINT answers_confidence_check CHECK (confidence BETWEEN 0 AND 1),
            evidence jsonb NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (sha256, asked)
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE answers, inquiries")
    op.execute("ALTER TABLE pages DROP COLUMN turns")
