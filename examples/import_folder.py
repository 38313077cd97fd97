"""Classify all files of a folder, many in a message, into a CSV file. Interrupted, it goes on where it was.

    python examples/import_folder.py /srv/inbox classes.csv

docintake has to be allowed to read the folder (`documents.roots`).
"""

import argparse
import csv
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from docintake_contract import DocumentReference, IntakeClient, IntakeError, ManyItem, Outcome
from rich.console import Console
from rich.progress import Progress

MESSAGE = 32
"""Files in a message, 256 at most: small enough that several nodes have something to do."""
AHEAD = 4
"""Messages that are on their way at a time."""
COLUMNS = ("file", "class", "confidence", "status", "why")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("table", type=Path)
    options = parser.parse_args()
    client = IntakeClient(
        os.environ["DOCINTAKE_BROKER__URL"], key_prefix=os.environ.get("DOCINTAKE_BROKER__KEY_PREFIX", "")
    )
    folder = options.folder.resolve()
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    # What stands in the table is done. What was on its way when this was interrupted is sent again, which costs
    # little: docintake knows those pages by then.
    done = known_in(options.table)
    left = [file for file in files if file not in done]
    with (
        options.table.open("a", newline="", encoding="utf-8") as table,
        Progress(console=Console(stderr=True)) as progress,
    ):
        writer = csv.writer(table)
        if not done:
            writer.writerow(COLUMNS)
        bar = progress.add_task("Classifying", total=len(files), completed=len(files) - len(left))
        for names, outcomes in classified(client, folder, left):
            for name, outcome in zip(names, outcomes, strict=True):
                writer.writerow([name, *row_of(outcome)])
            # On the disk before it counts as done.
            table.flush()
            progress.advance(bar, len(names))


def classified(client: IntakeClient, folder: Path, files: list[str]) -> Iterator[tuple[list[str], list[Outcome]]]:
    """The files of each message with their outcomes, as messages end."""
    messages = deque(files[start : start + MESSAGE] for start in range(0, len(files), MESSAGE))
    waiting = deque[tuple[list[str], object]]()
    while messages or waiting:
        while messages and len(waiting) < AHEAD:
            names = messages.popleft()
            items = [
                ManyItem(document=DocumentReference(uri=(folder / name).as_uri()), external_id=name[-200:])
                for name in names
            ]
            (handle,) = client.classify_many(items, priority="bulk")
            waiting.append((names, handle))
        names, handle = waiting.popleft()
        yield names, handle.get(timeout=3600).outcomes
        # It stands in the table: no need that it waits in Redis until it expires.
        handle.forget()


def row_of(outcome: Outcome) -> tuple[str, str, str, str]:
    if outcome.result is None:
        return "", "", outcome.error.kind, f"{outcome.error.code}: {outcome.error.message}"
    result = outcome.result
    return result.prediction or "", f"{result.confidence:.4f}", result.status, " ".join(result.reasons)


def known_in(table: Path) -> set[str]:
    if not table.exists():
        return set()
    with table.open(newline="", encoding="utf-8") as file:
        return {row["file"] for row in csv.DictReader(file)}


if __name__ == "__main__":
    try:
        main()
    except IntakeError as error:
        raise SystemExit(f"{error}; run this again: it goes on where it was") from error
