"""`docintake evaluate`: how good it is on documents whose classes are known."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.output import Json, console, errors, print_json

if TYPE_CHECKING:
    from core.class_set import ClassSet
    from core.evaluation import Report
    from core.settings import Settings

app = typer.Typer(no_args_is_help=True)

LISTED = 12
"""Confusions that people are shown; --json and --plot have them all."""


@app.callback()
def evaluate() -> None:
    """Measure how good it is on documents whose classes are known."""


@app.command()
def classify(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="Holds one folder a class, named after it.", metavar="DIR")],
    classes: Annotated[Path, typer.Option(help="The class set, a YAML file.", dir_okay=False)],
    *,
    pages: Annotated[str | None, typer.Option(help="first, all, or such as 1-3,7; else as in the settings.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the confusion matrix into this PNG file.", dir_okay=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Classify a folder's documents in this process, without queue or database, and compare with the folders' names.

    Folders that the class set does not name are out of set: their documents ought to be sent to review.
    """
    from rich.markup import escape

    from core.class_set import ClassSet
    from core.errors import RejectedInput
    from core.evaluation import plot_confusion
    from core.settings import Settings

    settings = _with_pages(Settings.load(context.obj), pages)
    class_set = ClassSet.from_yaml(classes)
    if plot is not None and not plot.resolve().parent.is_dir():
        raise RejectedInput("not_writable", f"there is no folder {plot.resolve().parent} to draw into")
    report = _evaluate(directory, class_set, settings)
    if plot is not None:
        plot_confusion(report, plot)
    if as_json:
        print_json(report.model_dump(mode="json", exclude={"unreadable"}))
    else:
        _print_report(report, class_set)
    for file, code in report.unreadable.items():
        errors().print(f"[yellow]![/] {escape(file)}: {code}", soft_wrap=True)
    if plot is not None:
        errors().print(f"Drew the confusion matrix into {escape(str(plot))}.", soft_wrap=True)


def _with_pages(settings: "Settings", pages: str | None) -> "Settings":
    from pydantic import ValidationError

    from core.errors import RejectedInput
    from core.settings import Documents

    if pages is None:
        return settings
    try:
        documents = Documents.model_validate({**settings.documents.model_dump(), "pages": pages})
    except ValidationError as error:
        raise RejectedInput(
            "bad_pages", "; ".join(fault["msg"].removeprefix("Value error, ") for fault in error.errors())
        ) from error
    return settings.model_copy(update={"documents": documents})


def _evaluate(directory: Path, class_set: "ClassSet", settings: "Settings") -> "Report":
    """The evaluation under a progress bar."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from core.evaluation import evaluate_folder

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors(), transient=True) as bar:
        task = bar.add_task("Loading the model", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, description="Classifying", completed=done, total=total)

        return evaluate_folder(directory, class_set, settings, progress)


def _print_report(report: "Report", class_set: "ClassSet") -> None:
    from rich.table import Table
    from rich.text import Text

    out = console()
    out.print(
        f"[bold]{class_set.name}[/]: {report.documents} documents of {len(report.per_class)} "
        f"of the set's {len(class_set.classes)} classes\n"
    )
    figures = Table.grid(padding=(0, 2))
    figures.add_row("accuracy", f"[bold]{_share(report.accuracy)}[/]")
    figures.add_row("macro accuracy", f"[bold]{_share(report.macro_accuracy)}[/]", "[dim]mean over the classes[/]")
    figures.add_row("calibration error", _number(report.ece), "[dim]ECE: how far confidence is from accuracy[/]")
    figures.add_row("sent to review", _share(report.review_share))
    figures.add_row("accuracy of the rest", f"[bold]{_share(report.accuracy_without_review)}[/]")
    if report.out_of_set_documents:
        others = f"[dim]of {report.out_of_set_documents} documents whose class the set does not name[/]"
        figures.add_row("out of set, reviewed", _share(report.out_of_set_review_share), others)
    figures.add_row("seconds a document", _number(report.seconds_per_document))
    out.print(figures)

    if report.per_class:
        table = Table("class", "documents", "accuracy", "", "review", box=None, header_style="bold", pad_edge=False)
        for index in (1, 2, 4):
            table.columns[index].justify = "right"
        for name, score in sorted(report.per_class.items(), key=lambda item: (item[1].accuracy, item[0])):
            colour = "green" if score.accuracy >= 0.9 else "yellow" if score.accuracy >= 0.7 else "red"
            bar = Text("━" * round(20 * score.accuracy), style=colour)
            table.add_row(Text(name), str(score.documents), _share(score.accuracy), bar, _share(score.review_share))
        out.print()
        out.print(table)
    _print_confusions(report)


def _print_confusions(report: "Report") -> None:
    from rich.table import Table
    from rich.text import Text

    pairs = [
        (count, truth, predicted)
        for truth, row in report.confusion.items()
        for predicted, count in row.items()
        if truth != predicted
    ]
    inside = [pair for pair in pairs if pair[1] in report.per_class]
    outside = [pair for pair in pairs if pair[1] not in report.per_class]
    for title, found in (("Most frequent confusions", inside), ("Out of set, taken for", outside)):
        if not found:
            continue
        table = Table.grid(padding=(0, 1))
        table.add_column(justify="right")
        for count, truth, predicted in sorted(found, key=lambda pair: (-pair[0], pair[1:]))[:LISTED]:
            table.add_row(str(count), Text(truth), "→", Text(predicted))
        console().print(f"\n[bold]{title}[/]" + (f" [dim](of {len(found)})[/]" if len(found) > LISTED else ""))
        console().print(table)


def _share(value: float | None) -> str:
    return "—" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"
