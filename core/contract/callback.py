"""Where a back office hears of its request's end: a task of its own, on a queue of its own."""

from typing import Annotated

from pydantic import AfterValidator, Field

from .document import Wire
from .names import QUEUES

_TAKEN = ("unacked", "celery-task-meta", "celeryev", "nothing")
"""How names begin under which kombu and Celery keep other things in the same Redis."""


def _not_a_task_of_ours(value: str) -> str:
    if value.startswith("docintake."):
        raise ValueError("a task of docintake's own takes no outcomes")
    return value


def _not_a_queue_of_ours(value: str) -> str:
    if value in QUEUES.values() or value.startswith(_TAKEN) or "pidbox" in value:
        raise ValueError("a queue of docintake's or Celery's own takes no outcomes")
    return value


class Callback(Wire):
    """Which task the outcome is sent to, and on which queue: one that the worker's settings allow."""

    task: Annotated[str, AfterValidator(_not_a_task_of_ours)] = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_.:-]*$", max_length=200, description="Name of a Celery task of yours."
    )
    queue: Annotated[str, AfterValidator(_not_a_queue_of_ours)] = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$",
        max_length=100,
        description="Queue that a worker of yours takes from.",
    )
