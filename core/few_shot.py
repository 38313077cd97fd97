"""What labels of a few documents are worth: learning as `docintake.retrain` does, beside the usual ways to learn."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory
from typing import Final, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from core.alignment import Learned
from core.backends import Backend
from core.class_set import ClassSet
from core.classify import Classifier
from core.errors import RejectedInput
from core.evaluation import KnownDocument, Progress, files_in, read_folder
from core.rivals import RIVALS
from core.settings import Settings
from core.training.dataset import Dataset, Example
from core.training.lesson import Subject, learn
from core.training.report import Measured, measure

WAYS: Final = {
    "zero_shot": "zero-shot, before training",
    "trained": "trained on the shots",
    "tf_idf": "TF-IDF + logistic regression",
    "linear_probe": "linear probe on the encoder",
    "word_counts": "word counts + MLP (paperless-ngx)",
}
"""Of deciding: what reports call them, and what people read."""
FEWEST_CLASSES: Final = 2
"""With shots: of one class alone, rivals would learn nothing."""
FEWEST_TO_VALIDATE: Final = 3
"""Shots of a class, of which at least one says when to stop; with fewer all may be learned from."""
_NAMED: Final = 5
"""Classes that a refusal names."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`shots` documents of each class that has `fewest` or more are learned from, and the rest of them are tested on.

    They are drawn anew for each of `seeds` seeds, which count from 0 and seed the training as well.
    """

    shots: int
    seeds: int = 5
    fewest: int = 8


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True)


class Spread(_Figures):
    """Mean and sample standard deviation over the seeds."""

    mean: float
    sd: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Self:
        known = [value for value in values if value is not None]
        return cls(mean=fmean(known), sd=stdev(known) if len(known) > 1 else 0.0)


class Score(_Figures):
    """How good one way of deciding is."""

    macro_accuracy: Spread = Field(description="Mean of the classes' accuracies.")
    accuracy: Spread
    ece: Spread = Field(description="Expected calibration error.")
    per_class: dict[str, Spread] = Field(description="Accuracy.")

    @classmethod
    def of(cls, measured: Sequence[Measured]) -> Self:
        """One measurement a seed, all of the same classes, of which there is one at least."""
        return cls(
            macro_accuracy=Spread.of(item.macro_accuracy for item in measured),
            accuracy=Spread.of(item.accuracy for item in measured),
            ece=Spread.of(item.ece for item in measured),
            per_class={
                name: Spread.of(item.per_class[name].accuracy for item in measured) for name in measured[0].per_class
            },
        )


class WithoutShots(_Figures):
    """Documents of the set's other classes, which must not suffer from what is learned of those with shots."""

    documents: dict[str, int] = Field(description="Class → documents.")
    before: Score
    after: Score


class OutOfSet(_Figures):
    """Documents of classes that the set does not name: they ought to be sent to review, as a share in [0, 1] is."""

    documents: int
    review_share_before: float
    review_share_after: Spread


class Round(_Figures):
    """What one seed gave; after training, where it does not say otherwise."""

    seed: int
    ways: dict[str, Measured]
    without_shots: Measured | None
    out_of_set_review_share: float | None
    epochs: int | None
    interpolation: float = Field(description="How much of what was learned is used, in [0, 1].")
    temperature: float
    accepted: bool = Field(description="Whether the gate would promote it.")
    reasons: tuple[str, ...]
    seconds: float = Field(description="Of training.")


class FewShotReport(_Figures):
    """What was found. All ways learn from the same shots and are tested on the same documents.

    Rivals choose among the classes with shots alone, which is easier than among all classes of the set.
    """

    shots: int = Field(description="Of each class.")
    seeds: int
    documents: dict[str, int] = Field(description="Class with shots → documents, the shots included.")
    tested: int = Field(description="Documents, for each seed.")
    ways: dict[str, Score]
    without_shots: WithoutShots | None
    out_of_set: OutOfSet | None
    rounds: tuple[Round, ...]
    left_out: dict[str, str] = Field(description="File → code of the error, or `blank`, or `duplicate`.")


def compare_folder(
    directory: Path, class_set: ClassSet, settings: Settings, plan: Plan, reading: Progress, training: Progress
) -> FewShotReport:
    """Read every document under `directory`, which holds one folder a class, and compare.

    Raises RejectedInput: `no_documents`, `too_many_shots`, `too_few_documents`; ModelFailure.
    """
    # Reading takes minutes: what can be refused is refused before.
    classes_with_shots([truth for truth, _ in files_in(directory)], class_set, plan)
    documents, backend = read_folder(directory, class_set, settings, reading)
    return compare(documents, class_set, settings, plan, backend, training)


def compare(
    documents: Sequence[KnownDocument],
    class_set: ClassSet,
    settings: Settings,
    plan: Plan,
    backend: Backend,
    progress: Progress,
) -> FewShotReport:
    """Learn from shots and test on the rest, once for each seed; `progress` is told how many seeds are done.

    Of documents with the same content the first one counts. Raises RejectedInput: `too_many_shots`,
    `too_few_documents`; ModelFailure.
    """
    distinct, left_out = _distinct(documents)
    chosen = classes_with_shots([document.truth for document in distinct], class_set, plan)
    with_shots = [document for document in distinct if document.truth in chosen]
    inside = [document for document in distinct if document.truth in class_set.names]
    others = [document for document in inside if document.truth not in chosen]
    outside = [document for document in distinct if document.truth not in class_set.names]
    classifier = Classifier(backend.zero_shot(class_set, backend.encode_texts))
    subject = Subject(
        class_set,
        0,
        classifier,
        classifier,
        backend.encode_texts,
        backend.fingerprint,
        trainable=backend.trainable,
        shared=backend.shared,
        worded=backend.needs_text,
    )
    thresholds = settings.deciding.thresholds_of(class_set.name)

    def measured(decider: Classifier, documents: Sequence[KnownDocument]) -> Measured | None:
        chances = [decider.chances(document.features)[0] for document in documents]
        return measure([item.truth for item in documents], decider.names, np.array(chances)) if documents else None

    def reviewed(decider: Classifier, documents: Sequence[KnownDocument]) -> float | None:
        decisions = [decider.decide(document.pages, thresholds) for document in documents]
        return fmean(item.status == "needs_review" for item in decisions) if decisions else None

    rounds: list[Round] = []
    progress(0, plan.seeds)
    for seed in range(plan.seeds):
        training = settings.training.model_copy(update={"seed": seed})
        shots, tested = draw(with_shots, plan.shots, seed)
        with TemporaryDirectory() as folder:
            lesson = learn(
                parted(shots, tested, training.validation_share),
                subject,
                training,
                skipped={},
                device=backend.device,
                state=Path(folder) / "lesson",
                report=lambda _: None,
            )
        trained = classifier.with_learned([lesson.learned.bind(classifier.names, classifier.class_vectors)])
        truths = [document.truth for document in tested]
        rounds.append(
            Round(
                seed=seed,
                ways={
                    "zero_shot": lesson.report.before,
                    "trained": lesson.report.after,
                    **{name: measure(truths, *rival(shots, tested, seed)) for name, rival in RIVALS.items()},
                },
                without_shots=measured(trained, seen_by(lesson.learned, others, backend)),
                out_of_set_review_share=reviewed(trained, seen_by(lesson.learned, outside, backend)),
                epochs=lesson.report.chosen_epoch,
                interpolation=lesson.report.interpolation,
                temperature=lesson.report.temperature,
                accepted=lesson.report.accepted,
                reasons=lesson.report.reasons,
                seconds=lesson.report.seconds,
            )
        )
        progress(len(rounds), plan.seeds)
    before_others, before_outside = measured(classifier, others), reviewed(classifier, outside)
    return FewShotReport(
        shots=plan.shots,
        seeds=plan.seeds,
        documents=dict(Counter(document.truth for document in with_shots)),
        tested=len(with_shots) - plan.shots * len(chosen),
        ways={way: Score.of([item.ways[way] for item in rounds]) for way in WAYS},
        without_shots=before_others
        and WithoutShots(
            documents=dict(Counter(document.truth for document in others)),
            before=Score.of([before_others]),
            after=Score.of([item.without_shots for item in rounds if item.without_shots]),
        ),
        out_of_set=None
        if before_outside is None
        else OutOfSet(
            documents=len(outside),
            review_share_before=before_outside,
            review_share_after=Spread.of(item.out_of_set_review_share for item in rounds),
        ),
        rounds=tuple(rounds),
        left_out=left_out,
    )


def classes_with_shots(truths: Sequence[str], class_set: ClassSet, plan: Plan) -> list[str]:
    """The classes of the set that have enough documents, of which `truths` are the classes.

    Raises RejectedInput: `too_many_shots`, `too_few_documents`.
    """
    if plan.shots >= plan.fewest:
        raise RejectedInput(
            "too_many_shots",
            f"{plan.shots} shots would leave a class of {plan.fewest} documents none to be tested on: ask for "
            f"{plan.fewest - 1} at most, or for larger classes (--fewest {plan.shots + 1} or more)",
        )
    counts = Counter(truth for truth in truths if truth in class_set.names)
    chosen = sorted(name for name, count in counts.items() if count >= plan.fewest)
    if len(chosen) < FEWEST_CLASSES:
        largest = ", ".join(f"{name} ({count})" for name, count in counts.most_common(_NAMED)) or "none"
        raise RejectedInput(
            "too_few_documents",
            f"{FEWEST_CLASSES} classes of {plan.fewest} different, readable documents or more are needed; the "
            f"largest of {class_set.name}: {largest}",
        )
    return chosen


def draw(
    documents: Sequence[KnownDocument], shots: int, seed: int
) -> tuple[list[KnownDocument], list[KnownDocument]]:
    """(shots, the rest): so many of each class, by seed and content, in an order that is drawn as well."""
    drawn = sorted(documents, key=lambda document: hashlib.sha256(f"{seed} {document.sha256}".encode()).digest())
    taken: Counter[str] = Counter()
    parts: tuple[list[KnownDocument], list[KnownDocument]] = ([], [])
    for document in drawn:
        taken[document.truth] += 1
        parts[taken[document.truth] > shots].append(document)
    return parts


def parted(shots: Sequence[KnownDocument], tested: Sequence[KnownDocument], share: float) -> Dataset:
    """For a lesson: of each class, that share of its shots says when to stop, and all others are trained on."""
    counts = Counter(document.truth for document in shots)
    taken: Counter[str] = Counter()
    train: list[KnownDocument] = []
    validation: list[KnownDocument] = []
    for document in shots:
        wanted = round(share * counts[document.truth])
        if counts[document.truth] >= FEWEST_TO_VALIDATE:
            wanted = max(1, wanted)
        taken[document.truth] += 1
        (validation if taken[document.truth] <= wanted else train).append(document)
    return Dataset(_examples(train), _examples(validation), _examples(tested))


def seen_by(learned: Learned, documents: Sequence[KnownDocument], backend: Backend) -> Sequence[KnownDocument]:
    """The documents as the blocks of the encoder see them that learned, if any did."""
    if learned.key is None:
        return documents
    key, encode = learned.key, backend.tuned(learned.blocks)

    def seen(document: KnownDocument) -> KnownDocument:
        vectors = iter(encode(document.prepared))
        pages = ((number, page and page.with_tuned(key, next(vectors))) for number, page in document.pages)
        return replace(document, pages=tuple(pages))

    return [seen(document) for document in documents]


def plot_ways(report: FewShotReport, path: Path) -> None:
    """Draw the ways beside each other as a PNG: mean, whiskers for the spread, a dot for each seed."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(11, 3.9), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, figure_of, title in (
        (panels[0], "macro_accuracy", "macro accuracy: more is better"),
        (panels[1], "ece", "calibration error (ECE): less is better"),
    ):
        for place, way in enumerate(WAYS):
            spread: Spread = getattr(report.ways[way], figure_of)
            seeds = [getattr(item.ways[way], figure_of) for item in report.rounds]
            colour = {"trained": "tab:blue", "zero_shot": "#9dc6e4"}.get(way, "0.78")
            axes.barh(place, spread.mean, xerr=spread.sd, color=colour, ecolor="0.25", capsize=3, height=0.62)
            axes.scatter(seeds, [place] * len(seeds), s=10, color="black", alpha=0.5, linewidths=0, zorder=3)
            said = f"{spread.mean:.1%} ± {100 * spread.sd:.1f}"
            axes.text(1.02, place, said, va="center", fontsize=9, transform=axes.get_yaxis_transform())
        axes.set_title(title, fontsize=10, loc="left")
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlim(0, 1 if figure_of == "macro_accuracy" else None)
        axes.set_axisbelow(True)
        axes.grid(axis="x", color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(length=0, labelsize=9)
    panels[0].set_yticks(range(len(WAYS)), WAYS.values())
    panels[0].invert_yaxis()
    figure.suptitle(
        f"Learning from {_counted(report.shots, 'document')} of each of {len(report.documents)} classes · "
        f"{report.tested} documents tested · {_counted(report.seeds, 'seed')}",
        fontsize=11,
        x=0.01,
        ha="left",
    )
    figure.supxlabel(
        "Rivals (grey) choose among these classes alone, which is easier than among all of the set. "
        "Whiskers: standard deviation over the seeds, which are the dots.",
        fontsize=8,
        x=0.01,
        ha="left",
    )
    figure.savefig(path, dpi=140, format="png")


def _distinct(documents: Sequence[KnownDocument]) -> tuple[list[KnownDocument], dict[str, str]]:
    """Documents with something on them, each content once; file → why it was left out."""
    kept: dict[str, KnownDocument] = {}
    left_out = {}
    for document in documents:
        if document.error is not None:
            left_out[document.file] = document.error
        elif not document.features:
            left_out[document.file] = "blank"
        elif document.sha256 in kept:
            left_out[document.file] = "duplicate"
        else:
            kept[document.sha256] = document
    return list(kept.values()), left_out


def _examples(documents: Iterable[KnownDocument]) -> tuple[Example, ...]:
    ordered = sorted(documents, key=lambda document: document.sha256)
    return tuple(
        Example(document.sha256, document.truth, document.features, prepared=document.prepared)
        for document in ordered
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
