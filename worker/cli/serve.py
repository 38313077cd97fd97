"""`docintake up`, `worker`, `beat`, `db`, `schema`, `url`: the processes that serve, and what they need."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from worker.cli.output import console, errors, print_json

if TYPE_CHECKING:
    from sqlalchemy import Engine

database = typer.Typer(no_args_is_help=True, help="The database's tables.")


def register(app: typer.Typer) -> None:
    """Put these commands at the top of the command line."""
    app.command()(up)
    app.command()(worker)
    app.command()(beat)
    app.command()(schema)
    app.command()(url)
    app.add_typer(database, name="db")


def up(
    context: typer.Context,
    devices: Annotated[
        str | None,
        typer.Option(help="A node for each: `all` GPUs, or such as `0,1`, or `cpu`; else one on `model.device`."),
    ] = None,
) -> None:
    """Run all of it on this machine until ctrl-C: servers (where none is configured), tables, classes, nodes."""
    from core.settings import Settings
    from worker.device import Device
    from worker.stack import Stack

    chosen = () if devices is None else Device.choose(devices)
    with Stack(Settings.load(context.obj), context.obj, say=errors().print, devices=chosen) as stack:
        stack.wait()


def worker(
    context: typer.Context,
    queues: Annotated[str, typer.Option(help="Queues to take from, comma-separated.")] = "classify,qa",
    name: Annotated[str | None, typer.Option(help="Node name; `%h` stands for the host.")] = None,
    device: Annotated[
        str | None, typer.Option(help="`auto`, `cpu`, `cuda` or such as `cuda:1`; else what the settings say.")
    ] = None,
    ready_file: Annotated[Path | None, typer.Option(help="Touched once the node takes work.")] = None,
) -> None:
    """Run one node in this process: one that serves, or with `--queues retrain` one that trains.

    A serving node loads its model before it takes work. A trainer loads it when there is something to train. On
    `cuda:1` it has that GPU to see and no other.
    """
    from core.contract import QUEUES, RETRAIN
    from core.errors import RejectedInput
    from core.settings import Settings
    from worker.log import configure_log

    configure_log()
    from worker.device import pin

    trains = QUEUES[RETRAIN] in queues.split(",")
    if trains and queues != QUEUES[RETRAIN]:
        raise RejectedInput(
            "mixed_queues",
            f"{QUEUES[RETRAIN]} needs a node of its own: start one for it, and one for the other queues",
        )
    settings = Settings.load(context.obj)
    wanted = device or (settings.training.device if trains else None) or settings.model.device
    # Before anything imports torch.
    model = settings.model.model_copy(update={"device": pin(wanted)})
    settings = settings.model_copy(update={"model": model})
    from celery.utils.nodenames import host_format
    from prometheus_client import REGISTRY

    from worker import health, metrics, tracing
    from worker.app import make_app, mark_ready
    from worker.backlog import Backlogs
    from worker.embedded import locate

    settings = locate(settings)
    app = make_app(settings, trains=trains)
    if ready_file is not None:
        mark_ready(app, ready_file)
    node = host_format(name or f"{queues.replace(',', '-')}@%h")
    own = [metrics.RUNS] if trains else [metrics.DeviceMemory()]
    registry = metrics.own_registry() if trains else REGISTRY
    checks = health.of_node(app, settings, trains=trains)
    with (
        health.served(settings, checks, Backlogs(app), *own, registry=registry),
        # A trainer's children would not live to send theirs.
        nullcontext() if trains else tracing.traced(settings, node),
    ):
        # Not by Celery's own command line, whose shell takes longer to import than all of ours.
        serving = app.Worker(hostname=node, queues=queues, without_mingle=True, quiet=True)
        serving.start()
    raise typer.Exit(serving.exitcode or 0)


def beat(context: typer.Context) -> None:
    """Have done what is to be done by itself: retraining, purging, and looking for runs that died. One is enough.

    Times are in UTC. What was due while no beat ran is made up for soon after its start.
    """
    from core.settings import Settings
    from worker.log import configure_log

    configure_log()
    from worker import health, metrics
    from worker.app import make_app
    from worker.embedded import locate
    from worker.schedule import LONGEST_PAUSE, run_beat

    settings = Settings.load(context.obj)
    # It asks nothing of the database.
    settings = settings if settings.broker.url is not None else locate(settings)
    pulse = health.Pulse(silent=LONGEST_PAUSE + health.SILENT)
    registry = metrics.own_registry()
    with health.served(settings, health.of_beat(pulse, settings), registry=registry):
        run_beat(make_app(settings), settings, pulse.beat)


@database.command()
def upgrade(context: typer.Context) -> None:
    """Bring the tables to this version's shape. Safe to run again."""
    from db import migrations

    with _patient(context) as engine:
        migrations.upgrade(engine)
    console().print("The database is up to date.")


@database.command("roles")
def set_up_roles(context: typer.Context) -> None:
    """Make the roles docintake_migrate, _worker and _read, and let nobody else in. Safe to run again.

    For a superuser, or the database's owner with CREATEROLE. docs/access.md says what each may do.
    """
    from db import roles
    from db.session import transaction

    with _patient(context) as engine, transaction(engine) as connection:
        roles.set_up(connection)
    out = console()
    out.print("The roles are set up. Users of yours get them by")
    for role in (roles.MIGRATE, roles.WORKER, roles.READ):
        out.print(f"  GRANT {role} TO …;")


@contextmanager
def _patient(context: typer.Context) -> "Iterator[Engine]":
    """The configured database, which may take its time over a statement."""
    from core.settings import Settings
    from db.session import make_engine
    from worker.embedded import locate

    settings = Settings.load(context.obj)
    # No broker is asked for.
    url = settings.database.url or locate(settings).database.url
    engine = make_engine(url.get_secret_value() if url else "", statement_timeout=600, pool_size=1)
    try:
        yield engine
    finally:
        engine.dispose()


def url(
    context: typer.Context,
    server: Annotated[Literal["broker", "database"], typer.Argument(help="Which one.")],
) -> None:
    """Print the URL of a server, as configured or as `docintake up` runs it: a secret, for it holds the password."""
    from core.settings import Settings
    from worker.embedded import locate

    found = getattr(locate(Settings.load(context.obj)), server).url
    print(found.get_secret_value())


def schema(
    name: Annotated[str | None, typer.Argument(help="One model, such as ClassifyRequest; else all.")] = None,
    *,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/contract.md in place of that.")] = False,
) -> None:
    """Print the contract's JSON Schemas."""
    from core.errors import RejectedInput
    from worker.reference import MODELS, contract_page

    if markdown:
        typer.echo(contract_page(), nl=False)
        return
    if name is not None and name not in MODELS:
        raise RejectedInput("unknown_model", f"there is no model {name!r}; there are {', '.join(MODELS)}")
    schemas = {key: model.model_json_schema() for key, model in MODELS.items()}
    print_json(schemas if name is None else schemas[name])
