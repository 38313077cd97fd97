"""Celery's results in Redis, those that come at the same time in one step."""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from celery import Celery
from celery.backends.redis import RedisBackend
from celery.states import SUCCESS

Entry = tuple[bytes, str, Future[None]]
"""Key and value, and whether they are written."""


class Results(RedisBackend):  # type: ignore[misc] # Celery has no types
    """One for all threads of a node: whoever has a result while nobody writes, writes all that wait, until none do.

    Celery makes one a thread, each with a line of its own, and asks Redis before each result whether the task has
    succeeded before. A job succeeds once, and says the same however often it is delivered: only what is no success
    has to look whether it comes too late.
    """

    @classmethod
    def serve(cls, app: Celery) -> None:
        """Be the app's, whose URL stays what it is: of one that names a class monitors would show the password."""
        app.loader.override_backends = dict.fromkeys(("redis", "rediss"), f"{cls.__module__}:{cls.__name__}")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.thread_safe = True
        self._waiting: deque[Entry] = deque()
        self._writing = threading.Lock()

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Celery would listen for the result of what a node sends: threads cannot share that, and no node waits."""

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **options: Any
    ) -> Any:
        if state != SUCCESS:
            return super()._store_result(task_id, result, state, traceback, request, **options)
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        self.set(self.get_key_for_task(task_id), self.encode(meta | {"task_id": task_id}))
        return result

    def _set(self, key: bytes, value: str) -> None:
        written: Future[None] = Future()
        self._waiting.append((key, value, written))
        # Whoever finds another one writing need not write: that one looks again when it has written.
        while self._waiting and self._writing.acquire(blocking=False):
            try:
                self._write([self._waiting.popleft() for _ in range(len(self._waiting))])
            finally:
                self._writing.release()
        written.result()

    def _write(self, together: Sequence[Entry]) -> None:
        try:
            with self.client.pipeline(transaction=False) as pipe:
                for key, value, _ in together:
                    pipe.set(key, value, ex=self.expires).publish(key, value)
                pipe.execute()
        except BaseException as error:  # noqa: BLE001 - each of them raises it
            for _, _, written in together:
                written.set_exception(error)
        else:
            for _, _, written in together:
                written.set_result(None)
