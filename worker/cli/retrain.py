"""`docintake retrain` and `docintake runs`: learn from labels, and see how that goes and went."""

import csv
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.database import opened
from worker.cli.output import Json, console, errors, print_json
from worker.cli.request import collect, connect, reference_to, uri_of

if TYPE_CHECKING:
    from core.contract import Handle, IntakeClient, RetrainResult, TrainingProgress
    from core.settings import Settings
    from db.queries import Run

runs = typer.Typer(no_args_is_help=True, help="Training runs: how they go, and how they ended.")

COLOURS = {
    "promoted": "green",
    "rejected": "yellow",
    "skipped": "dim",
    "cancelled": "dim",
    "running": "bold",
    "failed": "red",
}
"""Of a run's states."""
_POLL = 0.2
"""Seconds between looks at a run."""


def register(app: typer.Typer) -> None:
    """Put `retrain` at the top of the command line, and `runs` beside it."""
    app.command()(retrain)
    app.add_typer(runs, name="runs")


def retrain(
    context: typer.Context,
    class_set: Annotated[str | None, typer.Argument(help="The class set; else the default one.")] = None,
    *,
    captions: Annotated[
        str | None,
        typer.Option(help='Captioned images to learn from too: a JSON file, [{"image", "caption", "class"}, …].'),
    ] = None,
    image_dir: Annotated[
        str | None, typer.Option(help="The folder that its image names are relative to; else the file's own.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Labels to store first: a CSV file with document,class and maybe by.", dir_okay=False),
    ] = None,
    settings_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A training setting for this run alone, `name=value`; repeat it."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for it, and show how it goes.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait.")] = 6 * 3600,
    as_json: Json = False,
) -> None:
    """Learn from people's labels. What is learned serves only if it is better on documents held out for that.

    Exit status 1 when it failed, or a label could not be stored.
    """
    from core.contract import CaptionsFile, IntakeError
    from core.errors import RejectedInput

    settings, client = connect(context)
    if image_dir is not None and captions is None:
        raise RejectedInput("no_captions", "--image-dir says where the images of --captions lie: give that too")
    folder = image_dir or (captions.rpartition("/")[0] or "." if captions else None)
    whole = _store_labels(client, settings, labels, class_set, as_json) if labels else True
    handle = client.retrain(
        class_set,
        captions=CaptionsFile(file=uri_of(captions, settings), images=uri_of(folder, settings))
        if captions and folder
        else None,
        overrides=_overrides(settings_ or []),
    )
    if not wait:
        if as_json:
            print_json({"task_id": handle.id})
        else:
            console().print(f"Task {handle.id} is on its way. See how it goes: docintake runs list")
        raise typer.Exit(0 if whole else 1)
    try:
        result = _followed(handle, timeout, quiet=as_json)
    except IntakeError as error:
        if as_json:
            print_json({"error": {"kind": error.kind, "code": error.code, "message": error.message}})
        else:
            errors().print(f"[bold red]{error.code}[/]: {error.message}", markup=True, soft_wrap=True)
        raise typer.Exit(1) from error
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        _print_result(result)
    raise typer.Exit(0 if whole else 1)


@runs.command("list")
def list_runs(
    context: typer.Context,
    class_set: Annotated[str | None, typer.Argument(help="Of this class set alone.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 20,
    as_json: Json = False,
) -> None:
    """List training runs, newest first."""
    from db import queries
    from db.session import transaction

    with opened(context) as (_, engine), transaction(engine) as connection:
        found = queries.list_runs(connection, class_set, limit)
    if as_json:
        print_json([asdict(run) for run in found])
        return
    if not found:
        console().print("Nothing was trained yet: `docintake retrain` does.")
        return
    from rich.table import Table

    table = Table(
        "run", "class set", "state", "began (UTC)", "took", "checkpoint", "why", box=None, header_style="bold"
    )
    for run in found:
        result = run.result or {}
        table.add_row(
            str(run.id),
            run.class_set,
            f"[{COLOURS[run.state]}]{run.state}[/]",
            f"{run.started_at:%Y-%m-%d %H:%M}",
            _took(run),
            str(result.get("checkpoint") or ""),
            _why(run),
        )
    console().print(table)


@runs.command()
def show(
    context: typer.Context, run_id: Annotated[int, typer.Argument(help="Its number.")], as_json: Json = False
) -> None:
    """Show a run: how far it is, or how it ended and why."""
    from core.contract import RetrainResult
    from db.session import transaction

    with opened(context) as (_, engine), transaction(engine) as connection:
        run = _found(connection, run_id)
    if as_json:
        print_json(asdict(run))
        return
    out = console()
    again = f", started {run.starts} times" if run.starts > 1 else ""
    out.print(f"[bold]Run {run.id}[/] of class set {run.class_set}: [{COLOURS[run.state]}]{run.state}[/]{again}")
    out.print(
        f"began {run.started_at:%Y-%m-%d %H:%M:%S} UTC on {run.node or '—'}, took {_took(run)}, task {run.task_id}"
    )
    if run.result is not None:
        _print_result(RetrainResult.model_validate(run.result))
    elif run.state == "failed":
        out.print(f"Why: docintake jobs show {run.task_id}")
    elif run.progress is not None:
        out.print(_why(run))


@runs.command()
def cancel(
    context: typer.Context,
    run_id: Annotated[int, typer.Argument(help="Its number.")],
    by: Annotated[str | None, typer.Option(help="Who says so; else the name you are logged in by.")] = None,
    as_json: Json = False,
) -> None:
    """Ask a running run to end; it does so after its epoch, and nothing of it is served."""
    import getpass

    from core.errors import RejectedInput
    from db import queries
    from db.session import transaction

    with opened(context) as (_, engine), transaction(engine) as connection:
        run = _found(connection, run_id)
        if not queries.cancel_run(connection, run_id, by or getpass.getuser()):
            raise RejectedInput("not_running", f"run {run_id} is not running: it is {run.state}")
    if as_json:
        print_json({"run": run_id, "cancelled": True})
    else:
        console().print(f"Run {run_id} ends after its epoch.")


def _found(connection: Any, run_id: int) -> "Run":
    from core.errors import RejectedInput
    from db import queries

    run = queries.get_run(connection, run_id)
    if run is None:
        raise RejectedInput("unknown_run", f"there is no run {run_id}; `docintake runs list` shows those that are")
    return run


def _overrides(pairs: list[str]) -> dict[str, Any]:
    """`name=value` → settings; values are read as in a settings file."""
    import yaml

    from core.errors import RejectedInput

    found: dict[str, Any] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise RejectedInput("bad_overrides", f"{pair!r} is no setting: write --set epochs=20")
        found[name.strip()] = yaml.safe_load(value)
    return found


def _store_labels(
    client: "IntakeClient", settings: "Settings", file: Path, class_set: str | None, quiet: bool
) -> bool:
    """Send each row as a correction, and wait; whether all of them were stored."""
    import getpass

    handles = [
        (
            name,
            client.correct(
                label, by=by or getpass.getuser(), document=reference_to(name, settings), class_set=class_set
            ),
        )
        for name, label, by in _rows(file)
    ]
    outcomes = collect(handles, 3600, "Storing labels", quiet=quiet)
    lost = [(name, outcome) for name, outcome in outcomes if isinstance(outcome, Exception)]
    for name, outcome in lost:
        errors().print(f"{name}: {outcome}", markup=False, soft_wrap=True)
    if not quiet:
        console().print(f"{len(outcomes) - len(lost)} of {len(outcomes)} labels stored.")
    return not lost


def _rows(file: Path) -> list[tuple[str, str, str | None]]:
    """(document, class, by): documents are ids, URIs, or files relative to the CSV file's folder."""
    from core.errors import RejectedInput

    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RejectedInput("bad_labels", f"{file} cannot be read as CSV: {error}") from error
    if not rows or not {"document", "class"} <= rows[0].keys():
        raise RejectedInput("bad_labels", f"{file} needs a first line `document,class`, and rows below it")
    found = []
    for number, row in enumerate(rows, start=2):
        document, label = (row["document"] or "").strip(), (row["class"] or "").strip()
        if not document or not label:
            raise RejectedInput("bad_labels", f"{file}, line {number}: document and class are needed")
        local = file.parent / document
        found.append((str(local) if local.is_file() else document, label, (row.get("by") or "").strip() or None))
    return found


def _followed(handle: "Handle[RetrainResult]", timeout: float, quiet: bool) -> "RetrainResult":
    """Wait for the result under a bar for each phase."""
    import time

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    deadline = time.monotonic() + timeout
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[how]}"),
    )
    with Progress(*columns, console=errors(), disable=quiet) as bars:
        waiting = bars.add_task("waiting", total=None, how="for a trainer")
        shown = {}
        while not handle.ready() and time.monotonic() < deadline:
            progress = handle.progress()
            if progress is not None:
                bars.update(waiting, visible=False)
                if progress.phase not in shown:
                    shown[progress.phase] = bars.add_task(progress.phase, total=progress.total, how="")
                bars.update(
                    shown[progress.phase], completed=progress.done, total=progress.total, how=_figures(progress)
                )
            time.sleep(_POLL)
        bars.update(waiting, visible=False)
    return handle.get(max(0.1, deadline - time.monotonic()))


def _figures(progress: "TrainingProgress") -> str:
    parts = [
        ("loss", progress.loss, "{:.3f}"),
        ("validation", progress.validation_loss, "{:.3f}"),
        ("seen", progress.seen_accuracy, "{:.0%}"),
        ("unseen", progress.unseen_accuracy, "{:.0%}"),
        ("left", progress.eta, "{:.0f} s"),
    ]
    return "  ".join(f"{name} {form.format(value)}" for name, value, form in parts if value is not None)


def _print_result(result: "RetrainResult") -> None:
    from rich.table import Table

    out = console()
    out.print(f"[{COLOURS[result.status]}]{result.status}[/]: {'; '.join(result.reasons)}", soft_wrap=True)
    if result.checkpoint is None:
        return
    table = Table("", "before", "after", box=None, header_style="bold", pad_edge=False)
    for name, shown in (
        ("macro_accuracy", "macro accuracy"),
        ("accuracy", "accuracy"),
        ("ece", "calibration error"),
        ("unseen", "accuracy of classes without labels"),
    ):
        before, after = (result.metrics.get(f"{name}_{when}") for when in ("before", "after"))
        if before is not None and after is not None:
            form = "{:.3f}" if name == "ece" else "{:.1%}"
            table.add_row(shown, form.format(before), form.format(after))
    out.print(table)
    left_out = f", {result.left_out} left out" if result.left_out else ""
    out.print(f"Checkpoint {result.checkpoint} of {result.labels} labelled documents{left_out}.")
    out.print(f"All about it: docintake checkpoints report {result.checkpoint} --output report.html")


def _took(run: "Run") -> str:
    end = run.finished_at or run.heartbeat_at
    return str(timedelta(seconds=round((end - run.started_at).total_seconds())))


def _why(run: "Run") -> str:
    from core.contract import TrainingProgress

    if run.result is not None:
        return "; ".join(run.result["reasons"])
    if run.progress is None:
        return ""
    progress = TrainingProgress.model_validate(run.progress)
    ending = f", {run.cancelled_by} asked for its end" if run.cancelled_by else ""
    return f"{progress.phase} {progress.done}/{progress.total}  {_figures(progress)}{ending}"
