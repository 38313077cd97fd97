"""Calls that may never return, made by threads that can be left behind."""

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Final, TypeVar

Result = TypeVar("Result")


def aside(call: Callable[[], Result]) -> "Future[Result]":
    """Make the call in a thread that does nothing else until it ends, and keeps no process from ending."""
    outcome: Future[Result] = Future()
    try:
        thread = _IDLE.pop()
    except IndexError:
        thread = _Thread(name="aside", daemon=True)
        thread.start()
    thread.calls.put((call, outcome))
    return outcome


class _Thread(threading.Thread):
    """Kept when its call has ended: to start one costs more than to read a file."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()

    def run(self) -> None:
        while True:
            self._make(*self.calls.get())
            _IDLE.append(self)

    @staticmethod
    def _make(call: Callable[[], Any], outcome: "Future[Any]") -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            outcome.set_exception(error)
        else:
            outcome.set_result(result)


_IDLE: Final[deque[_Thread]] = deque()
os.register_at_fork(after_in_child=_IDLE.clear)
