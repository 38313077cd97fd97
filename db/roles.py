"""Who may do what in the database: three roles, which whoever runs the server gives to login users of theirs.

`docintake_migrate` owns the tables and may change them, `docintake_worker` may do what nodes and commands do, and
`docintake_read` may read what reports are made of, which is not what stands on documents. None may log in by itself.
docs/access.md says how they are used.
"""

from collections.abc import Iterable
from typing import Final, Literal

from sqlalchemy import Connection, text

from core.errors import RejectedInput

MIGRATE: Final = "docintake_migrate"
WORKER: Final = "docintake_worker"
READ: Final = "docintake_read"

WORKER_MAY: Final = {
    "alembic_version": "SELECT",
    "answers": "SELECT, INSERT",
    "callbacks": "SELECT, INSERT, UPDATE",
    "checkpoints": "SELECT, INSERT",
    "class_descriptions": "SELECT, INSERT",
    "class_sets": "SELECT, INSERT, UPDATE",
    "class_versions": "SELECT, INSERT, UPDATE",
    "classifications": "SELECT, INSERT",
    "corrections": "SELECT, INSERT, UPDATE (correction_task_id), DELETE",
    "documents": "SELECT, INSERT, UPDATE, DELETE",
    "features": "SELECT, INSERT",
    "inquiries": "SELECT, INSERT",
    "jobs": "SELECT, INSERT, UPDATE, DELETE",
    "pages": "SELECT, INSERT",
    "promotions": "SELECT, INSERT",
    "reviews": "SELECT, INSERT, UPDATE",
    "text_vectors": "SELECT, INSERT",
    "training_runs": "SELECT, INSERT, UPDATE",
}
"""Table → what the statements of db/queries.py need. What goes with a document or a job goes by the owner's rights,
and identity columns need no right on their sequences.
"""

READABLE: Final = (
    "alembic_version",
    "callbacks",
    "checkpoints",
    "class_descriptions",
    "class_sets",
    "class_versions",
    "classifications",
    "corrections",
    "documents",
    "jobs",
    "promotions",
    "reviews",
    "training_runs",
)
"""Not pages, and nothing made of what stands on them: features, vectors of texts, answers, whole inquiries."""

VIEWS: Final = ("results_v1", "review_queue_v1")
"""What reports stand on, and the worker's own command line; docs/integration.md has their columns."""

_LOCK: Final = 0x726F6C6573
"""Advisory lock: `roles` in ASCII."""


def set_up(connection: Connection) -> None:
    """Make the roles, hand all tables that there are to `docintake_migrate`, and let nobody else in. Safe to repeat.

    For a superuser, or from PostgreSQL 15 on the database's owner with CREATEROLE. Nobody else's rights on this
    database and its schema outlive it, but for those of its owner: it is taken to be docintake's own.
    """
    quote = connection.dialect.identifier_preparer.quote
    database, schema = map(quote, connection.execute(text("SELECT current_database(), current_schema()")).one())
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    for role in (MIGRATE, WORKER, READ):
        if connection.execute(text("SELECT to_regrole(:role) IS NULL"), {"role": role}).scalar_one():
            connection.execute(text(f"CREATE ROLE {role} NOLOGIN"))
    if not _is_migrator(connection, "USAGE"):
        # Who is no superuser may give tables to a role of their own alone.
        connection.execute(text(f"GRANT {MIGRATE} TO CURRENT_USER"))
    for statement in (
        f"REVOKE ALL ON DATABASE {database} FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {database} TO {MIGRATE}, {WORKER}, {READ}",
        f"REVOKE ALL ON SCHEMA {schema} FROM PUBLIC",
        f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {MIGRATE}",
        f"GRANT USAGE ON SCHEMA {schema} TO {WORKER}, {READ}",
    ):
        connection.execute(text(statement))
    for table in _tables(connection):
        connection.execute(text(f"ALTER TABLE {table} OWNER TO {MIGRATE}"))
    for view in _views(connection):
        connection.execute(text(f"ALTER VIEW {view} OWNER TO {MIGRATE}"))
    for function in _guards(connection):
        connection.execute(text(f"ALTER FUNCTION {function} OWNER TO {MIGRATE}"))
    grant(connection)


def grant(connection: Connection) -> None:
    """Give the roles what this release needs, on the tables that there are, and nothing else. For their owner."""
    for table in _tables(connection):
        connection.execute(text(f"REVOKE ALL ON {table} FROM PUBLIC, {WORKER}, {READ}"))
        connection.execute(text(f"GRANT {WORKER_MAY[table]} ON {table} TO {WORKER}"))
        if table in READABLE:
            connection.execute(text(f"GRANT SELECT ON {table} TO {READ}"))
    for view in _views(connection):
        connection.execute(text(f"REVOKE ALL ON {view} FROM PUBLIC, {WORKER}, {READ}"))
        connection.execute(text(f"GRANT SELECT ON {view} TO {WORKER}, {READ}"))


def become_owner(connection: Connection) -> bool:
    """Go on as `docintake_migrate` until the transaction ends; False where this database has not been set up so.

    Raises RejectedInput(`not_permitted`) for a user without that role.
    """
    # Roles are the whole server's: only their right on the schema tells that they are used in this database.
    used = connection.execute(
        text(
            "SELECT EXISTS (SELECT FROM pg_namespace, aclexplode(nspacl) AS given WHERE nspname = current_schema() "
            "AND given.grantee = to_regrole(:role) AND given.privilege_type = 'CREATE')"
        ),
        {"role": MIGRATE},
    ).scalar_one()
    if not used:
        return False
    if not _is_migrator(connection, "MEMBER"):
        user = connection.execute(text("SELECT current_user")).scalar_one()
        raise RejectedInput(
            "not_permitted",
            f"PostgreSQL's user {user} may not change the tables: use one with the role {MIGRATE}, for this command "
            "alone",
        )
    connection.execute(text(f"SET LOCAL ROLE {MIGRATE}"))
    return True


def lacking(connection: Connection) -> list[str]:
    """What `docintake_worker` may do on the tables that there are and this user may not: `INSERT on answers`."""
    wanted = [(table, right) for table in _tables(connection) for right in _rights(WORKER_MAY[table])]
    found = connection.execute(
        text(
            "SELECT name || ' on ' || relation FROM unnest(:relations, :names) AS wanted (relation, name) "
            "WHERE NOT CASE name WHEN 'UPDATE' THEN has_any_column_privilege(relation, name) "
            "ELSE has_table_privilege(relation, name) END"
        ),
        {"relations": [table for table, _ in wanted], "names": [right for _, right in wanted]},
    )
    return list(found.scalars())


def _rights(granted: str) -> list[str]:
    return [right.partition(" ")[0] for right in granted.split(", ")]


def _is_migrator(connection: Connection, how: Literal["USAGE", "MEMBER"]) -> bool:
    """Whether the user has the rights of `docintake_migrate`, or may at least take them on."""
    statement = text("SELECT pg_has_role(current_user, :role, :how)")
    found: bool = connection.execute(statement, {"role": MIGRATE, "how": how}).scalar_one()
    return found


def _tables(connection: Connection) -> list[str]:
    """Those of ours that are there."""
    return _relations(connection, "r", WORKER_MAY)


def _views(connection: Connection) -> list[str]:
    return _relations(connection, "v", VIEWS)


def _relations(connection: Connection, kind: Literal["r", "v"], names: Iterable[str]) -> list[str]:
    found = connection.execute(
        text(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = :kind "
            "AND relname = ANY(:names) ORDER BY relname"
        ),
        {"kind": kind, "names": list(names)},
    )
    return list(found.scalars())


def _guards(connection: Connection) -> list[str]:
    """The functions of our tables' triggers, with their arguments."""
    found = connection.execute(
        text(
            "SELECT DISTINCT tgfoid::regprocedure::text FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
            "WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace AND relname = ANY(:names)"
        ),
        {"names": list(WORKER_MAY)},
    )
    return list(found.scalars())
