"""The report of one training run: what was learned from, how it went, and how good deciding was before and after."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from core.evaluation import BINS, calibration_error

Phase = Literal["rehearsal", "training"]
"""A rehearsal trains with some classes held out, to find when to stop; training then learns from all."""
Split = Literal["train", "validation", "test"]
Effect = Literal["put right", "spoilt", "still wrong"]
_EFFECTS: Final = get_args(Effect)
"""In the order in which flips are listed."""

Probabilities = NDArray[np.floating[Any]]
"""(documents, classes), rows sum to 1."""


class _Kept(BaseModel):
    """Kept as JSON, which knows neither infinity nor NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EpochRecord(_Kept):
    """One pass over the training documents. Accuracies are of validation documents, in [0, 1], None of nothing."""

    phase: Phase
    epoch: int = Field(ge=1, description="Counted anew in each phase.")
    loss: float = Field(description="What was minimised; `contrastive` and `classification` are its parts.")
    contrastive: float
    classification: float
    validation_loss: float | None
    seen_accuracy: float | None = Field(description="Macro accuracy of the classes that were trained on.")
    unseen_accuracy: float | None = Field(description="Macro accuracy of the classes held out in the rehearsal.")
    learning_rate: float
    scale: float = Field(description="Of the logits.")
    seconds: float


class ReliabilityBin(_Kept):
    """Documents whose confidence lies in [lower, upper): their mean confidence, and the share that is right."""

    lower: float
    upper: float
    documents: int
    confidence: float
    accuracy: float


class ClassResult(_Kept):
    """One class's documents: how many, and the share predicted as such."""

    documents: int
    accuracy: float


class Measured(_Kept):
    """How good deciding is on test documents. Shares are in [0, 1]; a share of no documents is None."""

    documents: int
    accuracy: float | None
    macro_accuracy: float | None = Field(description="Mean of the classes' accuracies.")
    ece: float | None = Field(description="Expected calibration error.")
    per_class: dict[str, ClassResult] = Field(description="Only classes that have documents.")
    confusion: dict[str, dict[str, int]] = Field(description="True class → predicted class → documents.")
    reliability: tuple[ReliabilityBin, ...] = Field(description="Only bins that have documents, ascending.")


class Flip(_Kept):
    """A test document that is decided otherwise after training. Confidences are in [0, 1]."""

    document_id: str
    truth: str
    before: str
    before_confidence: float
    after: str
    after_confidence: float

    @property
    def effect(self) -> Effect:
        if self.after == self.truth:
            return "put right"
        return "spoilt" if self.before == self.truth else "still wrong"


class TrainingReport(_Kept):
    """One training run. `before` and `after` are of the same test documents, which nothing was learned from."""

    class_set: str
    class_version: int
    encoder: str
    parents: tuple[int, ...] = Field(description="Checkpoints it builds on, oldest first; none: the untrained model.")
    labels: dict[str, int] = Field(description="Class → labels used, of all splits.")
    documents: dict[Split, int]
    skipped: dict[str, str] = Field(description="Document or image → why it was left out.")
    held_out: tuple[str, ...] = Field(description="Classes that the rehearsal did not train on.")
    history: tuple[EpochRecord, ...]
    chosen_epoch: int | None = Field(description="The rehearsal's best, after which training stopped.")
    before: Measured
    after: Measured
    unseen_before: float | None = Field(description="Macro accuracy of the held-out classes before the rehearsal.")
    unseen_after: float | None = Field(description="… and after it, never having seen them.")
    temperature: float
    interpolation: float = Field(description="Weight of the trained weights against those it began with, in [0, 1].")
    accepted: bool
    reasons: tuple[str, ...] = Field(description="Why it was accepted or not.")
    settings: dict[str, Any]
    flips: tuple[Flip, ...]
    seconds: float


def measure(truths: Sequence[str], classes: Sequence[str], probabilities: Probabilities) -> Measured:
    """Sum up test documents: the true class of each, and its probabilities of `classes`."""
    predictions, confidences = _decided(classes, probabilities)
    correct = [truth == prediction for truth, prediction in zip(truths, predictions, strict=True)]
    per_class: dict[str, ClassResult] = {}
    confusion: dict[str, dict[str, int]] = {}
    for name in sorted(set(truths)):
        predicted = [prediction for truth, prediction in zip(truths, predictions, strict=True) if truth == name]
        confusion[name] = {other: predicted.count(other) for other in sorted(set(predicted))}
        per_class[name] = ClassResult(documents=len(predicted), accuracy=predicted.count(name) / len(predicted))
    return Measured(
        documents=len(truths),
        accuracy=fmean(correct) if correct else None,
        macro_accuracy=fmean(result.accuracy for result in per_class.values()) if per_class else None,
        ece=calibration_error(confidences, correct),
        per_class=per_class,
        confusion=confusion,
        reliability=_reliability(confidences, correct),
    )


def flips_of(
    document_ids: Sequence[str],
    truths: Sequence[str],
    classes: Sequence[str],
    before: Probabilities,
    after: Probabilities,
) -> tuple[Flip, ...]:
    """Documents whose prediction differs: first those put right, then those spoilt, then those still wrong."""
    flips = [
        Flip(
            document_id=document_id,
            truth=truth,
            before=old,
            before_confidence=old_confidence,
            after=new,
            after_confidence=new_confidence,
        )
        for document_id, truth, old, old_confidence, new, new_confidence in zip(
            document_ids, truths, *_decided(classes, before), *_decided(classes, after), strict=True
        )
        if old != new
    ]
    return tuple(sorted(flips, key=lambda flip: _EFFECTS.index(flip.effect)))


def _decided(classes: Sequence[str], probabilities: Probabilities) -> tuple[list[str], list[float]]:
    """Each document's likeliest class, and its probability."""
    best = probabilities.argmax(axis=1)
    return [classes[index] for index in best], [
        float(row[index]) for row, index in zip(probabilities, best, strict=True)
    ]


def _reliability(confidences: Sequence[float], correct: Sequence[bool]) -> tuple[ReliabilityBin, ...]:
    """The bins that `calibration_error` sums over."""
    confidence, right = np.asarray(confidences, dtype=float), np.asarray(correct, dtype=float)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return tuple(
        ReliabilityBin(
            lower=index / BINS,
            upper=(index + 1) / BINS,
            documents=int((bins == index).sum()),
            confidence=float(confidence[bins == index].mean()),
            accuracy=float(right[bins == index].mean()),
        )
        for index in range(BINS)
        if (bins == index).any()
    )
