"""A lesson: from labelled documents to a candidate, and the report that says whether it is any better."""

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import nn

from core import checkpoints
from core.alignment import ALIGNMENT, Learned, Shape, VisionLanguageAlignment, settle
from core.backends import nothing_to_unfreeze
from core.class_set import ClassSet
from core.classify import Classifier
from core.contract import TrainingProgress
from core.errors import ModelFailure
from core.familiarity import Familiarity
from core.settings import Training
from core.sketch import BUCKETS
from core.training.calibration import cross_entropy, fit_temperature
from core.training.corpus import Corpus, Rows
from core.training.dataset import LEARNING, Dataset, Example
from core.training.gate import judge
from core.training.loop import Course, Watched, run
from core.training.report import EpochRecord, Phase, TrainingReport, flips_of, measure
from core.zero_shot import EncodeTexts

log = structlog.get_logger()

FEWEST_TO_HOLD_OUT: Final = 4
"""Labelled classes; with fewer, none of them is held out."""
UNREHEARSED: Final = 0.5
"""The mix where there are no documents to choose one by."""
_TOGETHER: Final = 256
"""Documents that are decided on at a time."""

Report = Callable[[TrainingProgress], None]
Wait = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a lesson is about: a class set's version, and how its documents are decided now.

    `classifier` decides by descriptions alone, `serving` as nodes do at present; `parents` are the checkpoints that
    it does so by. `encoder` names what made the documents' features, and `trainable` makes its last blocks learn, as
    `Backend.trainable` does. `shared` and `worded` say whether documents lie in the space of texts from the start,
    and whether they come with their words.
    """

    class_set: ClassSet
    version: int
    classifier: Classifier
    serving: Classifier
    encode_texts: EncodeTexts
    encoder: str
    parents: tuple[int, ...] = ()
    trainable: Callable[[int], nn.Module] = nothing_to_unfreeze
    shared: bool = True
    worded: bool = True


@dataclass(frozen=True, slots=True)
class Lesson:
    """What came out: the candidate, and the report on it."""

    learned: Learned
    report: TrainingReport


@dataclass(frozen=True, slots=True)
class _Rehearsed:
    """What the rehearsal found out, and how classes fared that it had not learned from."""

    epochs: int
    mix: float
    temperature: float
    held_out: tuple[str, ...] = ()
    unseen_before: float | None = None
    unseen_after: float | None = None


def learn(
    dataset: Dataset,
    subject: Subject,
    settings: Training,
    *,
    skipped: Mapping[str, str],
    device: str,
    state: Path,
    report: Report,
    wait: Wait = lambda: None,
) -> Lesson:
    """Train on all but the test documents, and measure on these.

    First a rehearsal on the training documents, with some classes held out, finds how long to train, how much of what
    was learned to keep, and the temperature; then all of it is learned. `state` is a file that each epoch is saved
    in: a lesson that was ended goes on from there. `report` is told how far it is, and may raise to end it; `wait`
    returns when the next step may be taken. Training begins from descriptions alone, never from an earlier
    checkpoint: what is learned depends on its labels only.

    Raises RejectedInput(`nothing_to_unfreeze`), ModelFailure(`training_diverged`),
    TransientFailure(`store_not_writable`).
    """
    with _threads():
        return _learn(dataset, subject, settings, skipped, device, state, report, wait)


@contextmanager
def _threads() -> Iterator[None]:
    """As many threads as there are cores to spare, and the same number each time: sums depend on it, bit by bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(4, max(1, (os.cpu_count() or 1) // 2)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _learn(
    dataset: Dataset,
    subject: Subject,
    settings: Training,
    skipped: Mapping[str, str],
    device: str,
    state: Path,
    report: Report,
    wait: Wait,
) -> Lesson:
    start = time.perf_counter()
    learnable = (*dataset.train, *dataset.validation)
    corpus = Corpus.build(
        learnable, subject.class_set, subject.classifier, subject.encode_texts, settings.min_captions_per_image
    )
    texts = np.ascontiguousarray(subject.classifier.class_vectors, dtype=np.float32)
    saved = _Saved(state, _key(learnable, subject, settings))
    room = _Room(corpus, texts, settings, device, saved, report, wait, subject)
    rehearsed, rehearsal = _rehearse(room, dataset, subject.classifier.names)
    training = room.course("training")
    room.run(training, np.arange(len(corpus)), rehearsed.epochs, None)
    model = training.mixed(training.model.state_dict(), rehearsed.mix)
    blocks, model.blocks = model.blocks, None
    learned = Learned(
        model.cpu(),
        frozenset(example.label for example in learnable),
        Familiarity.fit(corpus.sketches, corpus.labels.tolist(), by_words=subject.worded),
        rehearsed.temperature,
        {} if blocks is None else {name: tensor.cpu() for name, tensor in blocks.state_dict().items()},
    )
    report(TrainingProgress(phase="judging", done=0, total=len(dataset.test)))
    if blocks is not None:
        dataset = replace(dataset, test=tuple(_tuned(example, learned, blocks) for example in dataset.test))
    return Lesson(
        learned,
        _judged(learned, dataset, subject, settings, rehearsed, [*rehearsal, *training.history], skipped, start),
    )


class _Saved:
    """The file that a lesson is saved in after each epoch, if it is of this lesson and no other."""

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key
        self._tensors: dict[str, torch.Tensor] = {}
        self._about: dict[str, Any] = {}
        if path.exists():
            try:
                tensors, about = checkpoints.read(path)
            except ModelFailure as error:
                log.warning("the saved lesson cannot be used, it begins anew", code=error.code)
                return
            if about.get("key") == key:
                self._tensors, self._about = tensors, about

    def resume(self, course: Course, device: str) -> None:
        """Put the course where it was saved."""
        about = self._about.get(course.phase)
        if about is not None:
            prefix = f"{course.phase}."
            own = {
                name.removeprefix(prefix): tensor.to(device)
                for name, tensor in self._tensors.items()
                if name.startswith(prefix)
            }
            course.restore(own, about)

    def forget(self) -> None:
        self._tensors, self._about = {}, {}

    def save(self, course: Course) -> None:
        self._tensors = {name: tensor for name, tensor in self._tensors.items() if not name.startswith(course.phase)}
        self._tensors |= {f"{course.phase}.{name}": tensor for name, tensor in course.tensors().items()}
        self._about |= {"key": self._key, course.phase: course.about()}
        checkpoints.save(self._path, self._tensors, self._about)


class _Room:
    """Where both phases train: the same documents, classes, settings and state."""

    def __init__(
        self,
        corpus: Corpus,
        texts: NDArray[np.float32],
        settings: Training,
        device: str,
        saved: _Saved,
        report: Report,
        wait: Wait,
        subject: Subject,
    ) -> None:
        self.corpus = corpus
        self.settings = settings
        self.texts = torch.from_numpy(texts).to(device)
        self._device = device
        self._saved = saved
        self._report = report
        self._wait = wait
        self._trainable = subject.trainable
        self.shape = Shape(
            document_width=corpus.sketches[0].tokens.shape[1],
            text_width=texts.shape[1],
            buckets=BUCKETS if subject.worded else 0,
            shared=subject.shared,
            pooling=settings.pooling,
        )
        looks = [sketch.look() for sketch in corpus.sketches]
        self._middle = None if subject.shared else torch.from_numpy(np.mean(looks, axis=0))

    def course(self, phase: Phase) -> Course:
        count = self.settings.unfreeze_last_blocks
        blocks = self._trainable(count) if count else None
        course = Course.begin(phase, self.shape, self.settings, self._device, blocks, self._middle)
        try:
            self._saved.resume(course, self._device)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            log.warning("the saved lesson does not fit this code, it begins anew", error=type(error).__name__)
            self._saved.forget()
            blocks = self._trainable(count) if count else None
            course = Course.begin(phase, self.shape, self.settings, self._device, blocks, self._middle)
        return course

    def run(
        self, course: Course, rows: Rows, epochs: int, watch: Callable[[VisionLanguageAlignment], Watched] | None
    ) -> None:
        def after_epoch(course: Course) -> None:
            self._saved.save(course)
            last = course.history[-1]
            self._report(
                TrainingProgress(
                    phase=course.phase,
                    done=course.epoch,
                    total=epochs,
                    loss=last.loss,
                    validation_loss=last.validation_loss,
                    seen_accuracy=last.seen_accuracy,
                    unseen_accuracy=last.unseen_accuracy,
                    eta=last.seconds * (epochs - course.epoch),
                )
            )

        run(course, self.corpus, rows, self.texts, self.settings, epochs, watch, self._wait, after_epoch)

    def settled(
        self, model: VisionLanguageAlignment, rows: Rows, labelled: NDArray[np.bool_], familiar: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(rows, classes) logits as they would be served."""
        gains = [np.zeros((0, len(self.texts)), dtype=np.float32)]
        with torch.inference_mode():
            for part in np.array_split(rows, math.ceil(len(rows) / _TOGETHER) or 1):
                if len(part):
                    documents = self.corpus.seen_by(model, part, self.texts.device)
                    gains.append(model.gain(documents, self.texts).cpu().numpy())
        return settle(self.corpus.base[rows], np.concatenate(gains), labelled, familiar)


def _rehearse(room: _Room, dataset: Dataset, names: Sequence[str]) -> tuple[_Rehearsed, list[EpochRecord]]:
    """Train without the validation documents and without some classes; watch both."""
    labels, settings = room.corpus.labels, room.settings
    is_train = np.arange(len(labels)) < len(dataset.train)
    held_out = _held_out(labels[is_train], settings)
    unseen = np.flatnonzero(np.isin(labels, held_out))
    train = np.flatnonzero(is_train & ~np.isin(labels, held_out))
    seen = np.flatnonzero(~is_train & np.isin(labels, labels[train]))
    if not len(train) or not (len(seen) or len(unseen)):
        return _Rehearsed(settings.epochs, UNREHEARSED, 1.0), []
    labelled = np.isin(np.arange(len(names)), labels[train])
    sketches = [room.corpus.sketches[row] for row in train]
    familiarity = Familiarity.fit(sketches, labels[train].tolist(), by_words=room.shape.buckets > 0)
    watched = np.concatenate([seen, unseen])
    familiar = familiarity.of([room.corpus.sketches[row] for row in watched])

    before = _macro(room.corpus.base[unseen], labels[unseen])

    def logits_of(model: VisionLanguageAlignment) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        logits = room.settled(model, watched, labelled, familiar)
        return logits[: len(seen)], logits[len(seen) :]

    def watch(model: VisionLanguageAlignment) -> Watched:
        of_seen, of_unseen = logits_of(model)
        after = _macro(of_unseen, labels[unseen])
        return Watched(
            loss=cross_entropy(of_seen, labels[seen]) if len(seen) else cross_entropy(of_unseen, labels[unseen]),
            seen_accuracy=_macro(of_seen, labels[seen]),
            unseen_accuracy=after,
            kept=min(1.0, after / before) if before and after is not None else None,
        )

    course = room.course("rehearsal")
    room.run(course, train, settings.epochs, watch)
    assert course.best is not None  # noqa: S101 - every epoch was watched
    of_seen, of_unseen = logits_of(course.mixed(course.best.weights, course.best.mix))
    rehearsed = _Rehearsed(
        epochs=course.best.epoch,
        mix=course.best.mix,
        temperature=fit_temperature(of_seen, labels[seen]),
        held_out=tuple(names[index] for index in held_out),
        unseen_before=before,
        unseen_after=_macro(of_unseen, labels[unseen]),
    )
    return rehearsed, course.history


def _tuned(example: Example, learned: Learned, blocks: nn.Module) -> Example:
    """The example with its pages as these blocks see them, which are those that were learned."""
    assert learned.key is not None  # noqa: S101 - there are blocks
    with torch.inference_mode():
        vectors = blocks(example.prepared).cpu().numpy()
    pages = (page.with_tuned(learned.key, vector) for page, vector in zip(example.pages, vectors, strict=True))
    return replace(example, pages=tuple(pages))


def _judged(
    learned: Learned,
    dataset: Dataset,
    subject: Subject,
    settings: Training,
    rehearsed: _Rehearsed,
    history: Sequence[EpochRecord],
    skipped: Mapping[str, str],
    start: float,
) -> TrainingReport:
    names = subject.classifier.names
    candidate = subject.classifier.with_learned([learned.bind(names, subject.classifier.class_vectors)])
    truths = [example.label for example in dataset.test]
    before, after = (_chances(item, dataset.test) for item in (subject.serving, candidate))
    measured_before, measured_after = measure(truths, names, before), measure(truths, names, after)
    accepted, reasons = judge(
        measured_before, measured_after, rehearsed.unseen_before, rehearsed.unseen_after, settings.max_fall
    )
    return TrainingReport(
        class_set=subject.class_set.name,
        class_version=subject.version,
        encoder=subject.encoder,
        parents=subject.parents,
        labels=dataset.labels,
        documents={"train": len(dataset.train), "validation": len(dataset.validation), "test": len(dataset.test)},
        skipped=dict(skipped),
        held_out=rehearsed.held_out,
        history=tuple(history),
        chosen_epoch=rehearsed.epochs,
        before=measured_before,
        after=measured_after,
        unseen_before=rehearsed.unseen_before,
        unseen_after=rehearsed.unseen_after,
        temperature=learned.temperature,
        interpolation=rehearsed.mix,
        accepted=accepted,
        reasons=tuple(reasons),
        settings=settings.model_dump(mode="json", exclude={"store", "captions"}),
        flips=flips_of([example.document_id for example in dataset.test], truths, names, before, after),
        seconds=time.perf_counter() - start,
    )


def _chances(classifier: Classifier, examples: Sequence[Example]) -> NDArray[np.float64]:
    """(examples, classes)"""
    parts = [examples[start : start + _TOGETHER] for start in range(0, len(examples), _TOGETHER)]
    chances = [classifier.chances_of([example.pages for example in part])[0] for part in parts]
    return np.concatenate([np.zeros((0, len(classifier.names))), *chances])


def _held_out(labels: NDArray[np.int64], settings: Training) -> list[int]:
    """The classes that the rehearsal does not learn from, drawn by the seed."""
    classes = sorted({int(label) for label in labels})
    if len(classes) < FEWEST_TO_HOLD_OUT:
        return []
    drawn = sorted(classes, key=lambda name: hashlib.sha256(f"{settings.seed} {name}".encode()).digest())
    return sorted(drawn[: min(len(classes) - 2, round(settings.held_out_classes * len(classes)))])


def _macro(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float | None:
    """Mean of the classes' accuracies; None of nothing."""
    if not len(labels):
        return None
    right = logits.argmax(axis=1) == labels
    return float(np.mean([right[labels == name].mean() for name in np.unique(labels)]))


def _key(examples: Sequence[Example], subject: Subject, settings: Training) -> str:
    said = [f"{example.document_id} {example.label} {example.captions}" for example in examples]
    learning = settings.model_dump_json(include=LEARNING)
    parts = [*said, ALIGNMENT, subject.class_set.digest, subject.encoder, learning]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
