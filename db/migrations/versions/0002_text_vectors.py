"""Vectors of texts, so that a class or a genre is encoded once for all nodes."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE text_vectors (
            sha256 text CONSTRAINT text_vectors_sha256_check CHECK (sha256 ~ '^[0-9a-f]{64}$'),
            encoder text,
            data bytea NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (sha256, encoder)
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE text_vectors")
