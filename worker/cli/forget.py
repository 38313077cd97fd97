"""`docintake forget`: one case is erased everywhere, and what was erased is said."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from worker.cli.database import opened
from worker.cli.output import Json, console, errors, print_json

if TYPE_CHECKING:
    from worker.forget import Erased, Find

KINDS: Final = {
    "documents": "documents",
    "pages": "pages with their text",
    "features": "features of pages",
    "answers": "answers kept for the next time",
    "classifications": "classifications",
    "inquiries": "results with answers",
    "labels": "labels",
    "callbacks": "notes of outcomes sent to back offices",
    "reviews": "notes of who looked at them",
    "jobs": "jobs with their requests and errors",
    "messages": "messages in queues",
    "results": "results that waited for their callers",
    "log_lines": "lines of logs on this machine, masked",
}
"""What is counted, as people read it."""


def register(app: typer.Typer) -> None:
    """Put the command at the top of the command line."""
    app.command()(forget)


def forget(
    context: typer.Context,
    *,
    document: Annotated[
        str | None, typer.Option(help="A document's id: everything about it, whoever sent it.", metavar="ID")
    ] = None,
    external_id: Annotated[
        str | None,
        typer.Option(
            help="A back office's own id: all its requests, and those documents that no other id was given for.",
            metavar="ID",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be erased, and erase nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Erase one case: its documents, texts, features, answers, labels, jobs, messages and results, for good."""
    from core.errors import RejectedInput
    from worker.app import make_app
    from worker.forget import Forgetting

    find = _case(document, external_id)
    if as_json and not (yes or dry_run):
        raise RejectedInput("bad_arguments", "--json asks nothing: add --yes to erase, or --dry-run to look")
    with opened(context) as (settings, engine):
        forgetting = Forgetting(engine, make_app(settings), settings.data_dir)
        if dry_run or not yes:
            found = forgetting.look(find)
            if not as_json:
                _print(found, "This would be erased:" if dry_run else "This will be erased:")
        if not dry_run:
            if not yes:
                typer.confirm("Erase it for good?", abort=True, err=True)
            with errors().status("Erasing…") as status:
                found = forgetting.forget(
                    find, lambda count: status.update(f"Waiting for nodes that are at work on {count} of its tasks…")
                )
            if not as_json:
                _print(found, "Erased:")
    if as_json:
        print_json({"document": document, "external_id": external_id, "dry_run": dry_run, **asdict(found)})


def _case(document: str | None, external_id: str | None) -> "Find":
    from core.errors import RejectedInput
    from worker.case import Case

    if document is None and external_id is not None:
        return lambda connection: Case.of_external_id(connection, external_id)
    if document is None or external_id is not None:
        raise RejectedInput("bad_arguments", "say what to forget: --document or --external-id, one of them")
    if len(document) != 64 or not set(document) <= set("0123456789abcdef"):
        raise RejectedInput(
            "bad_arguments", "a document's id is the SHA-256 of its bytes, 64 hex digits, as results give it"
        )
    return lambda connection: Case.of_document(connection, document)


def _print(found: "Erased", title: str) -> None:
    out = console()
    out.print(f"[bold]{title}[/]")
    for kind, name in KINDS.items():
        if found.counts[kind]:
            out.print(f"  {found.counts[kind]:>6,} {name}")
    for document_id in found.kept:
        out.print(f"[yellow]Kept[/]: document {document_id}, which was sent under other ids as well")
    if found.checkpoints:
        out.print(
            f"[yellow]Kept[/]: checkpoints {', '.join(map(str, found.checkpoints))}, which may have learned from its "
            "labels; the next run learns without them",
            soft_wrap=True,
        )
    if found.at_work:
        out.print(
            f"[red]Still at work[/]: {len(found.at_work)} of its tasks, or their node died. Run this again in a few "
            "minutes: they may leave something behind.",
            soft_wrap=True,
        )
