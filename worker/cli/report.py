"""`docintake report`: what a class set did over a time, on a page or in figures."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.database import opened
from worker.cli.output import Json, errors, print_json


def register(app: typer.Typer) -> None:
    """Put the command at the top of the command line."""
    app.command()(report)


def report(
    context: typer.Context,
    *,
    since: Annotated[str, typer.Option(help="Since when: `30d`, `12h` or a date such as 2026-11-01.")] = "30d",
    class_set: Annotated[str | None, typer.Option(help="Of this class set; else the default one.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the page into this file; else `report.html`.", dir_okay=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Report what came in, what it was taken for, what people said of it, how long it took and what was learned.

    One HTML file that needs nothing else, and holds figures and names of classes, nothing of documents.
    """
    from datetime import UTC, datetime

    from rich.markup import escape

    from core.errors import RejectedInput
    from worker.report import gather, since_of
    from worker.report_page import to_html

    now = datetime.now(UTC)
    start = since_of(since, now)
    with opened(context) as (settings, engine):
        found = gather(engine, settings, class_set or settings.deciding.class_set, start, now)
    if as_json:
        print_json(asdict(found))
        if output is None:
            return
    file = output or Path("report.html")
    try:
        file.write_text(to_html(found), encoding="utf-8")
    except OSError as error:
        raise RejectedInput("not_writable", f"{file} cannot be written: {error.strerror}") from error
    errors().print(
        f"{escape(str(file))}: {found.documents:,} documents of {escape(found.class_set)} since {start:%Y-%m-%d}.",
        soft_wrap=True,
    )
