"""Every command in README.md and docs/ is run as it stands there, or its arguments are taken and a test is named that
runs it.
"""

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main
from node import PATIENCE, Node, disconnect
from printed import pdf
from serving import fake_office
from sqlalchemy import Engine
from typer.testing import CliRunner

from core.class_set import ClassSet, DocumentClass
from core.contract import IntakeClient
from core.settings import PROJECT, Settings
from db import queries
from db.session import transaction
from worker import class_sets
from worker.cli.main import app

PAGES: Final = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
FILLED: Final = {
    "TASK_ID": "the id of a task that has ended",
    "ID": "the number of a checkpoint",
    "NAME": "claims",
    "CODE": "poison",
    "DIR": "a folder of documents, one folder a class",
    "FILE": "claims.yaml",
    "FILE…": "4711.pdf",
}
"""What stands for something else; all other names are those of files and class sets that the office has."""
ELSEWHERE: Final = {
    "up": "integration/test_stack.py",
    "worker": "integration/test_app.py",
    "beat": "integration/test_schedule.py",
    "doctor": "integration/test_cli_doctor.py",
    "db roles": "integration/test_roles.py",
    "retrain": "integration/test_trainer_node.py",
    "checkpoints report": "integration/test_cli_checkpoints.py",
    "checkpoints compare": "integration/test_cli_checkpoints.py",
    "evaluate classify DIR --classes claims.yaml --shots": "integration/test_cli_evaluate.py",
    "review": "integration/test_cli_review.py",
}
"""The beginning of a command that waits for ever, needs a trainer or the whole server → the test that runs it."""
OTHERS: Final = {
    "make": "the Makefile's own: `make test` runs this",
    "pip": "installs packages",
    "export": "sets what the tests set by themselves",
    "pg_dump": "integration/test_backup.py runs that block",
    "pg_restore": "integration/test_backup.py runs that block",
    "cp": "integration/test_backup.py runs that block",
    "docker": "there is no Docker engine",
    "kubectl": "there is no cluster",
    "helm": "there is no cluster",
    "systemctl": "there is no systemd",
    "curl": "unit/test_health.py asks the same",
    "openssl": "makes secrets",
    "python": "tests of its own",
    "npm": "installs packages",
    "node": "tests of its own",
    "celery": "tests of its own",
    "psql": "SQL views have tests of their own",
    "mkdir": "makes folders",
}
"""Programs that are not ours → why they are not run here."""


def blocks(page: Path) -> Iterator[str]:
    """The lines of its blocks of commands: those of no language, or of a shell's."""
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for language, block in found:
        if language in ("", "sh", "bash", "console"):
            yield from (line.strip().removeprefix("$ ") for line in block.replace("\\\n", " ").splitlines())


def commands(program: str) -> list[str]:
    """What of that program stands in blocks, each once."""
    lines = (line for page in PAGES for line in blocks(page))
    # A remark stands two spaces behind.
    return list(dict.fromkeys(line.partition("  #")[0].strip() for line in lines if line.split()[:1] == [program]))


def mentioned() -> list[str]:
    """What of docintake stands in running text."""
    found = (
        " ".join(words.split())
        for page in PAGES
        for words in re.findall(r"`(docintake [^`…|]+)`", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL))
    )
    return list(dict.fromkeys(found))


def elsewhere(command: str) -> str | None:
    words = command.removeprefix("docintake ")
    return next((test for begin, test in ELSEWHERE.items() if f"{words} ".startswith(f"{begin} ")), None)


def parse(words: list[str]) -> None:
    """Take a command's words as the command line would, and run nothing. Raises its UsageError; a group alone, and a
    command that is only named in passing, need no words of their own.
    """
    command: Any = typer.main.get_command(app)
    context, rest = command.make_context("docintake", ["status"]), words
    while hasattr(command, "resolve_command") and rest:
        name, command, rest = command.resolve_command(context, rest)
        if rest:
            context = command.make_context(name, [*rest], parent=context)
            rest = [*context._protected_args, *context.args]


@pytest.fixture(scope="module")
def office(
    fresh_database: Callable[[], AbstractContextManager[str]],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Settings, Engine, Path, str]]:
    """A node, a folder with the files that the pages name, and the id of a task that has ended."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "4711.pdf").write_bytes(pdf(["receipt", "a receipt", "The total is 4.11"]))
    for kind in ("receipt", "letter"):
        (folder / "DIR" / kind).mkdir(parents=True)
        (folder / "DIR" / kind / f"{kind}.pdf").write_bytes(pdf([kind, f"a {kind}"]))
    shutil.copy(folder / "4711.pdf", folder / "DIR")
    (folder / "questions.jsonl").write_text('{"file": "4711.pdf", "question": "What is it?", "answers": ["4.11"]}')
    with (
        fresh_database() as url,
        fake_office(url, redis_url, f"{folder.name}:", folder) as (settings, database),
        Node(settings, folder) as node,
    ):
        node.until_ready()
        assert settings.broker.url
        client = IntakeClient(settings.broker.url.get_secret_value(), key_prefix=settings.broker.key_prefix)
        task_id = client.classify((folder / "4711.pdf").as_uri()).get(PATIENCE).task_id
        yield settings, database, folder, task_id
        # Not before: it takes the connections of all clients of this broker along.
        disconnect(client)


@pytest.fixture
def ready(office: tuple[Settings, Engine, Path, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The office with something to publish, to roll back and to compare; what placeholders stand for."""
    settings, database, folder, task_id = office
    assert settings.broker.url
    assert settings.database.url
    for name, value in {
        "BROKER__URL": settings.broker.url.get_secret_value(),
        "BROKER__KEY_PREFIX": settings.broker.key_prefix,
        "DATABASE__URL": settings.database.url.get_secret_value(),
        "MODEL__BACKEND": "fake",
        "DATA_DIR": str(settings.data_dir),
        "DOCUMENTS__ROOTS": f'["{folder}"]',
        "READING__PROCESSES": "1",
    }.items():
        monkeypatch.setenv(f"DOCINTAKE_{name}", value)
    monkeypatch.chdir(folder)
    (folder / "claims.yaml").write_text("name: claims\nclasses: {receipt: a receipt, letter: a letter that came}")
    with transaction(database) as connection:
        for version in ("first", "second", "draft"):
            classes = tuple(
                DocumentClass(name=name, description=f"a {version} {name}") for name in ("letter", "bill")
            )
            draft, _ = class_sets.import_draft(connection, ClassSet(name="claims", classes=classes))
            if version != "draft":
                class_sets.publish(connection, "claims", draft.number)
        checkpoint = queries.put_checkpoint(
            connection,
            class_set="intake",
            class_version_id=None,
            run_id=None,
            parents=[],
            encoder="fake",
            file="12.safetensors",
            sha256="0" * 64,
            fingerprint="f",
            labels=1,
            metrics={},
            accepted=True,
            reasons=["macro accuracy is better"],
        )
        queries.promote(connection, class_set="intake", checkpoints=[checkpoint], back_to=None, by="ann")
    return {**FILLED, "TASK_ID": task_id, "ID": str(checkpoint), "DIR": "DIR"}


@pytest.mark.parametrize("command", [line for line in commands("docintake") if not elsewhere(line)])
def test_a_command_does_what_the_page_has_it_do(command: str, ready: dict[str, str]) -> None:
    words = [ready.get(word, word) for word in shlex.split(command, comments=True)[1:]]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, f"{command}: {result.exception or result.output}"


@pytest.mark.parametrize("command", [*filter(elsewhere, commands("docintake")), *mentioned()])
def test_a_command_s_words_are_those_of_the_command_line(command: str) -> None:
    words = shlex.split(command, comments=True)[1:]
    if words[-1].startswith("--devices"):
        words.append("all")
    if words != ["--help"]:
        parse(["12" if word == "ID" else word for word in words])


def test_what_is_not_run_here_is_run_by_a_test_that_is_there() -> None:
    for test in {test for line in commands("docintake") if (test := elsewhere(line))}:
        assert (PROJECT / "tests" / test).is_file()


def test_every_other_program_is_known_with_the_reason_why_it_is_not_run_here() -> None:
    started = {line.split()[0] for page in PAGES for line in blocks(page) if line.split()}
    installed = {name for name in started if re.fullmatch(r"[a-z_-]+", name) and shutil.which(name)}
    assert installed - {"docintake"} <= OTHERS.keys()
