"""What monitors hear of a node."""

import threading
import time
from collections.abc import Iterator

import pytest
from celery import Celery
from node import wait_until

from core.settings import Settings
from worker.app import make_app
from worker.events import Dispatcher

THREADS, EACH = 8, 100


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    app = make_app(settings)
    yield app
    app.close()


def test_nothing_is_lost_that_threads_tell_while_others_are_sent(app: Celery) -> None:
    listens, heard = threading.Event(), list[int]()
    with app.connection_for_read() as listening, app.connection_for_write() as telling:
        receiver = app.events.Receiver(
            listening,
            handlers={
                "task-here": lambda _event: listens.set(),
                "task-told": lambda event: heard.append(event["number"]),
            },
        )
        hearing = threading.Thread(target=receiver.capture, kwargs={"wakeup": False})
        hearing.start()
        dispatcher = app.events.Dispatcher(telling, hostname="node@here", buffer_group=["task"])
        assert isinstance(dispatcher, Dispatcher)
        while not listens.wait(0.05):
            dispatcher.send("task-here")
            dispatcher.flush()

        def tell(first: int) -> None:
            for number in range(first, first + EACH):
                dispatcher.send("task-told", number=number)
                time.sleep(0.001)

        threads = [threading.Thread(target=tell, args=(first,)) for first in range(0, THREADS * EACH, EACH)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            dispatcher.flush()
        dispatcher.flush()
        try:
            wait_until(lambda: len(heard) == THREADS * EACH, "every event is heard", 10)
        finally:
            receiver.should_stop = True
            # It looks at that when it hears something.
            dispatcher.send("task-here")
            dispatcher.flush()
            hearing.join()
    assert sorted(heard) == list(range(THREADS * EACH))
