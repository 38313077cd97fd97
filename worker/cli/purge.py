"""`docintake purge`: what is older than it may be is removed, now."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.database import opened
from worker.cli.output import Json, console, errors, print_json

if TYPE_CHECKING:
    from worker.retention import Removed, Terms


def register(app: typer.Typer) -> None:
    """Put the command at the top of the command line."""
    app.command()(purge)


def purge(
    context: typer.Context,
    *,
    days: Annotated[
        int | None, typer.Option(min=1, help="Days to keep, in place of retention.days; classes keep their own.")
    ] = None,
    class_name: Annotated[
        str | None,
        typer.Option("--class", help="Documents of this class alone, and no other jobs; --days is for it then."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove documents that nobody asked about any more, with all that is known of them, and jobs that ended.

    Beat has this done every night by the settings `retention.days` and `retention.classes`.
    """
    from worker.retention import Terms, remove

    with opened(context) as (settings, engine):
        terms = Terms.of(settings.retention, days, class_name)
        with errors().status("Looking…") as status:
            removed = remove(engine, terms, lambda done: status.update(_so_far(done)), dry_run=dry_run)
    if as_json:
        print_json({"dry_run": dry_run, **asdict(removed), "before": asdict(terms)})
    else:
        _print(removed, terms, dry_run)


def _so_far(done: "Removed") -> str:
    return f"{done.documents:,} documents, {done.jobs:,} jobs…"


def _print(removed: "Removed", terms: "Terms", dry_run: bool) -> None:
    from rich.markup import escape

    out = console()
    out.print(f"[bold]{'This would be removed' if dry_run else 'Removed'}:[/]")
    out.print(f"  {removed.documents:>6,} documents with all that is known of them")
    out.print(f"  {removed.jobs:>6,} jobs")
    for name, before in sorted(terms.classes.items()):
        out.print(f"[dim]{escape(name)}: not used since {before:%Y-%m-%d %H:%M} UTC[/]")
    if terms.others is not None:
        others = "all others" if terms.classes else "documents"
        out.print(f"[dim]{others}: not used since {terms.others:%Y-%m-%d %H:%M} UTC; jobs: ended before[/]")
