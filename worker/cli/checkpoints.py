"""`docintake checkpoints`: what was learned from labels, which of it decides, and what it would change."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from worker.cli.database import opened
from worker.cli.output import Json, console, errors, print_json, progress

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.settings import Settings
    from db.queries import Checkpoint
    from worker.checkpoints import Comparison, Turn

app = typer.Typer(no_args_is_help=True, help="Checkpoints: what was learned from labels, and which of it decides.")

Id = Annotated[int, typer.Argument(help="The checkpoint's number.", metavar="ID")]
By = Annotated[str | None, typer.Option(help="Who says so; else the name you are logged in by.")]

LISTED = 40
"""Documents that `compare` shows to people; --json has them all."""
SERVING: Final = "serving"
UNTRAINED: Final = "untrained"
_STATES: Final = {
    "candidate": "[yellow]candidate[/]",
    "active": "[green]in service[/]",
    "retired": "[dim]retired[/]",
    "rejected": "[red]rejected[/]",
}
_FIGURES: Final = {
    "macro_accuracy": "macro accuracy",
    "accuracy": "accuracy",
    "ece": "calibration error",
    "unseen": "accuracy of classes without labels",
}


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two that are compared: a checkpoint, an ensemble, or none at all."""

    name: str
    checkpoints: "tuple[Checkpoint, ...]"

    def figures(self, other: "_Side") -> dict[str, float]:
        """By the report of its run; what `other` was measured against is told by that one's."""
        if len(self.checkpoints) == 1:
            return _measured(self.checkpoints[0], "after")
        if not self.checkpoints and len(other.checkpoints) == 1 and not other.checkpoints[0].parents:
            return _measured(other.checkpoints[0], "before")
        return {}


@app.command("list")
def list_checkpoints(
    context: typer.Context,
    class_set: Annotated[str | None, typer.Argument(help="Of this class set alone.")] = None,
    as_json: Json = False,
) -> None:
    """List checkpoints, newest first."""
    from db import queries
    from db.session import transaction

    with opened(context) as (_, engine), transaction(engine) as connection:
        found = queries.list_checkpoints(connection, class_set)
    if as_json:
        print_json([asdict(item) for item in found])
        return
    if not found:
        console().print("Nothing was learned yet: `docintake retrain` does.")
        return
    from rich.table import Table
    from rich.text import Text

    names = ("checkpoint", "class set", "state", "made (UTC)", "labels", "macro accuracy", "why")
    table = Table(*names, box=None, header_style="bold", pad_edge=False)
    table.columns[4].justify = "right"
    for column in table.columns[:-1]:
        column.no_wrap = True
    for item in found:
        table.add_row(
            f"[bold]{item.id}[/]",
            item.class_set,
            _STATES[item.state],
            f"{item.created_at:%Y-%m-%d %H:%M}",
            str(item.labels),
            _change(item, "macro_accuracy"),
            Text("; ".join(item.reasons)),
        )
    console().print(table)


@app.command()
def show(context: typer.Context, checkpoint_id: Id, as_json: Json = False) -> None:
    """Show a checkpoint: what it was made from, how it was judged, and whether its file is sound."""
    from db import queries
    from db.session import transaction
    from worker import checkpoints

    with opened(context) as (settings, engine), transaction(engine) as connection:
        found = checkpoints.find(connection, checkpoint_id)
        run = None if found.run_id is None else queries.get_run(connection, found.run_id)
        promotions = [
            item for item in queries.list_promotions(connection, found.class_set) if found.id in item.checkpoints
        ]
    condition = checkpoints.condition(settings.checkpoints, found)
    path = settings.checkpoints / found.file
    if as_json:
        print_json(
            {
                **asdict(found),
                "path": str(path.resolve()),
                "condition": condition,
                "promotions": [asdict(item) for item in promotions],
            }
        )
        return
    from rich.table import Table
    from rich.text import Text

    rows = {
        "made": f"{found.created_at:%Y-%m-%d %H:%M:%S} UTC"
        + (f" by run {run.id}, task {run.task_id}" if run else ", its run was removed"),
        "learned from": f"{found.labels} labels",
        "compared with": _said(found.parents),
        "why": "\n".join(found.reasons),
        **{shown: _change(found, name) for name, shown in _FIGURES.items()},
        "promoted": "\n".join(
            f"{item.created_at:%Y-%m-%d %H:%M:%S} UTC by {item.by}"
            + (f", as {'+'.join(map(str, item.checkpoints))}" if len(item.checkpoints) > 1 else "")
            for item in promotions
        ),
        "encoder": found.encoder,
        "fingerprint": found.fingerprint,
        "file": str(path),
        "SHA-256": found.sha256,
    }
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        if value:
            table.add_row(Text(name, style="dim"), Text(value, overflow="fold"))
    table.add_row(Text("the file is", style="dim"), "[green]ok[/]" if condition == "ok" else f"[red]{condition}[/]")
    console().print(f"[bold]Checkpoint {found.id}[/] of {found.class_set}: {_STATES[found.state]}")
    console().print(table)


@app.command()
def promote(
    context: typer.Context,
    ids: Annotated[list[int], typer.Argument(help="A checkpoint; several decide together.", metavar="ID…")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Even one that was rejected.")] = False,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Let a checkpoint decide, or several by the mean of what they say. Nodes take it up within seconds."""
    import getpass

    from db.session import transaction
    from worker import checkpoints

    with opened(context) as (settings, engine), transaction(engine) as connection:
        class_set = checkpoints.find(connection, ids[0]).class_set
        turn = checkpoints.promote(connection, class_set, ids, by or getpass.getuser(), force=force)
        promoted = checkpoints.serving(connection, class_set)
    _print_turn(class_set, turn, as_json)
    _warn(settings, promoted)


@app.command()
def rollback(
    context: typer.Context,
    class_set: Annotated[str, typer.Argument(help="The class set.")],
    by: By = None,
    as_json: Json = False,
) -> None:
    """Let what decided before the last promotion decide again; from the first one on, descriptions alone."""
    import getpass

    from db.session import transaction
    from worker import checkpoints

    with opened(context) as (settings, engine), transaction(engine) as connection:
        turn = checkpoints.roll_back(connection, class_set, by or getpass.getuser())
        promoted = checkpoints.serving(connection, class_set)
    _print_turn(class_set, turn, as_json)
    _warn(settings, promoted)


@app.command()
def compare(
    context: typer.Context,
    a: Annotated[str, typer.Argument(help=f"A checkpoint, `{SERVING}` or `{UNTRAINED}`.")],
    b: Annotated[str, typer.Argument(help="Another one.")],
    as_json: Json = False,
) -> None:
    """Put the figures of two checkpoints side by side, and show which stored documents they decide differently.

    Needs the documents' stored features alone: nothing is fetched, read or encoded again.
    """
    from db import queries
    from db.session import transaction
    from worker import checkpoints, class_sets
    from worker.cli.model import classifier_of, loaded
    from worker.history import deciders
    from worker.runtime import encoder_of

    with opened(context) as (settings, engine):
        with transaction(engine) as connection:
            class_set, one, other = _sides(connection, a, b)
            version = class_sets.find(connection, class_set)
            content = class_sets.read(connection, version)
            labels = {item.sha256: item.label for item in queries.latest_labels(connection, class_set)}
        with deciders(settings.database, class_set) as those:
            backend = loaded(settings)
            encoder = encoder_of(backend)
            _refuse_other_encoders([*one.checkpoints, *other.checkpoints], encoder)
            untrained = classifier_of(content, engine, backend)
            left, right = (
                checkpoints.taught(
                    untrained, [checkpoints.load(settings.checkpoints, item) for item in side.checkpoints]
                )
                for side in (one, other)
            )
            thresholds = settings.deciding.thresholds_of(class_set)
            with progress("Deciding about stored documents") as show:
                found = checkpoints.compare(those, left, right, labels, thresholds, encoder, show)
    if as_json:
        print_json(
            {
                "class_set": class_set,
                "version": version.number,
                "a": _side_as_json(one, other),
                "b": _side_as_json(other, one),
                "documents": found.documents,
                "same": found.same,
                "disagreements": [item._asdict() for item in found.disagreements],
                "without_features": list(found.without_features),
            }
        )
        return
    console().print(f"[bold]{class_set}[/] version {version.number}: {one.name} and {other.name}\n")
    _print_figures(one, other)
    _print_comparison(found, one.name, other.name)


@app.command()
def report(
    context: typer.Context,
    checkpoint_id: Id,
    output: Annotated[
        Path | None, typer.Option(help="The HTML file to write; else named after the checkpoint.", dir_okay=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead.")] = False,
) -> None:
    """Write the report of the run that made a checkpoint as a page to look at."""
    from core.errors import RejectedInput
    from core.training.page import to_html
    from db.session import transaction
    from worker import checkpoints

    with opened(context) as (settings, engine), transaction(engine) as connection:
        found = checkpoints.find(connection, checkpoint_id)
    said = checkpoints.report_of(settings.checkpoints, found)
    if as_json:
        print_json(said.model_dump(mode="json"))
        if output is None:
            return
    path = output or Path(f"{found.class_set}-{found.id}.html")
    try:
        path.write_text(to_html(said, f"{found.class_set}: checkpoint {found.id}"), encoding="utf-8")
    except OSError as error:
        raise RejectedInput("not_writable", f"{path} cannot be written: {error.strerror}") from error
    errors().print(f"Wrote {path.resolve()}", markup=False, soft_wrap=True)


def _sides(connection: "Connection", a: str, b: str) -> tuple[str, _Side, _Side]:
    """The class set, and what is compared."""
    from core.errors import RejectedInput
    from worker import checkpoints

    named = [checkpoints.find(connection, _number(word)) for word in (a, b) if word not in (SERVING, UNTRAINED)]
    sets = sorted({item.class_set for item in named})
    if not sets:
        raise RejectedInput("bad_arguments", "one of the two has to be a checkpoint's number")
    if len(sets) > 1:
        raise RejectedInput("other_class_set", f"the one is of class set {sets[0]!r}, the other of {sets[1]!r}")

    def side(word: str) -> _Side:
        if word == UNTRAINED:
            return _Side(UNTRAINED, ())
        if word == SERVING:
            found = checkpoints.serving(connection, sets[0])
            return _Side(f"{SERVING} ({'+'.join(str(item.id) for item in found) or UNTRAINED})", found)
        return _Side(f"checkpoint {word}", (checkpoints.find(connection, _number(word)),))

    return sets[0], side(a), side(b)


def _number(word: str) -> int:
    from core.errors import RejectedInput

    if not word.isdecimal():
        raise RejectedInput(
            "bad_arguments", f"{word!r} is neither a checkpoint's number nor `{SERVING}` nor `{UNTRAINED}`"
        )
    return int(word)


def _refuse_other_encoders(found: "Sequence[Checkpoint]", encoder: str) -> None:
    from core.errors import RejectedInput

    for item in found:
        if item.encoder != encoder:
            raise RejectedInput(
                "other_encoder", f"checkpoint {item.id} is of encoder {item.encoder}, and documents are of {encoder}"
            )


def _warn(settings: "Settings", promoted: "Sequence[Checkpoint]") -> None:
    from worker import checkpoints

    for item in promoted:
        condition = checkpoints.condition(settings.checkpoints, item)
        if condition != "ok":
            errors().print(
                f"[yellow]![/] The file of checkpoint {item.id} is {condition}: until it is restored, nodes go on "
                "with what they have, and those that start go by descriptions alone.",
                soft_wrap=True,
            )


def _print_turn(class_set: str, turn: "Turn", as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "class_set": class_set,
                "checkpoints": list(turn.now),
                "before": list(turn.before),
                "changed": turn.changed,
            }
        )
    elif turn.changed:
        console().print(
            f"[green]✓[/] [bold]{class_set}[/] is decided by {_said(turn.now)}, in place of {_said(turn.before)}."
        )
    else:
        console().print(f"[bold]{class_set}[/] was decided by {_said(turn.now)} already.")


def _said(ids: Sequence[int]) -> str:
    if not ids:
        return "descriptions alone"
    return f"checkpoint{'s' if len(ids) > 1 else ''} {', '.join(map(str, ids))}"


def _measured(checkpoint: "Checkpoint", when: str) -> dict[str, float]:
    return {name: checkpoint.metrics[f"{name}_{when}"] for name in _FIGURES if f"{name}_{when}" in checkpoint.metrics}


def _change(checkpoint: "Checkpoint", name: str) -> str:
    before, after = (_measured(checkpoint, when).get(name) for when in ("before", "after"))
    return "" if before is None or after is None else f"{_figure(name, before)} → {_figure(name, after)}"


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "—"
    return f"{value:.3f}" if name == "ece" else f"{value:.1%}"


def _side_as_json(side: _Side, other: _Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "checkpoints": [item.id for item in side.checkpoints],
        "figures": side.figures(other),
    }


def _print_figures(one: _Side, other: _Side) -> None:
    from rich.table import Table

    table = Table("", one.name, other.name, box=None, header_style="bold", pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    sides: tuple[Mapping[str, float], ...] = (one.figures(other), other.figures(one))
    for name, shown in _FIGURES.items():
        if any(name in side for side in sides):
            table.add_row(shown, *(_figure(name, side.get(name)) for side in sides))
    if table.row_count:
        console().print(table)
        console().print("[dim]Each as measured when it was made, on the documents held out then.[/]\n")


def _print_comparison(found: "Comparison", one: str, other: str) -> None:
    from rich.table import Table
    from rich.text import Text

    out = console()
    if not found.documents:
        out.print("No document was classified by this set yet.")
        return
    out.print(
        f"Of {found.documents} documents [green]{found.same} are decided alike[/], "
        f"[yellow]{len(found.disagreements)} differently[/]"
    )
    if found.without_features:
        count = len(found.without_features)
        out.print(
            f"[yellow]![/] {count} {'document has' if count == 1 else 'documents have'} no stored features of the "
            "present model and reader, and cannot be judged until classified again; --json names them"
        )
    labelled = [item for item in found.disagreements if item.label is not None]
    if labelled:
        right = [sum(getattr(item, side) == item.label for item in labelled) for side in ("a", "b")]
        out.print(
            f"People have said what {len(labelled)} of these {'is' if len(labelled) == 1 else 'are'}: "
            f"{one} is right about {right[0]}, {other} about {right[1]}"
        )
    if not found.disagreements:
        return
    table = Table("document", one, other, "label", box=None, header_style="bold", pad_edge=False)
    for item in found.disagreements[:LISTED]:
        table.add_row(
            Text(Path(item.uri).name if item.uri else item.document_id[:12], overflow="ellipsis"),
            Text(f"{item.a or '—'} {item.a_confidence:.2f}"),
            Text(f"{item.b or '—'} {item.b_confidence:.2f}"),
            Text(item.label or "", style="bold"),
        )
    out.print()
    out.print(table)
    if len(found.disagreements) > LISTED:
        out.print(f"[dim]and {len(found.disagreements) - LISTED} more; --json lists them all[/]")
