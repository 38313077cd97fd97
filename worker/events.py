"""What a node tells monitors such as Flower: several events at a time, and none lost on the way."""

from typing import Any, Final

from celery.app.events import Events as CeleryEvents
from celery.bootsteps import StartStopStep
from celery.events.dispatcher import EventDispatcher

TOGETHER: Final = 0.1
"""Seconds that an event may wait for others: one by one, telling costs as much as the rest of a message's way."""
_MOST: Final = 10_000
"""Events that wait at most while nobody sends them: more are sent by the task's own thread."""


class Dispatcher(EventDispatcher):  # type: ignore[misc] # Celery has no types
    """Celery's clears what it has just sent, and with it what task threads have added meanwhile."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **(options | {"buffer_limit": _MOST}))

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        super().flush(errors, groups=False)
        if groups:
            with self.mutex:
                for group, events in list(self._group_buffer.items()):
                    if waiting := events[:]:
                        self._publish(waiting, self.producer, f"{group}.multi")
                        del events[: len(waiting)]


class Events(CeleryEvents):  # type: ignore[misc]
    dispatcher_cls = f"{__name__}:Dispatcher"


class Telling(StartStopStep):  # type: ignore[misc]
    """Has a node's loop send its events every `TOGETHER` seconds, and when it stops."""

    requires = ("celery.worker.consumer.events:Events",)

    def start(self, consumer: Any) -> None:
        consumer.event_dispatcher.on_send_buffered = None
        self._telling = consumer.timer.call_repeatedly(TOGETHER, consumer.event_dispatcher.flush)

    def stop(self, consumer: Any) -> None:
        self._telling.cancel()
        consumer.event_dispatcher.flush()
