"""The one thread that touches the device: concurrent tasks' pages join into batches on it."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import structlog

from core.errors import IntakeError, ModelFailure, TransientFailure

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
AnyT = TypeVar("AnyT")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Item(Generic[ItemT, ResultT]):
    value: ItemT
    future: Future[ResultT] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class _Call:
    function: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)


class Batcher(Generic[ItemT, ResultT]):
    """Runs `run_batch` on a thread of its own, on whatever items wait, at most `max_batch` at a time.

    It never waits for company: while one batch is on the device the next one gathers, so an idle device serves
    a lone item at once and a busy one fills its batches. A batch that fails is halved and tried again, so an
    item that fails alone fails alone. If the thread itself dies, all waiting callers fail with
    TransientFailure(`device_lost`) and `on_death` is called.
    """

    def __init__(
        self,
        run_batch: Callable[[Sequence[ItemT]], Sequence[ResultT]],
        max_batch: int,
        on_death: Callable[[], None],
    ) -> None:
        self._run_batch = run_batch
        self._max_batch = max_batch
        self._on_death = on_death
        self._waiting: queue.SimpleQueue[_Item[ItemT, ResultT] | _Call | None] = queue.SimpleQueue()
        self._in_hand: list[_Item[ItemT, ResultT] | _Call] = []
        self._entry = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="device", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def submit(self, value: ItemT) -> "Future[ResultT]":
        """Have one item run in a batch. Its future fails with ModelFailure when the item cannot be run."""
        item: _Item[ItemT, ResultT] = _Item(value)
        self._enter(item)
        return item.future

    def call(self, function: Callable[[], AnyT]) -> AnyT:
        """Run `function` on the device thread, between batches, and wait for what it returns."""
        call = _Call(function)
        self._enter(call)
        value: AnyT = call.future.result()
        return value

    def close(self) -> None:
        """Finish what waits, then stop the thread. What is submitted afterwards fails."""
        with self._entry:
            self._closed = True
            self._waiting.put(None)
        self._thread.join()

    def _enter(self, work: _Item[ItemT, ResultT] | _Call) -> None:
        with self._entry:
            if self._closed:
                raise TransientFailure("device_lost", "this node is stopping; the task goes to another one")
            self._waiting.put(work)

    def _serve(self) -> None:
        try:
            while (first := self._waiting.get()) is not None:
                self._in_hand.append(first)
                if isinstance(first, _Call):
                    self._run_call(first)
                elif not self._gather_and_run():
                    break
                self._in_hand.clear()
        except BaseException:
            log.critical("device thread died", exc_info=True)
            self._fail_everyone()
            self._on_death()
            raise

    def _gather_and_run(self) -> bool:
        """Run the item in hand with those that wait behind it; False when told to stop meanwhile."""
        go_on, call = True, None
        while len(self._in_hand) < self._max_batch:
            try:
                following = self._waiting.get_nowait()
            except queue.Empty:
                break
            if following is None:
                go_on = False
                break
            self._in_hand.append(following)
            if isinstance(following, _Call):
                call = following
                break
        self._run([work for work in self._in_hand if isinstance(work, _Item)])
        if call is not None:
            self._run_call(call)
        return go_on

    def _run(self, items: Sequence[_Item[ItemT, ResultT]]) -> None:
        try:
            results = self._run_batch([item.value for item in items])
            if len(results) != len(items):
                raise ModelFailure("model_failed", f"the model gave {len(results)} results for {len(items)} pages")
        except Exception as error:  # noqa: BLE001 - whatever a model raises belongs to the item that made it raise
            if len(items) == 1:
                items[0].future.set_exception(_as_failure(error))
                return
            log.warning("batch failed, halving it", size=len(items), error=type(error).__name__)
            middle = len(items) // 2
            self._run(items[:middle])
            self._run(items[middle:])
            return
        for item, result in zip(items, results, strict=True):
            item.future.set_result(result)

    @staticmethod
    def _run_call(call: _Call) -> None:
        try:
            call.future.set_result(call.function())
        except Exception as error:  # noqa: BLE001 - handed to the caller that waits for it
            call.future.set_exception(_as_failure(error))

    def _fail_everyone(self) -> None:
        with self._entry:
            self._closed = True
            while not self._waiting.empty():
                waiting = self._waiting.get_nowait()
                if waiting is not None:
                    self._in_hand.append(waiting)
        for work in self._in_hand:
            if not work.future.done():
                work.future.set_exception(
                    TransientFailure("device_lost", "the device thread died; its node restarts")
                )


def _as_failure(error: Exception) -> IntakeError:
    if isinstance(error, IntakeError):
        return error
    failure = ModelFailure("model_failed", f"the model raised {type(error).__name__}; see this node's log")
    failure.__cause__ = error
    return failure
