"""The demo's clerk: sorts papers by hand, has the worker learn from that, and sees how it sorts by itself.

A process of its own, as the back office is; the broker's address comes by standard input.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from docintake_contract import Handle, IntakeClient, IntakeError, RetrainResult
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

WAIT = 600
"""Seconds for any one thing."""
console = Console(highlight=False)


def main() -> int:
    """1 when something failed, or did not get better."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--class-set", required=True)
    parser.add_argument("--sorted", required=True, type=json.loads, help="file → desk: what the clerk sorts by hand")
    parser.add_argument("--new", required=True, type=json.loads, help="file → desk: what comes afterwards")
    parser.add_argument("--result", required=True, type=Path, help="Where to write the checkpoint's number.")
    options = parser.parse_args()

    client = IntakeClient(sys.stdin.read().strip())
    before = _sorted_by_itself(client, options.new, options.class_set)
    console.print(f"Sorted by itself, from what the desks are called: {_right(before, options.new)} right.")

    handles = [
        client.correct(desk, by="clerk", document=Path(file).as_uri(), class_set=options.class_set)
        for file, desk in options.sorted.items()
    ]
    for handle in handles:
        handle.get(timeout=WAIT)
    console.print(f"A clerk sorts {len(handles)} others by hand. Now docintake learns from that:")

    try:
        result = _followed(client.retrain(options.class_set))
    except IntakeError as error:
        console.print(f"[red]The run failed: {error}[/]")
        return 1
    colour = "green" if result.status == "promoted" else "red"
    console.print(f"  [{colour}]{result.status}[/]: {'; '.join(result.reasons)}")
    if result.status != "promoted":
        return 1
    options.result.write_text(str(result.checkpoint))

    promoted = time.monotonic()
    while not _is_served(client, options, result) and time.monotonic() - promoted < WAIT:
        time.sleep(0.1)
    seconds = time.monotonic() - promoted
    after = _sorted_by_itself(client, options.new, options.class_set)
    _print(options.new, before, after)
    console.print(
        f"\nSorted by itself, from checkpoint {result.checkpoint}: {_right(after, options.new)} right. No node was "
        f"restarted; it served {seconds:.1f} s after its promotion."
    )
    return 0


def _is_served(client: IntakeClient, options: argparse.Namespace, result: RetrainResult) -> bool:
    file = next(iter(options.new))
    answer = client.classify(Path(file).as_uri(), class_set=options.class_set).get(timeout=WAIT)
    return bool(answer.checkpoint == str(result.checkpoint))


def _sorted_by_itself(client: IntakeClient, files: dict[str, str], class_set: str) -> dict[str, str | None]:
    handles = {file: client.classify(Path(file).as_uri(), class_set=class_set) for file in files}
    return {file: handle.get(timeout=WAIT).prediction for file, handle in handles.items()}


def _right(found: dict[str, str | None], truth: dict[str, str]) -> str:
    return f"{sum(found[file] == desk for file, desk in truth.items())} of {len(truth)}"


def _followed(handle: Handle[RetrainResult]) -> RetrainResult:
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    deadline = time.monotonic() + WAIT
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("waiting for the trainer", total=None)
        while not handle.ready() and time.monotonic() < deadline:
            if progress := handle.progress():
                bars.update(bar, description=progress.phase, completed=progress.done, total=progress.total)
            time.sleep(0.1)
    return handle.get(timeout=1)


def _print(truth: dict[str, str], before: dict[str, str | None], after: dict[str, str | None]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("  paper", "before", "after", "belongs to"):
        table.add_column(column)
    for file, desk in truth.items():
        shown = (f"[{'green' if found[file] == desk else 'red'}]{found[file]}[/]" for found in (before, after))
        table.add_row(f"  {Path(file).name}", *shown, desk)
    console.print()
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
