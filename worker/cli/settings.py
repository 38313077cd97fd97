"""`docintake settings`: what applies here, and the reference of all of it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.output import Json, console, print_json

if TYPE_CHECKING:
    from pydantic import BaseModel


def register(app: typer.Typer) -> None:
    """Put the command at the top of the command line."""
    app.command()(settings)


def settings(
    context: typer.Context,
    *,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print docs/configuration.md in place of that.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the settings that apply, those in bold that are not the default. Secrets are not shown."""
    from core.settings import Settings

    if markdown:
        from worker.reference import settings_page

        typer.echo(settings_page(), nl=False)
        return
    found = Settings.load(context.obj)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value, default in _flat(found, Settings.model_construct()):
        table.add_row(Text(name), Text(value, style="dim" if value == default else "bold", overflow="fold"))
    console().print(table)


def _flat(section: "BaseModel", defaults: "BaseModel", prefix: str = "") -> "list[tuple[str, str, str]]":
    from pydantic import BaseModel

    found: list[tuple[str, str, str]] = []
    for name in type(section).model_fields:
        value: Any = getattr(section, name)
        default: Any = getattr(defaults, name)
        if isinstance(value, BaseModel):
            found += _flat(value, default, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", str(value), str(default)))
    return found
