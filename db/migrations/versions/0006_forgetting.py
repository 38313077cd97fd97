"""Indexes by which a case is found that is to be forgotten. Hashed: a URI may be longer than what others take."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute(
        """
        CREATE INDEX documents_uri ON documents USING hash (uri);
        CREATE INDEX jobs_document_uri ON jobs USING hash ((request #>> '{document,uri}'));
        CREATE INDEX jobs_document_id ON jobs USING hash ((request #>> '{document,document_id}'));
        CREATE INDEX jobs_corrects ON jobs USING hash ((request ->> 'task_id'));
        CREATE INDEX corrections_task_id ON corrections USING hash (task_id);
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX documents_uri, jobs_document_uri, jobs_document_id, jobs_corrects, corrections_task_id")
