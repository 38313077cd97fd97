"""Making the tables, and changing them from one release to the next. Configured here: there is no alembic.ini."""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, func, select, text

from db import roles
from db.session import transaction

_LOCK = 0x646F63696E74616B
"""Advisory lock: `docintak` in ASCII."""


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the tables to `revision`, all in one transaction. Nodes that start together take turns.

    Where `db.roles` are used the tables are their owner's, and each role gets what it needs of new ones. Raises
    TransientFailure when PostgreSQL is not there, RejectedInput(`not_permitted`) for a user who is not to do this.
    """
    _migrate(engine, command.upgrade, revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the tables back to `revision`; `base` drops them all. What the dropped tables held is lost."""
    _migrate(engine, command.downgrade, revision)


def is_current(engine: Engine) -> bool:
    """Whether the tables are at the revision that this code was written for."""
    with transaction(engine) as connection:
        at = MigrationContext.configure(connection).get_current_heads()
    return set(at) == set(ScriptDirectory.from_config(_config()).get_heads())


def _migrate(engine: Engine, move: Callable[[Config, str], None], revision: str) -> None:
    config = _config()
    with transaction(engine) as connection:
        # A large table may take its time, and so may the node that migrates first.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        config.attributes["connection"] = connection
        with_roles = roles.become_owner(connection)
        move(config, revision)
        if with_roles:
            roles.grant(connection)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
