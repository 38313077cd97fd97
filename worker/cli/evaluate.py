"""`docintake evaluate`: how good it is on documents whose classes are known."""

import typer

app = typer.Typer(no_args_is_help=True, help="How good it is, on documents whose classes are known.")


@app.callback()
def evaluate() -> None:
    """How good it is, on documents whose classes are known."""
