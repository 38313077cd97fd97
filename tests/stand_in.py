"""`docintake` with a stand-in for training: a run goes on until the folder that its request names holds a file `go`.

Requests say more in their overrides: see `train`.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

from celery import current_task
from sqlalchemy import Connection

from core.contract import RETRAIN, RetrainRequest, RetrainResult, TrainingProgress
from core.errors import TransientFailure
from core.settings import Settings
from db import queries
from db.queries import Job
from db.session import transaction
from worker import app, job, schedule, trainer
from worker.cli.main import main
from worker.runtime import Runtime
from worker.tasks import JOBS

PROGRESS = TrainingProgress(phase="training", done=1, total=3, loss=0.5)


def train(runtime: Runtime, started: Job, request: RetrainRequest) -> job.Done:
    """Note in `starts` that a run began, and where; beat and look around until it may go on.

    `deaf`: does not stop at its time limit, wherever it is by then, like one that hangs in a library.
    """
    if request.overrides.get("deaf"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    class_set = request.class_set or "intake"
    folder = Path(request.overrides.get("folder", runtime.settings.data_dir))
    with (folder / "starts").open("a") as starts:
        starts.write(f"{started.task_id} {os.getpid()}\n")
    with transaction(runtime.engine) as connection:
        queries.create_class_set(connection, class_set)
        run = queries.resume_run(connection, task_id=started.task_id, node=runtime.node) or queries.open_run(
            connection, task_id=started.task_id, class_set=class_set, node=runtime.node
        )
    assert run
    progress = PROGRESS.model_dump(mode="json")
    trainer.show(current_task, PROGRESS)
    while not (folder / "go").exists():
        with transaction(runtime.engine) as connection:
            queries.beat_run(connection, run.id, progress)
        if runtime.stopping():
            raise TransientFailure("node_stopping", "the trainer is stopping; another one goes on")
        time.sleep(0.05)

    def store(connection: Connection) -> RetrainResult:
        result = RetrainResult(
            task_id=started.task_id, class_set=class_set, status="skipped", reasons=[], run_id=run.id, checkpoint=None
        )
        queries.finish_run(
            connection, run.id, state="skipped", fingerprint=None, result=result.model_dump(mode="json")
        )
        return result

    return job.Done(store, {})


def recall(runtime: Runtime, task_id: str, _request: RetrainRequest) -> RetrainResult:
    with transaction(runtime.engine) as connection:
        run = queries.get_run_of(connection, task_id)
    assert run
    return RetrainResult.model_validate(run.result)


class SlowToLoad(Runtime):
    """Is not loaded while the data folder holds a file `slow`."""

    def __init__(self, settings: Settings, *args: Any, **options: Any) -> None:
        (settings.data_dir / "loading").write_text(str(os.getpid()))
        while (settings.data_dir / "slow").exists():
            time.sleep(0.05)
        super().__init__(settings, *args, **options)


if __name__ == "__main__":
    JOBS[RETRAIN] = job.Kind(RETRAIN, RetrainRequest, train, recall)
    app.Runtime = SlowToLoad
    trainer.GRACE = 1.0
    schedule.SETTLING = 0.0
    main()
