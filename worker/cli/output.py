"""What every command prints with: one console, and JSON in place of it where `--json` is given."""

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def console() -> "Console":
    """Standard output, for people."""
    from rich.console import Console

    return Console(highlight=False)


def errors() -> "Console":
    """Standard error: messages and progress, which never mix with what a command prints."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


@contextmanager
def progress(what: str) -> "Iterator[Callable[[int, int], None]]":
    """What to tell how much is done, of how much, to have it shown while it lasts."""
    from rich.progress import Progress

    with Progress(console=errors(), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_json(value: Any) -> None:
    """One JSON document on standard output; dates as ISO 8601."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))
