"""`docintake flower`: nodes and tasks in a browser, as they come and go."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Put the command at the top of the command line."""
    app.command()(flower)


def flower(
    context: typer.Context,
    logins: Annotated[
        Path, typer.Option(help="File with who may look, a line each: `user:password`.", dir_okay=False)
    ],
    address: Annotated[str, typer.Option(help="Address to listen on; in a container `0.0.0.0`.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5555,
) -> None:
    """Show nodes and tasks in a browser, to those who have a password, until SIGTERM or ctrl-C.

    Flower sees events only, so it forgets when it is started again: `docintake jobs` does not. Nothing can be
    changed from there. What it shows stands in configs/flowerconfig.py.
    """
    from core.errors import RejectedInput
    from core.settings import PROJECT, Settings
    from worker.log import configure_log

    if find_spec("flower") is None:
        raise RejectedInput("flower_missing", "Flower is not installed: pip install 'docintake[monitor]'")
    allowed = _read(logins)
    configure_log()
    from flower.options import default_options

    from worker.app import make_app

    app = make_app(Settings.load(context.obj))
    # It would show to anybody who knows a task's id what was found in a document.
    app.conf.result_backend = "disabled"
    # It takes no message, and knows how to count those that wait by the name of kombu's own transport.
    app.conf.broker_transport = None
    # Neither on a command line nor in the environment, where other processes could read it.
    default_options.basic_auth = allowed
    config = PROJECT / "configs" / "flowerconfig.py"
    app.start(["flower", f"--conf={config}", f"--address={address}", f"--port={port}"])


def _read(logins: Path) -> list[str]:
    """The lines of that file. Raises RejectedInput(`bad_logins`), which repeats none of them."""
    from core.errors import RejectedInput

    try:
        lines = logins.read_text(encoding="utf-8").split()
    except (OSError, ValueError) as error:
        raise RejectedInput("bad_logins", f"{logins} cannot be read ({type(error).__name__})") from None
    if not lines or any(not all(line.partition(":")) for line in lines):
        raise RejectedInput("bad_logins", f"{logins} must hold lines such as `user:password`, one at least")
    return lines
