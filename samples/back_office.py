"""The demo's back office: a process of its own that knows the contract and the broker's address, nothing else.

The address comes by standard input.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TypeAlias

from docintake_contract import ClassifyResult, Handle, IntakeClient, IntakeError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

WAIT = 600
"""Seconds for all documents together."""

Answer: TypeAlias = ClassifyResult | IntakeError
console = Console(highlight=False)


def main() -> int:
    """Enqueue a folder, show what comes back, then try one-off classes and a correction. 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--truth", type=json.loads, default={}, help="file name → its class, null for no class")
    options = parser.parse_args()

    client = IntakeClient(sys.stdin.read().strip())
    files = sorted(path for path in options.folder.rglob("*") if path.is_file() and path.name[0] != ".")
    if not files:
        console.print(f"[red]There are no files in {options.folder}.[/]")
        return 1
    start = time.monotonic()
    answers = _collect({path: client.classify(path.as_uri(), external_id=path.name) for path in files})
    seconds = time.monotonic() - start
    _print_answers(answers, options.truth)
    read = sum(len(answer.pages) for answer in answers.values() if isinstance(answer, ClassifyResult))
    console.print(f"\n{len(files)} documents, {read} pages read, {seconds:.1f} s.")
    failed = _print_score(answers, options.truth)
    results = {path: answer for path, answer in answers.items() if isinstance(answer, ClassifyResult)}
    if results:
        _try_one_off_classes(client, results)
        _send_a_correction(client, results, options.truth)
    return 1 if failed else 0


def _collect(handles: dict[Path, Handle[ClassifyResult]]) -> dict[Path, Answer]:
    """Take each result as it comes, whichever comes first."""
    answers: dict[Path, Answer] = {}
    deadline = time.monotonic() + WAIT
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("Classifying", total=len(handles))
        while len(answers) < len(handles):
            for path, handle in handles.items():
                if path not in answers and (handle.ready() or time.monotonic() > deadline):
                    try:
                        answers[path] = handle.get(timeout=1)
                    except IntakeError as error:
                        answers[path] = error
                    progress.advance(bar)
            time.sleep(0.05)
    return {path: answers[path] for path in handles}


def _print_answers(answers: dict[Path, Answer], truth: dict[str, str | None]) -> None:
    table = Table(box=None, header_style="bold")
    for column in ("document", "is", "sure", "pages", "read from", "look at it:"):
        table.add_column(column, no_wrap=column in ("document", "is"))
    refused = []
    for path, answer in answers.items():
        if isinstance(answer, IntakeError):
            expected = truth.get(path.name, "") is None
            table.add_row(path.name, f"[{'dim' if expected else 'red'}]{answer.code}")
            refused.append(f"{path.name} was {answer.kind}: {answer.message}")
            continue
        right = truth.get(path.name, answer.prediction) == answer.prediction
        colour = "red" if not right else "green" if answer.status == "classified" else "yellow"
        sources = {page.source.replace("_", " ") for page in answer.pages}
        table.add_row(
            path.name,
            f"[{colour}]{answer.prediction or '—'}",
            f"{answer.confidence:.2f}",
            f"{len(answer.pages)}/{answer.document.page_count}",
            "memory" if answer.cached else ", ".join(sorted(sources)),
            ", ".join(answer.reasons).replace("_", " "),
        )
    console.print(table)
    for line in refused:
        console.print(f"  [dim]{line}[/]", soft_wrap=True)


def _print_score(answers: dict[Path, Answer], truth: dict[str, str | None]) -> bool:
    """Whether anything failed: an answer that never came, or a file refused or accepted against what it is."""
    known = [(path, truth[path.name]) for path in answers if truth.get(path.name) is not None]
    if known:
        right = sum(getattr(answers[path], "prediction", None) == name for path, name in known)
        console.print(f"{right} of {len(known)} are what they were made as; no example of any class was ever shown.")
    failed = False
    for path, answer in answers.items():
        lost = isinstance(answer, IntakeError) and (answer.kind == "failed" or truth.get(path.name) is not None)
        if lost:
            console.print(f"[red]{path.name} has no result: {answer}[/]")
        failed = failed or lost
    return failed


def _try_one_off_classes(client: IntakeClient, results: dict[Path, ClassifyResult]) -> None:
    path, known = max(results.items(), key=lambda item: item[1].confidence)
    classes = {
        "accounting": "Invoices, receipts, bank statements and utility bills.",
        "personnel": "Payslips, resumes and job applications.",
        "identity check": "Passports, identity cards and driving licences.",
        "legal": "Contracts and letters from lawyers.",
    }
    answer = client.classify(path.as_uri(), classes=classes).get(timeout=WAIT)
    console.print(f"\n[bold]Classes sent along[/] with {path.name}, registered nowhere:")
    for name, probability in answer.probabilities.items():
        console.print(f"  {probability:5.2f}  {name}")
    console.print(
        f"  It was {'not read again' if answer.cached else 'read'}: {known.document.document_id[:12]} is known."
    )


def _send_a_correction(
    client: IntakeClient, results: dict[Path, ClassifyResult], truth: dict[str, str | None]
) -> None:
    wrong = [
        (path, result) for path, result in results.items() if truth.get(path.name) not in (None, result.prediction)
    ]
    unsure = [(path, result) for path, result in results.items() if result.prediction and result.reasons]
    certain = [(path, result) for path, result in results.items() if result.prediction]
    candidates = wrong or unsure or certain
    if not candidates:
        return
    path, result = candidates[0]
    label = truth.get(path.name) or result.prediction
    assert label is not None  # noqa: S101 - candidates have a prediction or a truth
    kept = client.correct(label, by="demo", task_id=result.task_id).get(timeout=WAIT)
    verb = "corrected" if kept.previous != kept.label else "confirmed"
    console.print(f"\n[bold]A person's word[/]: {path.name} {verb} as {kept.label} (label {kept.correction_id}).")


if __name__ == "__main__":
    sys.exit(main())
