"""Requests that were forgotten while some node had them in its hands: nodes drop them without a trace."""

from typing import Any, Final

from celery.utils.collections import LimitedSet
from celery.worker.control import control_command

REMEMBERED: Final = 600.0
"""Seconds; a task that was forgotten under way, and is sent anew under its own id, is dropped for as long."""
_forgotten: Final = LimitedSet(maxlen=50_000, expires=REMEMBERED)

DROP: Final = "drop_forgotten"


@control_command(name=DROP)  # type: ignore[untyped-decorator] # Celery has no types
def drop(_state: Any, task_ids: list[str], **_: Any) -> None:
    """Every node hears of it: a message that waits for its time is in the memory of one of them."""
    for task_id in task_ids:
        _forgotten.add(task_id)


def is_forgotten(task_id: str) -> bool:
    _forgotten.purge()
    return task_id in _forgotten
