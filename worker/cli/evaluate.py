"""`docintake evaluate`: how good it is on documents whose classes, or answers, are known."""

from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.output import Json, console, errors, print_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from core.answer_evaluation import AnswerReport, Judged
    from core.class_set import ClassSet
    from core.evaluation import Report
    from core.few_shot import FewShotReport, Plan, Spread
    from core.settings import Settings

app = typer.Typer(no_args_is_help=True)

LISTED = 12
"""Confusions that people are shown; --json and --plot have them all."""

PagesRead = Annotated[str | None, typer.Option(help="first, all, or such as 1-3,7; else as in the settings.")]


@app.callback()
def evaluate() -> None:
    """Measure how good it is on documents whose classes, or answers, are known."""


@app.command()
def classify(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="Holds one folder a class, named after it.", metavar="DIR")],
    classes: Annotated[Path, typer.Option(help="The class set, a YAML file.", dir_okay=False)],
    *,
    pages: PagesRead = None,
    shots: Annotated[
        int | None,
        typer.Option(min=1, help="Learn from so many documents of each class, and test on the rest of them."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="With --shots: how often they are drawn anew.")] = 5,
    fewest: Annotated[int, typer.Option(min=2, help="With --shots: documents that a class needs for them.")] = 8,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw the confusion matrix, or with --shots the comparison, into this PNG file.", dir_okay=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Classify a folder's documents in this process, without queue or database, and compare with the folders' names.

    Folders that the class set does not name are out of set: their documents ought to be sent to review. With --shots
    it learns from a few documents as docintake.retrain does, and is compared with the usual ways to learn.
    """
    from core.class_set import ClassSet
    from core.errors import RejectedInput
    from core.evaluation import evaluate_folder, plot_confusion
    from core.settings import Settings

    settings = _with_pages(Settings.load(context.obj), pages)
    class_set = ClassSet.from_yaml(classes)
    if plot is not None and not plot.resolve().parent.is_dir():
        raise RejectedInput("not_writable", f"there is no folder {plot.resolve().parent} to draw into")
    if shots is not None:
        from core.few_shot import Plan

        _learn(directory, class_set, settings, Plan(shots, seeds, fewest), plot, as_json=as_json)
        return
    with _bars("Classifying") as (progress,):
        report = evaluate_folder(directory, class_set, settings, progress)
    if plot is not None:
        plot_confusion(report, plot)
    if as_json:
        print_json(report.model_dump(mode="json", exclude={"unreadable"}))
    else:
        _print_report(report, class_set)
    _warn(report.unreadable)
    if plot is not None:
        _say_drawn("the confusion matrix", plot)


def _learn(
    directory: Path, class_set: "ClassSet", settings: "Settings", plan: "Plan", plot: Path | None, *, as_json: bool
) -> None:
    from core.few_shot import compare_folder, plot_ways

    with _bars("Reading", "Training") as (reading, training):
        report = compare_folder(directory, class_set, settings, plan, reading, training)
    if plot is not None:
        plot_ways(report, plot)
    if as_json:
        print_json(report.model_dump(mode="json", exclude={"left_out"}))
    else:
        _print_ways(report, class_set)
    _warn(report.left_out)
    if plot is not None:
        _say_drawn("the comparison", plot)


@app.command()
def ask(
    context: typer.Context,
    questions: Annotated[
        Path,
        typer.Argument(help="One JSON object a line: file, question, answers, maybe field.", metavar="QUESTIONS"),
    ],
    documents: Annotated[Path, typer.Option(help="The folder that the files lie in.", metavar="DIR")],
    *,
    pages: PagesRead = None,
    misses: Annotated[int, typer.Option(min=0, help="Show so many wrong answers, the surest first.")] = 10,
    as_json: Json = False,
) -> None:
    """Answer questions in this process, without queue or database, and compare with the answers that are known.

    Without answers, a question is one that its document does not tell. Files are named from the folder on.
    """
    from core.answer_evaluation import evaluate_questions, read_questions
    from core.settings import Settings

    settings = _with_pages(Settings.load(context.obj), pages)
    known = read_questions(questions)
    with _bars("Asking") as (progress,):
        report = evaluate_questions(known, documents, settings, progress)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        _print_answers(report, misses)
    _warn(report.unreadable)


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


@contextmanager
def _bars(*descriptions: str) -> "Iterator[tuple[Callable[[int, int], None], ...]]":
    """What to tell, of one thing after the other, how many are done, of how many, to have it shown."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors(), transient=True) as bar:
        tasks = [
            bar.add_task("Loading the model", total=None, visible=not later) for later in range(len(descriptions))
        ]

        def shown(place: int, done: int, total: int) -> None:
            bar.update(tasks[place], description=descriptions[place], completed=done, total=total, visible=True)

        yield tuple(partial(shown, place) for place in range(len(descriptions)))


def _warn(unreadable: dict[str, str]) -> None:
    from rich.markup import escape

    for file, code in unreadable.items():
        errors().print(f"[yellow]![/] {escape(file)}: {code}", soft_wrap=True)


def _say_drawn(what: str, plot: Path) -> None:
    from rich.markup import escape

    errors().print(f"Drew {what} into {escape(str(plot))}.", soft_wrap=True)


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


def _print_ways(report: "FewShotReport", class_set: "ClassSet") -> None:
    from rich.table import Table

    from core.few_shot import WAYS

    out = console()
    out.print(
        f"[bold]{class_set.name}[/]: learned from {report.shots} of each of {len(report.documents)} classes, "
        f"tested on the other {report.tested} documents\n"
    )
    table = Table("way", "macro accuracy", "accuracy", "ECE", box=None, header_style="bold", pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for way, score in report.ways.items():
        style = "bold" if way == "trained" else None
        shown = (
            _spread(score.macro_accuracy),
            _spread(score.accuracy),
            f"{score.ece.mean:.3f} ± {score.ece.sd:.3f}",
        )
        table.add_row(WAYS[way], *shown, style=style)
    out.print(table)
    out.print(
        f"[dim]Mean ± standard deviation over {report.seeds} seeds. The last three choose among the "
        f"{len(report.documents)} classes with shots alone,\nwhich is easier than among all {len(class_set.classes)} "
        "of the set.[/]\n"
    )
    figures = Table.grid(padding=(0, 2))
    if report.without_shots is not None:
        aside, count = report.without_shots, sum(report.without_shots.documents.values())
        figures.add_row(
            "classes without shots",
            f"{_share(aside.before.macro_accuracy.mean)} → [bold]{_spread(aside.after.macro_accuracy)}[/]",
            f"[dim]macro accuracy of {count} documents of {len(aside.documents)} classes, before and after[/]",
        )
    if report.out_of_set is not None:
        others = report.out_of_set
        figures.add_row(
            "out of set, reviewed",
            f"{_share(others.review_share_before)} → [bold]{_spread(others.review_share_after)}[/]",
            f"[dim]of {others.documents} documents whose class the set does not name[/]",
        )
    accepted = sum(item.accepted for item in report.rounds)
    figures.add_row("would be promoted", f"[bold]{accepted}[/] of {report.seeds}", "[dim]by the gate[/]")
    out.print(figures)
    _print_classes(report)


def _print_classes(report: "FewShotReport") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("class", "tested", *map(_spaced, report.ways), box=None, header_style="bold", pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    trained = report.ways["trained"].per_class
    for name in sorted(trained, key=lambda name: (trained[name].mean, name)):
        accuracies = [_share(score.per_class[name].mean) for score in report.ways.values()]
        table.add_row(Text(name), str(report.documents[name] - report.shots), *accuracies)
    if report.without_shots is not None:
        before, after = report.without_shots.before.per_class, report.without_shots.after.per_class
        for name in sorted(after, key=lambda name: (after[name].mean, name)):
            accuracies = [_share(before[name].mean), _share(after[name].mean)]
            table.add_row(Text(name, style="dim"), str(report.without_shots.documents[name]), *accuracies)
    console().print(
        "\n[bold]Accuracy by class[/]" + (" [dim](dim: without shots)[/]" if report.without_shots else "")
    )
    console().print(table)


def _print_answers(report: "AnswerReport", misses: int) -> None:
    from rich.table import Table
    from rich.text import Text

    figures = Table.grid(padding=(0, 2))
    figures.add_row("questions", f"{report.questions}")
    figures.add_row(
        "exact match", f"[bold]{_share(report.exact_match)}[/]", "[dim]right, by value or word for word[/]"
    )
    figures.add_row("ANLS", f"[bold]{_share(report.anls)}[/]", "[dim]how near the answers come, letter by letter[/]")
    figures.add_row("not found, F1", f"[bold]{_share(report.not_found_f1)}[/]", "[dim]telling what is not there[/]")
    figures.add_row("evidence hit rate", _share(report.evidence_hit_rate), "[dim]the lines shown hold the answer[/]")
    figures.add_row("seconds a question", _number(report.seconds_per_question))
    console().print(figures)
    if report.by_field:
        table = Table(
            "field", "questions", "exact", "ANLS", "not found", "evidence", "seconds", box=None, header_style="bold"
        )
        for column in table.columns[1:]:
            column.justify = "right"
        for name, score in sorted(report.by_field.items(), key=lambda item: (item[1].exact_match or 0, item[0])):
            shares = (score.exact_match, score.anls, score.not_found_f1, score.evidence_hit_rate)
            table.add_row(Text(name), str(score.questions), *map(_share, shares), _number(score.seconds_per_question))
        console().print()
        console().print(table)
    if misses and report.misses:
        _print_misses(report.misses, misses)


def _print_misses(found: "Sequence[Judged]", shown: int) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("question", "expected", "got", "sure", box=None, header_style="bold", pad_edge=False)
    for item in found[:shown]:
        expected = Text(item.known.answers[0]) if item.known.answers else Text("not found", style="dim")
        got = Text(
            item.printed or item.error or item.status.replace("_", " "), style="red" if item.printed else "dim"
        )
        sure = f"{item.answer.confidence:.2f}" if item.answer else ""
        asked = Text.assemble(item.known.question, "\n", (item.known.file, "dim"))
        table.add_row(asked, expected, got, sure)
    console().print("\n[bold]Misses[/]" + (f" [dim](of {len(found)})[/]" if len(found) > shown else ""))
    console().print(table)


def _share(value: float | None) -> str:
    return "—" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"


def _spread(value: "Spread") -> str:
    return f"{_share(value.mean)} ± {100 * value.sd:.1f}"


def _spaced(name: str) -> str:
    return name.replace("_", " ")
