"""The `docintake` command. Each group stands in its own file; heavy imports wait until a command runs."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from core.errors import IntakeError
from worker.cli import (
    ask,
    checkpoints,
    classes,
    classify,
    doctor,
    evaluate,
    flower,
    forget,
    jobs,
    models,
    purge,
    report,
    retrain,
    review,
    serve,
    settings,
    status,
)
from worker.cli.output import errors

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Say what documents are, from textual class descriptions alone, and answer questions about them.",
)


@app.callback()
def configure(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings file; else $DOCINTAKE_CONFIG, else configs/embedded.yaml.", dir_okay=False),
    ] = None,
) -> None:
    """Say what documents are, from textual class descriptions alone, and answer questions about them."""
    from worker.log import configure_console

    configure_console()
    context.obj = config


serve.register(app)
classify.register(app)
ask.register(app)
retrain.register(app)
flower.register(app)
app.add_typer(classes.app, name="classes")
app.add_typer(checkpoints.app, name="checkpoints")
app.add_typer(jobs.app, name="jobs")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(review.app, name="review")
app.add_typer(models.app, name="models")
purge.register(app)
forget.register(app)
doctor.register(app)
status.register(app)
report.register(app)
settings.register(app)


def main() -> None:
    """Run the command line; an error of ours becomes one clear line and exit status 2."""
    # Our products are small: the threads of NumPy's library would spin between them, on cores that others need.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        app()
    except IntakeError as error:
        if "--json" in sys.argv:
            print(json.dumps({"error": {"code": error.code, "message": error.message}}))
        else:
            from rich.markup import escape

            errors().print(f"[bold red]{error.code}[/]: {escape(error.message)}", soft_wrap=True)
        raise SystemExit(2) from error
