"""The migrations make what db/models.py says, there and back, and from many nodes at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from core.errors import TransientFailure
from db import migrations
from db.models import Base
from db.session import make_engine, transaction


def tables(database: Engine) -> set[str]:
    return set(inspect(database).get_table_names()) - {"alembic_version"}


def functions(database: Engine) -> list[str]:
    with transaction(database) as connection:
        names = connection.execute(text("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"))
        return sorted(names.scalars())


def test_the_migrations_make_what_the_models_say(database: Engine) -> None:
    with transaction(database) as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


@pytest.mark.parametrize(
    "definitions",
    [
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = current_schema()::regnamespace",
        "SELECT tablename, indexname, replace(indexdef, schemaname || '.', '') FROM pg_indexes "
        "WHERE schemaname = current_schema()",
    ],
    ids=["constraints", "indexes"],
)
def test_constraints_and_indexes_are_those_of_the_models_to_the_letter(database: Engine, definitions: str) -> None:
    with transaction(database) as connection:
        migrated = set(connection.execute(text(definitions)).all())
        connection.execute(text("CREATE SCHEMA models"))
        connection.execute(text("SET LOCAL search_path = models"))
        Base.metadata.create_all(connection)
        modelled = set(connection.execute(text(definitions)).all())
    assert modelled
    assert {row for row in migrated if row[0] != "alembic_version"} == modelled


def test_every_table_is_gone_after_a_downgrade_and_back_after_an_upgrade(database: Engine) -> None:
    before, guards = tables(database), functions(database)
    assert before == set(Base.metadata.tables)
    assert guards

    migrations.downgrade(database, "base")
    assert tables(database) == set()
    assert functions(database) == []
    assert not migrations.is_current(database)

    migrations.upgrade(database)
    assert tables(database) == before
    assert functions(database) == guards
    assert migrations.is_current(database)
    with transaction(database) as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_an_upgrade_of_current_tables_keeps_their_rows(database: Engine) -> None:
    with transaction(database) as connection:
        connection.execute(text("INSERT INTO class_sets (name) VALUES ('kept')"))
    migrations.upgrade(database)
    with transaction(database) as connection:
        assert connection.execute(text("SELECT name FROM class_sets")).scalars().all() == ["kept"]


def triggers(database: Engine) -> dict[str, str]:
    with transaction(database) as connection:
        found = connection.execute(
            text("SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal")
        )
        return dict(found.all())


def test_training_can_be_taken_back_and_brought_again_around_what_was_there_before(database: Engine) -> None:
    trained, guards = tables(database), triggers(database)
    with transaction(database) as connection:
        connection.execute(text("INSERT INTO class_sets (name) VALUES ('kept')"))
        connection.execute(text("INSERT INTO promotions (class_set, checkpoints, by) VALUES ('kept', '{}', 'ann')"))

    migrations.downgrade(database, "0003")
    assert trained - tables(database) == {"training_runs", "checkpoints", "promotions", "callbacks", "reviews"}
    assert functions(database) == ["class_description_guard", "class_version_guard"]
    assert set(triggers(database)) == {"class_description_guard", "class_version_guard"}

    migrations.upgrade(database)
    assert tables(database) == trained
    assert triggers(database) == guards
    with transaction(database) as connection:
        assert connection.execute(text("SELECT name FROM class_sets")).scalars().all() == ["kept"]
        assert connection.execute(text("SELECT count(*) FROM promotions")).scalar_one() == 0


def test_nodes_that_upgrade_at_the_same_time_take_turns(database: Engine) -> None:
    migrations.downgrade(database, "base")
    url = database.url.render_as_string(hide_password=False)

    def node(_: int) -> None:
        engine = make_engine(url, statement_timeout=10, pool_size=1)
        try:
            migrations.upgrade(engine)
        finally:
            engine.dispose()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(node, range(4)))
    assert migrations.is_current(database)


def test_an_upgrade_without_a_server_is_a_transient_failure() -> None:
    engine = make_engine("postgresql://nobody@127.0.0.1:1/none", statement_timeout=1, pool_size=1)
    with pytest.raises(TransientFailure, match="database_unavailable"):
        migrations.upgrade(engine)
