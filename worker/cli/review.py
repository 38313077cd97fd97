"""`docintake review`: the cases that a person has to look at."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.database import opened
from worker.cli.output import Json, console, errors, print_json

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Engine

    from core.contract import CorrectResult
    from core.settings import Settings
    from db.queries import OpenCase

app = typer.Typer(no_args_is_help=True, help="Review: documents that a person has to look at.")

TaskId = Annotated[str, typer.Argument(help="The case: the task id of its classification.")]
By = Annotated[str, typer.Option(help="Who you are.")]
ClassSet = Annotated[str | None, typer.Option(help="Only cases of this class set.")]
Note = Annotated[str | None, typer.Option(help="Why, in your words.")]


@app.command("list")
def list_cases(
    context: typer.Context,
    *,
    class_set: ClassSet = None,
    by: Annotated[str | None, typer.Option(help="Only those that this one has claimed.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The first so many.")] = 20,
    as_json: Json = False,
) -> None:
    """List the open cases, the longest waiting first."""
    from db import queries
    from db.session import transaction

    with opened(context) as (settings, engine), transaction(engine) as connection:
        cases = queries.list_open_cases(connection, class_set=class_set, by=by, limit=limit)
        in_all = queries.count_open_cases(connection)
    if as_json:
        print_json([asdict(case) for case in cases])
        return
    if not cases:
        console().print(
            "Nothing is to be looked at." if not in_all else f"None of the {in_all:,} open cases is such."
        )
        return
    _print_table(cases, settings)
    console().print(f"\n{in_all:,} open. `docintake review next --by YOU` claims the first that nobody has.")


@app.command("next")
def claim_next(context: typer.Context, *, by: By, class_set: ClassSet = None, as_json: Json = False) -> None:
    """Claim the case that waits longest and that nobody else has. Exit status 1 when there is none."""
    from worker import review

    with opened(context) as (settings, engine):
        case = review.claim_next(engine, by, settings.reviewing.claim_lapses, class_set)
    if as_json:
        print_json(None if case is None else asdict(case))
    elif case is None:
        console().print("Nothing is to be looked at that nobody has claimed.")
    else:
        _print_case(case, settings)
    if case is None:
        raise typer.Exit(1)


@app.command()
def release(context: typer.Context, task_id: TaskId, as_json: Json = False) -> None:
    """Let others claim a case, whoever has it."""
    from worker import review

    with opened(context) as (_, engine):
        case = review.release(engine, task_id)
    if as_json:
        print_json({"task_id": task_id, "released_from": case.claimed_by})
    else:
        console().print(f"Free again: {task_id}", soft_wrap=True, markup=False)


@app.command()
def resolve(
    context: typer.Context,
    task_id: TaskId,
    label: Annotated[str, typer.Argument(help="The class that it is of.", metavar="CLASS")],
    *,
    by: By,
    note: Note = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a node.")] = 60,
    as_json: Json = False,
) -> None:
    """Say what a case's document is: a correction, which closes the case and is learned from."""
    from db.session import transaction
    from worker import review

    with opened(context) as (settings, engine), transaction(engine) as connection:
        review.find(connection, task_id, by, settings.reviewing.claim_lapses)
    result = _corrected(context, task_id, label, by, note, timeout)
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        said = f", not {result.previous}" if result.previous not in (None, label) else ""
        console().print(
            f"Resolved: {result.label}{said} (label {result.correction_id}).", soft_wrap=True, markup=False
        )


@app.command()
def dismiss(context: typer.Context, task_id: TaskId, *, by: By, note: Note = None, as_json: Json = False) -> None:
    """Close a case that is of none of the classes, or of no use. Nothing is learned from it."""
    from worker import review

    with opened(context) as (settings, engine):
        review.dismiss(engine, task_id, by, note, settings.reviewing.claim_lapses)
    if as_json:
        print_json({"task_id": task_id, "dismissed_by": by})
    else:
        console().print(f"Dismissed: {task_id}", soft_wrap=True, markup=False)


@app.command()
def export(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Where to; it is made.", file_okay=False, metavar="DIR")],
    *,
    class_set: ClassSet = None,
    by: Annotated[str | None, typer.Option(help="Only those that this one has claimed.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The first so many.")] = 100,
    as_json: Json = False,
) -> None:
    """Write one HTML page a case, with its document, and an index. They are private: delete them when done."""
    from core.errors import RejectedInput
    from db import queries
    from db.session import transaction
    from worker import review_page

    with opened(context) as (settings, engine):
        with transaction(engine) as connection:
            cases = queries.list_open_cases(connection, class_set=class_set, by=by, limit=limit)
            in_all = queries.count_open_cases(connection)
        index = folder / "index.html"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            small = _draw(folder, cases, settings, engine, quiet=as_json) if cases else {}
            cases = [case for case in cases if case.task_id in small]
            _write(index, review_page.index_to_html([(case, small[case.task_id]) for case in cases], in_all))
        except OSError as error:
            raise RejectedInput("not_writable", f"nothing can be written into {folder}: {error.strerror}") from error
    if as_json:
        print_json({"index": str(index), "cases": [case.task_id for case in cases]})
    else:
        console().print(f"{len(cases):,} of {in_all:,} open cases: {index}", soft_wrap=True, markup=False)


def _draw(
    folder: Path, cases: "list[OpenCase]", settings: "Settings", engine: "Engine", *, quiet: bool
) -> dict[str, str]:
    """Write a page a case; returns task id → thumbnail of those that are still there."""
    from contextlib import closing

    from rich.progress import track

    from core.reading import Reader
    from worker import review, review_page

    around = dict(
        zip([case.task_id for case in cases], zip([None, *cases], [*cases[1:], None], strict=False), strict=False)
    )
    small = {}
    with closing(Reader(settings.reading, settings.documents)) as reader:
        sheets = review.sheets(engine, settings, reader, cases)
        for sheet in track(sheets, "Drawing", len(cases), console=errors(), disable=quiet, transient=True):
            page = review_page.to_html(sheet, *around[sheet.case.task_id])
            _write(folder / review_page.name_of(sheet.case), page)
            small[sheet.case.task_id] = review_page.thumbnail(sheet)
    return small


def _write(file: Path, page: str) -> None:
    """For its owner alone to read."""
    file.touch(mode=0o600)
    file.write_text(page, encoding="utf-8")


def _corrected(
    context: typer.Context, task_id: str, label: str, by: str, note: str | None, timeout: float
) -> "CorrectResult":
    """Have a node keep the label. Raises RejectedInput, ModelFailure, TransientFailure(`not_in_time`)."""
    from celery.exceptions import TimeoutError as NotInTime
    from pydantic import ValidationError

    from core.contract import IntakeError
    from core.errors import ModelFailure, RejectedInput, TransientFailure
    from worker.cli.request import connect

    _, client = connect(context)
    try:
        return client.correct(label, task_id=task_id, by=by, note=note).get(timeout)
    except ValidationError as error:
        faults = "; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors())
        raise RejectedInput("bad_arguments", faults) from error
    except IntakeError as error:
        raise (RejectedInput if error.kind == "rejected" else ModelFailure)(error.code, error.message) from error
    except NotInTime as error:
        raise TransientFailure(
            "not_in_time",
            f"no node has kept the label within {timeout:g} s; one will when it runs. See `docintake doctor`",
        ) from error


def _print_table(cases: "list[OpenCase]", settings: "Settings") -> None:
    from rich.table import Table
    from rich.text import Text

    from worker.review import is_claimed

    table = Table(
        "task id", "waits", "looks like", "why", "claimed by", box=None, header_style="bold", pad_edge=False
    )
    for column in table.columns[:3]:
        column.no_wrap = True
    for case in cases:
        claimed = case.claimed_by if is_claimed(case, settings.reviewing.claim_lapses) else ""
        table.add_row(
            Text(case.task_id),
            _age(case.waiting_since),
            Text(f"{case.prediction or '—'} {case.confidence:.2f}"),
            Text(", ".join(reason.replace("_", " ") for reason in case.reasons)),
            Text(claimed or ""),
        )
    console().print(table)


def _print_case(case: "OpenCase", settings: "Settings") -> None:
    import shlex

    task = shlex.quote(case.task_id)
    rows = {
        "looks like": f"{case.prediction or '—'} {case.confidence:.2f}",
        "why": ", ".join(reason.replace("_", " ") for reason in case.reasons),
        "external id": case.external_id or "",
        "document": case.document_id,
        "class set": f"{case.class_set}, version {case.class_set_version}" if case.class_set else "sent along",
        "waits": _age(case.waiting_since),
    }
    out = console()
    out.print(case.task_id, style="bold", markup=False, soft_wrap=True)
    for name, value in rows.items():
        if value:
            out.print(f"  {name:<12} {value}", soft_wrap=True, markup=False)
    out.print(
        f"\nYours for {settings.reviewing.claim_lapses / 60:g} minutes. Close it:\n"
        f"  docintake review resolve {task} CLASS --by YOU\n  docintake review dismiss {task} --by YOU",
        soft_wrap=True,
        markup=False,
    )


def _age(since: "datetime") -> str:
    from datetime import datetime

    seconds = (datetime.now(since.tzinfo) - since).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
