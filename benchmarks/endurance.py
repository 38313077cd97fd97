"""Whether a node stays as it is over tens of thousands of tasks: `python -m benchmarks.endurance --tasks 20000`."""

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sqlalchemy import Connection, Engine, text

from core.contract import IntakeClient
from core.settings import Settings
from db.session import make_engine, transaction
from samples import CLASSES, render
from worker.stack import Stack

DOCUMENTS = 60
"""Different ones, which are asked about in turn."""
EVERY = 2.0
"""Seconds between looks."""
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Look:
    """How a node was at one moment: tasks that had ended, MiB of it and of its reading processes, its connections."""

    ended: int
    node: float
    readers: float
    connections: int


@dataclass(frozen=True, slots=True)
class Quarter:
    """Medians over a quarter of the tasks."""

    ended: int
    node: float
    readers: float
    connections: tuple[int, int]


def main(
    tasks: Annotated[int, typer.Option(min=100, help="Enqueued as fast as a client can.")] = 20000,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """One node with the `fake` backend works off a backlog; its memory and connections, quarter by quarter."""
    console = Console(highlight=False, stderr=as_json)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # a server that root starts runs as nobody, who must come this far
        start = time.perf_counter()
        looks = _run(folder, tasks, console)
        rate = tasks / (time.perf_counter() - start)
    quarters = [_quarter(looks, tasks, number) for number in range(4)]
    growth = quarters[3].node / quarters[1].node
    if as_json:
        print(json.dumps({"tasks_a_second": rate, "growth": growth, "quarters": [asdict(each) for each in quarters]}))
        return
    table = Table("tasks ended", "node, MiB", "readers, MiB", "connections", box=None, header_style="bold")
    for each in quarters:
        connections = " to ".join(map(str, sorted(set(each.connections))))
        table.add_row(f"{each.ended:,}", f"{each.node:.0f}", f"{each.readers:.0f}", connections)
    console.print(table)
    console.print(f"\nLast quarter ÷ second: {growth:.3f}. {rate:.0f} tasks a second, sending included.")


def _run(folder: Path, tasks: int, console: Console) -> list[Look]:
    inbox = folder / "inbox"
    inbox.mkdir()
    uris = []
    for number in range(DOCUMENTS):
        path = inbox / f"{number}.pdf"
        path.write_bytes(render(list(CLASSES)[number % len(CLASSES)], number).pdf)
        uris.append(path.as_uri())
    config = folder / "config.yaml"
    config.write_text(
        json.dumps(
            {
                "data_dir": str(folder / "data"),
                "model": {"backend": "fake"},
                "documents": {"roots": [str(inbox)]},
                "schedule": {"retrain": "disable", "purge": "disable"},
            }
        )
    )
    with Stack(Settings.load(config), config, say=lambda _line: None) as stack:
        broker, database = stack.settings.broker.url, stack.settings.database.url
        assert broker is not None and database is not None  # noqa: S101, PT018 - the stack fills them in
        client = IntakeClient(broker.get_secret_value())
        for number in track(range(tasks), "Sending…", console=console, transient=True):
            client.classify(uris[number % DOCUMENTS], ignore_result=True)
        engine = make_engine(database.get_secret_value(), statement_timeout=60, pool_size=1)
        (node,) = (each for each in psutil.Process().children() if f"{folder}/data/node.ready" in each.cmdline())
        looks = []
        for look in track(_looks(node, engine, tasks), "Working…", console=console, transient=True):
            looks.append(look)
        engine.dispose()
    return looks


def _looks(node: psutil.Process, engine: Engine, tasks: int) -> Iterator[Look]:
    ended = 0
    while ended < tasks:
        with transaction(engine) as connection:
            ended, connections = _ended(connection), _connections(connection)
        readers = sum(child.memory_info().rss for child in node.children())
        yield Look(ended, node.memory_info().rss / MIB, readers / MIB, connections)
        time.sleep(EVERY)


def _ended(connection: Connection) -> int:
    return int(connection.execute(text("SELECT count(*) FROM jobs WHERE finished_at IS NOT NULL")).scalar_one())


def _connections(connection: Connection) -> int:
    """Those of others than this one."""
    statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    return int(connection.execute(text(statement)).scalar_one())


def _quarter(looks: list[Look], tasks: int, number: int) -> Quarter:
    here = [look for look in looks if number * tasks / 4 <= look.ended <= (number + 1) * tasks / 4]
    connections = [look.connections for look in here]
    return Quarter(
        here[-1].ended,
        statistics.median(look.node for look in here),
        statistics.median(look.readers for look in here),
        (min(connections), max(connections)),
    )


if __name__ == "__main__":
    typer.run(main)
