"""How good deciding is, measured on documents whose classes are known."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from threading import Lock
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from core.backends import Backend, make_backend
from core.class_set import ClassSet
from core.classify import Classifier, Decision
from core.contract import DocumentReference
from core.documents import fetch
from core.encoding import encode, prepare
from core.errors import IntakeError, ModelFailure, RejectedInput
from core.features import Features
from core.reading import Reader
from core.settings import Settings

BINS: Final = 15
"""Equal-width bins of confidence, for the calibration error."""
NOTHING: Final = "(nothing)"
"""Stands for the prediction of a blank or unreadable document."""

Progress = Callable[[int, int], None]
"""Is told how many are done, of how many."""


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """A document whose class is known: its file, that class, how long reading and encoding took, and what came of it,
    or the code of the error. Features are None for a blank page; `prepared` are the other pages as `Backend.prepare`
    gives them, where blocks of the encoder are to learn.
    """

    file: str
    truth: str
    seconds: float
    sha256: str = ""
    pages: tuple[tuple[int, Features | None], ...] = ()
    text: str = ""
    error: str | None = None
    prepared: tuple[Any, ...] = ()

    @property
    def features(self) -> tuple[Features, ...]:
        """Of the pages that are not blank."""
        return tuple(features for _, features in self.pages if features is not None)


@dataclass(frozen=True, slots=True)
class Judged:
    """One document: its file, its true class, what was decided (or the code of the error), and how long it took."""

    file: str
    truth: str
    decision: Decision | None
    seconds: float
    error: str | None = None

    @property
    def prediction(self) -> str:
        return (self.decision.prediction if self.decision else None) or NOTHING

    @property
    def correct(self) -> bool:
        return self.prediction == self.truth

    @property
    def reviewed(self) -> bool:
        return self.decision is None or self.decision.status == "needs_review"


class ClassScore(BaseModel):
    """One class's documents: how many, the share predicted as such, the share sent to review."""

    model_config = ConfigDict(frozen=True)

    documents: int
    accuracy: float
    review_share: float


class Report(BaseModel):
    """What an evaluation found. Shares are in [0, 1]; a share of no documents is None.

    A document that cannot be read counts as wrong and as sent to review.
    """

    model_config = ConfigDict(frozen=True)

    documents: int = Field(description="Documents whose class is in the set.")
    accuracy: float | None
    macro_accuracy: float | None = Field(description="Mean of the classes' accuracies.")
    ece: float | None = Field(
        description="Expected calibration error: mean distance of confidence from accuracy over 15 equal bins."
    )
    review_share: float | None
    accuracy_without_review: float | None = Field(description="Accuracy of those not sent to review.")
    out_of_set_documents: int = Field(description="Documents whose class the set does not name.")
    out_of_set_review_share: float | None
    per_class: dict[str, ClassScore]
    confusion: dict[str, dict[str, int]] = Field(description="True class → predicted class → documents.")
    seconds_per_document: float | None
    unreadable: dict[str, str] = Field(description="File → code of the error.")


def evaluate_folder(directory: Path, class_set: ClassSet, settings: Settings, progress: Progress) -> Report:
    """Read and decide every document under `directory`, which holds one folder a class, in this process.

    Raises RejectedInput(`no_documents`), ModelFailure.
    """
    documents, backend = read_folder(directory, class_set, settings, progress)
    classifier = Classifier(backend.zero_shot(class_set, backend.encode_texts))
    thresholds = settings.deciding.thresholds_of(class_set.name)

    def judge(document: KnownDocument) -> Judged:
        if document.error is not None:
            return Judged(document.file, document.truth, None, document.seconds, document.error)
        start = time.perf_counter()
        decision = classifier.decide(document.pages, thresholds)
        return Judged(document.file, document.truth, decision, document.seconds + time.perf_counter() - start)

    return evaluate([judge(document) for document in documents], classifier.names)


def read_folder(
    directory: Path, class_set: ClassSet, settings: Settings, progress: Progress
) -> tuple[list[KnownDocument], Backend]:
    """Read and encode every document under `directory`, which holds one folder a class; and what encoded them.

    They are ready to be decided among the classes of the set by descriptions alone.

    Files that stand beside the folders, and hidden ones, are left alone. `progress` is told how many documents are
    done, of how many. Raises RejectedInput(`no_documents`), ModelFailure.
    """
    files = files_in(directory)
    limits = settings.documents.model_copy(update={"roots": (str(directory.resolve()),)})
    backend = make_backend(settings.model)
    backend.load(settings.model.device)
    encoders = backend.zero_shot(class_set, backend.encode_texts).encoders
    reader, device = Reader(settings.reading, limits), Lock()

    def read(truth: str, path: Path) -> KnownDocument:
        file, start = str(path.relative_to(directory)), time.perf_counter()
        try:
            document = fetch(DocumentReference(uri=path.resolve().as_uri()), limits)
            pages = reader.read(document, limits.pages).pages
            shown = [page for page in pages if not page.is_blank]
            prepared = prepare(backend, reader, document, shown)
            seconds = time.perf_counter() - start
            with device:  # waiting for another document's turn is no time of this one
                start = time.perf_counter()
                found = encode(backend, encoders, shown, prepared)
            features = tuple((page.number, found.get(page.number)) for page in pages)
        except ModelFailure:
            raise
        except IntakeError as error:
            return KnownDocument(file, truth, time.perf_counter() - start, error=error.code)
        seconds += time.perf_counter() - start
        return KnownDocument(
            file,
            truth,
            seconds,
            document.sha256,
            features,
            "\n".join(page.text for page in pages),
            prepared=tuple(prepared) if settings.training.unfreeze_last_blocks else (),
        )

    documents: list[KnownDocument] = []
    try:
        with ThreadPoolExecutor(settings.reading.processes or os.cpu_count()) as threads:
            for item in threads.map(read, *zip(*files, strict=True)):
                documents.append(item)
                progress(len(documents), len(files))
    finally:
        reader.close()
    return documents, backend


def files_in(directory: Path) -> list[tuple[str, Path]]:
    """(class, file) of every document under `directory`. Raises RejectedInput(`no_documents`)."""
    files = [
        (folder.name, path)
        for folder in (sorted(directory.iterdir()) if directory.is_dir() else [])
        if folder.is_dir() and not folder.name.startswith(".")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]
    if not files:
        raise RejectedInput("no_documents", f"{directory} has no folders with documents in them, one folder a class")
    return files


def evaluate(judged: Sequence[Judged], classes: Sequence[str]) -> Report:
    """Sum up documents of the set's `classes`, and of others."""
    inside = [item for item in judged if item.truth in classes]
    outside = [item for item in judged if item.truth not in classes]
    unreviewed = [item for item in inside if not item.reviewed]
    by_class = {name: [item for item in inside if item.truth == name] for name in sorted({i.truth for i in inside})}
    per_class = {
        name: ClassScore(
            documents=len(items),
            accuracy=fmean(item.correct for item in items),
            review_share=fmean(item.reviewed for item in items),
        )
        for name, items in by_class.items()
    }
    confusion: dict[str, dict[str, int]] = {}
    for item in sorted(judged, key=lambda item: (item.truth not in classes, item.truth, item.prediction)):
        row = confusion.setdefault(item.truth, {})
        row[item.prediction] = row.get(item.prediction, 0) + 1
    return Report(
        documents=len(inside),
        accuracy=_share([item.correct for item in inside]),
        macro_accuracy=_share([score.accuracy for score in per_class.values()]),
        ece=calibration_error(
            [item.decision.confidence for item in inside if item.decision],
            [item.correct for item in inside if item.decision],
        ),
        review_share=_share([item.reviewed for item in inside]),
        accuracy_without_review=_share([item.correct for item in unreviewed]),
        out_of_set_documents=len(outside),
        out_of_set_review_share=_share([item.reviewed for item in outside]),
        per_class=per_class,
        confusion=confusion,
        seconds_per_document=_share([item.seconds for item in judged]),
        unreadable={item.file: item.error for item in judged if item.error is not None},
    )


def calibration_error(confidences: Sequence[float], correct: Sequence[bool]) -> float | None:
    """Expected calibration error over equal-width bins (Guo et al. 2017, arXiv:1706.04599); None of nothing."""
    if not confidences:
        return None
    confidence, right = np.asarray(confidences, dtype=float), np.asarray(correct, dtype=float)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        abs(confidence[bins == index].mean() - right[bins == index].mean()) * (bins == index).mean()
        for index in np.unique(bins)
    ]
    return float(sum(gaps))


def plot_confusion(report: Report, path: Path) -> None:
    """Draw true classes against predicted ones as a PNG; classes that the set does not name stand below a line."""
    from matplotlib.figure import Figure

    rows = list(report.confusion)
    inside = [name for name in rows if name in report.per_class]
    predicted = {name for row in report.confusion.values() for name in row}
    columns = [
        *inside,
        *sorted(predicted.difference(inside, [NOTHING])),
        *([NOTHING] if NOTHING in predicted else []),
    ]
    counts = np.array([[report.confusion[row].get(column, 0) for column in columns] for row in rows], dtype=float)
    shares = counts / counts.sum(axis=1, keepdims=True)

    figure = Figure(figsize=(4.2 + 0.38 * len(columns), 3.2 + 0.3 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for y, x in np.argwhere(counts > 0):
        colour = "white" if shares[y, x] > 0.6 else "black"
        axes.text(x, y, f"{counts[y, x]:.0f}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(columns)), [_spaced(name) for name in columns], rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(rows)), [f"{_spaced(row)}  ({counts[y].sum():.0f})" for y, row in enumerate(rows)])
    axes.tick_params(axis="y", labelsize=8)
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(len(columns) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="0.9", linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    if inside and len(rows) > len(inside):
        axes.axhline(len(inside) - 0.5, color="black", linewidth=1.2)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class (documents)")
    figure.suptitle(_headline(report), fontsize=10, x=0.01, ha="left")
    figure.savefig(path, dpi=140, format="png")


def _headline(report: Report) -> str:
    headline = f"{report.documents} documents"
    if report.accuracy is not None and report.macro_accuracy is not None and report.review_share is not None:
        headline += f" · accuracy {report.accuracy:.1%} · macro accuracy {report.macro_accuracy:.1%}"
        headline += f" · sent to review {report.review_share:.1%}"
    if report.out_of_set_review_share is not None:
        headline += f"\nbelow the line: {report.out_of_set_documents} documents of other classes"
        headline += f" · sent to review {report.out_of_set_review_share:.1%}"
    return headline


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _share(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
