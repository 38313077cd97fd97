"""`docintake review`, as typed, with a real node behind a real broker."""

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node import PATIENCE, Node, disconnect
from printed import pdf
from serving import Cli
from sqlalchemy import Engine, text

from core.class_set import ClassSet, DocumentClass
from core.contract import IntakeClient
from core.errors import RejectedInput
from core.settings import Deciding, Settings, Thresholds
from db.session import transaction
from worker import class_sets


@pytest.fixture
def client(settings: Settings) -> Iterator[IntakeClient]:
    assert settings.broker.url
    client = IntakeClient(settings.broker.url.get_secret_value(), key_prefix=settings.broker.key_prefix)
    yield client
    disconnect(client)


def resolve(*words: str) -> "subprocess.CompletedProcess[str]":
    """In a process of its own, at whose end its connections close; the settings are those of `cli`."""
    command = [sys.executable, "-m", "worker", "review", "resolve", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def as_json(cli: Cli, *words: object) -> Any:
    done = cli("review", *words, "--json")
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout)


def test_a_clerk_works_through_the_cases(
    cli: Cli,
    client: IntakeClient,
    settings: Settings,
    database: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCINTAKE_READING__PROCESSES", "1")
    with transaction(database) as connection:
        classes = tuple(DocumentClass(name=name, description=f"a {name}") for name in ("receipt", "letter"))
        class_sets.import_draft(connection, ClassSet(name="intake", classes=classes))
        class_sets.publish(connection, "intake")
    without_cases(cli, tmp_path / "none")
    doubting = settings.model_copy(update={"deciding": Deciding(thresholds=Thresholds(confidence=1))})
    with Node(doubting, tmp_path) as node:
        node.until_ready()
        handles = []
        for number in range(3):
            paper = tmp_path / f"{number}.pdf"
            paper.write_bytes(pdf(["receipt", f"number {number}"]))
            handles.append(client.classify(paper.as_uri(), external_id=f"case {number}"))
        first, second, third = sorted(handles, key=lambda handle: handle.get(PATIENCE).external_id or "")
        waiting = [case["task_id"] for case in as_json(cli, "list")]
        assert set(waiting) == {first.id, second.id, third.id}

        folder = tmp_path / "cases"
        written = as_json(cli, "export", folder)
        assert written["cases"] == waiting
        index = Path(written["index"]).read_text()
        assert index.count('<td><a href="') == 3
        for task_id in waiting:
            page = folder / f"{task_id}.html"
            assert stat.S_IMODE(page.stat().st_mode) == 0o600
            assert "data:image/jpeg" in page.read_text()
            assert page.name in index

        claimed = as_json(cli, "next", "--by", "ann")
        assert (claimed["task_id"], claimed["claimed_by"]) == (waiting[0], "ann")
        assert [case["task_id"] for case in as_json(cli, "list", "--by", "ann")] == waiting[:1]
        by_another = cli("review", "resolve", waiting[0], "letter", "--by", "bob")
        wrong = resolve(waiting[0], "no such class", "--by", "ann", "--json")
        done = resolve(waiting[0], "letter", "--by", "ann", "--note", "seen", "--json")
        again = cli("review", "resolve", waiting[0], "letter", "--by", "ann")
    assert json.loads(wrong.stdout)["error"]["code"] == "unknown_class"
    assert json.loads(done.stdout)["label"] == "letter"
    for refused, code in ((by_another, "claimed"), (again, "not_open")):
        assert isinstance(refused.exception, RejectedInput)
        assert refused.exception.code == code
    with transaction(database) as connection:
        kept = connection.execute(text("SELECT label, by, note, task_id FROM corrections")).all()
    assert kept == [("letter", "ann", "seen", waiting[0])]

    assert as_json(cli, "next", "--by", "ann")["task_id"] == waiting[1]
    assert as_json(cli, "release", waiting[1]) == {"task_id": waiting[1], "released_from": "ann"}
    assert as_json(cli, "dismiss", waiting[1], "--by", "bob", "--note", "blank")["dismissed_by"] == "bob"
    shown = cli("review", "next", "--by", "cleo").stdout
    assert f"docintake review resolve {waiting[2]} CLASS" in shown
    assert "1 open" in cli("review", "list").stdout
    assert (cli("review", "next", "--by", "dan").exit_code, cli("review", "list", "--by", "dan").exit_code) == (1, 0)


def without_cases(cli: Cli, folder: Path) -> None:
    assert "Nothing is to be looked at." in cli("review", "list").stdout
    assert cli("review", "next", "--by", "ann", "--json").stdout.strip() == "null"
    assert cli("review", "export", folder).exit_code == 0
    assert "Nothing to look at." in (folder / "index.html").read_text()
    for words, code in {
        ("release", "none"): "unknown_task",
        ("export", folder / "index.html" / "below"): "not_writable",
    }.items():
        error = cli("review", *words).exception
        assert isinstance(error, RejectedInput)
        assert error.code == code
