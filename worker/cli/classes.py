"""`docintake classes`: class sets, their versions, and what a new version would change."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.database import opened
from worker.cli.output import Json, console, errors, print_json, progress

if TYPE_CHECKING:
    from core.class_set import DocumentClass
    from db.queries import Version
    from worker.class_sets import Difference, Replay, Turn

app = typer.Typer(no_args_is_help=True, help="Class sets: what documents can be, as people describe it.")

Name = Annotated[str, typer.Argument(help="The class set.")]
Number = Annotated[int | None, typer.Option("--version", min=1, help="A version's number.")]

LISTED = 40
"""Moved documents that `replay` shows to people; --json has them all."""


@app.command("list")
def list_sets(context: typer.Context, as_json: Json = False) -> None:
    """List all class sets."""
    from db import queries
    from db.session import transaction

    with opened(context) as (_, engine), transaction(engine) as connection:
        sets = queries.list_class_sets(connection)
    if as_json:
        print_json([asdict(item) for item in sets])
        return
    if not sets:
        console().print("There are no class sets yet: `docintake classes import FILE --publish` makes one.")
        return
    from rich.table import Table

    table = Table("class set", "in service", "versions", "classes", box=None, header_style="bold", pad_edge=False)
    for item in sets:
        served = "[yellow]none yet[/]" if item.published is None else f"[green]version {item.published}[/]"
        table.add_row(f"[bold]{item.name}[/]", served, str(item.versions), str(item.classes))
    console().print(table)


@app.command()
def show(
    context: typer.Context,
    name: Name,
    version: Number = None,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print a file that `import` takes back.")] = False,
    as_json: Json = False,
) -> None:
    """Show what a class set says: the version in service, or another one."""
    from db import queries
    from db.session import transaction
    from worker import class_sets

    with opened(context) as (_, engine), transaction(engine) as connection:
        shown = class_sets.find(connection, name, version)
        content = class_sets.read(connection, shown)
        versions = queries.list_versions(connection, name)
    if as_json:
        print_json(class_sets.documentation(shown, content) | {"versions": [asdict(item) for item in versions]})
        return
    if as_yaml:
        print(content.to_yaml(), end="")
        return
    from rich.table import Table
    from rich.text import Text

    lists = [name for name in ("wording", "templates", "captions") if any(getattr(c, name) for c in content.classes)]
    table = Table("class", "description", *lists, box=None, header_style="bold", pad_edge=False)
    table.columns[0].no_wrap = True
    for column in table.columns[2:]:
        column.justify = "right"
    for item in content.classes:
        counts = (str(len(getattr(item, name)) or "") for name in lists)
        table.add_row(Text(item.name, style="bold"), Text(item.description), *counts)
    out = console()
    out.print(f"[bold]{shown.class_set}[/] {_stated(shown)}, {len(content.classes)} classes")
    out.print("All versions: " + " · ".join(f"{item.number} {_state(item)}" for item in reversed(versions)) + "\n")
    out.print(table)


@app.command("import")
def import_file(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A YAML file.", dir_okay=False)],
    publish_it: Annotated[bool, typer.Option("--publish", help="Put it into service at once.")] = False,
    as_json: Json = False,
) -> None:
    """Keep a file's classes as a new draft, and warn of classes that say nearly the same."""
    from rich.markup import escape

    from core.class_set import ClassSet
    from db.session import transaction
    from worker import class_sets
    from worker.cli.model import classifier_of, loaded

    class_set = ClassSet.from_yaml(file)
    with opened(context) as (settings, engine):
        with transaction(engine) as connection:
            version, new = class_sets.import_draft(connection, class_set)
            turn = class_sets.publish(connection, class_set.name, version.number) if publish_it else None
        if not as_json:
            _print_import(version, new, turn)
        pairs = classifier_of(class_set, engine, loaded(settings)).similar_pairs() if new else []
    if as_json:
        print_json(
            {
                "class_set": version.class_set,
                "version": version.number,
                "new": new,
                "state": (turn.now if turn else version).state,
                "similar": [{"classes": [one, other], "similarity": round(cos, 3)} for one, other, cos in pairs],
            }
        )
        return
    for one, other, cosine in pairs:
        console().print(
            f"[yellow]![/] [bold]{escape(one)}[/] and [bold]{escape(other)}[/] say nearly the same (similarity "
            f"{cosine:.2f}): their documents will be mixed up. Say in each description what sets it apart, or make "
            "them one class."
        )


@app.command()
def defaults(context: typer.Context, as_json: Json = False) -> None:
    """Put the class sets that docintake brings into service, unless they are there. Safe to run again."""
    from core.settings import PROJECT
    from worker import class_sets

    with opened(context) as (_, engine):
        made = class_sets.ensure_default(engine, PROJECT / "configs" / "classes")
    if as_json:
        print_json({"published": made})
    else:
        console().print(f"Published: {', '.join(made) or 'none, they are there already'}")


@app.command()
def publish(context: typer.Context, name: Name, version: Number = None, as_json: Json = False) -> None:
    """Put a version into service: the newest draft, or the one named. Nodes take it up within seconds."""
    from db.session import transaction
    from worker import class_sets

    with opened(context) as (_, engine), transaction(engine) as connection:
        turn = class_sets.publish(connection, name, version)
    _print_turn(turn, as_json)


@app.command()
def rollback(
    context: typer.Context,
    name: Name,
    to: Annotated[int | None, typer.Option(min=1, help="The version to go back to.")] = None,
    as_json: Json = False,
) -> None:
    """Put the version that was in service before back into service."""
    from db.session import transaction
    from worker import class_sets

    with opened(context) as (_, engine), transaction(engine) as connection:
        turn = class_sets.roll_back(connection, name, to)
    _print_turn(turn, as_json)


@app.command()
def diff(
    context: typer.Context,
    name: Name,
    a: Annotated[int | None, typer.Argument(min=1, help="A version; else the one in service.")] = None,
    b: Annotated[int | None, typer.Argument(min=1, help="Another version; else the newest draft.")] = None,
    as_json: Json = False,
) -> None:
    """Show which classes differ between two versions, and in what."""
    from db.session import transaction
    from worker import class_sets

    with opened(context) as (_, engine), transaction(engine) as connection:
        old = class_sets.find(connection, name, a)
        new = class_sets.find_draft(connection, name) if b is None else class_sets.find(connection, name, b)
        difference = class_sets.compare(class_sets.read(connection, old), class_sets.read(connection, new))
    if as_json:
        print_json(_difference_as_json(old, new, difference))
    else:
        _print_difference(old, new, difference)


@app.command()
def replay(context: typer.Context, name: Name, version: Number = None, as_json: Json = False) -> None:
    """Show which stored documents would change class under the newest draft, or under the version named.

    Needs their stored features alone: nothing is fetched, read or encoded again.
    """
    from db.session import transaction
    from worker.history import deciders

    with opened(context) as (settings, engine), deciders(settings.database, name) as those:
        # While they start: all that they do without.
        from worker import checkpoints, class_sets
        from worker.cli.model import classifier_of, loaded
        from worker.runtime import encoder_of

        with transaction(engine) as connection:
            draft = (
                class_sets.find_draft(connection, name)
                if version is None
                else class_sets.find(connection, name, version)
            )
            content = class_sets.read(connection, draft)
        backend = loaded(settings)
        untrained, encoder = classifier_of(content, engine, backend), encoder_of(backend)
        thresholds = settings.deciding.thresholds_of(name)
        with transaction(engine) as connection:
            learned = checkpoints.load_serving(connection, settings.checkpoints, name, encoder)
        classifier = checkpoints.taught(untrained, learned)
        with progress("Deciding about stored documents") as show:
            found = class_sets.replay(those, draft, classifier, thresholds, encoder, show)
    if as_json:
        print_json(
            {
                "class_set": name,
                "version": draft.number,
                "documents": found.documents,
                "unchanged": found.unchanged,
                "moved": [move._asdict() for move in found.moved],
                "without_features": list(found.without_features),
            }
        )
    else:
        _print_replay(found)


@app.command()
def docs(
    context: typer.Context,
    name: Name,
    version: Number = None,
    output: Annotated[Path | None, typer.Option(help="Write to this file instead.", dir_okay=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of Markdown.")] = False,
) -> None:
    """Write the class documentation, descriptions and example captions, as Markdown or JSON."""
    import json

    from core.errors import RejectedInput
    from db.session import transaction
    from worker import class_sets

    with opened(context) as (_, engine), transaction(engine) as connection:
        shown = class_sets.find(connection, name, version)
        content = class_sets.read(connection, shown)
    if as_json:
        page = json.dumps(class_sets.documentation(shown, content), indent=2, ensure_ascii=False) + "\n"
    else:
        page = class_sets.documentation_as_markdown(shown, content)
    if output is None:
        print(page, end="")
        return
    try:
        output.write_text(page, encoding="utf-8")
    except OSError as error:
        raise RejectedInput("not_writable", f"{output} cannot be written: {error.strerror}") from error
    errors().print(f"Wrote {output}.", markup=False, soft_wrap=True)


def _state(version: "Version") -> str:
    colour = {"draft": "yellow", "published": "green", "retired": "dim"}[version.state]
    return f"[{colour}]{'in service' if version.state == 'published' else version.state}[/]"


def _stated(version: "Version") -> str:
    return f"version {version.number} ({_state(version)})"


def _print_import(version: "Version", new: bool, turn: "Turn | None") -> None:
    out = console()
    if new:
        out.print(f"Imported as version {version.number} of [bold]{version.class_set}[/].")
    else:
        out.print(f"Nothing changed: version {version.number} of [bold]{version.class_set}[/] says just this.")
    if turn is not None:
        _print_turn(turn, as_json=False)
    elif version.state == "draft":
        name = version.class_set
        out.print(
            f"It is a draft. See what it would change: docintake classes replay {name}\n"
            f"Put it into service:           docintake classes publish {name}"
        )


def _print_turn(turn: "Turn", as_json: bool) -> None:
    now, before = turn.now, turn.before
    if as_json:
        print_json(
            {
                "class_set": now.class_set,
                "version": now.number,
                "before": before.number if before else None,
                "changed": turn.changed,
            }
        )
    elif not turn.changed:
        console().print(f"Version {now.number} of [bold]{now.class_set}[/] was in service already.")
    else:
        instead = f", in place of version {before.number}" if before else ""
        console().print(f"[green]✓[/] Version {now.number} of [bold]{now.class_set}[/] is in service{instead}.")


def _difference_as_json(old: "Version", new: "Version", difference: "Difference") -> dict[str, Any]:
    return {
        "class_set": new.class_set,
        "from": old.number,
        "to": new.number,
        "added": [item.model_dump(mode="json") for item in difference.added],
        "removed": [item.model_dump(mode="json") for item in difference.removed],
        "changed": {
            change.name: {field: {"from": before, "to": after} for field, (before, after) in change.fields.items()}
            for change in difference.changed
        },
    }


def _print_difference(old: "Version", new: "Version", difference: "Difference") -> None:
    from rich.padding import Padding
    from rich.text import Text

    out = console()

    def line(sign: str, colour: str, name: str, rest: str = "", indent: int = 0) -> None:
        out.print(Padding(Text.assemble((f"{sign} {name}", colour), rest), (0, 0, 0, indent)))

    out.print(f"[bold]{new.class_set}[/]: {_stated(old)} → {_stated(new)}")
    if not (difference.added or difference.removed or difference.changed):
        out.print("They say just the same.")
    for sign, colour, items in (("+", "green", difference.added), ("-", "red", difference.removed)):
        for item in items:
            line(sign, colour, item.name, f"  {_first_words(item)}")
    for change in difference.changed:
        line("~", "yellow", change.name)
        for field, (before, after) in change.fields.items():
            gone, come = _parted(before, after)
            out.print(f"    {field}")
            for sign, colour, values in (("-", "red", gone), ("+", "green", come)):
                for value in values:
                    line(sign, colour, value, indent=6)


def _parted(before: "str | tuple[str, ...]", after: "str | tuple[str, ...]") -> tuple[list[str], list[str]]:
    """What is gone and what has come; of lists only the entries that differ, or all where just their order does."""
    if isinstance(before, str) or isinstance(after, str):
        return [str(before)] if before else [], [str(after)] if after else []
    gone = [value for value in before if value not in after]
    come = [value for value in after if value not in before]
    return (gone, come) if gone or come else (list(before), list(after))


def _first_words(item: "DocumentClass") -> str:
    return item.description if len(item.description) <= 80 else item.description[:79] + "…"


def _print_replay(found: "Replay") -> None:
    from collections import Counter

    from rich.table import Table
    from rich.text import Text

    out = console()
    head = f"[bold]{found.version.class_set}[/] {_stated(found.version)}"
    if not found.documents:
        out.print(f"{head}: no document was classified by this set yet.")
        return
    out.print(
        f"{head}: of {found.documents} documents [green]{found.unchanged} keep their class[/], "
        f"[yellow]{len(found.moved)} change it[/]"
    )
    if found.without_features:
        count = len(found.without_features)
        out.print(
            f"[yellow]![/] {count} {'document has' if count == 1 else 'documents have'} no stored features of the "
            "present model and reader, and cannot be judged until classified again; --json names them"
        )
    if not found.moved:
        return
    moves = Counter((move.old or "—", move.new or "—") for move in found.moved)
    table = Table("was", "", "would be", "documents", box=None, header_style="bold", pad_edge=False)
    for (old, new), count in moves.most_common():
        table.add_row(Text(old), "→", Text(new, style="bold"), str(count))
    out.print()
    out.print(table)
    listed = Table(
        "document", "was", "", "would be", "confidence", "review", box=None, header_style="bold", pad_edge=False
    )
    for move in found.moved[:LISTED]:
        listed.add_row(
            Text(Path(move.uri).name if move.uri else move.document_id[:12], overflow="ellipsis"),
            Text(move.old or "—"),
            "→",
            Text(move.new or "—", style="bold"),
            f"{move.old_confidence:.2f} → {move.confidence:.2f}",
            ", ".join(move.reasons).replace("_", " "),
        )
    out.print()
    out.print(listed)
    if len(found.moved) > LISTED:
        out.print(f"[dim]and {len(found.moved) - LISTED} more; --json lists them all[/]")
