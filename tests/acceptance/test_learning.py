"""Learning with real processes: a trainer killed in mid-epoch, and checkpoints that change under traffic.

Real nodes on a real PostgreSQL and Redis; the `fake` backend.
"""

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from node import PATIENCE, Node, disconnect, wait_until
from parted import Parts
from printed import pdf
from pydantic import SecretStr
from sqlalchemy import Engine, text

from core.class_set import ClassSet, DocumentClass
from core.contract import RETRAIN, ClassifyResult, Handle, IntakeClient, RetrainResult
from core.settings import Broker, Database, Documents, Model, Reading, Settings, Training
from core.settings import Node as NodeSettings
from db import queries
from db.session import make_engine, transaction
from worker import checkpoints, class_sets
from worker.reaper import REAP

WORDS = {
    "north": "parcel crate freight pallet",
    "south": "nurse ward doctor clinic",
    "east": "tenant lease flat rent",
}
EACH = 12
"""Labelled documents of each desk."""
QUICK = {"epochs": 6, "min_new_labels": 4, "learning_rate": 0.01}
SERVED_WITHIN = 3.0
"""Seconds from a promotion to the first task that every node decides by it."""


class Office:
    """Desks whose descriptions say nothing, what people say of their papers, and the nodes behind."""

    def __init__(self, settings: Settings, folder: Path, database: Engine) -> None:
        self.settings = settings
        self.folder = folder
        self.database = database
        self.client = self.another_client()
        self._draw = random.Random(7)

    def another_client(self) -> IntakeClient:
        assert self.settings.broker.url
        return IntakeClient(self.settings.broker.url.get_secret_value(), key_prefix=self.settings.broker.key_prefix)

    def trainer(self) -> Node:
        return Node(self.settings, self.folder, "trainer", queues="retrain")

    def node(self, name: str = "node") -> Node:
        return Node(self.settings, self.folder, name)

    def paper(self, desk: str) -> str:
        # What an untrained model makes of a paper hangs on every word: the same papers each time.
        path = self.folder / f"{self._draw.getrandbits(128):032x}.pdf"
        path.write_bytes(pdf([*WORDS[desk].split(), f"case {path.stem}"]))
        return path.as_uri()

    def label(self) -> None:
        """Have people say of papers what they are."""
        for desk in WORDS:
            parts, sent = Parts(EACH), []
            while not parts.complete:
                uri = self.paper(desk)
                if parts.take(Path(uri.removeprefix("file://")).read_bytes()):
                    sent.append(self.client.correct(desk, by="ann", document=uri))
            for handle in sent:
                handle.get(PATIENCE)

    def promote(self, *ids: int, force: bool = False) -> None:
        with transaction(self.database) as connection:
            checkpoints.promote(connection, "intake", ids, "test", force=force)

    def reap(self) -> None:
        """What beat does every now and then."""
        self.client._app.send_task(REAP, queue="classify", ignore_result=True)

    def run_of(self, handle: Handle[RetrainResult]) -> queries.Run | None:
        with transaction(self.database) as connection:
            return queries.get_run_of(connection, handle.id)

    def epochs(self, handle: Handle[RetrainResult]) -> int:
        """How many epochs a run has behind it, as its row says."""
        run = self.run_of(handle)
        progress = (run and run.progress) or {"phase": "collecting", "done": 0}
        return int(progress["done"]) if progress["phase"] == "rehearsal" else 0


@pytest.fixture
def office(
    fresh_database: Callable[[], AbstractContextManager[str]], redis_url: str, tmp_path: Path
) -> Iterator[Office]:
    with fresh_database() as url:
        settings = Settings(
            data_dir=tmp_path / "data",
            broker=Broker(
                url=SecretStr(redis_url),
                key_prefix=f"{uuid.uuid4().hex}:",
                visibility_timeout=60,
                restore_interval=1,
            ),
            database=Database(url=SecretStr(url)),
            documents=Documents(roots=(str(tmp_path),)),
            reading=Reading(processes=1),
            model=Model(backend="fake"),
            training=Training(heartbeat=0.1, silent_for=3),
            node=NodeSettings(concurrency=4, retry_delay=0.3),
        )
        database = make_engine(url, statement_timeout=30, pool_size=2)
        classes = tuple(DocumentClass(name=name, description=f"what the {name} desk does") for name in WORDS)
        with transaction(database) as connection:
            class_sets.import_draft(connection, ClassSet(name="intake", classes=classes))
            class_sets.publish(connection, "intake")
        office = Office(settings, tmp_path, database)
        yield office
        disconnect(office.client)
        database.dispose()


def test_a_trainer_killed_in_mid_epoch_is_resumed_and_finishes_once(office: Office) -> None:
    with office.node() as node, office.trainer() as first:
        node.until_ready()
        first.until_ready()
        office.label()
        # Long enough that it cannot end before it is killed.
        handle = office.client.retrain(overrides={**QUICK, "epochs": 400, "patience": 400, "batch": 4})
        wait_until(lambda: office.epochs(handle) >= 3, "three epochs")
        for process in (*first.children(), first.process):
            process.kill()
        first.process.wait(PATIENCE)
        killed_at = office.epochs(handle)
        assert killed_at >= 3
        run = office.run_of(handle)
        assert run
        assert run.state == "running", "nobody was left to end it"

        with office.trainer() as second:
            second.until_ready()
            wait_until(
                lambda: office.client._app.send_task(REAP, queue="classify") and resumed(office, handle),
                "it goes on",
                60,
            )
            # Made to end soon: people may do that.
            wait_until(lambda: office.epochs(handle) > killed_at, "epochs after it was resumed")
            with transaction(office.database) as connection:
                assert queries.cancel_run(connection, run.id, "test")
            result = handle.get(PATIENCE)
            assert second.lines("run resumed"), second.log.read_text()
    assert (result.status, result.run_id) == ("cancelled", run.id)
    with transaction(office.database) as connection:
        (job,) = [job for job in queries.list_jobs(connection, limit=None) if job.task == RETRAIN]
    assert (job.state, job.attempts) == ("succeeded", 2)


def resumed(office: Office, handle: Handle[RetrainResult]) -> bool:
    time.sleep(0.5)
    run = office.run_of(handle)
    return bool(run and run.starts == 2)


class Traffic:
    """A back office that never stops asking; what it was told is kept in the order of asking."""

    def __init__(self, office: Office) -> None:
        # Celery's results belong to one thread each.
        self._client = office.another_client()
        self._ending = threading.Event()
        self._papers = [(desk, office.paper(desk)) for desk in WORDS for _ in range(4)]
        self._thread = threading.Thread(target=self._ask)
        self.told: list[tuple[float, str, ClassifyResult]] = []

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _ask(self) -> None:
        draw = random.Random(7)
        while not self._ending.is_set():
            asked = time.monotonic()
            sent = [(desk, self._client.classify(uri)) for desk, uri in draw.sample(self._papers, 6)]
            self.told += [(asked, desk, handle.get(PATIENCE)) for desk, handle in sent]
            # Leaves the trainer some of the machine.
            time.sleep(0.1)
        del sent
        disconnect(self._client)

    def since(self, moment: float) -> list[tuple[str, ClassifyResult]]:
        return [(desk, result) for asked, desk, result in list(self.told) if asked >= moment]

    def until_only(self, checkpoint: str | None) -> float:
        """Wait until all that is asked from some moment on is decided by that checkpoint; seconds until then."""
        start = time.monotonic()
        wait_until(
            lambda: any(result.checkpoint == checkpoint for _, result in self.since(start)),
            f"checkpoint {checkpoint}",
        )
        time.sleep(1.5)
        others = [asked for asked, _, result in list(self.told) if asked >= start and result.checkpoint != checkpoint]
        return max(others, default=start) - start


def test_better_ones_serve_worse_ones_do_not_and_back_again_under_traffic(office: Office) -> None:
    with office.node() as node, office.node("other") as other, office.trainer() as trainer:
        for process in (node, other, trainer):
            process.until_ready()
        office.label()
        with Traffic(office) as traffic:
            wait_until(lambda: len(traffic.told) > 12, "traffic")

            better = office.client.retrain(overrides=QUICK).get(PATIENCE)
            assert better.status == "promoted", better.reasons
            assert better.metrics["macro_accuracy_after"] > better.metrics["macro_accuracy_before"]
            promoted_within = traffic.until_only(str(better.checkpoint))

            # As good as the one that serves is not better.
            no_better = office.client.retrain(overrides={**QUICK, "seed": 3}).get(PATIENCE)
            assert no_better.status == "rejected", no_better.reasons
            rejected_at = time.monotonic()
            wait_until(lambda: len(traffic.since(rejected_at)) > 30, "traffic after the rejection")
            assert {result.checkpoint for _, result in traffic.since(rejected_at)} == {str(better.checkpoint)}

            with transaction(office.database) as connection:
                turn = checkpoints.roll_back(connection, "intake", "test")
            assert (turn.now, turn.before) == ((), (better.checkpoint,))
            rolled_back_within = traffic.until_only(None)

            assert better.checkpoint
            assert no_better.checkpoint
            office.promote(better.checkpoint, no_better.checkpoint, force=True)
            ensemble_within = traffic.until_only(f"{better.checkpoint}+{no_better.checkpoint}")
        states = failed_or_open(office)
    figures = (
        f"promoted {promoted_within:.1f} s, rolled back {rolled_back_within:.1f} s, ensemble {ensemble_within:.1f} s"
    )
    print(f"{len(traffic.told)} tasks; {figures}")
    assert max(promoted_within, rolled_back_within, ensemble_within) <= SERVED_WITHIN, figures
    assert states == {}, "no task failed"

    # Each result is wholly of the checkpoint that it names: the same paper, the same checkpoint, the same numbers.
    seen: dict[tuple[str, str | None], tuple[str | None, float, tuple[tuple[str, float], ...]]] = {}
    for _, _, result in traffic.told:
        said = (result.prediction, result.confidence, tuple(result.probabilities.items()))
        assert seen.setdefault((result.document.document_id, result.checkpoint), said) == said
    trained = [result.prediction == desk for _, desk, result in traffic.told if result.checkpoint is not None]
    untrained = [result.prediction == desk for _, desk, result in traffic.told if result.checkpoint is None]
    assert sum(trained) / len(trained) > 0.95
    assert sum(untrained) / len(untrained) < 0.7


def failed_or_open(office: Office) -> dict[str, int]:
    with transaction(office.database) as connection:
        rows = connection.execute(text("SELECT state, count(*) FROM jobs WHERE state <> 'succeeded' GROUP BY state"))
        return {state: count for state, count in rows.all() if state != "started"}
