"""Pages that were looked at and not read."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE pages DROP CONSTRAINT pages_source_check;
        ALTER TABLE pages ADD CONSTRAINT pages_source_check
            CHECK (source IN ('text_layer', 'ocr', 'image', 'blank'));
        """
    )


def downgrade() -> None:
    # They are looked at again.
    op.execute(
        """
        DELETE FROM pages WHERE source = 'image';
        ALTER TABLE pages DROP CONSTRAINT pages_source_check;
        ALTER TABLE pages ADD CONSTRAINT pages_source_check CHECK (source IN ('text_layer', 'ocr', 'blank'));
        """
    )
