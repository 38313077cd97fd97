"""The retrain job: from the labels that people gave to a checkpoint that serves, or to the reason why none does."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog
from celery import current_task
from pydantic import ValidationError
from sqlalchemy import Connection

from core.class_set import ClassSet
from core.contract import RetrainRequest, RetrainResult, TrainingProgress
from core.documents import fetch_bytes
from core.errors import RejectedInput, TransientFailure
from core.settings import CaptionsFolder, Training
from core.training.captions import CaptionedImage, read_captions
from core.training.dataset import Dataset, differ_in_labels_alone, fingerprint
from db import queries
from db.queries import Job, Label, Run
from db.session import transaction
from worker import checkpoints, class_sets, job, trainer
from worker.catalogue import Choice
from worker.examples import Gathered, gather
from worker.runtime import Runtime

if TYPE_CHECKING:
    from core.training.lesson import Lesson

log = structlog.get_logger()

BY: Final = "retrain"
"""Who promotes what passed the gate."""
_FIXED: Final = {
    *("store", "captions", "device", "yield_for", "heartbeat", "silent_for", "time_limit"),
    *("validation_share", "test_share"),
}
"""Settings of the deployment, not of a run: what judges one run must not have taught another."""


class _Skip(Exception):
    """There is nothing to do: why."""


class _Cancelled(Exception):
    """Somebody asked the run to end: who."""


@dataclass(frozen=True, slots=True)
class _Task:
    """What a run is to do, before it looks at any label."""

    runtime: Runtime
    started: Job
    class_set: str
    settings: Training
    captions: tuple[CaptionsFolder, ...]

    @property
    def state(self) -> Path:
        """Where its lesson is saved, so that it goes on there should its process die."""
        return self.runtime.settings.checkpoints / "runs" / f"{self.started.task_id.replace('/', '_')}.safetensors"

    def result(self, status: str, reasons: list[str], run: Run | None, **found: Any) -> RetrainResult:
        return RetrainResult.model_validate(
            {
                "task_id": self.started.task_id,
                "class_set": self.class_set,
                "status": status,
                "reasons": reasons,
                "run_id": run and run.id,
                "checkpoint": None,
                **found,
            }
        )


def retrain(runtime: Runtime, started: Job, request: RetrainRequest) -> job.Done:
    """Train a class set's alignment, judge it, and promote it if it is better.

    One run of a set at a time: a lock that dies with its holder, and the run's row, see to that. A run whose trainer
    died goes on where it was, with the labels that it began with. Nothing is trained, and the reason said, where too
    little is new.
    """
    task = _Task(
        runtime,
        started,
        request.class_set or runtime.settings.deciding.class_set,
        _settings_of(runtime.settings.training, request.overrides),
        _captions_of(runtime.settings.training, request, runtime.settings.deciding.class_set),
    )
    if task.settings.unfreeze_last_blocks:
        # What is to be refused is refused before documents are looked for.
        runtime.backend.trainable(task.settings.unfreeze_last_blocks)
    choice = runtime.catalogue.published(task.class_set)
    with _alone(runtime, task.class_set) as alone:
        if not alone:
            return _skipped(task, "already running: another run of this class set has not ended")
        try:
            run = _begin(task)
        except _Skip as why:
            return _skipped(task, str(why))
        try:
            return _run(task, choice, run)
        except TransientFailure:
            raise
        except BaseException:
            # job.run ends the job and says why.
            with transaction(runtime.engine) as connection:
                queries.finish_run(connection, run.id, state="failed", fingerprint=None, result=None)
            raise


def recall(runtime: Runtime, task_id: str, _request: RetrainRequest) -> RetrainResult:
    """How the task's run ended."""
    with transaction(runtime.engine) as connection:
        run = queries.get_run_of(connection, task_id)
    if run is None or run.result is None:
        raise RejectedInput("run_gone", f"the run of task {task_id} was removed; start another one")
    return RetrainResult.model_validate(run.result)


def _run(task: _Task, choice: Choice, run: Run) -> job.Done:
    # torch: only for those who train.
    from core.training import lesson as training

    runtime, seconds = task.runtime, dict[str, float]()
    with _Heart(task, run) as heart:
        try:
            with transaction(runtime.engine) as connection:
                labels = queries.latest_labels(connection, task.class_set, run.labels_up_to)
                version = class_sets.find(connection, task.class_set, choice.version)
                class_set = class_sets.read(connection, version)
                serving = _serving(connection, task.class_set)
            files = {folder.file: fetch_bytes(folder.file, runtime.settings.documents) for folder in task.captions}
            mark = fingerprint(
                [(label.sha256, label.label) for label in labels],
                [f"{folder.images}\n".encode() + files[folder.file] for folder in task.captions],
                class_set,
                runtime.encoder,
                task.settings,
            )
            _refuse_the_same(task, labels, mark)
            images = [image for folder in task.captions for image in read_captions(files[folder.file], folder.images)]
            gathered = _gather(task, heart, labels, images, class_set, choice)
            dataset = Dataset.part(gathered.examples, task.settings)
            _refuse_too_few(dataset)
            lesson = training.learn(
                dataset,
                training.Subject(
                    class_set=class_set,
                    version=version.number,
                    classifier=choice.classifier.with_learned(()),
                    serving=choice.classifier,
                    encode_texts=runtime.encode_texts,
                    encoder=runtime.encoder,
                    parents=choice.checkpoints,
                    trainable=runtime.backend.trainable,
                    shared=runtime.backend.shared,
                    worded=runtime.backend.needs_text,
                ),
                task.settings,
                skipped=gathered.left_out,
                device=runtime.backend.device,
                state=task.state,
                report=heart.tell,
                wait=lambda: runtime.turn.wait(task.settings.yield_for),
            )
        except _Skip as why:
            result = task.result("skipped", [str(why)], run)
            return _ended(task, run, result, None)
        except _Cancelled as who:
            result = task.result("cancelled", [f"{who} asked for it"], run)
            return _ended(task, run, result, None)
    seconds["train"] = round(lesson.report.seconds, 3)
    log.info("trained", class_set=task.class_set, run=run.id, accepted=lesson.report.accepted, **seconds)
    return _judged(task, run, serving, version.id, lesson, mark, len(gathered.examples), seconds)


def _begin(task: _Task) -> Run:
    """The task's run, begun or resumed. Raises _Skip where another run of the set has to end first."""
    with transaction(task.runtime.engine) as connection:
        queries.end_orphaned_runs(connection, task.class_set)
        labels = queries.latest_labels(connection, task.class_set)
        opened = queries.open_run(
            connection,
            task_id=task.started.task_id,
            class_set=task.class_set,
            node=task.runtime.node,
            labels_up_to=labels[-1].correction_id if labels else 0,
        )
        if opened is not None:
            return opened
        other = queries.running_run(connection, task.class_set)
        if other is not None and other.task_id != task.started.task_id:
            raise _Skip(f"already running: run {other.id} was interrupted and goes on first")
        resumed = queries.resume_run(connection, task_id=task.started.task_id, node=task.runtime.node)
    if resumed is None:
        raise _Skip("its run has ended already")
    log.info("run resumed", class_set=task.class_set, run=resumed.id, starts=resumed.starts)
    return resumed


def _refuse_the_same(task: _Task, labels: list[Label], mark: str) -> None:
    """Raises _Skip where nothing, or too little, is new since the last run that trained."""
    least = task.settings.min_new_labels
    with transaction(task.runtime.engine) as connection:
        last = queries.latest_trained(connection, task.class_set)
        if last is None:
            if len(labels) < least and not task.captions:
                raise _Skip(f"{len(labels)} labels of {least} needed")
            return
        new = queries.count_labels_since(connection, task.class_set, last.labels_up_to)
    if mark == last.fingerprint:
        raise _Skip(f"nothing changed since run {last.id}")
    if new < least and differ_in_labels_alone(mark, last.fingerprint or ""):
        raise _Skip(f"{new} new labels of {least} needed; nothing else changed since run {last.id}")


def _refuse_too_few(dataset: Dataset) -> None:
    """Raises _Skip where nothing can be learned, or nothing judged."""
    taught = {example.label for example in (*dataset.train, *dataset.validation)}
    if len(taught) < 2:
        raise _Skip(f"labels of two classes at least are needed to learn from; there are those of {len(taught)}")
    if not dataset.test:
        raise _Skip("none of the labelled documents is among those that judge; more labels are needed")


def _gather(
    task: _Task,
    heart: "_Heart",
    labels: list[Label],
    images: list[CaptionedImage],
    class_set: ClassSet,
    choice: Choice,
) -> Gathered:
    def tell(done: int, total: int) -> None:
        heart.tell(TrainingProgress(phase="collecting", done=done, total=total))

    return gather(task.runtime, labels, images, set(class_set.names), task.settings, choice, tell)


def _judged(
    task: _Task,
    run: Run,
    serving: tuple[int, ...],
    version_id: int,
    lesson: "Lesson",
    mark: str,
    labels: int,
    seconds: dict[str, float],
) -> job.Done:
    report = lesson.report

    def store(connection: Connection) -> RetrainResult:
        queries.lock_class_set(connection, task.class_set)
        kept = checkpoints.keep(
            connection,
            task.runtime.settings.checkpoints,
            lesson.learned,
            report,
            run_id=run.id,
            class_version_id=version_id,
            fingerprint=mark,
        )
        # Promoted only over what it was compared with.
        promoted = report.accepted and _serving(connection, task.class_set) == serving
        reasons = list(report.reasons)
        if promoted:
            checkpoints.promote(connection, task.class_set, [kept.id], BY)
        elif report.accepted:
            reasons.append("what serves was changed meanwhile: promote it by hand if it is to take that one's place")
        result = task.result(
            "promoted" if promoted else "rejected",
            reasons,
            run,
            checkpoint=kept.id,
            metrics=kept.metrics,
            labels=labels,
            left_out=len(report.skipped),
        )
        return _end(connection, task, run, result, mark)

    return job.Done(store, seconds)


def _serving(connection: Connection, class_set: str) -> tuple[int, ...]:
    return tuple(item.id for item in checkpoints.serving(connection, class_set))


def _ended(task: _Task, run: Run, result: RetrainResult, mark: str | None) -> job.Done:
    return job.Done(lambda connection: _end(connection, task, run, result, mark), {})


def _end(connection: Connection, task: _Task, run: Run, result: RetrainResult, mark: str | None) -> RetrainResult:
    queries.finish_run(
        connection, run.id, state=result.status, fingerprint=mark, result=result.model_dump(mode="json")
    )
    # Should the transaction fail after all, the lesson is given again.
    task.state.unlink(missing_ok=True)
    return result


def _skipped(task: _Task, why: str) -> job.Done:
    """The end of a task that never had a run of its own."""

    def store(connection: Connection) -> RetrainResult:
        result = task.result("skipped", [why], None)
        queries.skip_run(
            connection,
            task_id=task.started.task_id,
            class_set=task.class_set,
            node=task.runtime.node,
            result=result.model_dump(mode="json"),
        )
        return result

    log.info("run skipped", class_set=task.class_set, why=why)
    return job.Done(store, {})


@contextmanager
def _alone(runtime: Runtime, class_set: str) -> Iterator[bool]:
    """Whether nobody else trains this set: held until the block ends, or this process does."""
    with transaction(runtime.engine.execution_options(isolation_level="AUTOCOMMIT")) as connection:
        # The lock is the connection's: closed with it, and never back into the pool.
        connection.detach()
        yield queries.lock_training(connection, class_set)


class _Heart:
    """Says every few seconds that a run is alive and how far it is, and hears whether it is to stop."""

    def __init__(self, task: _Task, run: Run) -> None:
        self._task = task
        self._run = run
        self._progress: Mapping[str, Any] | None = None
        self._cancelled_by: str | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)

    def __enter__(self) -> "_Heart":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def tell(self, progress: TrainingProgress) -> None:
        """Note how far the run is. Raises _Cancelled, or TransientFailure(`node_stopping`), where it is to end."""
        self._progress = progress.model_dump(mode="json")
        if current_task:
            trainer.show(current_task, progress)
        if self._cancelled_by is not None:
            raise _Cancelled(self._cancelled_by)
        if self._task.runtime.stopping():
            raise TransientFailure("node_stopping", "the trainer is stopping; the run goes on where it is")

    def _beat(self) -> None:
        while not self._ending.wait(self._task.runtime.settings.training.heartbeat):
            try:
                with transaction(self._task.runtime.engine) as connection:
                    self._cancelled_by = queries.beat_run(connection, self._run.id, self._progress)
            except TransientFailure as error:
                log.warning("a run's sign of life was lost", run=self._run.id, code=error.code)


def _settings_of(settings: Training, overrides: Mapping[str, Any]) -> Training:
    """The settings with a run's own. Raises RejectedInput(`bad_overrides`) that names those at fault."""
    own = sorted(set(Training.model_fields) - _FIXED)
    unknown = sorted(set(overrides) - set(own))
    if unknown:
        raise RejectedInput(
            "bad_overrides",
            f"no run has a setting {', '.join(map(repr, unknown))} of its own; it has {', '.join(own)}",
        )
    try:
        return Training.model_validate({**settings.model_dump(), **overrides})
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise RejectedInput("bad_overrides", f"the run's own settings: {faults}") from error


def _captions_of(settings: Training, request: RetrainRequest, default: str) -> tuple[CaptionsFolder, ...]:
    standing = settings.captions.get(request.class_set or default, ())
    own = request.captions
    return standing if own is None else (*standing, CaptionsFolder(file=own.file, images=own.images))
