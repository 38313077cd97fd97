"""What nodes say when all of them are asked at once who they are and what they are doing."""

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import psutil
from celery.worker import state as worker_state
from celery.worker.control import inspect_command

if TYPE_CHECKING:
    from celery import Celery

ROLL_CALL: Final = "roll_call"
_PATIENCE: Final = 3.0
"""Seconds in which a node answers that is not stuck, however busy its machine."""


@dataclass(frozen=True, slots=True)
class Doing:
    """A task that a node is at, and for how many seconds."""

    task_id: str
    task: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Node:
    """A node that answered. `device` and `model` are none of a trainer, which holds its model while it trains."""

    name: str
    queues: Sequence[str]
    device: str | None
    model: str | None
    up_for: float
    stopping: bool
    doing: Sequence[Doing]


def call(app: "Celery") -> tuple[Node, ...]:
    """Every node that answers, by name: at once where all that listen do, else after three seconds without another.

    Raises kombu's OperationalError or redis' RedisError.
    """
    with app.connection_for_write() as connection:
        listening = len(connection.default_channel.get_table(app.control.mailbox.exchange.name))
        if not listening:
            return ()
        # One that was killed is still counted, and waited for.
        answers = app.control.broadcast(
            ROLL_CALL, reply=True, timeout=_PATIENCE, limit=listening, connection=connection
        )
    found = [(name, said) for answer in answers for name, said in answer.items() if "queues" in said]
    return tuple(
        Node(name, **{**said, "doing": [Doing(**task) for task in said["doing"]]}) for name, said in sorted(found)
    )


@inspect_command(name=ROLL_CALL)  # type: ignore[untyped-decorator] # Celery has no types
def answer(state: Any, **_: Any) -> dict[str, Any]:
    """On the loop of a node: it waits for nothing."""
    held = state.app.held
    backend = held.runtime and held.runtime.backend
    now = time.time()
    return {
        "queues": sorted(queue.name for queue in state.consumer.task_consumer.queues),
        "device": backend and backend.device,
        "model": backend and backend.fingerprint,
        "up_for": round(now - psutil.Process(os.getpid()).create_time(), 1),
        "stopping": held.stopping,
        "doing": [
            asdict(Doing(request.id, request.name, round(max(0.0, now - (request.time_start or now)), 1)))
            for request in list(worker_state.active_requests)
        ],
    }
