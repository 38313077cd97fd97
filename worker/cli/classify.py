"""`docintake classify` and `docintake correct`: what a back office does, from the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.output import Json, console, print_json
from worker.cli.request import collect, connect, outcome_as_json, reference_to

if TYPE_CHECKING:
    from core.contract import ClassifyResult, IntakeError


def register(app: typer.Typer) -> None:
    """Put these commands at the top of the command line."""
    app.command()(classify)
    app.command()(correct)


def classify(
    context: typer.Context,
    paths: Annotated[list[str], typer.Argument(help="Files, folders or URIs.")],
    class_set: Annotated[str | None, typer.Option(help="A published class set; else the default one.")] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--class", help="A one-off class, `name` or `name=description`; repeat it.")
    ] = None,
    pages: Annotated[str | None, typer.Option(help="first, all, or such as 1-3,7.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for all of them.")] = 600,
    as_json: Json = False,
) -> None:
    """Enqueue documents, wait, and say what they are. Exit status 1 when one of them has no result."""
    settings, client = connect(context)
    one_off = _one_off(classes)
    handles = [
        (path, client.classify(reference_to(path, settings), class_set=class_set, classes=one_off, pages=pages))
        for path in _expand(paths)
    ]
    outcomes = collect(handles, timeout, "Classifying", quiet=as_json)
    if as_json:
        print_json([outcome_as_json(path, outcome) for path, outcome in outcomes])
    else:
        _print_table(outcomes)
    if any(isinstance(outcome, Exception) for _, outcome in outcomes):
        raise typer.Exit(1)


def correct(
    context: typer.Context,
    label: Annotated[str, typer.Argument(help="What the document really is.")],
    task: Annotated[str | None, typer.Option(help="Task id of the classification that it corrects.")] = None,
    document: Annotated[str | None, typer.Option(help="Or the document: a file, a URI or a document id.")] = None,
    by: Annotated[str | None, typer.Option(help="Who says so; else the name you are logged in by.")] = None,
    class_set: Annotated[str | None, typer.Option(help="The set that the label belongs to.")] = None,
    note: Annotated[str | None, typer.Option()] = None,
    as_json: Json = False,
) -> None:
    """Store a person's word on what a document is."""
    import getpass

    from core.contract import IntakeError
    from core.errors import RejectedInput

    if (task is None) == (document is None):
        raise RejectedInput("bad_arguments", "give --task or --document, one of them")
    settings, client = connect(context)
    handle = client.correct(
        label,
        by=by or getpass.getuser(),
        task_id=task,
        document=None if document is None else reference_to(document, settings),
        class_set=class_set,
        note=note,
    )
    try:
        result = handle.get(timeout=60)
    except IntakeError as error:
        raise RejectedInput(error.code, error.message) from error
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    before = f", not {result.previous}" if result.previous not in (None, result.label) else ""
    console().print(f"Kept: document {result.document_id[:12]} is [bold]{result.label}[/]{before}.")


def _one_off(classes: list[str] | None) -> list[str] | dict[str, str] | None:
    if not classes:
        return None
    pairs = [item.partition("=")[::2] for item in classes]
    return dict(pairs) if any(description for _, description in pairs) else [name for name, _ in pairs]


def _expand(paths: list[str]) -> list[str]:
    found: list[str] = []
    for path in paths:
        folder = Path(path)
        if "://" not in path and folder.is_dir():
            found += sorted(str(file) for file in folder.rglob("*") if file.is_file() and file.name[0] != ".")
        else:
            found.append(path)
    return found


def _print_table(outcomes: "list[tuple[str, ClassifyResult | IntakeError]]") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("document", "is", "confidence", "pages", "review", "task", box=None, header_style="bold")
    for path, outcome in outcomes:
        name = Text(Path(path).name or path, overflow="ellipsis")
        if isinstance(outcome, Exception):
            table.add_row(name, f"[red]{outcome.code}[/]", "", "", f"[dim]{outcome.message}[/]", "")
            continue
        sure = outcome.status == "classified"
        table.add_row(
            name,
            f"[{'green' if sure else 'yellow'}]{outcome.prediction or '—'}[/]",
            f"{outcome.confidence:.2f}",
            f"{len(outcome.pages)}/{outcome.document.page_count}",
            ", ".join(outcome.reasons).replace("_", " "),
            f"[dim]{outcome.task_id}[/]",
        )
    console().print(table)
