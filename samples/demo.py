"""`make demo`: the main job, end to end, on documents made on the spot or on a folder of your own."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from core.errors import IntakeError, RejectedInput
from core.settings import Settings
from samples.case import demo_documents
from worker.stack import Stack

SEED = 7
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
    if own is None:
        folder = settings.data_dir / "demo"
        shutil.rmtree(folder, ignore_errors=True)
        console.print("[bold]1[/] Drawing the morning's mail: scans, photos, PDFs, a blank and a broken one")
        documents = demo_documents(folder, SEED)
        truth = {document.path.name: document.class_name for document in documents}
    else:
        folder = own
        console.print(f"[bold]1[/] Taking the files in {own}")
    folder = folder.resolve()
    documents_settings = settings.documents.model_copy(update={"roots": (*settings.documents.roots, str(folder))})
    settings = settings.model_copy(update={"documents": documents_settings})
    console.print("[bold]2[/] Starting PostgreSQL, Redis and a worker node that loads its model once")
    with Stack(settings, None, say=lambda line: console.print(f"  [dim]{line}[/]")) as stack:
        console.print("[bold]3[/] A back office, in a process of its own, enqueues them and waits\n")
        status = _back_office(stack, folder, truth)
    if status == 0:
        _say_what_next(folder)
    else:
        console.print("\n[bold red]The demo failed[/]: what failed is said above.")
    return status


def _back_office(stack: Stack, folder: Path, truth: dict[str, str | None]) -> int:
    broker = stack.settings.broker.url
    assert broker is not None  # noqa: S101 - the stack fills it in
    command = [sys.executable, "-m", "samples.back_office", "--folder", str(folder), "--truth", json.dumps(truth)]
    # The broker's password goes by standard input: a command line can be read by every user of the machine.
    return subprocess.run(command, input=broker.get_secret_value(), text=True, check=False).returncode  # noqa: S603


def _say_what_next(folder: Path) -> None:
    shown = os.path.relpath(folder)
    console.print(
        f"""
[bold]What to try next[/] (each `docintake` stands in .venv/bin)
  make demo DOCS=folder               the same with files of your own
  docintake up                        keep it running; then, in another terminal:
  docintake classify {shown}
  docintake classify {shown} --class "bill=Somebody wants money." --class other
  docintake jobs list                 every task, and how it ended
  docintake classes show intake --yaml    to edit, import, replay, publish
  docintake doctor                    is everything in order?""",
        soft_wrap=True,
    )


if __name__ == "__main__":
    sys.exit(main())
