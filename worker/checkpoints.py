"""Checkpoints over their life: kept, promoted, rolled back, read again, compared on stored documents."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError
from sqlalchemy import Connection

from core.classify import Classifier, Decision
from core.errors import ModelFailure, RejectedInput
from core.settings import Thresholds
from core.training.report import TrainingReport
from db import queries
from db.queries import Checkpoint, LatestClassification
from worker.history import Deciders, Question

if TYPE_CHECKING:
    from torch import Tensor

    from core.alignment import Learned


@dataclass(frozen=True, slots=True)
class Turn:
    """What a promotion or a rollback did: the checkpoints that serve now, and those before; none: untrained."""

    now: tuple[int, ...]
    before: tuple[int, ...]

    @property
    def changed(self) -> bool:
        return self.now != self.before


class Disagreement(NamedTuple):
    """A stored document that two classifiers of a set put into different classes, and what a person says it is."""

    document_id: str
    uri: str | None
    a: str | None
    a_confidence: float
    b: str | None
    b_confidence: float
    label: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two classifiers of a set say of the documents that it has classified.

    `without_features` are the ids of those that no page's features stand for: another model or reader read them.
    """

    same: int
    disagreements: tuple[Disagreement, ...]
    without_features: tuple[str, ...]

    @property
    def documents(self) -> int:
        return self.same + len(self.disagreements) + len(self.without_features)


def keep(
    connection: Connection,
    store: Path,
    learned: "Learned",
    report: TrainingReport,
    *,
    run_id: int | None,
    class_version_id: int | None,
    fingerprint: str,
) -> Checkpoint:
    """Write what was learned into a file of the store, with its report, and note it. It does not serve yet.

    Raises TransientFailure(`store_not_writable`).
    """
    from core import checkpoints

    # Never a name that was used before: a run that is repeated must not replace what its first start left.
    file = f"{report.class_set}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}.safetensors"
    about = {
        **learned.about(),
        "class_set": report.class_set,
        "encoder": report.encoder,
        "report": report.model_dump(mode="json"),
    }
    sha256 = checkpoints.write(checkpoints.file_in(store, file), learned.tensors(), about)
    checkpoint_id = queries.put_checkpoint(
        connection,
        class_set=report.class_set,
        class_version_id=class_version_id,
        run_id=run_id,
        parents=report.parents,
        encoder=report.encoder,
        file=file,
        sha256=sha256,
        fingerprint=fingerprint,
        labels=sum(report.labels.values()),
        metrics=metrics_of(report),
        accepted=report.accepted,
        reasons=report.reasons,
    )
    return find(connection, checkpoint_id)


def metrics_of(report: TrainingReport) -> dict[str, float]:
    """The figures that a report comes down to; those of no documents are left out."""
    figures = {
        "accuracy_before": report.before.accuracy,
        "accuracy_after": report.after.accuracy,
        "macro_accuracy_before": report.before.macro_accuracy,
        "macro_accuracy_after": report.after.macro_accuracy,
        "ece_before": report.before.ece,
        "ece_after": report.after.ece,
        "unseen_before": report.unseen_before,
        "unseen_after": report.unseen_after,
    }
    return {name: value for name, value in figures.items() if value is not None}


def find(connection: Connection, checkpoint_id: int) -> Checkpoint:
    """Raises RejectedInput(`unknown_checkpoint`)."""
    found = queries.get_checkpoint(connection, checkpoint_id)
    if found is None:
        raise RejectedInput(
            "unknown_checkpoint", f"there is no checkpoint {checkpoint_id}; `docintake checkpoints list` shows all"
        )
    return found


def load(store: Path, checkpoint: Checkpoint) -> "Learned":
    """What a checkpoint learned, from its file, which must be just what was written.

    Raises ModelFailure: `checkpoint_missing`, `checkpoint_damaged`, `checkpoint_unusable`, `checkpoint_outside`.
    """
    from core.alignment import Learned

    tensors, about = _read(store, checkpoint)
    return Learned.restore(tensors, about)


def report_of(store: Path, checkpoint: Checkpoint) -> TrainingReport:
    """The report of the run that made a checkpoint, from its file. Raises ModelFailure as `load` does."""
    _, about = _read(store, checkpoint)
    try:
        return TrainingReport.model_validate(about.get("report"))
    except ValidationError as error:
        raise ModelFailure(
            "checkpoint_unusable", f"the report in {checkpoint.file} is of another version of this code"
        ) from error


def condition(store: Path, checkpoint: Checkpoint) -> str:
    """`ok`, or what is wrong with a checkpoint's file: `missing`, `damaged`, `unusable`, `outside`."""
    try:
        load(store, checkpoint)
    except ModelFailure as error:
        return error.code.removeprefix("checkpoint_")
    return "ok"


def taught(classifier: Classifier, learned: "Sequence[Learned]") -> Classifier:
    """The same classes, decided by what was learned as well; several are an ensemble, and none is untrained."""
    return classifier.with_learned([item.bind(classifier.names, classifier.class_vectors) for item in learned])


def serving(connection: Connection, class_set: str) -> tuple[Checkpoint, ...]:
    """The checkpoints that serve a set; none: it is untrained."""
    promotion = queries.serving(connection, class_set)
    return tuple(queries.get_checkpoints(connection, promotion.checkpoints)) if promotion else ()


def load_serving(connection: Connection, store: Path, class_set: str, encoder: str) -> "list[Learned]":
    """What the checkpoints that serve a set have learned; as on a node, nothing if it was from another encoder's
    documents. Raises ModelFailure as `load` does.
    """
    found = serving(connection, class_set)
    return [load(store, item) for item in found] if all(item.encoder == encoder for item in found) else []


def promote(connection: Connection, class_set: str, ids: Sequence[int], by: str, *, force: bool = False) -> Turn:
    """Let these checkpoints serve a set: several are an ensemble, and none leaves it untrained. What serves already
    goes on.

    Raises RejectedInput: `unknown_class_set`, `unknown_checkpoint`, `other_class_set`, `mixed_encoders`, and without
    `force` `not_accepted`.
    """
    _lock(connection, class_set)
    chosen = [find(connection, checkpoint_id) for checkpoint_id in sorted(set(ids))]
    for item in chosen:
        if item.class_set != class_set:
            raise RejectedInput(
                "other_class_set", f"checkpoint {item.id} is of class set {item.class_set!r}, not of {class_set!r}"
            )
    if len({item.encoder for item in chosen}) > 1:
        raise RejectedInput(
            "mixed_encoders",
            "an ensemble needs checkpoints of one encoder: "
            + ", ".join(f"{item.id} is of {item.encoder}" for item in chosen),
        )
    present = queries.serving(connection, class_set)
    turn = Turn(tuple(item.id for item in chosen), tuple(present.checkpoints) if present else ())
    if not turn.changed:
        return turn
    for item in chosen:
        if not item.accepted and not force:
            raise RejectedInput(
                "not_accepted",
                f"checkpoint {item.id} was rejected ({'; '.join(item.reasons)}); --force promotes it all the same",
            )
    queries.promote(
        connection, class_set=class_set, checkpoints=turn.now, back_to=present.id if present else None, by=by
    )
    return turn


def roll_back(connection: Connection, class_set: str, by: str) -> Turn:
    """Let what served a set before serve it again: twice goes back two promotions, and in the end to untrained.

    Raises RejectedInput: `unknown_class_set`, `nothing_to_roll_back`.
    """
    _lock(connection, class_set)
    present = queries.serving(connection, class_set)
    earlier = None if present is None or present.back_to is None else _promotion(connection, present.back_to)
    turn = Turn(tuple(earlier.checkpoints) if earlier else (), tuple(present.checkpoints) if present else ())
    if not turn.changed:
        raise RejectedInput(
            "nothing_to_roll_back",
            f"class set {class_set!r} is untrained, and was so before; `docintake checkpoints promote` changes that",
        )
    queries.promote(
        connection,
        class_set=class_set,
        checkpoints=turn.now,
        back_to=earlier.back_to if earlier else None,
        by=by,
    )
    return turn


def compare(
    deciders: Deciders,
    a: Classifier,
    b: Classifier,
    labels: Mapping[str, str],
    thresholds: Thresholds,
    encoder: str,
    show: Callable[[int, int], None] = lambda _done, _total: None,
) -> Comparison:
    """Decide about every document that a set has classified, with each of two classifiers of its classes: `deciders`
    are that set's. `labels`: what people say that documents are, by their ids.
    """
    found = deciders.decide(Question(encoder, (a, b), thresholds, _disagreement), show)
    told = tuple(item._replace(label=labels.get(item.document_id)) for item in found.told)
    return Comparison(found.silent, told, found.without_features)


def _disagreement(item: LatestClassification, decisions: Sequence[Decision]) -> Disagreement | None:
    a, b = decisions
    if a.prediction == b.prediction:
        return None
    return Disagreement(
        document_id=item.sha256,
        uri=item.uri,
        a=a.prediction,
        a_confidence=a.confidence,
        b=b.prediction,
        b_confidence=b.confidence,
        label=None,
    )


def _read(store: Path, checkpoint: Checkpoint) -> "tuple[dict[str, Tensor], dict[str, Any]]":
    """A checkpoint's file, which must be that of its row and of no other."""
    from core import checkpoints

    tensors, about = checkpoints.read(checkpoints.file_in(store, checkpoint.file), checkpoint.sha256)
    for name, expected in (("class_set", checkpoint.class_set), ("encoder", checkpoint.encoder)):
        if about.get(name) != expected:
            raise ModelFailure(
                "checkpoint_unusable",
                f"{checkpoint.file} says that its {name.replace('_', ' ')} is {about.get(name)!r}, not {expected!r}",
            )
    return tensors, about


def _lock(connection: Connection, class_set: str) -> None:
    if not queries.lock_class_set(connection, class_set):
        raise RejectedInput(
            "unknown_class_set", f"there is no class set {class_set!r}; `docintake classes list` shows all"
        )


def _promotion(connection: Connection, promotion_id: int) -> queries.Promotion:
    found = queries.get_promotion(connection, promotion_id)
    assert found is not None  # noqa: S101 - a foreign key sees to it
    return found
