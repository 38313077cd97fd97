"""`make demo`: the main job, end to end, on documents made on the spot or on a folder of your own."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from core.errors import IntakeError, RejectedInput
from core.settings import Settings
from db.session import make_engine, transaction
from samples import desk
from samples.case import demo_documents
from worker import class_sets
from worker.stack import Stack

SEED = 7
GENERAL = ("What kind of document is this?", "What is the date?", "What is the total amount?")
"""Asked about files of one's own."""
ASKED = 6
"""Files of one's own that are asked about."""
DRAWN = "receipt-photo.jpg"
SORTED = 16
"""Papers of each desk that the clerk sorts by hand."""
NEW = 3
"""… and that come afterwards."""
console = Console(highlight=False)


def main() -> int:
    """Bring everything up, have the back office at work, take everything down. 0 when nothing failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=Path, help="a folder of your own instead of the rendered documents")
    own = parser.parse_args().documents
    try:
        if own is not None and not own.is_dir():
            raise RejectedInput("not_found", f"there is no folder {own}")
        return _show(own)
    except IntakeError as error:
        console.print(f"[bold red]{error.code}[/]: {error.message}")
        return 2
    except KeyboardInterrupt:
        return 130


def _show(own: Path | None) -> int:
    settings = Settings.load()
    truth: dict[str, str | None] = {}
    questions: dict[str, dict[str, str | None]] = {}
    if own is None:
        folder = settings.data_dir / "demo"
        shutil.rmtree(folder, ignore_errors=True)
        console.print("[bold]1[/] Drawing the morning's mail: scans, photos, PDFs, a blank and a broken one")
        documents = demo_documents(folder, SEED)
        truth = {document.path.name: document.class_name for document in documents}
        # What a document does not tell is known, too: empty, and not null.
        questions = {
            document.path.name: {question: answer or "" for question, answer in document.answers.items()}
            for document in documents
            if document.answers
        }
    else:
        folder = own
        console.print(f"[bold]1[/] Taking the files in {own}")
        files = sorted(path.name for path in own.rglob("*") if path.is_file() and path.name[0] != ".")
        questions = {name: dict.fromkeys(GENERAL) for name in files[:ASKED]}
    folder = folder.resolve()
    documents_settings = settings.documents.model_copy(update={"roots": (*settings.documents.roots, str(folder))})
    settings = settings.model_copy(update={"documents": documents_settings})
    console.print("[bold]2[/] Starting PostgreSQL, Redis and a worker node that loads its model once")
    with Stack(settings, None, say=lambda line: console.print(f"  [dim]{line}[/]")) as stack:
        console.print("[bold]3[/] A back office, in a process of its own, enqueues them and waits\n")
        status = _back_office(stack, folder, truth, questions)
        if own is None and status == 0:
            status = _draw(stack, folder, list(questions[DRAWN])) or _learn(stack, folder)
    if status == 0:
        _say_what_next(folder)
    else:
        console.print("\n[bold red]The demo failed[/]: what failed is said above.")
    return status


def _back_office(
    stack: Stack, folder: Path, truth: dict[str, str | None], questions: dict[str, dict[str, str | None]]
) -> int:
    broker = stack.settings.broker.url
    assert broker is not None  # noqa: S101 - the stack fills it in
    command = [
        *(sys.executable, "-m", "samples.back_office", "--folder", str(folder)),
        *("--truth", json.dumps(truth), "--questions", json.dumps(questions)),
    ]
    # The broker's password goes by standard input: a command line can be read by every user of the machine.
    return subprocess.run(command, input=broker.get_secret_value(), text=True, check=False).returncode  # noqa: S603


def _draw(stack: Stack, folder: Path, questions: list[str]) -> int:
    """Ask once more by the command line, which draws where the answers stand."""
    console.print(f"\n[bold]4[/] The same from the command line: docintake ask {DRAWN} -q … --overlay evidence.png\n")
    command = [sys.executable, "-m", "worker", "ask", str(folder / DRAWN)]
    command += ["--overlay", os.path.relpath(folder / "evidence.png")]
    for question in questions:
        command += ["-q", question]
    # It finds the servers by itself; the folder may lie outside the roots of the settings.
    environment = {**os.environ, "DOCINTAKE_DOCUMENTS__ROOTS": json.dumps(stack.settings.documents.roots)}
    return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603


def _learn(stack: Stack, folder: Path) -> int:
    """Sort mail among desks whose names say nothing of it, before and after people said what goes where."""
    # Another set each time: one that has learned would know the answer.
    name = f"desks-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    broker, database = stack.settings.broker.url, stack.settings.database.url
    assert broker is not None and database is not None  # noqa: S101, PT018 - the stack fills both in
    engine = make_engine(database.get_secret_value(), statement_timeout=60, pool_size=1)
    with transaction(engine) as connection:
        class_sets.import_draft(connection, desk.class_set(name))
        class_sets.publish(connection, name)
    engine.dispose()
    console.print(f"\n[bold]5[/] Learning. Class set {name}: four desks that share the mail by habit\n")
    by_hand, new = (
        json.dumps({str(paper.path): paper.desk for paper in desk.papers(folder / part, seed, each)})
        for part, seed, each in (("sorted", SEED, SORTED), ("new", SEED + 1, NEW))
    )
    result = folder / "checkpoint"
    command = [
        *(sys.executable, "-m", "samples.clerk", "--class-set", name),
        *("--sorted", by_hand, "--new", new, "--result", str(result)),
    ]
    clerk = subprocess.run(command, input=broker.get_secret_value(), text=True, check=False)  # noqa: S603
    if clerk.returncode:
        return clerk.returncode
    command = [sys.executable, "-m", "worker", "checkpoints", "report", result.read_text()]
    command += ["--output", os.path.relpath(folder / "report.html")]
    return subprocess.run(command, check=False).returncode  # noqa: S603


def _say_what_next(folder: Path) -> None:
    shown = os.path.relpath(folder)
    console.print(
        f"""
[bold]What to try next[/] (each `docintake` stands in .venv/bin)
  make demo DOCS=folder               the same with files of your own
  docintake up                        keep it running; then, in another terminal:
  docintake classify {shown}
  docintake classify {shown} --class "bill=Somebody wants money." --class other
  docintake ask FILE -q "What is the total?" --overlay evidence.png
  docintake correct LABEL --document FILE   then, with twenty labels or more:
  docintake retrain --wait            learn from them; serves only if it is better
  docintake checkpoints list          and compare, report, promote, rollback
  docintake jobs list                 every task, and how it ended
  docintake classes show intake --yaml    to edit, import, replay, publish
  docintake doctor                    is everything in order?""",
        soft_wrap=True,
    )


if __name__ == "__main__":
    sys.exit(main())
