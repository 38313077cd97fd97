"""`docintake status`: queues, nodes, class sets and jobs at a glance."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from worker.cli.output import Json, console, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from worker.status import ClassSetStatus, Ledger, Work

_COLOURS = {
    "promoted": "green",
    "rejected": "yellow",
    "skipped": "dim",
    "cancelled": "yellow",
    "failed": "red",
    "running": "cyan",
}


def register(app: typer.Typer) -> None:
    """Put the command at the top of the command line."""
    app.command()(status)


def status(context: typer.Context, as_json: Json = False) -> None:
    """Show what waits, who works on it, what serves, and what people have to do.

    Exit status 1 when a server is away; what the other one tells is shown all the same.
    """
    from core.settings import Settings
    from worker import status
    from worker.app import make_app
    from worker.cli.database import connected
    from worker.embedded import locate

    settings = locate(Settings.load(context.obj))
    with connected(settings) as engine:
        found = status.look(make_app(settings), engine)
    if as_json:
        print_json(asdict(found))
    else:
        if found.work is not None:
            _print_work(found.work)
        if found.ledger is not None:
            _print_ledger(found.ledger)
        from rich.markup import escape

        for code, message in found.errors.items():
            console().print(f"[bold red]{code}[/]: {escape(message)}", soft_wrap=True)
    if found.errors:
        raise typer.Exit(1)


def _print_work(work: "Work") -> None:
    from rich.text import Text

    queues = _table("queue", "waiting", "of which", "oldest")
    queues.columns[1].justify = "right"
    for queue in work.queues:
        count = sum(queue.messages.values())
        parts = " · ".join(f"{number:,} {name}" for name, number in queue.messages.items())
        queues.add_row(
            queue.queue,
            f"[bold]{count:,}[/]" if count else "[dim]0[/]",
            parts if len(queue.messages) > 1 else "",
            _lasting(queue.oldest) if queue.oldest is not None else "[dim]not said[/]" if count else "",
        )
    console().print(queues)
    console().print()
    if not work.nodes:
        console().print(
            "[red]No node answers[/]: nothing is worked on. `docintake worker` starts one, `docintake up` all.\n"
        )
        return
    nodes = _table("node", "takes", "device", "up for", "is doing")
    for node in work.nodes:
        nodes.add_row(
            Text(node.name),
            ", ".join(node.queues),
            node.device or "[dim]none now[/]",
            _lasting(node.up_for),
            "\n".join(_doing(node)),
        )
    console().print(nodes)
    untaken = sorted({queue.queue for queue in work.queues} - {name for node in work.nodes for name in node.queues})
    if untaken:
        console().print(f"[yellow]No node takes {', '.join(untaken)}.[/]")
    console().print()


def _doing(node: Any) -> Iterator[str]:
    tasks = sorted(node.doing, key=lambda task: -task.seconds)
    if node.stopping:
        yield "[yellow]stopping[/]"
    if not tasks:
        yield "[dim]nothing[/]"
        return
    counts: dict[str, int] = {}
    for task in tasks:
        name = task.task.removeprefix("docintake.")
        counts[name] = counts.get(name, 0) + 1
    yield (
        ", ".join(f"{count} {name}" for name, count in counts.items())
        + f", the longest for {_lasting(tasks[0].seconds)}"
    )


def _print_ledger(ledger: "Ledger") -> None:
    from rich.text import Text

    if ledger.class_sets:
        table = _table("class set", "version", "decides by", "new labels", "last run", "to review")
        table.columns[3].justify = "right"
        for item in ledger.class_sets:
            table.add_row(
                Text(item.name),
                f"{item.version} [dim]since {_when(item.version_since)}[/]"
                if item.version
                else "[red]none in service[/]",
                _decides(item),
                f"{item.new_labels:,}",
                _last_run(item),
                f"[yellow]{item.to_review:,}[/] [dim]since {_when(item.oldest_to_review)}[/]"
                if item.to_review
                else "[dim]0[/]",
            )
        console().print(table)
    else:
        console().print("[yellow]There is no class set[/]: `docintake classes import FILE --publish` brings one.")
    if ledger.one_off_to_review:
        console().print(f"[dim]And {ledger.one_off_to_review:,} to review by classes that came along.[/]")
    console().print()
    ended: dict[str, int] = {}
    for states in ledger.lately.values():
        for state, count in states.items():
            ended[state] = ended.get(state, 0) + count
    said = " · ".join(f"[{colour}]{ended[state]:,} {state}[/]" for state, colour in _STATES.items() if state in ended)
    console().print(f"[bold]Jobs[/]  last hour: {said or '[dim]none ended[/]'}")
    open_ = " · ".join(f"{count:,} {state}" for state, count in ledger.unfinished.items())
    console().print(f"      now open:  {open_ or '[dim]none[/]'}")


_STATES = {"succeeded": "green", "rejected": "yellow", "failed": "red"}


def _decides(item: "ClassSetStatus") -> str:
    if not item.checkpoints:
        return "descriptions alone"
    return f"checkpoint {'+'.join(map(str, item.checkpoints))} [dim]since {_when(item.checkpoints_since)}[/]"


def _last_run(item: "ClassSetStatus") -> str:
    from rich.markup import escape

    run = item.last_run
    if run is None:
        return "[dim]never[/]"
    reasons = "; ".join(run.reasons)
    return f"[{_COLOURS[run.state]}]{run.state}[/] [dim]{_when(run.at)}[/]" + (
        f"\n{escape(reasons)}" if reasons else ""
    )


def _table(*names: str) -> "Table":
    from rich.table import Table

    return Table(*names, box=None, header_style="bold", pad_edge=False, padding=(0, 3, 0, 0))


def _when(moment: datetime | None) -> str:
    """Today's by the clock, others by the day; in local time."""
    if moment is None:
        return ""
    local = moment.astimezone()
    return f"{local:%H:%M}" if datetime.now(UTC).astimezone().date() == local.date() else f"{local:%Y-%m-%d}"


def _lasting(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
