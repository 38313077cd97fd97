"""The three roles of the database on a real PostgreSQL: each may do its part, and nothing else."""

import ast
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from logins import Logins, logins
from serving import Classified, Cli
from sqlalchemy import Engine, text

from core.class_set import ClassSet, DocumentClass
from core.contract import ANSWER, CLASSIFY, Answer, AnswerResult, DocumentInfo
from core.errors import IntakeError, RejectedInput, TransientFailure
from db import migrations, queries, roles
from db.models import Base
from db.session import make_engine, transaction
from worker import class_sets

CONTENT = {"answers", "features", "inquiries", "pages", "text_vectors"}
"""Tables with what stands on documents, or is made of it."""


@pytest.fixture
def users(admin: Engine, database: Engine, database_url: str) -> Iterator[Logins]:
    """Of a database in which the roles are set up."""
    with transaction(database) as connection:
        roles.set_up(connection)
    with logins(admin, database_url) as made:
        yield made
        with transaction(database) as connection:
            for name in made.names:
                connection.execute(text(f"DROP OWNED BY {name} CASCADE"))


@pytest.fixture(scope="module")
def standing(
    admin: Engine, fresh_database: Callable[[], AbstractContextManager[str]]
) -> Iterator[tuple[Engine, Engine]]:
    """A worker's engine and a reader's, for tests that change nothing."""
    with logins(admin, "") as made, fresh_database() as made.url:
        owner = make_engine(made.url, statement_timeout=30, pool_size=1)
        with transaction(owner) as connection:
            roles.set_up(connection)
        engines = [make_engine(url, statement_timeout=30, pool_size=1) for url in (made.worker, made.read)]
        yield engines[0], engines[1]
        for engine in (owner, *engines):
            engine.dispose()


@pytest.fixture
def engine_of() -> Iterator[Callable[[str], Engine]]:
    made: list[Engine] = []

    def engine(url: str) -> Engine:
        made.append(make_engine(url, statement_timeout=30, pool_size=2))
        return made[-1]

    yield engine
    for each in made:
        each.dispose()


def do(engine: Engine, statement: str) -> None:
    with transaction(engine) as connection:
        connection.execute(text(statement))


def owners(database: Engine) -> set[str]:
    with transaction(database) as connection:
        found = connection.execute(
            text(
                "SELECT relowner::regrole::text FROM pg_class WHERE relkind IN ('r', 'S') "
                "AND relnamespace = 'public'::regnamespace UNION "
                "SELECT proowner::regrole::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            )
        )
        return set(found.scalars())


def lacking(engine: Engine) -> list[str]:
    with transaction(engine) as connection:
        return roles.lacking(connection)


def changes(definition: ast.AST) -> Iterator[tuple[str, str]]:
    """(right, model) of each statement in a part of db/queries.py that changes something."""
    names: dict[str, str] = {}

    def model_in(node: ast.AST) -> str:
        """The first model that an expression names, by itself or by a name that it was given here."""
        for part in ast.walk(node):
            if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "models":
                return part.attr
            if isinstance(part, ast.Name) and part.id in names:
                return names[part.id]
        return ""

    for node in ast.walk(definition):
        if isinstance(node, ast.Assign):
            (target,) = node.targets
            pairs = (
                zip(target.elts, node.value.elts, strict=True)
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
                else [(target, node.value)]
            )
            names |= {
                name.id: model for name, value in pairs if isinstance(name, ast.Name) and (model := model_in(value))
            }
    for node in ast.walk(definition):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in ("insert", "insert_or", "update", "delete"):
                yield node.func.id.removesuffix("_or").upper(), model_in(node.args[0])
            # An upsert changes what is there, and so does, to PostgreSQL, a lock on a row.
            if isinstance(node.func, ast.Attribute) and node.func.attr in (
                "on_conflict_do_update",
                "with_for_update",
            ):
                model = model_in(node.func)
                # Rows of whatever table the caller names are locked to be deleted, which stands beside.
                if model or node.func.attr == "on_conflict_do_update":
                    yield "UPDATE", model


def test_the_worker_may_do_what_the_statements_of_queries_do_and_nothing_else() -> None:
    tables = {mapper.class_.__name__: mapper.local_table.name for mapper in Base.registry.mappers}
    needed = {table: {"SELECT"} for table in ("alembic_version", *tables.values())}
    for part in ast.parse(Path(queries.__file__).read_text()).body:
        # Functions, and statements that are built once for theirs.
        if isinstance(part, ast.FunctionDef | ast.AnnAssign):
            for right, model in changes(part):
                needed[tables[model]].add(right)
    granted = {table: set(re.sub(r" \(\w+\)", "", rights).split(", ")) for table, rights in roles.WORKER_MAY.items()}
    assert granted == needed


def test_all_tables_that_do_not_show_what_documents_say_are_there_for_reports() -> None:
    assert set(roles.WORKER_MAY) - set(roles.READABLE) == CONTENT


def test_the_command_sets_the_roles_up_and_says_what_is_next(cli: Cli, database: Engine) -> None:
    for _ in range(2):
        result = cli("db", "roles")
        assert result.exit_code == 0, result.exception
        for role in (roles.MIGRATE, roles.WORKER, roles.READ):
            assert f"GRANT {role} TO" in result.stdout
    assert owners(database) == {roles.MIGRATE}


def test_a_migrator_makes_the_tables_which_are_the_roles_and_the_workers_rights_come_with_them(
    users: Logins, database: Engine, engine_of: Callable[[str], Engine]
) -> None:
    migrator, other, worker = (engine_of(url) for url in (users.migrate, users.migrate, users.worker))
    migrations.downgrade(migrator, "base")
    migrations.upgrade(migrator, "0003")
    migrations.upgrade(other)
    assert owners(database) == {roles.MIGRATE}
    assert migrations.is_current(worker)
    assert lacking(worker) == []


def test_rights_that_strayed_are_put_right(
    users: Logins, database: Engine, engine_of: Callable[[str], Engine]
) -> None:
    worker, reader = engine_of(users.worker), engine_of(users.read)
    do(database, f"GRANT SELECT ON pages TO PUBLIC; GRANT UPDATE (state) ON jobs TO {roles.READ}")
    do(database, f"REVOKE INSERT ON answers FROM {roles.WORKER}; REVOKE ALL ON corrections FROM {roles.WORKER}")
    assert lacking(worker) == [
        "INSERT on answers",
        *(f"{right} on corrections" for right in ("SELECT", "INSERT", "UPDATE", "DELETE")),
    ]
    do(reader, "SELECT * FROM pages")
    migrations.upgrade(engine_of(users.migrate))
    assert lacking(worker) == []
    for statement in ("SELECT * FROM pages", "UPDATE jobs SET state = 'failed'"):
        with pytest.raises(TransientFailure, match="database_refused"):
            do(reader, statement)


def test_a_worker_may_not_change_the_tables(users: Logins, engine_of: Callable[[str], Engine]) -> None:
    worker = engine_of(users.worker)
    with pytest.raises(RejectedInput, match=f"not_permitted: .*{worker.url.username}.*{roles.MIGRATE}"):
        migrations.upgrade(worker)
    with pytest.raises(RejectedInput, match="not_permitted"):
        migrations.downgrade(worker, "base")


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE pages",
        "CREATE TABLE mine (id integer)",
        "CREATE TEMPORARY TABLE mine (id integer)",
        "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE jobs ADD COLUMN more text",
        "ALTER TABLE jobs DISABLE TRIGGER ALL",
        "TRUNCATE promotions",
        "DELETE FROM promotions",
        "UPDATE checkpoints SET sha256 = repeat('0', 64)",
        "UPDATE corrections SET label = 'bill'",
        "UPDATE alembic_version SET version_num = '0001'",
        f"SET ROLE {roles.MIGRATE}",
        "COPY jobs TO '/tmp/jobs'",
        "SELECT pg_read_file('/etc/passwd')",
    ],
)
def test_what_a_worker_does_not_need_is_refused_with_its_remedy(
    standing: tuple[Engine, Engine], statement: str
) -> None:
    worker, _ = standing
    with pytest.raises(TransientFailure) as caught:
        do(worker, statement)
    assert caught.value.code == "database_refused"
    for part in (worker.url.username, "permission denied|must be owner|must have", "docintake db roles"):
        assert re.search(str(part), caught.value.message)


@pytest.mark.parametrize(
    "statement",
    [
        *(f"TABLE {table}" for table in sorted(CONTENT)),
        *(f"TRUNCATE {table}" for table in sorted(roles.WORKER_MAY)),
        "DELETE FROM jobs",
        "INSERT INTO class_sets (name) VALUES ('mine')",
        "UPDATE jobs SET state = 'failed'",
        "SELECT * FROM jobs FOR UPDATE",
    ],
)
def test_reports_see_no_text_of_pages_and_change_nothing(standing: tuple[Engine, Engine], statement: str) -> None:
    _, reader = standing
    with pytest.raises(TransientFailure, match=r"database_refused.*permission denied for table"):
        do(reader, statement)


def test_commands_that_report_work_for_a_reader_and_others_say_what_they_lack(
    users: Logins, cli: Cli, database: Engine, classified: Classified, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = bill(database, classified)
    monkeypatch.setenv("DOCINTAKE_DATABASE__URL", users.read)
    for words in ("jobs list", f"jobs show job-{sha256[:8]}", "checkpoints list", "runs list", "classes list"):
        result = cli(*words.split())
        assert result.exit_code == 0, (words, result.exception)
    assert '"prediction": "bill"' in cli("jobs", "show", f"job-{sha256[:8]}").stdout
    for words, lacks in {"jobs show asked": "inquiries", "classes rollback papers": "class_sets"}.items():
        error = cli(*words.split()).exception
        assert isinstance(error, IntakeError)
        assert (error.code, f"permission denied for table {lacks}" in error.message) == ("database_refused", True)


def test_a_worker_may_erase_a_case(
    users: Logins, cli: Cli, database: Engine, classified: Classified, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = bill(database, classified)
    monkeypatch.setenv("DOCINTAKE_DATABASE__URL", users.worker)
    erased = cli("forget", "--document", sha256, "--yes", "--json")
    assert erased.exit_code == 0, erased.exception
    with transaction(database) as connection:
        assert queries.get_document(connection, sha256) is None
        assert queries.get_job(connection, "asked") is None


def bill(database: Engine, classified: Classified) -> str:
    """A document that was classified and asked about; its id."""
    with transaction(database) as connection:
        class_sets.import_draft(
            connection, ClassSet(name="papers", classes=(DocumentClass(name="bill"), DocumentClass(name="letter")))
        )
        class_sets.publish(connection, "papers")
    sha256: str = classified("a bill")
    ask(database, sha256)
    return sha256


def ask(database: Engine, sha256: str) -> None:
    """An inquiry that has ended, with the id `asked`."""
    result = AnswerResult(
        task_id="asked",
        document=DocumentInfo(document_id=sha256, media_type="application/pdf", page_count=1),
        answers=[Answer(question="Total?", kind="extraction", status="not_found", confidence=1)],
        pages=[],
        reader="fake",
        cached=False,
        seconds={},
    )
    with transaction(database) as connection:
        queries.start_job(connection, task_id="asked", task=ANSWER, request={}, external_id=None, node=None)
        queries.put_inquiry(connection, result)
        queries.finish_job(connection, task_id="asked", state="succeeded")


def test_who_has_no_role_does_not_come_in(users: Logins, engine_of: Callable[[str], Engine]) -> None:
    with pytest.raises(TransientFailure, match=r"database_unavailable: .*permission denied for database"):
        do(engine_of(users.make()), "SELECT 1")


def test_a_node_whose_user_lost_a_right_keeps_its_request(
    users: Logins, database: Engine, engine_of: Callable[[str], Engine]
) -> None:
    do(database, f"REVOKE INSERT ON jobs FROM {roles.WORKER}")
    with (
        pytest.raises(TransientFailure, match="database_refused"),
        transaction(engine_of(users.worker)) as connection,
    ):
        queries.start_job(connection, task_id="a", task=CLASSIFY, request={}, external_id=None, node=None)


@pytest.mark.usefixtures("standing")
def test_the_databases_owner_can_set_the_roles_up_without_being_a_superuser(
    admin: Engine, database_url: str, engine_of: Callable[[str], Engine]
) -> None:
    with logins(admin, database_url) as users:
        owner, superuser = engine_of(users.make(options="CREATEROLE")), engine_of(database_url)
        name, user = owner.url.database, owner.url.username
        with admin.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {name} OWNER TO {user}"))
            for role in (roles.MIGRATE, roles.WORKER, roles.READ):
                # As PostgreSQL leaves them to who made them; the roles are the whole server's, and there already.
                connection.execute(text(f"GRANT {role} TO {user} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"))
        do(superuser, "DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION pg_database_owner")
        for _ in range(2):
            with transaction(owner) as connection:
                roles.set_up(connection)
            migrations.upgrade(owner)
        assert owners(superuser) == {roles.MIGRATE}
        do(superuser, f"ALTER DATABASE {name} OWNER TO CURRENT_USER; DROP OWNED BY {user} CASCADE")
