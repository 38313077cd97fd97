"""The first tables: documents with pages and features, class sets, jobs, classifications, corrections."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE documents (
    sha256 text PRIMARY KEY CONSTRAINT documents_sha256_check CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    media_type text NOT NULL,
    page_count integer NOT NULL CONSTRAINT documents_page_count_check CHECK (page_count >= 1),
    size bigint NOT NULL CONSTRAINT documents_size_check CHECK (size >= 0),
    uri text,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE pages (
    sha256 text REFERENCES documents ON DELETE CASCADE,
    number integer CONSTRAINT pages_number_check CHECK (number >= 1),
    reader text,
    width integer NOT NULL,
    height integer NOT NULL,
    source text NOT NULL CONSTRAINT pages_source_check CHECK (source IN ('text_layer', 'ocr', 'blank')),
    lines jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sha256, number, reader)
);

CREATE TABLE features (
    sha256 text REFERENCES documents ON DELETE CASCADE,
    page integer CONSTRAINT features_page_check CHECK (page >= 1),
    encoder text,
    data bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sha256, page, encoder)
);

CREATE TABLE class_sets (
    name text PRIMARY KEY,
    versions integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE class_versions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    class_set text NOT NULL REFERENCES class_sets ON DELETE CASCADE,
    number integer NOT NULL CONSTRAINT class_versions_number_check CHECK (number >= 1),
    state text NOT NULL DEFAULT 'draft'
        CONSTRAINT class_versions_state_check CHECK (state IN ('draft', 'published', 'retired')),
    digest text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    UNIQUE (class_set, number)
);
CREATE UNIQUE INDEX class_versions_published ON class_versions (class_set) WHERE state = 'published';

CREATE TABLE class_descriptions (
    version_id bigint REFERENCES class_versions ON DELETE CASCADE,
    position integer,
    name text NOT NULL,
    description text NOT NULL,
    wording jsonb NOT NULL,
    templates jsonb NOT NULL,
    captions jsonb NOT NULL,
    PRIMARY KEY (version_id, position),
    UNIQUE (version_id, name)
);

CREATE TABLE jobs (
    task_id text PRIMARY KEY,
    task text NOT NULL,
    state text NOT NULL CONSTRAINT jobs_state_check
        CHECK (state IN ('received', 'started', 'succeeded', 'rejected', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    retries integer NOT NULL DEFAULT 0,
    request jsonb NOT NULL,
    external_id text,
    node text,
    error_code text,
    error_message text,
    received_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    seconds jsonb,
    CONSTRAINT jobs_finished_check
        CHECK ((state IN ('succeeded', 'rejected', 'failed')) = (finished_at IS NOT NULL))
);
CREATE INDEX jobs_not_succeeded ON jobs (state, received_at) WHERE state <> 'succeeded';
CREATE INDEX jobs_received_at ON jobs (received_at);
CREATE INDEX jobs_finished_at ON jobs (finished_at);
CREATE INDEX jobs_external_id ON jobs (external_id) WHERE external_id IS NOT NULL;

CREATE TABLE classifications (
    task_id text PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    sha256 text NOT NULL REFERENCES documents ON DELETE CASCADE,
    class_version_id bigint REFERENCES class_versions,
    prediction text,
    confidence double precision NOT NULL
        CONSTRAINT classifications_confidence_check CHECK (confidence BETWEEN 0 AND 1),
    status text NOT NULL
        CONSTRAINT classifications_status_check CHECK (status IN ('classified', 'needs_review')),
    reasons text[] NOT NULL,
    result jsonb NOT NULL,
    external_id text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX classifications_sha256 ON classifications (sha256, created_at);
CREATE INDEX classifications_class_version_id ON classifications (class_version_id, created_at);
CREATE INDEX classifications_external_id ON classifications (external_id) WHERE external_id IS NOT NULL;

CREATE TABLE corrections (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256 text NOT NULL REFERENCES documents ON DELETE CASCADE,
    class_set text NOT NULL REFERENCES class_sets,
    label text NOT NULL,
    previous text,
    task_id text,
    correction_task_id text NOT NULL UNIQUE,
    by text NOT NULL,
    note text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX corrections_class_set ON corrections (class_set, id);
CREATE INDEX corrections_sha256 ON corrections (sha256);
"""

TRIGGERS = """
CREATE FUNCTION class_version_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.class_set, NEW.number, NEW.digest, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.class_set, OLD.number, OLD.digest, OLD.created_at)
    THEN
        RAISE 'class version % of % cannot be changed', OLD.number, OLD.class_set
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state <> OLD.state
        AND (OLD.state, NEW.state) NOT IN (('draft', 'published'), ('published', 'retired'), ('retired', 'published'))
    THEN
        RAISE 'class version % of % cannot go from % to %', OLD.number, OLD.class_set, OLD.state, NEW.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER class_version_guard BEFORE UPDATE ON class_versions
    FOR EACH ROW EXECUTE FUNCTION class_version_guard();

-- FOR SHARE makes whoever publishes the version meanwhile wait. A version that is being deleted is not found any
-- more when its descriptions follow it.
CREATE FUNCTION class_description_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    version class_versions;
BEGIN
    FOR version IN
        SELECT * FROM class_versions
        WHERE id = ANY (CASE TG_OP
            WHEN 'INSERT' THEN ARRAY[NEW.version_id]
            WHEN 'DELETE' THEN ARRAY[OLD.version_id]
            ELSE ARRAY[OLD.version_id, NEW.version_id] END)
        FOR SHARE
    LOOP
        IF version.state <> 'draft' THEN
            RAISE 'class version % of % is % and cannot be changed', version.number, version.class_set, version.state
                USING ERRCODE = 'restrict_violation';
        END IF;
    END LOOP;
    RETURN COALESCE(NEW, OLD);
END $$;
CREATE TRIGGER class_description_guard BEFORE INSERT OR UPDATE OR DELETE ON class_descriptions
    FOR EACH ROW EXECUTE FUNCTION class_description_guard();
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(TRIGGERS)


def downgrade() -> None:
    op.execute(
        "DROP TABLE corrections, classifications, jobs, class_descriptions, class_versions, class_sets, features, "
        "pages, documents"
    )
    op.execute("DROP FUNCTION class_version_guard(), class_description_guard()")
