"""The demo's back office: a process of its own that knows the contract and the broker's address, nothing else.

The address comes by standard input.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TypeAlias, TypeVar

from docintake_contract import Answer, ClassifyResult, Handle, IntakeClient, IntakeError, Wire
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

WAIT = 600
"""Seconds for all documents together."""

ResultT = TypeVar("ResultT", bound=Wire)
Outcome: TypeAlias = ClassifyResult | IntakeError
console = Console(highlight=False)


def main() -> int:
    """Enqueue a folder, show what comes back, ask questions, then try one-off classes and a correction.

    1 when anything failed; a wrong answer is no failure.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--truth", type=json.loads, default={}, help="file name → its class, null for no class")
    parser.add_argument(
        "--questions",
        type=json.loads,
        default={},
        help="file name → question → its answer, empty for none, null if unknown",
    )
    options = parser.parse_args()

    client = IntakeClient(sys.stdin.read().strip())
    files = sorted(path for path in options.folder.rglob("*") if path.is_file() and path.name[0] != ".")
    if not files:
        console.print(f"[red]There are no files in {options.folder}.[/]")
        return 1
    start = time.monotonic()
    answers = _collect({path: client.classify(path.as_uri(), external_id=path.name) for path in files}, "Classifying")
    seconds = time.monotonic() - start
    _print_answers(answers, options.truth)
    read = sum(len(answer.pages) for answer in answers.values() if isinstance(answer, ClassifyResult))
    console.print(f"\n{len(files)} documents, {read} pages read, {seconds:.1f} s.")
    failed = _print_score(answers, options.truth)
    results = {path: answer for path, answer in answers.items() if isinstance(answer, ClassifyResult)}
    if results:
        failed = (
            _ask(client, [path for path in results if path.name in options.questions], options.questions) or failed
        )
        _try_one_off_classes(client, results)
        _send_a_correction(client, results, options.truth)
    return 1 if failed else 0


def _collect(handles: dict[Path, Handle[ResultT]], description: str) -> dict[Path, ResultT | IntakeError]:
    """Take each result as it comes, whichever comes first."""
    answers: dict[Path, ResultT | IntakeError] = {}
    deadline = time.monotonic() + WAIT
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(description, total=len(handles))
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


def _print_answers(answers: dict[Path, Outcome], truth: dict[str, str | None]) -> None:
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


def _print_score(answers: dict[Path, Outcome], truth: dict[str, str | None]) -> bool:
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


def _ask(client: IntakeClient, paths: list[Path], questions: dict[str, dict[str, str | None]]) -> bool:
    """Ask what there is to ask, and compare with what is known. Whether anything failed."""
    start = time.monotonic()
    handles = {path: client.answer(path.as_uri(), list(questions[path.name])) for path in paths}
    results = _collect(handles, "Asking")
    seconds = time.monotonic() - start
    table = Table(box=None, header_style="bold")
    for column in ("document", "question", "answer", "sure", "page", ""):
        table.add_column(column, no_wrap=column == "document")
    known = right = 0
    failed = False
    for path, result in results.items():
        if isinstance(result, IntakeError):
            console.print(f"[red]{path.name} has no answers: {result}[/]")
            failed = True
            continue
        name = path.name
        for answer, truth in zip(result.answers, questions[path.name].values(), strict=True):
            is_right = answer.status != "failed" and _plain(answer.answer) == _plain(truth)
            known += truth is not None
            right += truth is not None and is_right
            failed = failed or answer.status == "failed"
            mark = "[green]✓[/]" if is_right else f"[red]✗[/] {escape(truth or 'not there')}"
            pages = sorted({line.page for line in answer.evidence})
            table.add_row(
                name,
                escape(answer.question),
                _shown(answer),
                f"{answer.confidence:.2f}",
                ", ".join(map(str, pages)),
                "" if truth is None else mark,
            )
            name = ""
    console.print("\n[bold]Questions[/] about some of them, whose pages are known and not read again:\n")
    console.print(table)
    if known:
        console.print(f"\n{right} of {known} right, {seconds:.1f} s.")
    return failed


def _shown(answer: Answer) -> str:
    colour = {"answered": "default", "not_found": "dim", "failed": "red"}[answer.status]
    return f"[{colour}]{escape(answer.answer or answer.status.replace('_', ' '))}[/]"


def _plain(text: str | None) -> str:
    """What is left of an answer when only letters and digits count."""
    return "".join(filter(str.isalnum, text or "")).casefold()


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
