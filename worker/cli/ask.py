"""`docintake ask`: questions about a document, from the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.output import Json, console, errors, print_json
from worker.cli.request import collect, connect, outcome_as_json, reference_to

if TYPE_CHECKING:
    from core.contract import Answer, AnswerResult, DocumentReference, IntakeError
    from core.settings import Settings

COLOURS = {"answered": "green", "not_found": "yellow", "failed": "red"}


def register(app: typer.Typer) -> None:
    """Put this command at the top of the command line."""
    app.command()(ask)


def ask(
    context: typer.Context,
    path: Annotated[str, typer.Argument(help="A file, a URI or a document id.")],
    question: Annotated[list[str], typer.Option("--question", "-q", help="In plain words; repeat it.")],
    *,
    pages: Annotated[str | None, typer.Option(help="first, all, or such as 1-3,7.")] = None,
    overlay: Annotated[
        Path | None, typer.Option(help="Draw the pages with the evidence boxed into this PNG file.", dir_okay=False)
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait.")] = 600,
    as_json: Json = False,
) -> None:
    """Ask about a document, wait, and show the answers with the lines that they stand on.

    Exit status 1 when the document has no result, or one of its questions failed; `not_found` is no failure.
    """
    from pydantic import ValidationError

    from core.errors import RejectedInput

    settings, client = connect(context)
    document = reference_to(path, settings)
    if overlay is not None:
        _check(overlay, document)
    try:
        handle = client.answer(document, question, pages=pages)
    except ValidationError as error:
        faults = "; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors())
        raise RejectedInput("bad_arguments", faults) from error
    [(_, outcome)] = collect([(path, handle)], timeout, "Asking", quiet=as_json)
    if as_json:
        print_json(outcome_as_json(path, outcome))
    else:
        _print_outcome(path, outcome)
    if isinstance(outcome, Exception):
        raise typer.Exit(1)
    if overlay is not None:
        _draw(overlay, document, outcome, settings)
    if any(answer.status == "failed" for answer in outcome.answers):
        raise typer.Exit(1)


def _check(overlay: Path, document: "DocumentReference") -> None:
    """Refuse what could not be drawn before anything is sent."""
    from core.errors import RejectedInput

    if document.document_id is not None:
        raise RejectedInput("bad_arguments", "--overlay needs the document itself: give its file or URI, not its id")
    if not overlay.resolve().parent.is_dir():
        raise RejectedInput("not_writable", f"there is no folder {overlay.resolve().parent} to draw into")


def _draw(overlay: Path, document: "DocumentReference", result: "AnswerResult", settings: "Settings") -> None:
    from contextlib import closing

    from rich.markup import escape

    from core.documents import fetch
    from core.overlay import draw, pages_shown
    from core.reading import Reader

    shown = pages_shown(result.answers)
    fetched = fetch(document, settings.documents)
    with errors().status("Drawing"), closing(Reader(settings.reading, settings.documents)) as reader:
        # Read once more, for which way up they are.
        pages = reader.read(fetched, ",".join(map(str, shown))).pages
        images = reader.render(fetched, pages)
    sizes = [page for page in result.pages if page.number in shown]
    draw(sizes, images, result.answers).save(overlay, "PNG")
    errors().print(f"Drew the evidence into {escape(str(overlay))}.", soft_wrap=True)


def _print_outcome(path: str, outcome: "AnswerResult | IntakeError") -> None:
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    out = console()
    name = escape(Path(path).name or path)
    if isinstance(outcome, Exception):
        out.print(f"[bold]{name}[/]  [red]{outcome.code}[/]  [dim]{escape(outcome.message)}[/]", soft_wrap=True)
        return
    count = outcome.document.page_count
    read = f"{len(outcome.pages)} of {count} pages read" if count > 1 else "1 page read"
    out.print(f"[bold]{name}[/]  [dim]{read} · task {outcome.task_id}[/]\n", soft_wrap=True)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", justify="right", no_wrap=True)
    for number, answer in enumerate(outcome.answers, start=1):
        table.add_row(str(number), Text(answer.question, style="bold"))
        said = Text(answer.answer or answer.status.replace("_", " "), style=COLOURS[answer.status])
        value = _value(answer)
        if value:
            said.append(f"  = {value}", style="cyan")
        if answer.status != "failed":
            said.append(f"  sure {answer.confidence:.2f}", style="dim")
        table.add_row("", said)
        for line in answer.evidence:
            table.add_row("", Text(f"page {line.page} │ {line.text}", style="dim"))
        if answer.error is not None:
            table.add_row("", Text(f"{answer.error.code}: {answer.error.message}", style="dim"))
        table.add_row()
    out.print(table)


def _value(answer: "Answer") -> str:
    """The normalised value, where it tells more than the print."""
    value = answer.value
    if value is None:
        return ""
    if value.type == "date":
        shown = value.date.isoformat()
    elif value.type == "amount":
        shown = f"{value.amount} {value.currency or ''}".strip()
    elif value.type == "integer":
        shown = str(value.integer)
    else:
        shown = "yes" if value.yes else "no"
    return "" if shown == (answer.answer or "").lower() else shown
