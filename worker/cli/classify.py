"""`docintake classify` and `docintake correct`: what a back office does, from the command line."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.output import Json, console, errors, print_json

if TYPE_CHECKING:
    from core.contract import ClassifyResult, DocumentReference, Handle, IntakeClient, IntakeError
    from core.settings import Settings


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
    settings, client = _client(context)
    one_off = _one_off(classes)
    handles = [
        (path, client.classify(_reference(path, settings), class_set=class_set, classes=one_off, pages=pages))
        for path in _expand(paths)
    ]
    outcomes = _collect(handles, timeout, quiet=as_json)
    if as_json:
        print_json([_as_json(path, outcome) for path, outcome in outcomes])
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
    settings, client = _client(context)
    handle = client.correct(
        label,
        by=by or getpass.getuser(),
        task_id=task,
        document=None if document is None else _reference(document, settings),
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


def _client(context: typer.Context) -> "tuple[Settings, IntakeClient]":
    from core.contract import IntakeClient
    from core.settings import Settings
    from worker.embedded import locate

    settings = locate(Settings.load(context.obj))
    url = settings.broker.url
    return settings, IntakeClient(url.get_secret_value() if url else "", key_prefix=settings.broker.key_prefix)


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


def _reference(path: str, settings: "Settings") -> "DocumentReference":
    """A local file goes by its URI where the worker may read it, else inside the message if it is small enough."""
    from core.contract import INLINE_LIMIT, DocumentReference, inline
    from core.errors import RejectedInput

    if len(path) == 64 and set(path) <= set("0123456789abcdef"):
        return DocumentReference(document_id=path)
    if "://" in path:
        return DocumentReference(uri=path)
    file = Path(path).resolve()
    if not file.is_file():
        raise RejectedInput("not_found", f"there is no file {path}")
    roots = [Path(root).resolve() for root in settings.documents.roots if "://" not in root]
    if any(file.is_relative_to(root) for root in roots):
        return DocumentReference(uri=file.as_uri())
    if file.stat().st_size <= INLINE_LIMIT:
        return inline(file)
    raise RejectedInput(
        "not_allowed",
        f"{path} lies outside the roots that the worker may read and is too large to travel in a message; add its "
        f"folder: DOCINTAKE_DOCUMENTS__ROOTS='{json.dumps([*settings.documents.roots, str(file.parent)])}'",
    )


def _collect(
    handles: "list[tuple[str, Handle[ClassifyResult]]]", timeout: float, quiet: bool
) -> "list[tuple[str, ClassifyResult | IntakeError]]":
    import time

    from celery.exceptions import TimeoutError as NotInTime
    from rich.progress import track

    from core.contract import IntakeError

    deadline = time.monotonic() + timeout
    outcomes: list[tuple[str, ClassifyResult | IntakeError]] = []
    for path, handle in track(handles, "Classifying", console=errors(), disable=quiet, transient=True):
        try:
            outcomes.append((path, handle.get(max(0.1, deadline - time.monotonic()))))
        except IntakeError as error:
            outcomes.append((path, error))
        except NotInTime:
            late = (
                f"no result within {timeout:g} s; task {handle.id} goes on; is a node running? try `docintake doctor`"
            )
            outcomes.append((path, IntakeError("failed", "not_in_time", late)))
    return outcomes


def _as_json(path: str, outcome: "ClassifyResult | IntakeError") -> dict[str, object]:
    if isinstance(outcome, Exception):
        return {"path": path, "error": {"kind": outcome.kind, "code": outcome.code, "message": outcome.message}}
    return {"path": path, "result": outcome.model_dump(mode="json")}


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
