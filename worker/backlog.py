"""What waits in the queues: how much, and for how long."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kombu.exceptions import OperationalError
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import RedisError

from core.contract import PRIORITIES, QUEUES
from core.errors import TransientFailure

if TYPE_CHECKING:
    from celery import Celery

_NAMES: Final = {number: name for name, number in PRIORITIES.items()}


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in one queue: messages by priority, and the seconds since the oldest of them was sent; none where
    nothing waits, or where its sender did not say when that was (header `sent_at`, as IntakeClient does).
    """

    queue: str
    messages: Mapping[str, int]
    oldest: float | None


def look(app: "Celery") -> tuple[Backlog, ...]:
    """All queues, in the order of their names. Raises TransientFailure(`broker_unavailable`)."""
    try:
        with app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
            return tuple(_look(connection.default_channel, queue) for queue in sorted(set(QUEUES.values())))
    except (OperationalError, RedisError) as error:
        raise TransientFailure(
            "broker_unavailable", "the broker cannot be reached; `docintake doctor` says more"
        ) from error


def _look(channel: object, queue: str) -> Backlog:
    heads = channel.heads(queue)  # type: ignore[attr-defined] # kombu has no types; ours, worker.transport
    sent = [head.sent_at for head in heads if head.sent_at is not None]
    messages: Counter[str] = Counter()
    for head in heads:
        messages[_NAMES.get(head.priority, str(head.priority))] += head.messages
    # Its sender's clock may be ahead.
    return Backlog(queue, dict(messages), max(0.0, time.time() - min(sent)) if sent else None)


class Backlogs(Collector):
    """The same for Prometheus, looked up whenever it asks; while Redis is away, that it is."""

    def __init__(self, app: "Celery") -> None:
        self._app = app

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("docintake_broker_up", "Whether this node reaches Redis.")
        messages = GaugeMetricFamily(
            "docintake_queue_messages", "Messages that wait in a queue.", labels=["queue", "priority"]
        )
        oldest = GaugeMetricFamily(
            "docintake_queue_oldest_seconds",
            "Seconds since the oldest message that waits in a queue was sent; 0: none waits.",
            labels=["queue"],
        )
        try:
            backlogs = look(self._app)
        except TransientFailure:
            backlogs = ()
        up.add_metric([], float(bool(backlogs)))
        for backlog in backlogs:
            oldest.add_metric([backlog.queue], backlog.oldest or 0.0)
            for priority, count in backlog.messages.items():
                messages.add_metric([backlog.queue, priority], count)
        return iter((up, messages, oldest))
