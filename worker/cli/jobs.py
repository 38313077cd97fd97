"""`docintake jobs`: what was asked of the worker, how it ended, and asking again."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from worker.cli.database import opened
from worker.cli.output import Json, console, print_json

if TYPE_CHECKING:
    from datetime import datetime

    from celery import Celery
    from sqlalchemy import Connection, Engine

    from db.queries import Job

app = typer.Typer(no_args_is_help=True, help="Jobs: what was asked for and how it ended.")

State = Literal["received", "started", "succeeded", "rejected", "failed"]
Code = Annotated[str | None, typer.Option(help="Only those with this error code.")]

COLOURS = {"received": "cyan", "started": "cyan", "succeeded": "green", "rejected": "yellow", "failed": "red"}


@dataclass(frozen=True, slots=True)
class Sent:
    """One job's part of a retry: sent again, unless `refusal` says why not."""

    task_id: str
    refusal: str | None = None


@app.command("list")
def list_jobs(
    context: typer.Context,
    *,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only those without a result: rejected or failed.")
    ] = False,
    code: Code = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 20,
    as_json: Json = False,
) -> None:
    """List the jobs that came in last, newest first."""
    from core.errors import RejectedInput
    from db import queries
    from db.session import transaction

    if state is not None and failed:
        raise RejectedInput("bad_arguments", "give --state or --failed, one of them")
    states: list[State] | None = ["rejected", "failed"] if failed else [state] if state is not None else None
    with opened(context) as (_, engine), transaction(engine) as connection:
        jobs = queries.list_jobs(connection, states=states, code=code, limit=limit)
        counts = queries.count_jobs(connection)
    if as_json:
        print_json([asdict(job) for job in jobs])
        return
    if not any(counts.values()):
        console().print("Nothing was sent yet: `docintake classify FILE…` does.")
        return
    if jobs:
        _print_table(jobs)
    else:
        console().print("There are no such jobs.")
    total = " · ".join(f"[{COLOURS[key]}]{count:,} {key}[/]" for key, count in counts.items() if count)
    console().print(f"\nIn all: {total}")


@app.command()
def show(
    context: typer.Context, task_id: Annotated[str, typer.Argument(help="The job.")], as_json: Json = False
) -> None:
    """Show one job: its row, its request and its result."""
    from core.errors import RejectedInput
    from db import queries
    from db.session import transaction

    with opened(context) as (_, engine), transaction(engine) as connection:
        job = queries.get_job(connection, task_id)
        if job is None:
            raise RejectedInput("unknown_task", f"no job has task id {task_id!r}; `docintake jobs list` shows them")
        result = _result(connection, job)
    if as_json:
        print_json({**asdict(job), "result": result})
    else:
        _print_job(job, result)


@app.command()
def retry(
    context: typer.Context,
    task_ids: Annotated[list[str] | None, typer.Argument(help="Jobs that were rejected or failed.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All that failed; with --code all that failed or were rejected with it.")
    ] = False,
    code: Code = None,
    as_json: Json = False,
) -> None:
    """Send jobs again, under their own task ids. Exit status 1 when one of them cannot be sent."""
    from core.errors import RejectedInput
    from db import queries
    from db.session import transaction
    from worker.app import make_app

    if bool(task_ids) == every:
        raise RejectedInput("bad_arguments", "name jobs by their task ids, or give --all")
    if code is not None and not every:
        raise RejectedInput("bad_arguments", "--code goes with --all")
    with opened(context) as (settings, engine):
        if not task_ids:
            states: list[State] = ["failed"] if code is None else ["failed", "rejected"]
            with transaction(engine) as connection:
                found = queries.list_jobs(connection, states=states, code=code, limit=None)
            task_ids = [job.task_id for job in found]
        producer = make_app(settings)
        _reach(producer)
        sent = [_send_again(engine, producer, task_id) for task_id in dict.fromkeys(task_ids)]
    if as_json:
        print_json([asdict(item) for item in sent])
    else:
        _print_sent(sent)
    if any(item.refusal for item in sent):
        raise typer.Exit(1)


def _reach(producer: "Celery") -> None:
    """Raise TransientFailure(`broker_unavailable`) at once where sending would try for a long time."""
    from kombu.exceptions import OperationalError

    from core.errors import TransientFailure

    try:
        with producer.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
    except OperationalError as error:
        raise TransientFailure(
            "broker_unavailable", "the broker cannot be reached, nothing was sent; `docintake doctor` says more"
        ) from error


def _send_again(engine: "Engine", producer: "Celery", task_id: str) -> Sent:
    """Reopen a job and send its request; one that cannot be sent stays as it is."""
    from core.contract import PRIORITIES, QUEUES
    from db import queries
    from db.session import transaction

    # Sent before the commit: a node that is quicker waits for the row's lock; a broker that is away undoes it all.
    with transaction(engine) as connection:
        job = queries.get_job(connection, task_id)
        if job is None:
            return Sent(task_id, "there is no such job")
        if refusal := _refusal(job):
            return Sent(task_id, refusal)
        if queries.reopen_job(connection, task_id=task_id) is None:
            return Sent(task_id, "somebody else is sending it again just now")
        producer.send_task(
            job.task,
            kwargs=job.request,
            queue=QUEUES[job.task],
            priority=PRIORITIES["normal"],
            task_id=task_id,
        )
    return Sent(task_id)


def _refusal(job: "Job") -> str | None:
    """Why a job cannot be sent again, if so."""
    from core.contract import CLASSIFY_MANY, QUEUES

    if job.state not in ("rejected", "failed"):
        return f"it has {'succeeded' if job.state == 'succeeded' else 'not ended yet'}"
    if job.task not in QUEUES:
        return f"this version knows no task {job.task}"
    if job.task == CLASSIFY_MANY:
        return "its documents stand in jobs of their own, named like it with /0, /1 … behind: send those"
    if job.error_code == "bad_request":
        return "its request was none, and was not kept: have its sender send a right one"
    if (job.request.get("document") or {}).get("inline"):
        return "its document came inside the message and was not kept: have its sender send it again"
    return None


def _result(connection: "Connection", job: "Job") -> Any:
    from core.contract import ANSWER, CORRECT, AnswerResult, ClassifyResult
    from db import queries

    if job.task == CORRECT:
        correction = queries.get_correction(connection, job.task_id)
        return None if correction is None else asdict(correction)
    # PostgreSQL keeps no order of the fields; the contract does.
    if job.task == ANSWER:
        answers = queries.get_inquiry(connection, job.task_id)
        return None if answers is None else AnswerResult.model_validate(answers).model_dump(mode="json")
    result = queries.get_classification(connection, job.task_id)
    return None if result is None else ClassifyResult.model_validate(result).model_dump(mode="json")


def _print_table(jobs: "list[Job]") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("task id", "task", "came in", "state", box=None, header_style="bold", pad_edge=False)
    for column in table.columns[:3]:
        column.no_wrap = True
    for job in jobs:
        state = Text(job.state, style=COLOURS[job.state])
        if job.error_code:
            state.append(f" {job.error_code}", style="default")
        elif job.finished_at:
            state.append(f" in {_took(job)}", style="dim")
        table.add_row(Text(job.task_id), job.task.removeprefix("docintake."), _ago(job.received_at), state)
    console().print(table)


def _print_job(job: "Job", result: Any) -> None:
    from rich.json import JSON
    from rich.markup import escape

    starts = f"{job.attempts} start{'' if job.attempts == 1 else 's'}"
    rows = {
        "task": f"{job.task}, [{COLOURS[job.state]}]{job.state}[/] after {starts}"
        + (f", {job.retries} of them ended by a passing failure" if job.retries else ""),
        "error": f"[red]{job.error_code}[/]: {escape(job.error_message or '')}" if job.error_code else "",
        "external id": escape(job.external_id or ""),
        "node": escape(job.node or ""),
        "came in": _when(job.received_at),
        "started": _when(job.started_at),
        "ended": _when(job.finished_at) + (f", {_took(job)} after it came in" if job.finished_at else ""),
        "seconds": " · ".join(f"{stage} {value:.3f}" for stage, value in (job.seconds or {}).items()),
    }
    out = console()
    out.print(f"[bold]{escape(job.task_id)}[/]")
    for name, value in rows.items():
        if value:
            out.print(f"  [dim]{name:<12}[/] {value}", soft_wrap=True)
    for name, content in (("request", job.request), ("result", result)):
        if content is not None:
            out.print(f"\n[bold]{name}[/]")
            out.print(JSON.from_data(content, default=str))


def _print_sent(sent: list[Sent]) -> None:
    from rich.markup import escape

    out = console()
    if not sent:
        out.print("There is nothing to send again.")
    for item in sent:
        if item.refusal:
            out.print(f"[red]✗[/] {escape(item.task_id)}  not sent: {escape(item.refusal)}", soft_wrap=True)
        else:
            out.print(f"[green]✓[/] {escape(item.task_id)}  sent again")


def _when(moment: "datetime | None") -> str:
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def _ago(moment: "datetime") -> str:
    from datetime import datetime

    seconds = (datetime.now(moment.tzinfo) - moment).total_seconds()
    if seconds >= 48 * 3600:
        return f"{moment.astimezone():%Y-%m-%d %H:%M}"
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return f"{max(0, seconds):.0f} s ago"


def _took(job: "Job") -> str:
    if job.finished_at is None:
        return ""
    return f"{(job.finished_at - job.received_at).total_seconds():.2f} s"
