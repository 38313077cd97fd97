"""`docintake doctor`: looks at every part by using it, and says what to do about those that do not work."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import typer

from worker.cli.database import connected
from worker.cli.models import examined, in_short
from worker.cli.output import Json, console, errors, print_json

if TYPE_CHECKING:
    from core.settings import Settings

PINNED = ("celery", "kombu", "redis")
"""What docs/design.md, "Celery on Redis", pins by experiment; the versions stand in constraints.txt."""


@dataclass(frozen=True, slots=True)
class Check:
    """One part: whether it works, and how it was found or what to do about it."""

    part: str
    ok: bool
    detail: str


def register(app: typer.Typer) -> None:
    """Put the command at the top of the command line."""
    app.command()(doctor)


def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Check every part and say what to do. Exit status 1 when something does not work."""
    checks: list[Check] = []

    def check(part: str, look: Callable[[], str]) -> bool:
        with errors().status(f"Looking at: {part}…"):
            found = _examine(part, look)
        checks.append(found)
        if not as_json:
            _print(found)
        return found.ok

    _look_around(context, check)
    failures = sum(not item.ok for item in checks)
    if as_json:
        print_json({"ok": not failures, "checks": [asdict(item) for item in checks]})
    elif failures:
        console().print(f"\n[red]{failures} of {len(checks)} parts do not work.[/]")
    else:
        console().print("\n[green]Everything works.[/]")
    if failures:
        raise typer.Exit(1)


def _look_around(context: typer.Context, check: Callable[[str, Callable[[], str]], bool]) -> None:
    """Every check, in the order in which parts build on each other; what stands on a broken part is left out."""
    from core.settings import Settings
    from worker.embedded import locate

    check("packages", _packages)
    if not check("settings", lambda: _settings(Settings.load(context.obj))):
        return
    settings = Settings.load(context.obj)
    check("documents", lambda: _roots(settings))
    if check("devices", lambda: _devices(settings)):
        check("model", lambda: _model(settings))
    check("reading", lambda: _reading(settings))
    if not check("servers", lambda: _servers(settings)):
        return
    located = locate(settings)
    broker = check("broker", lambda: _broker(located))
    if check("database", lambda: _database(located)):
        check("classes", lambda: _classes(located))
    if broker:
        check("nodes", lambda: _nodes(located))


def _examine(part: str, look: Callable[[], str]) -> Check:
    from core.errors import IntakeError

    try:
        return Check(part, True, look())
    except IntakeError as error:
        return Check(part, False, error.message)
    except Exception as error:  # noqa: BLE001 - whatever is wrong is what was asked for
        return Check(part, False, f"{type(error).__name__}: {error}")


def _packages() -> str:
    import platform
    from importlib.metadata import version

    from core.errors import RejectedInput
    from core.settings import PROJECT

    pins = dict(
        line.split("==") for line in (PROJECT / "constraints.txt").read_text().splitlines() if line.count("==") == 1
    )
    found = {name: version(name) for name in PINNED}
    wrong = [f"{name} is {found[name]}, not {pins[name]}" for name in PINNED if found[name] != pins[name]]
    if wrong:
        raise RejectedInput(
            "wrong_version",
            f"{', '.join(wrong)}: others lose tasks when Redis restarts; pip install -c constraints.txt "
            + " ".join(PINNED),
        )
    return f"Python {platform.python_version()} · " + " · ".join(f"{name} {number}" for name, number in found.items())


def _settings(settings: "Settings") -> str:
    return f"read, with backend {settings.model.backend} and class set {settings.deciding.class_set}"


def _roots(settings: "Settings") -> str:
    from pathlib import Path

    from core.errors import RejectedInput

    roots = settings.documents.roots
    missing = [root for root in roots if "://" not in root and not Path(root).is_dir()]
    if missing:
        raise RejectedInput(
            "no_such_root",
            f"{', '.join(missing)}: no such folder; make it, or change documents.roots in the settings",
        )
    if not roots:
        return "no roots: only documents inside messages can be taken; documents.roots in the settings allows more"
    return "may come from " + ", ".join(root if "://" in root else str(Path(root).resolve()) for root in roots)


def _devices(settings: "Settings") -> str:
    import os

    from core.device import available
    from core.gpu import build, gpus

    name = settings.model.device
    device = available(name)
    found = gpus()
    told = "; ".join(map(str, found))
    if not found:
        return f"no GPU: models run on {os.cpu_count()} cores"
    if found[0].device is None:
        return f"{told}, which {build()} cannot use: models run on {os.cpu_count()} cores"
    spare = "; models run on the CPU, which model.device `auto` would change" if device == "cpu" else ""
    return f"{told}; {build()}{spare}"


def _model(settings: "Settings") -> str:
    from core.backends import make_backend

    backend = make_backend(settings.model)
    found = examined(backend, settings.model)
    backend.answerer(settings.asking)
    return in_short(found)


def _reading(settings: "Settings") -> str:
    import io
    import time

    from PIL import Image, ImageDraw, ImageFont

    from core.documents import Document
    from core.errors import ModelFailure
    from core.reading import READER, Reader

    page = Image.new("L", (640, 240), 255)
    ImageDraw.Draw(page).text((40, 80), "Delivery note", fill=0, font=ImageFont.load_default(64))
    file = io.BytesIO()
    page.save(file, "PNG")
    reader = Reader(settings.reading.model_copy(update={"processes": 1}), settings.documents)
    try:
        start = time.perf_counter()
        text = reader.read(Document.of(file.getvalue()), "first").pages[0].text
        seconds = time.perf_counter() - start
        confinement = reader.confinement
    finally:
        reader.close()
    if "delivery" not in text.lower():
        raise ModelFailure("misread", f"a page that says 'Delivery note' was read as {text!r}; run make setup again")
    lacks = "; ".join(confinement.lacks) if confinement else ""
    return f"{READER.split('/')[0]} reads a small page in {seconds:.1f} s, " + (
        f"confined but for: {lacks}" if lacks else "confined"
    )


def _servers(settings: "Settings") -> str:
    from worker.embedded import locate

    locate(settings)
    own = [name for name, url in (("Redis", settings.broker.url), ("PostgreSQL", settings.database.url)) if url]
    return f"configured: {' and '.join(own)}" if own else f"those of `docintake up` in {settings.data_dir.resolve()}"


def _broker(settings: "Settings") -> str:
    import redis

    from core.errors import RejectedInput, TransientFailure
    from worker import broker

    url = settings.broker.url.get_secret_value() if settings.broker.url else ""
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5) as connection:
            line = broker.line_to(connection)
            lacking = " ".join(broker.lacking(connection, settings.broker.key_prefix))
            if lacking:
                who = broker.user_of(connection)
                raise RejectedInput(
                    "broker_refused",
                    f"Redis lets its user {who} not do all that a node does (NOPERM): `ACL SETUSER {who} {lacking}` "
                    "grants it, and docs/access.md has the whole rule",
                )
            info = connection.info()
    except redis.RedisError as error:
        raise TransientFailure(
            "broker_unavailable", f"Redis cannot be reached: {error}; {_advice(error, url)}"
        ) from error
    faults = []
    if info.get("maxmemory_policy", "noeviction") != "noeviction":
        faults.append(f"maxmemory-policy is {info['maxmemory_policy']}: a full Redis drops tasks; set noeviction")
    if not info.get("aof_enabled", 1):
        faults.append("appendonly is no: a restart loses tasks; set it to yes")
    if faults:
        raise RejectedInput("broker_unsafe", f"Redis {info['redis_version']}: {'; '.join(faults)}")
    return f"Redis {info['redis_version']} {line}, evicts nothing, keeps an append-only file"


def _advice(error: Exception, url: str) -> str:
    """By what redis-py says: a server may also hang up, or say nothing, where the two do not agree on encryption."""
    advice = (
        ("mismatch", "name the host as the server's certificate does"),
        ("certificate verify failed", "ssl_ca_certs must name the CA that signed the server's certificate"),
        ("password", "check user and password in DOCINTAKE_BROKER__URL"),
    )
    usual = "start it, or check DOCINTAKE_BROKER__URL: " + (
        "it must take encrypted connections at that port, and may ask for ssl_certfile and ssl_keyfile"
        if url.startswith("rediss:")
        else "one that takes encrypted connections alone begins with rediss://"
    )
    return next((said for part, said in advice if part in str(error)), usual)


def _database(settings: "Settings") -> str:
    from core.errors import RejectedInput
    from db import migrations, queries, roles
    from db.session import transaction

    with connected(settings) as engine:
        with transaction(engine) as connection:
            line = queries.line_to(connection)
        if not migrations.is_current(engine):
            raise RejectedInput(
                "not_migrated", "its tables are not those of this version: `docintake db upgrade` makes them so"
            )
        with transaction(engine) as connection:
            lacking = ", ".join(roles.lacking(connection))
        if lacking:
            raise RejectedInput(
                "database_refused",
                f"PostgreSQL's user {engine.url.username} lacks {lacking}: `GRANT {roles.WORKER} TO "
                f"{engine.url.username}` after `docintake db roles`, as in docs/access.md",
            )
        version = ".".join(map(str, engine.dialect.server_version_info or ()))
    return f"PostgreSQL {version} {line}, its tables are those of this version"


def _classes(settings: "Settings") -> str:
    from core.errors import RejectedInput
    from db import queries
    from db.session import transaction

    name = settings.deciding.class_set
    with connected(settings) as engine, transaction(engine) as connection:
        published = queries.published_version(connection, name)
        if published is None:
            raise RejectedInput(
                "no_default_set",
                f"class set {name!r}, the default, is not in service: `docintake classes import FILE --publish`, or "
                "another name in deciding.class_set",
            )
        classes = len(queries.get_descriptions(connection, published.id))
    return f"default set {name}: version {published.number} in service, {classes} classes"


def _nodes(settings: "Settings") -> str:
    from core.contract import QUEUES, RETRAIN
    from core.errors import RejectedInput
    from worker.app import make_app

    found = make_app(settings).control.inspect(timeout=2).active_queues() or {}
    if not found:
        raise RejectedInput(
            "no_node", "no node answers: start one with `docintake worker`, or all with `docintake up`"
        )
    taken = {node: sorted(queue["name"] for queue in queues) for node, queues in found.items()}
    missing = sorted(set(QUEUES.values()).difference(*taken.values()))
    if missing:
        # Training needs a node of its own.
        alone = [queue for queue in missing if queue == QUEUES[RETRAIN]]
        together = [queue for queue in missing if queue not in alone]
        commands = [f"`docintake worker --queues {','.join(queues)}`" for queues in (together, alone) if queues]
        raise RejectedInput(
            "queue_not_taken", f"no node takes {', '.join(missing)}: start one with {' and one with '.join(commands)}"
        )
    return ", ".join(f"{node} takes {', '.join(queues)}" for node, queues in sorted(taken.items()))


def _print(check: Check) -> None:
    from rich.table import Table
    from rich.text import Text

    # A grid: what does not fit on its line goes on under itself.
    line = Table.grid(padding=(0, 1))
    line.add_column()
    line.add_column(width=10)
    line.add_row("[green]✓[/]" if check.ok else "[bold red]✗[/]", f"[bold]{check.part}[/]", Text(check.detail))
    console().print(line)
